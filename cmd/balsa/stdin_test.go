package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// endless is an input of which some bytes can be read, and then nothing but an error.
type endless struct{ left, read int }

var errRead = errors.New("more was read than makes sense")

func (e *endless) Read(b []byte) (int, error) {
	if e.left <= 0 {
		return 0, errRead
	}
	n := min(len(b), e.left)
	e.left, e.read = e.left-n, e.read+n
	return n, nil
}

// with runs a command line with an input.
func with(t *testing.T, stdin io.Reader, args ...string) (code int, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := program{stdin: stdin, stdout: &out, stderr: &errs, env: noEnv}
	return p.run(t.Context(), args), errs.String()
}

// TestAValueWithoutEndIsRefused: no more of it is in memory than a server takes.
func TestAValueWithoutEndIsRefused(t *testing.T) {
	in := &endless{left: 64 << 20}
	code, errs := with(t, in, "put", "key", "-", "--endpoints", "127.0.0.1:1")
	if code != exitUsage || !strings.Contains(errs, "more than 16777216 bytes") || in.read > 17<<20 {
		t.Errorf("%d %q, after %d bytes", code, errs, in.read)
	}
}

// TestAPasswordMayTakeItsTime: it is read before a server is asked, for which --timeout is.
func TestAPasswordMayTakeItsTime(t *testing.T) {
	for _, command := range []string{"add", "passwd"} {
		in := strings.NewReader("secret\n")
		code, errs := with(t, in, "user", command, "ann", "--cacert", "missing.pem")
		if code != exitUsage || !strings.Contains(errs, "missing.pem") || in.Len() > 0 {
			t.Errorf("user %s: %d %q, and %d bytes of the password are not read", command, code, errs, in.Len())
		}
	}
}
