package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"balsa.example/internal/certs"
	"balsa.example/raft"
)

// errNotNamed: the certificate that was shown is not one of the member it is to prove.
var errNotNamed = errors.New("certificate does not name the member")

func (t TLS) hasList() bool { return len(t.AllowedCNs) > 0 || len(t.AllowedHostnames) > 0 }

// allows is nil if the lists let the certificate in. It is called if there is a list.
func (t TLS) allows(cert *x509.Certificate) error {
	if slices.Contains(t.AllowedCNs, cert.Subject.CommonName) {
		return nil
	}
	for _, host := range t.AllowedHostnames {
		if cert.VerifyHostname(host) == nil {
			return nil
		}
	}
	allowed := slices.Concat(t.AllowedCNs, t.AllowedHostnames)
	return fmt.Errorf("certificate names %s, and none of those allowed (%s)", certs.Describe(cert), strings.Join(allowed, ", "))
}

// authorize is transport.Config.Authorize: the certificate of the other end must be one of
// member id.
func (s *Server) authorize(id raft.NodeID, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil // it dialed, and certificates are not demanded of who does
	}
	m, ok := s.cfg.Cluster.Member(id)
	if !ok {
		return fmt.Errorf("%s is no member", id)
	}
	return s.names(state.PeerCertificates[0], m)
}

// names is nil if the certificate may speak for the member.
func (s *Server) names(cert *x509.Certificate, m Member) error {
	if s.cfg.PeerTLS.hasList() {
		return s.cfg.PeerTLS.allows(cert)
	}
	return s.cfg.Cluster.certifies(cert, m)
}

// certifies is nil if the certificate names the member: by its name, as common name or as
// DNS name, or by the host of its peer address, unless another member has the same host.
// That the certificate leads to a trusted authority has been checked.
func (c *Cluster) certifies(cert *x509.Certificate, m Member) error {
	if cert.Subject.CommonName == m.Name || slices.Contains(cert.DNSNames, m.Name) {
		return nil
	}
	host := m.PeerURL.Hostname()
	if cert.VerifyHostname(host) != nil {
		return fmt.Errorf("%w: it names %s, but neither %q nor %s", errNotNamed, certs.Describe(cert), m.Name, host)
	}
	for _, other := range c.Others(m.ID) {
		if other.PeerURL.Hostname() == host {
			return fmt.Errorf("%w: it names %s, but not %q, and %s is the host of %s too", errNotNamed, certs.Describe(cert), m.Name, host, other.Name)
		}
	}
	return nil
}
