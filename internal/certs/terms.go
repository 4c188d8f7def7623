package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
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

// crlType is what a block of PEM with a list is called (RFC 7468).
const crlType = "X509 CRL"

// revoked are the certificates that are taken no more, by who has issued them and their serial number: two authorities
// may give out the same numbers.
type revoked map[string]bool

// keyOf is how a certificate is found in revoked. issuer is its name in DER.
func keyOf(issuer []byte, serial *big.Int) string { return string(issuer) + "\x00" + serial.String() }

// parseRevoked reads lists of revoked certificates (RFC 5280): one in DER, or any number in PEM, as of several
// authorities. What else is in a PEM file is passed over, such as the certificates of the authorities.
func parseRevoked(data []byte) (revoked, error) {
	lists, err := blocksOf(data)
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		lists = []*pem.Block{{Type: crlType, Bytes: data}}
	}
	lists = slices.DeleteFunc(lists, func(b *pem.Block) bool { return b.Type != crlType })
	if len(lists) == 0 {
		return nil, errors.New("there is no list of revoked certificates in it")
	}
	all := make(revoked)
	for _, block := range lists {
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		for _, entry := range list.RevokedCertificateEntries {
			all[keyOf(list.RawIssuer, entry.SerialNumber)] = true
		}
	}
	return all, nil
}

// check refuses a chain that has a revoked certificate in it.
func (r revoked) check(chain []*x509.Certificate) error {
	for _, cert := range chain {
		if r[keyOf(cert.RawIssuer, cert.SerialNumber)] {
			return fmt.Errorf("certificate %s with serial %x is revoked", Describe(cert), cert.SerialNumber)
		}
	}
	return nil
}
