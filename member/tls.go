package member

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"balsa.example/internal/certs"
	"balsa.example/raft"
	"balsa.example/transport"
)

// peerSide is the side of the connections between members, in logs and errors.
const peerSide = "peer"

// errNotNamed: the certificate that was shown is not one of the member it is to prove.
var errNotNamed = errors.New("certificate does not name the member")

// openTLS reads the TLS files, or the secret.
func (m *Member) openTLS() (err error) {
	if m.cfg.SecretFile != "" {
		if m.tls, err = certs.OpenSecret(peerSide, m.cfg.SecretFile, m.self.Name, m.log); err != nil {
			return fmt.Errorf("%w: cluster secret: %w", ErrConfig, err)
		}
		return nil
	}
	// A certificate that the other members would refuse is not taken.
	files := certs.Files{
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Accept: func(cert *x509.Certificate) error { return m.names(cert, m.self) },
	}
	if m.cfg.TLS.ClientAuth {
		files.Chained = true
		files.Usages = append(files.Usages, x509.ExtKeyUsageClientAuth)
	}
	if m.tls, err = certs.TLS(m.cfg.TLS).Open(peerSide, files, m.log); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// secure sets how the transport proves who is at the other end.
func (m *Member) secure(cfg *transport.Config) {
	if address := m.cfg.Listener.Addr(); !m.cfg.proves() && !isLoopback(address) {
		m.log.Warn("the peer port is not protected: whoever reaches it can speak for a member; demand certificates of peers (--peer-client-cert-auth), or give all members a secret (--cluster-secret-file)",
			"address", address)
	}
	if m.tls == nil {
		return
	}
	cfg.TLS = m.tls.Peer(m.cfg.proves())
	cfg.Authorize = m.authorize
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback() // what is not TCP does not leave the process
}

// authorize is transport.Config.Authorize: the certificate of the other end must be one of
// member id.
func (m *Member) authorize(id raft.NodeID, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil // it dialed, and certificates are not demanded of who does
	}
	other, ok := m.cfg.Cluster.Member(id)
	if !ok {
		return fmt.Errorf("%s is no member", id)
	}
	return m.names(state.PeerCertificates[0], other)
}

// names is nil if the certificate may speak for the member s.
func (m *Member) names(cert *x509.Certificate, s Spec) error {
	list := certs.TLS(m.cfg.TLS)
	switch {
	case list.Unverified:
		return nil
	case list.HasList():
		return list.Allows(cert)
	}
	return m.cfg.Cluster.certifies(cert, s, list.SharedHosts)
}

// certifies is nil if the certificate names the member: by its name, as common name or as
// DNS name, or by the host of its address. Another member may have the same host only if
// hosts are shared.
// That the certificate leads to a trusted authority has been checked.
func (c *Cluster) certifies(cert *x509.Certificate, s Spec, shared bool) error {
	if cert.Subject.CommonName == s.Name || slices.Contains(cert.DNSNames, s.Name) {
		return nil
	}
	hosts := s.hosts()
	i := slices.IndexFunc(hosts, func(host string) bool { return cert.VerifyHostname(host) == nil })
	if i < 0 {
		return fmt.Errorf("%w: it names %s, but neither %q nor %s", errNotNamed, certs.Describe(cert), s.Name, strings.Join(hosts, " nor "))
	}
	host := hosts[i]
	for _, other := range c.Others(s.ID) {
		if slices.Contains(other.hosts(), host) && !shared {
			return fmt.Errorf("%w: it names %s, but not %q, and %s is the host of %s too", errNotNamed, certs.Describe(cert), s.Name, host, other.Name)
		}
	}
	return nil
}

// Certificates describes the certificates of the connections between members.
type Certificates struct {
	// Expires is when this member's own certificate expires, and AuthoritiesExpire when
	// the first of those expires that the others' must lead to. Zero: never.
	Expires, AuthoritiesExpire time.Time
	// Stale: the files on disk do not fit together, or cannot be read. The last good ones
	// serve on.
	Stale bool
	// Refused counts connections that did not prove which member is at the other end.
	Refused uint64
}

// Certificates returns the present state; false without TLS.
func (m *Member) Certificates() (Certificates, bool) {
	if m.tls == nil {
		return Certificates{}, false
	}
	expiry := m.tls.Expiry()
	return Certificates{expiry.Certificate, expiry.Authorities, m.tls.Stale(), m.transport.Stats().Unauthenticated}, true
}
