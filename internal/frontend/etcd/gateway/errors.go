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

// known is an error as the API has it; with code 0 for none.
func known(err error) *translate.Error {
	var known *translate.Error
	switch {
	case err == nil:
		return &translate.Error{}
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return &translate.Error{Code: translate.DeadlineExceeded, Text: err.Error()}
	case errors.Is(err, context.Canceled):
		return &translate.Error{Code: translate.Canceled, Text: err.Error()}
	}
	return &translate.Error{Code: translate.Unknown, Text: err.Error()}
}

// statusOf is an error as it is sent, and its HTTP status.
func statusOf(err error) (data []byte, status int) {
	e := known(err)
	data, _ = json.Marshal(struct { // of a number and a string it cannot fail
		Code    translate.Code `json:"code"`
		Message string         `json:"message"`
	}{e.Code, e.Text})
	status, ok := statuses[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	return data, status
}

// writeError answers with an error, and returns it.
func writeError(w http.ResponseWriter, err error) error {
	data, status := statusOf(err)
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", err.Error())
	}
	w.WriteHeader(status)
	_, _ = w.Write(data)
	return err
}

// withTimeout returns the context of a request, with the deadline that the header Grpc-Timeout
// gives, if any: a number and a unit. 0 is none, as in etcd.
func withTimeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	text := r.Header.Get("Grpc-Timeout")
	if text == "" {
		return r.Context(), func() {}, nil
	}
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	unit, ok := units[text[len(text)-1]]
	n, err := strconv.ParseInt(text[:len(text)-1], 10, 64)
	if !ok || err != nil {
		return nil, nil, &translate.Error{Code: translate.InvalidArgument, Text: "invalid grpc-timeout: " + text}
	}
	if n == 0 {
		return r.Context(), func() {}, nil
	}
	timeout := time.Duration(1<<63 - 1)
	if n <= int64(timeout/unit) {
		timeout = time.Duration(max(n, -1)) * unit
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}

// late is the error of a request, which is that its own time is over, if it is. Over gRPC a client knows that by itself.
func late(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}
