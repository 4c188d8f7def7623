package certs

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	oneSecret     = "kuOqk1rU8mzqv0Z1H0dJb4x0cXQqG6mXw1b6dYkq5sE="
	anotherSecret = "bq1oZ2c1m0dCk3k7g2r1YJg8oF0e0cXh3rJ1mX5dT2Q="
)

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openSecret(t *testing.T, content, member string) *Source {
	t.Helper()
	s, err := OpenSecret("peer", secretFile(t, content), member, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// connect does both sides of a handshake over a socket.
func connect(t *testing.T, dialer, acceptor *Source) (seen tls.ConnectionState, err error) {
	t.Helper()
	return connectDemanding(t, dialer, acceptor, true)
}

func connectDemanding(t *testing.T, dialer, acceptor *Source, demand bool) (seen tls.ConnectionState, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed := make(chan error, 1)
	go func() {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			err = tls.Client(conn, dialer.Dialer()).Handshake()
		}
		dialed <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	server := tls.Server(conn, acceptor.Server(demand, nil))
	err = server.Handshake()
	if dialErr := <-dialed; dialErr != nil {
		return seen, dialErr
	}
	return server.ConnectionState(), err
}

func TestWhoKnowsTheSecret(t *testing.T) {
	one, two := openSecret(t, oneSecret+"\n", "n1"), openSecret(t, oneSecret, "n2")
	seen, err := connect(t, one, two)
	if err != nil || seen.Version != tls.VersionTLS13 || seen.PeerCertificates[0].Subject.CommonName != "n1" {
		t.Errorf("with the same secret: %v, %v", err, seen.PeerCertificates)
	}
	if !one.Expiry().Certificate.IsZero() {
		t.Errorf("a secret expires: %+v", one.Expiry())
	}
	other := openSecret(t, anotherSecret, "n2")
	if _, err := connect(t, one, other); err == nil {
		t.Error("with another secret, connected")
	}
	if _, err := connect(t, other, one); err == nil {
		t.Error("with another secret, accepted")
	}
}

// A member has the old and the new secret for a while, whichever is first.
func TestSecretsRotate(t *testing.T) {
	path := secretFile(t, oneSecret)
	s, err := OpenSecret("peer", path, "n1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	older, newer := openSecret(t, oneSecret, "n2"), openSecret(t, anotherSecret, "n2")
	both := openSecret(t, oneSecret+"\n"+anotherSecret, "n2")
	works := func(step string, a, b *Source, want bool) {
		t.Helper()
		_, there := connect(t, a, b)
		_, back := connect(t, b, a)
		if (there == nil && back == nil) != want {
			t.Errorf("%s: %v, %v", step, there, back)
		}
	}
	works("old", s, older, true)
	works("old, with one that has both", s, both, true)
	os.WriteFile(path, []byte(anotherSecret+"\n"+oneSecret+"\n"), 0o600)
	works("new before old, with one that has old before new", s, both, true)
	os.WriteFile(path, []byte(anotherSecret), 0o600)
	works("new", s, newer, true)
	works("new, with one that has the old one", s, older, false)
	os.WriteFile(path, []byte("too short"), 0o600)
	works("what is not good changes nothing", s, newer, true)
}

func TestSecretsThatProtectNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"empty":                {"\n", 0o600, "no secret in it"},
		"short":                {"password\n", 0o600, "secret of 8 bytes"},
		"one of them short":    {oneSecret + "\npassword\n", 0o600, "secret of 8 bytes"},
		"long":                 {strings.Repeat("x", 2000), 0o600, "secret of 2000 bytes"},
		"many":                 {strings.Repeat(oneSecret+"\n", 5), 0o600, "more than 4"},
		"read by all":          {oneSecret, 0o644, "chmod 600"},
		"written by the group": {oneSecret, 0o660, "chmod 600"},
		"read by the group":    {oneSecret, 0o640, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := secretFile(t, tc.content)
			if err := os.Chmod(path, tc.mode); err != nil {
				t.Fatal(err)
			}
			_, err := OpenSecret("peer", path, "n1", slog.New(slog.DiscardHandler))
			switch {
			case tc.want == "" && err != nil, tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v", err)
			case err != nil && strings.Contains(err.Error(), oneSecret):
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}
