package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
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

// load reads the files into a configuration for both ends of connections; nil if TLS
// is off. The certificate is read again at each handshake, so that it can be
// renewed without a restart.
func (t TLS) load() (*tls.Config, error) {
	if !t.enabled() {
		return nil, nil
	}
	cert := func() (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load certificate: %w", err)
		}
		return &c, nil
	}
	if _, err := cert(); err != nil {
		return nil, err
	}
	conf := &tls.Config{
		MinVersion:           tls.VersionTLS12,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert() },
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read trusted CA file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s holds no PEM certificate", ErrConfig, t.CAFile)
		}
		conf.ClientCAs, conf.RootCAs = pool, pool
	}
	if t.ClientAuth {
		conf.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return conf, nil
}
