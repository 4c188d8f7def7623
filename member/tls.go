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
	"balsa.example/internal/roster"
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
		if m.tls, err = certs.OpenSecret(peerSide, m.cfg.SecretFile, m.cfg.Name, m.log); err != nil {
			return fmt.Errorf("%w: cluster secret: %w", ErrConfig, err)
		}
		return nil
	}
	// A certificate that the other members would refuse is not taken.
	files := certs.Files{
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Accept: func(cert *x509.Certificate) error { return m.certified(cert, raft.None, m.cfg.about()) },
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
	other, ok := m.view.Load().known.Find(id)
	if !ok {
		return fmt.Errorf("%s is no member", id)
	}
	return m.certified(state.PeerCertificates[0], id, other.About)
}

// certified is nil if the certificate may speak for the member id, of which this is said.
func (m *Member) certified(cert *x509.Certificate, id raft.NodeID, about roster.About) error {
	list := certs.TLS(m.cfg.TLS)
	switch {
	case list.Unverified:
		return nil
	case list.HasList():
		return list.Allows(cert)
	}
	return certifies(cert, id, about, m.known(), list.SharedHosts)
}

// known are the members that this one knows of.
func (m *Member) known() roster.Roster {
	if v := m.view.Load(); v != nil {
		return v.known
	}
	return m.cfg.Cluster.roster()
}

// certifies is nil if the certificate names the member: by its name, as common name or as
// DNS name, or by the host of its address. Another one of all members may have the same host only
// if hosts are shared.
// That the certificate leads to a trusted authority has been checked.
func certifies(cert *x509.Certificate, id raft.NodeID, about roster.About, all roster.Roster, shared bool) error {
	if about.Name != "" && (cert.Subject.CommonName == about.Name || slices.Contains(cert.DNSNames, about.Name)) {
		return nil
	}
	hosts := hostsOf(about.Peers)
	i := slices.IndexFunc(hosts, func(host string) bool { return cert.VerifyHostname(host) == nil })
	if i < 0 {
		return fmt.Errorf("%w: it names %s, but neither %q nor %s", errNotNamed, certs.Describe(cert), about.Name, strings.Join(hosts, " nor "))
	}
	for _, other := range all.Members {
		if other.ID != id && other.Name != about.Name && slices.Contains(hostsOf(other.Peers), hosts[i]) && !shared {
			return fmt.Errorf("%w: it names %s, but not %q, and %s is the host of %s too", errNotNamed, certs.Describe(cert), about.Name, hosts[i], other)
		}
	}
	return nil
}

// hostsOf are the hosts of addresses.
func hostsOf(addresses []string) (hosts []string) {
	for _, address := range addresses {
		host, _, _ := net.SplitHostPort(roster.HostPort(address))
		hosts = append(hosts, host)
	}
	return hosts
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
	return Certificates{expiry.Certificate, expiry.Authorities, m.tls.Stale(), m.TransportStats().Unauthenticated}, true
}
