package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Server returns a configuration for accepting connections. Each handshake takes the
// Material of its moment. With demand, a certificate is demanded of who connects, and
// must lead to the authorities; authorize, if not nil, decides about it further. protocols
// are those of ALPN, if any.
func (s *Source) Server(demand bool, authorize func(*x509.Certificate) error, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := s.Current().server(demand, authorize)
			c.NextProtos = protocols
			return c, nil
		},
	}
}

func (m *Material) server(demand bool, authorize func(*x509.Certificate) error) *tls.Config {
	c := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*m.Certificate},
		// A session that is resumed would be judged by the authorities of its beginning.
		SessionTicketsDisabled: true,
	}
	if !demand {
		return c
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, m.Authorities
	if authorize != nil {
		c.VerifyConnection = func(cs tls.ConnectionState) error { return authorize(cs.PeerCertificates[0]) }
	}
	return c
}

// Client returns a configuration for one connection to a server whose certificate must be
// good for the host that is dialed.
func (m *Material) Client() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: m.Authorities}
	if m.Certificate != nil {
		c.GetClientCertificate = m.show
	}
	return c
}

// show gives the own certificate to a server that asks for one, whatever authorities the
// server names: its refusal tells more than no certificate at all.
func (m *Material) show(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
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

// Dialer returns a configuration for connecting to servers whose certificates must lead
// to the authorities. Each handshake takes the Material of its moment. Whom a certificate
// names is for the caller to check.
func (s *Source) Dialer() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.good.Load().show(r)
		},
		InsecureSkipVerify: true, // VerifyConnection verifies, with the authorities of the moment
		VerifyConnection: func(cs tls.ConnectionState) error {
			return s.Current().verifyServer(cs)
		},
	}
}

func (m *Material) verifyServer(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("server shows no certificate")
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
