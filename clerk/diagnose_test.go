package clerk

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestMisfits(t *testing.T) {
	unfit := &tlsError{what: "wrong"}
	var m misfits
	m.note("a", errors.New("refused"))
	if m.verdict(1) != nil || m.besides(nil) != nil {
		t.Errorf("a server that is down is a misfit: %v", m)
	}
	m.note("b", notSent(unfit))
	m.note("b", context.DeadlineExceeded) // a later attempt was cut short
	if err := m.besides(errors.New("refused")); m.verdict(2) != nil || !errors.Is(err, ErrTLS) || !strings.HasPrefix(err.Error(), "refused; b: ") {
		t.Errorf("one of two: %v, %v", m.verdict(2), err)
	}
	m.note("a", notSent(unfit))
	if err := m.verdict(2); !errors.Is(err, ErrTLS) || !errors.Is(err, ErrUnavailable) || err.Error() != "a and 1 more: server unavailable: wrong" {
		t.Errorf("both: %v", err)
	}
	m.note("a", nil)
	if m.verdict(2) != nil {
		t.Error("one that answers is a misfit")
	}
}
