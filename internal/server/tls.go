package server

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"

	"balsa.example/internal/certs"
	"balsa.example/internal/metrics"
	"balsa.example/transport"
)

// TLS names the files of one side of a server, in PEM. Empty: no TLS.
type TLS struct {
	CertFile string
	KeyFile  string
	// CAFile holds the certificates that those of the other side must lead to. Empty:
	// the system's.
	CAFile string
	// ClientAuth demands a certificate of whoever connects.
	ClientAuth bool
	// AllowedCNs and AllowedHostnames let in those alone whose certificate has one of
	// these common names, or is good for one of these hosts. Of peers they replace the
	// rule that a certificate names its member. Both empty: no such list.
	AllowedCNs, AllowedHostnames []string
}

func (t TLS) enabled() bool { return t.CertFile != "" || t.KeyFile != "" }

// check compares the files with the schemes of the addresses: all must be https if
// there is a certificate, else http.
func (t TLS) check(side string, urls ...*url.URL) error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return fmt.Errorf("%w: %s TLS needs both a certificate and a key file", ErrConfig, side)
	}
	if !t.enabled() && (t.CAFile != "" || t.ClientAuth) {
		return fmt.Errorf("%w: %s TLS has a CA file or client authentication, but no certificate and key file", ErrConfig, side)
	}
	if t.ClientAuth && t.CAFile == "" {
		return fmt.Errorf("%w: %s TLS with client authentication needs a trusted CA file", ErrConfig, side)
	}
	if len(t.AllowedCNs) > 0 && len(t.AllowedHostnames) > 0 {
		return fmt.Errorf("%w: %s TLS has allowed common names and allowed host names; name one kind", ErrConfig, side)
	}
	if t.hasList() && !t.ClientAuth {
		return fmt.Errorf("%w: %s TLS has a list of who is allowed, but does not demand certificates", ErrConfig, side)
	}
	if slices.Contains(t.AllowedCNs, "") || slices.Contains(t.AllowedHostnames, "") {
		return fmt.Errorf("%w: %s TLS: the list of who is allowed has an empty name in it", ErrConfig, side)
	}
	for _, u := range urls {
		switch {
		case t.enabled() && u.Scheme != "https":
			return fmt.Errorf("%w: %s address %s must be https, since there is a certificate", ErrConfig, side, u)
		case !t.enabled() && u.Scheme != "http":
			return fmt.Errorf("%w: %s address %s needs a certificate and a key file", ErrConfig, side, u)
		}
	}
	return nil
}

// open reads the files; nil if TLS is off. They may be renewed while the server runs: see
// package certs.
func (t TLS) open(side string, files certs.Files, log *slog.Logger) (*certs.Source, error) {
	if !t.enabled() {
		return nil, nil
	}
	files.Cert, files.Key, files.CA = t.CertFile, t.KeyFile, t.CAFile
	source, err := certs.Open(side, files, log)
	if err != nil {
		return nil, fmt.Errorf("%w: %s TLS: %w", ErrConfig, side, err)
	}
	return source, nil
}

// The sides of a server, in logs and metrics.
const (
	clientSide = "client"
	peerSide   = "peer"
)

// openTLS reads the TLS files of both sides.
func (s *Server) openTLS() (err error) {
	served := certs.Files{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if s.clientTLS, err = s.cfg.ClientTLS.open(clientSide, served, s.log); err != nil {
		return err
	}
	if s.cfg.ClusterSecretFile != "" {
		if s.peerTLS, err = certs.OpenSecret(peerSide, s.cfg.ClusterSecretFile, s.self.Name, s.log); err != nil {
			return fmt.Errorf("%w: cluster secret: %w", ErrConfig, err)
		}
		return nil
	}
	// A certificate that the other members would refuse is not taken.
	shown := certs.Files{Usages: served.Usages, Accept: func(cert *x509.Certificate) error { return s.names(cert, s.self) }}
	if s.cfg.PeerTLS.ClientAuth {
		shown.Chained = true
		shown.Usages = append(shown.Usages, x509.ExtKeyUsageClientAuth)
	}
	s.peerTLS, err = s.cfg.PeerTLS.open(peerSide, shown, s.log)
	return err
}

// watchTLS looks at the TLS files from time to time until the server stops.
func (s *Server) watchTLS() {
	for _, source := range []*certs.Source{s.clientTLS, s.peerTLS} {
		if source != nil {
			s.work.Go(func() { source.Watch(s.ctx) })
		}
	}
}

// securePeers sets how the transport proves who is who.
func (s *Server) securePeers(cfg *transport.Config) {
	proved := s.cfg.PeerTLS.ClientAuth || s.cfg.ClusterSecretFile != ""
	if !proved && !isLoopback(s.cfg.ListenPeer.Hostname()) {
		s.log.Warn("the peer port is not protected: whoever reaches it can speak for a member; use --peer-client-cert-auth or --cluster-secret-file",
			"address", s.cfg.ListenPeer)
	}
	if s.peerTLS == nil {
		return
	}
	cfg.ServerTLS = s.peerTLS.Server(proved, nil)
	cfg.ClientTLS = s.peerTLS.Dialer()
	cfg.Authorize = s.authorize
}

// sampleTLS describes the certificates of the sides that have some.
func (s *Server) sampleTLS() (all []metrics.TLS) {
	side := func(name string, source *certs.Source, refused uint64) {
		if source != nil {
			expiry := source.Expiry()
			all = append(all, metrics.TLS{
				Side: name, Expires: expiry.Certificate, AuthoritiesExpire: expiry.Authorities, Stale: source.Stale(), Refused: refused,
			})
		}
	}
	side(clientSide, s.clientTLS, s.turnedAway.Count())
	side(peerSide, s.peerTLS, s.transport.Refused())
	return all
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
