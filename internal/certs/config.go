package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Server returns a configuration for accepting connections. Each handshake uses the current
// Material. With demand, the client must have a certificate that the authorities have issued,
// and authorize, if not nil, must accept it too. protocols are those of ALPN, if any.
func (s *Source) Server(demand bool, authorize func(*x509.Certificate) error, protocols ...string) *tls.Config {
	return s.terms.apply(&tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := s.terms.apply(s.Current().server(demand, authorize))
			c.NextProtos = protocols
			return c, nil
		},
	})
}

func (m *Material) server(demand bool, authorize func(*x509.Certificate) error) *tls.Config {
	c := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*m.Certificate},
		// A resumed session would be verified by the authorities of its beginning.
		SessionTicketsDisabled: true,
	}
	if !demand {
		return c
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, m.Authorities
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := m.revoked.check(cs.PeerCertificates); err != nil || authorize == nil {
			return err
		}
		return authorize(cs.PeerCertificates[0])
	}
	return c
}

// Client returns a configuration for one connection to a server, whose certificate must be valid
// for the host that is dialed.
func (m *Material) Client() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: m.Authorities}
	if m.Certificate != nil {
		c.GetClientCertificate = m.clientCertificate
	}
	return c
}

// clientCertificate returns the own certificate for a server that asks for one, whatever
// authorities the server names: the error of its refusal tells more than that of no certificate.
func (m *Material) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if m.Certificate == nil {
		return new(tls.Certificate), nil
	}
	return m.Certificate, nil
}

// Peer returns a configuration for both directions: it is Dialer's for connecting, and that
// of Server for accepting connections.
func (s *Source) Peer(demand bool) *tls.Config {
	c := s.Dialer()
	c.GetConfigForClient = s.Server(demand, nil).GetConfigForClient
	return c
}

// Dialer returns a configuration for connecting to servers whose certificates must have been
// issued by the authorities. Each handshake uses the current Material. The caller checks the
// names in the certificate.
func (s *Source) Dialer() *tls.Config {
	return s.terms.apply(&tls.Config{
		GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.good.Load().clientCertificate(r)
		},
		InsecureSkipVerify: true, // VerifyConnection verifies, with the current authorities
		VerifyConnection: func(cs tls.ConnectionState) error {
			if s.unverified {
				return nil
			}
			return s.Current().verifyServer(cs)
		},
	})
}

func (m *Material) verifyServer(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("server shows no certificate")
	}
	if err := m.revoked.check(cs.PeerCertificates); err != nil {
		return err
	}
	options := x509.VerifyOptions{Roots: m.Authorities, Intermediates: x509.NewCertPool()} // for servers, by default
	for _, cert := range cs.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	_, err := cs.PeerCertificates[0].Verify(options)
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return nil
}
