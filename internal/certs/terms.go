package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// Terms are what a side accepts of the protocol itself. The zero value is TLS 1.2 and later, with
// Go's cipher suites.
type Terms struct {
	MinVersion, MaxVersion uint16
	CipherSuites           []uint16 // of TLS 1.2
}

func (t Terms) apply(c *tls.Config) *tls.Config {
	c.MinVersion, c.MaxVersion, c.CipherSuites = max(t.MinVersion, tls.VersionTLS12), t.MaxVersion, t.CipherSuites
	return c
}

// revoked are the serial numbers of certificates that are taken no more.
type revoked map[string]bool

// parseRevoked reads lists of revoked certificates (RFC 5280): one in DER, or any number in PEM, as of several
// authorities.
func parseRevoked(data []byte) (revoked, error) {
	lists, err := blocksOf(data)
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		lists = []*pem.Block{{Bytes: data}}
	}
	all := make(revoked)
	for _, block := range lists {
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		for _, entry := range list.RevokedCertificateEntries {
			all[entry.SerialNumber.String()] = true
		}
	}
	return all, nil
}

// check refuses a chain that has a revoked certificate in it.
func (r revoked) check(chain []*x509.Certificate) error {
	for _, cert := range chain {
		if r[cert.SerialNumber.String()] {
			return fmt.Errorf("certificate %s with serial %x is revoked", Describe(cert), cert.SerialNumber)
		}
	}
	return nil
}
