package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Files names the PEM files of one side of a process.
type Files struct {
	// Cert holds the certificate, intermediate ones after it, and Key its private key.
	// Both empty: no certificate.
	Cert, Key string
	// CA holds the authorities that must have issued the certificates of the other side.
	// Empty: those of the system.
	CA string
	// Revoked lists certificates of the other side that are not taken. Empty: none.
	Revoked string
	// Chained says that they must have issued the own certificate too, as among members of
	// a cluster.
	Chained bool
	// Usages are the extended key usages that the certificate must have.
	Usages []x509.ExtKeyUsage
	// Accept, if not nil, must accept the certificate too.
	Accept func(*x509.Certificate) error

	Terms Terms
	// Unverified takes any certificate of the other side.
	Unverified bool
}

// Material is the content of the files at one moment. It does not change.
type Material struct {
	Certificate *tls.Certificate // nil: none
	Authorities *x509.CertPool   // nil: the system's

	authorities []*x509.Certificate
	revoked     revoked
}

// Read reads the files once.
func Read(f Files) (*Material, error) {
	contents, err := readAll(f.paths())
	if err != nil {
		return nil, err
	}
	return f.parse(contents, time.Now())
}

// paths lists the files in the order in which parse takes their contents.
func (f Files) paths() []string {
	var paths []string
	for _, p := range []string{f.Cert, f.Key, f.CA, f.Revoked} {
		if p != "" {
			paths = append(paths, p)
		}
	}
	return paths
}

// parse makes a Material of the contents of the files, if they fit together.
func (f Files) parse(contents [][]byte, now time.Time) (*Material, error) {
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("certificate and key go together")
	}
	m := new(Material)
	if f.Cert != "" {
		cert, err := f.parsePair(contents[0], contents[1])
		if err != nil {
			return nil, err
		}
		m.Certificate, contents = cert, contents[2:]
	}
	if f.CA != "" {
		all, err := parseCertificates(contents[0])
		if err != nil {
			return nil, fmt.Errorf("trusted CA file %s: %w", f.CA, err)
		}
		m.authorities, m.Authorities, contents = all, x509.NewCertPool(), contents[1:]
		for _, ca := range all {
			m.Authorities.AddCert(ca)
		}
	}
	if f.Revoked != "" {
		list, err := parseRevoked(contents[0])
		if err != nil {
			return nil, fmt.Errorf("list of revoked certificates %s: %w", f.Revoked, err)
		}
		m.revoked = list
	}
	if f.Chained && m.Certificate != nil && m.Authorities != nil {
		if err := m.checkChain(now); err != nil {
			return nil, fmt.Errorf("certificate %s does not lead to %s: %w", f.Cert, f.CA, err)
		}
	}
	return m, nil
}

func (f Files) parsePair(certPEM, keyPEM []byte) (*tls.Certificate, error) {
	if _, err := parseCertificates(certPEM); err != nil {
		return nil, fmt.Errorf("certificate file %s: %w", f.Cert, err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %s", f.Cert, f.Key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	for _, usage := range f.Usages {
		if !goodFor(cert.Leaf, usage) {
			return nil, fmt.Errorf("certificate %s is not good for %s (extended key usage)", f.Cert, usageNames[usage])
		}
	}
	if f.Accept != nil {
		if err := f.Accept(cert.Leaf); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", f.Cert, err)
		}
	}
	return &cert, nil
}

var usageNames = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageServerAuth: "servers", x509.ExtKeyUsageClientAuth: "clients",
}

// goodFor tells whether a certificate may be used so. One that names no usage is good for all.
func goodFor(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
	return len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 ||
		slices.Contains(cert.ExtKeyUsage, usage) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// parseCertificates reads all certificates of a PEM file. Unlike
// x509.CertPool.AppendCertsFromPEM it takes no part of a file for the whole: a file that
// is being written ends in the middle of a block, or has a damaged one where what is new
// meets what is old, and pem.Decode skips that.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	blocks, err := blocksOf(data)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, errors.New("no PEM certificate in it")
	}
	return all, nil
}

// blocksOf reads all blocks of a PEM file, none if it is something else.
func blocksOf(data []byte) (all []*pem.Block, err error) {
	for n := bytes.Count(data, []byte("-----BEGIN ")); len(all) < n; {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("a PEM block is damaged or cut short")
		}
		all, data = append(all, block), rest
	}
	return all, nil
}

// checkChain tells whether the certificate leads to the authorities, at a time when it is
// valid: whether it is now is another question.
func (m *Material) checkChain(now time.Time) error {
	leaf := m.Certificate.Leaf
	switch {
	case now.Before(leaf.NotBefore):
		now = leaf.NotBefore
	case now.After(leaf.NotAfter):
		now = leaf.NotAfter
	}
	intermediates := x509.NewCertPool()
	for _, der := range m.Certificate.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		intermediates.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: m.Authorities, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

// checkTime returns an error if the certificate is not valid at a time.
func (m *Material) checkTime(now time.Time) error {
	if m.Certificate == nil {
		return nil
	}
	switch leaf := m.Certificate.Leaf; {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("certificate is not valid before %s", stamp(leaf.NotBefore))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("certificate has expired on %s", stamp(leaf.NotAfter))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Describe returns the names in a certificate, shortened if there are many.
func Describe(cert *x509.Certificate) string {
	var names []string
	if cert.Subject.CommonName != "" {
		names = append(names, fmt.Sprintf("CN %q", cert.Subject.CommonName))
	}
	for _, dns := range cert.DNSNames {
		names = append(names, fmt.Sprintf("DNS %q", dns))
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, "IP "+ip.String())
	}
	const most = 8
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	if len(names) == 0 {
		return "nobody"
	}
	text := strings.Join(names, ", ")
	return text[:min(len(text), 512)]
}
