package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"balsa.example/internal/frontend/etcd/translate"
)

// statuses are the HTTP statuses of codes; others are 500.
var statuses = map[translate.Code]int{
	translate.Canceled:           499, // nginx's: the client has closed the request
	translate.InvalidArgument:    http.StatusBadRequest,
	translate.DeadlineExceeded:   http.StatusGatewayTimeout,
	translate.NotFound:           http.StatusNotFound,
	translate.PermissionDenied:   http.StatusForbidden,
	translate.ResourceExhausted:  http.StatusTooManyRequests,
	translate.FailedPrecondition: http.StatusBadRequest,
	translate.OutOfRange:         http.StatusBadRequest,
	translate.Unimplemented:      http.StatusNotImplemented,
	translate.Unavailable:        http.StatusServiceUnavailable,
	translate.Unauthenticated:    http.StatusUnauthorized,
}

// statusOf is an error as it is sent, and its HTTP status.
func statusOf(err error) (data []byte, status int) {
	var known *translate.Error
	switch {
	case errors.As(err, &known):
	case errors.Is(err, context.DeadlineExceeded):
		known = &translate.Error{Code: translate.DeadlineExceeded, Text: err.Error()}
	case errors.Is(err, context.Canceled):
		known = &translate.Error{Code: translate.Canceled, Text: err.Error()}
	default:
		known = &translate.Error{Code: translate.Unknown, Text: err.Error()}
	}
	data, _ = json.Marshal(struct { // of a number and a string it cannot fail
		Code    translate.Code `json:"code"`
		Message string         `json:"message"`
	}{known.Code, known.Text})
	status, ok := statuses[known.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	return data, status
}

// writeError answers with an error.
func writeError(w http.ResponseWriter, err error) {
	data, status := statusOf(err)
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", err.Error())
	}
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

// withTimeout returns the context of a request, with the deadline that the header Grpc-Timeout
// gives, if any: at most eight digits, and a unit.
func withTimeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	text := r.Header.Get("Grpc-Timeout")
	if text == "" {
		return r.Context(), func() {}, nil
	}
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	unit, ok := units[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if !ok || err != nil || len(text) > 9 {
		return nil, nil, errTimeout
	}
	timeout := time.Duration(1<<63 - 1)
	if n <= uint64(timeout/unit) {
		timeout = time.Duration(n) * unit
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}
