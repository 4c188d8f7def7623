package clerk

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestTLSFailures(t *testing.T) {
	failure := &tlsError{what: "wrong"}
	var f tlsFailures
	f.note("a", errors.New("refused"))
	if f.ofAll(1) != nil || f.addTo(nil) != nil {
		t.Errorf("a server that is down has a TLS failure: %v", f)
	}
	f.note("b", notSent(failure))
	f.note("b", context.DeadlineExceeded) // a later attempt was cut short
	if err := f.addTo(errors.New("refused")); f.ofAll(2) != nil || !errors.Is(err, ErrTLS) || !strings.HasPrefix(err.Error(), "refused; b: ") {
		t.Errorf("one of two: %v, %v", f.ofAll(2), err)
	}
	f.note("a", notSent(failure))
	if err := f.ofAll(2); !errors.Is(err, ErrTLS) || !errors.Is(err, ErrUnavailable) || err.Error() != "a and 1 more: server unavailable: wrong" {
		t.Errorf("both: %v", err)
	}
	f.note("a", nil)
	if f.ofAll(2) != nil {
		t.Error("the failure of a server that answers is kept")
	}
}
