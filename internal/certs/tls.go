package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// TLS is what people say about one side of a process: its files, in PEM, and who may
// connect. The zero value means no TLS.
type TLS struct {
	CertFile string
	KeyFile  string
	// CAFile holds the certificates that those of the other side must lead to. Empty:
	// the system's.
	CAFile string
	// ClientAuth demands a certificate of every client that connects.
	ClientAuth bool
	// AllowedCNs and AllowedHostnames let in only clients whose certificate has one of
	// these common names, or is good for one of these hosts. For peers they replace the
	// rule that a certificate names its member. Both empty: no such list.
	AllowedCNs, AllowedHostnames []string
	// SharedHosts lets a peer's certificate that is good for a host speak for every member there,
	// where the rule is that only one member has the host.
	SharedHosts bool
	// Unverified takes any certificate of the other side. That keeps listeners out, and nobody
	// else.
	Unverified bool
	// RevokedFile lists certificates that are taken no more, as CRLs in PEM, or one in DER. Empty: none.
	RevokedFile string
	// MinVersion and MaxVersion are of TLS, as package crypto/tls has them; 0: TLS 1.2, and any
	// later one. CipherSuites are those of TLS 1.2; empty: Go's.
	MinVersion, MaxVersion uint16
	CipherSuites           []uint16
}

// Enabled tells whether there is TLS at all.
func (t TLS) Enabled() bool { return t.CertFile != "" || t.KeyFile != "" }

// HasList tells whether a list says who may connect.
func (t TLS) HasList() bool { return len(t.AllowedCNs) > 0 || len(t.AllowedHostnames) > 0 }

// Check refuses settings that contradict each other. It reads no file.
func (t TLS) Check() error {
	switch {
	case (t.CertFile == "") != (t.KeyFile == ""):
		return errors.New("TLS needs both a certificate and a key file")
	case !t.Enabled() && (t.CAFile != "" || t.ClientAuth):
		return errors.New("TLS has a CA file or client authentication, but no certificate and key file")
	case t.ClientAuth && t.CAFile == "":
		return errors.New("TLS with client authentication needs a trusted CA file")
	case len(t.AllowedCNs) > 0 && len(t.AllowedHostnames) > 0:
		return errors.New("TLS has allowed common names and allowed host names; name one kind")
	case t.HasList() && !t.ClientAuth:
		return errors.New("TLS has a list of who is allowed, but does not demand certificates")
	case slices.Contains(t.AllowedCNs, "") || slices.Contains(t.AllowedHostnames, ""):
		return errors.New("TLS: the list of who is allowed has an empty name in it")
	}
	return nil
}

// Allows is nil if the lists let the certificate in. It is called if there is a list.
func (t TLS) Allows(cert *x509.Certificate) error {
	if slices.Contains(t.AllowedCNs, cert.Subject.CommonName) {
		return nil
	}
	for _, host := range t.AllowedHostnames {
		if cert.VerifyHostname(host) == nil {
			return nil
		}
	}
	allowed := slices.Concat(t.AllowedCNs, t.AllowedHostnames)
	return fmt.Errorf("certificate names %s, and none of those allowed (%s)", Describe(cert), strings.Join(allowed, ", "))
}

// Open reads the files; nil without TLS. They may be renewed while the process runs.
// What else must hold of them is in files, whose paths Open sets.
func (t TLS) Open(side string, files Files, log *slog.Logger) (*Source, error) {
	if !t.Enabled() {
		return nil, nil
	}
	files.Cert, files.Key, files.CA, files.Revoked = t.CertFile, t.KeyFile, t.CAFile, t.RevokedFile
	files.Terms, files.Unverified = Terms{t.MinVersion, t.MaxVersion, t.CipherSuites}, t.Unverified
	source, err := Open(side, files, log)
	if err != nil {
		return nil, fmt.Errorf("%s TLS: %w", side, err)
	}
	return source, nil
}
