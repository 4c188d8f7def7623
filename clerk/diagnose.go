package clerk

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"balsa.example/internal/certs"
)

// peerMagic is how a server begins on the address at which it listens for other servers: see package transport.
const peerMagic = "balsa-p\n"

// tlsError is an ErrTLS with what to do about it, or an ErrPeerPort.
type tlsError struct {
	kind error
	what string
	err  error // what package tls says; may be nil
}

func (e *tlsError) Error() string {
	if e.err == nil {
		return e.what
	}
	return fmt.Sprintf("%s (%v)", e.what, e.err)
}

// Is makes the error match its kind.
func (e *tlsError) Is(target error) bool { return target == e.kind }

func (e *tlsError) Unwrap() error { return e.err }

// diagnosePlain looks at the first bytes that a server sends to a client without TLS.
func diagnosePlain(b []byte) error {
	switch {
	case certs.IsTLS(b):
		return &tlsError{kind: ErrTLS, what: "the server speaks TLS: its endpoint must begin with https://"}
	case bytes.HasPrefix(b, []byte(peerMagic)):
		return errPeerPort
	}
	return nil
}

var errPeerPort = &tlsError{kind: ErrPeerPort, what: "this is an address for servers; clients use the one of --listen-client-urls"}

// fromPeer tells whether a handshake failed because the other side is a server that takes this client for another
// server, without TLS. Package tls keeps only the first bytes of what it said.
func fromPeer(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header) && strings.HasPrefix(peerMagic, string(header.RecordHeader[:]))
}

// diagnose returns an ErrTLS or ErrPeerPort that says why a handshake failed. It returns nil if the
// handshake did not fail, or because of the network: the next one may succeed. shows tells
// whether the client has a certificate.
func diagnose(err error, shows bool) error {
	var (
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		remote   *net.OpError
		what     string
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		what = "the server's certificate is of an authority that is not trusted here"
	case errors.As(err, &hostname):
		what = "the server's certificate is not good for this address"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		what = "the server's certificate has expired, or is not valid yet"
	case errors.As(err, &verify):
		what = "the server's certificate cannot be verified"
	case fromPeer(err):
		return errPeerPort
	case certs.Plain(err):
		what = "the server does not speak TLS: its endpoint must begin with http://"
	case errors.As(err, &remote) && remote.Op == "remote error":
		what = diagnoseAlert(remote.Err.Error(), shows)
	case strings.Contains(err.Error(), "ALPN"):
		what = "the server does not offer HTTP/2"
	default:
		return nil
	}
	return &tlsError{ErrTLS, what, err}
}

// diagnoseAlert says what the alert of a server means. Package tls gives alerts no type,
// only a text.
func diagnoseAlert(alert string, shows bool) string {
	switch is := func(text string) bool { return strings.Contains(alert, text) }; {
	case !shows && (is("certificate required") || is("bad certificate") || is("handshake failure")):
		return "the server demands a certificate of its clients"
	case is("unknown certificate authority"):
		return "the server does not trust the authority of this client's certificate"
	case is("expired certificate"):
		return "the server says that this client's certificate has expired"
	case is("certificate"):
		return "the server refuses this client's certificate; its log says why"
	default:
		return "the server refuses the TLS handshake; its log says why"
	}
}

// tlsFailures are the servers whose TLS does not fit this client's, and the addresses that are for servers, as one
// operation has found, by address. Another attempt at the same server fails too, but one at another
// server may succeed.
type tlsFailures map[string]*tlsError

// note notes how an attempt at a server ended. A failure is kept until the server answers:
// another error, as of a handshake that was cut short, says nothing about TLS.
func (f *tlsFailures) note(address string, err error) {
	if err == nil {
		delete(*f, address)
		return
	}
	if failure := new(tlsError); errors.As(err, &failure) {
		if *f == nil {
			*f = make(tlsFailures) // most operations need none
		}
		(*f)[address] = failure
	}
}

// ofAll returns an error if all servers have failed, of which there are so many.
func (f tlsFailures) ofAll(servers int) error {
	if len(f) == 0 || len(f) < servers {
		return nil
	}
	return f.describe()
}

// describe returns the failure of one server, and how many others have failed.
func (f tlsFailures) describe() error {
	all := slices.Sorted(maps.Keys(f))
	more := ""
	if len(all) > 1 {
		more = fmt.Sprintf(" and %d more", len(all)-1)
	}
	return fmt.Errorf("%s%s: %w: %w", all[0], more, ErrUnavailable, f[all[0]])
}

// addTo adds the failures to the reason why an operation was not done, unless the reason is
// one of them.
func (f tlsFailures) addTo(reason error) error {
	if len(f) == 0 || reason == nil || errors.As(reason, new(*tlsError)) {
		return reason
	}
	return fmt.Errorf("%w; %w", reason, f.describe())
}
