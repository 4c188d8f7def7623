package clerk

import (
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

// tlsError is an ErrTLS with what to do about it.
type tlsError struct {
	what string
	err  error // what package tls says; may be nil
}

func (e *tlsError) Error() string {
	if e.err == nil {
		return e.what
	}
	return fmt.Sprintf("%s (%v)", e.what, e.err)
}

// Is makes the error match ErrTLS.
func (e *tlsError) Is(target error) bool { return target == ErrTLS }

func (e *tlsError) Unwrap() error { return e.err }

// diagnosePlain looks at the first bytes that a server says to a client without TLS.
func diagnosePlain(b []byte) error {
	if certs.IsTLS(b) {
		return &tlsError{what: "the server speaks TLS: its endpoint must begin with https://"}
	}
	return nil
}

// diagnose makes an ErrTLS of why a handshake failed. It is nil where the network failed, or
// where nothing did: that may be otherwise the next time. shows tells whether the client
// has a certificate.
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
	case certs.Plain(err):
		what = "the server does not speak TLS: its endpoint must begin with http://"
	case errors.As(err, &remote) && remote.Op == "remote error":
		what = diagnoseAlert(remote.Err.Error(), shows)
	case strings.Contains(err.Error(), "ALPN"):
		what = "the server does not offer HTTP/2"
	default:
		return nil
	}
	return &tlsError{what, err}
}

// diagnoseAlert tells what the alert of a server means. Package tls tells alerts apart by
// their texts alone.
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

// misfits are the servers that one operation has found to disagree with this client about
// TLS, by address. More attempts do not change that, but other servers may be in order.
type misfits map[string]*tlsError

// note takes note of how an attempt at a server ended. A misfit stays one until it answers:
// an attempt that was cut short in the middle of a handshake says nothing.
func (m *misfits) note(address string, err error) {
	unfit := new(tlsError)
	switch {
	case err == nil:
		delete(*m, address)
	case errors.As(err, &unfit):
		if *m == nil {
			*m = make(misfits) // mostly there is none
		}
		(*m)[address] = unfit
	}
}

// verdict is an error if all of so many servers are misfits.
func (m misfits) verdict(servers int) error {
	if len(m) == 0 || len(m) < servers {
		return nil
	}
	return m.describe()
}

// describe tells of one of the misfits, and how many others there are.
func (m misfits) describe() error {
	all := slices.Sorted(maps.Keys(m))
	more := ""
	if len(all) > 1 {
		more = fmt.Sprintf(" and %d more", len(all)-1)
	}
	return fmt.Errorf("%s%s: %w: %w", all[0], more, ErrUnavailable, m[all[0]])
}

// besides adds the misfits to the reason why an operation was not done, unless it is one.
func (m misfits) besides(reason error) error {
	if len(m) == 0 || reason == nil || errors.Is(reason, ErrTLS) {
		return reason
	}
	return fmt.Errorf("%w; %w", reason, m.describe())
}
