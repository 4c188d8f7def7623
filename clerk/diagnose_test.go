package clerk

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// gRPC tells the error of an attempt when the next one may have been cut short already, which says nothing
// about TLS.
func TestAHandshakeThatIsCutShortHidesNothing(t *testing.T) {
	const answer, alert = "HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x32"
	for name, test := range map[string]struct {
		conf *tls.Config
		bad  string // what a server says that does not fit
	}{
		"TLS": {&tls.Config{ServerName: "server"}, answer}, "plain": {nil, alert},
	} {
		h := newHandshake(func() *tls.Config { return test.conf })
		attempt := func(says string) {
			client, server := net.Pipe()
			go func() {
				if test.conf != nil {
					server.Read(make([]byte, 1<<16)) // the hello
				}
				io.WriteString(server, says)
				server.Close()
			}()
			if conn, _, err := h.ClientHandshake(t.Context(), "server", client); err == nil {
				conn.Read(make([]byte, 100))
			}
			client.Close()
		}
		for _, says := range []string{test.bad, ""} {
			attempt(says)
			if err := h.explain(io.EOF); !errors.Is(err, ErrTLS) {
				t.Errorf("%s: after a server that says %q: %v", name, says, err)
			}
		}
		if test.conf == nil {
			attempt(answer)
			if err := h.explain(io.EOF); err != io.EOF {
				t.Errorf("%s: after an attempt that has succeeded: %v", name, err)
			}
		}
	}
}

func TestTLSFailures(t *testing.T) {
	failure := &tlsError{kind: ErrTLS, what: "wrong"}
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
