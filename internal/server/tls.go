package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"

	"balsa.example/internal/certs"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/metrics"
)

// TLS names the files of one side of a server, and says who may connect.
type TLS = certs.TLS

// checkTLS compares the settings with the schemes of the addresses: all must be https if
// there is a certificate, else http.
func checkTLS(t TLS, side string, urls ...*url.URL) error {
	if err := t.Check(); err != nil {
		return fmt.Errorf("%w: %s %w", ErrConfig, side, err)
	}
	for _, u := range urls {
		switch {
		case t.Enabled() && u.Scheme != "https" && u.Scheme != unixTLS:
			return fmt.Errorf("%w: %s address %s must be https (or unixs), since there is a certificate", ErrConfig, side, u)
		case !t.Enabled() && u.Scheme != "http" && u.Scheme != unixPlain:
			return fmt.Errorf("%w: %s address %s needs a certificate and a key file", ErrConfig, side, u)
		}
	}
	return nil
}

// secure tells whether an address has TLS.
func secure(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == unixTLS }

// The sides of a server, in logs and metrics.
const (
	clientSide = "client"
	peerSide   = "peer"
)

// openTLS reads the TLS files of the clients' side.
func (s *Server) openTLS() (err error) {
	files := certs.Files{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if s.clientTLS, err = s.cfg.ClientTLS.Open(clientSide, files, s.log); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// clientTLSConfig is what the client port speaks; nil for plain TCP.
func (s *Server) clientTLSConfig() *tls.Config {
	if s.clientTLS == nil {
		return nil
	}
	var allows func(*x509.Certificate) error
	if s.cfg.ClientTLS.HasList() {
		allows = s.cfg.ClientTLS.Allows
	}
	return s.clientTLS.Server(s.cfg.ClientTLS.ClientAuth, allows, clients.ProtocolHTTP2, clients.ProtocolHTTP1)
}

// sampleTLS describes the certificates of the sides that have some.
func (s *Server) sampleTLS() (all []metrics.TLS) {
	if s.clientTLS != nil {
		expiry := s.clientTLS.Expiry()
		all = append(all, metrics.TLS{
			Side: clientSide, Expires: expiry.Certificate, AuthoritiesExpire: expiry.Authorities,
			Stale: s.clientTLS.Stale(), Refused: s.port.RefusedByTLS(),
		})
	}
	if c, ok := s.member.Certificates(); ok {
		all = append(all, metrics.TLS{
			Side: peerSide, Expires: c.Expires, AuthoritiesExpire: c.AuthoritiesExpire, Stale: c.Stale, Refused: c.Refused,
		})
	}
	return all
}
