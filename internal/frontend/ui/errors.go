package ui

import (
	"encoding/json"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// failure is an error as the page gets it. It has the form of the etcd API's.
type failure struct {
	Code    codes.Code `json:"code"`
	Message string     `json:"message"`
}

// statuses are the HTTP statuses of codes; others are 500.
var statuses = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusConflict,
	codes.AlreadyExists:      http.StatusConflict,
	codes.Aborted:            http.StatusConflict,
	codes.NotFound:           http.StatusNotFound,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
}

// fail answers with an error of package status.
func fail(w http.ResponseWriter, err error) {
	s := status.Convert(err)
	code, ok := statuses[s.Code()]
	if !ok {
		code = http.StatusInternalServerError
	}
	answer(w, code, failure{s.Code(), s.Message()})
}

// refuse answers a request that the dashboard itself does not allow.
func refuse(w http.ResponseWriter, httpStatus int, text string) {
	answer(w, httpStatus, failure{codes.PermissionDenied, text})
}

func answer(w http.ResponseWriter, httpStatus int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(httpStatus)
	_, _ = w.Write(data)
}
