package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// SelfSigned returns the files of a certificate for some hosts that nobody else has issued, valid
// for some years. They are made in dir if there are none yet, none that fit together, as a crash may leave them, or
// none that is valid for a day more. write makes a file that only its owner may read.
func SelfSigned(dir string, hosts []string, years int, now time.Time, write func(path string, data []byte) error) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	switch all, err := readAll([]string{certFile, keyFile}); {
	case err == nil:
		if pair, err := tls.X509KeyPair(all[0], all[1]); err == nil && now.Before(pair.Leaf.NotAfter.Add(-24*time.Hour)) {
			return certFile, keyFile, nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", fmt.Errorf("certificate of its own making in %s: %w", dir, err)
	}
	cert, key, err := selfSigned(hosts, years, now)
	if err != nil {
		return "", "", fmt.Errorf("make a certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	return certFile, keyFile, errors.Join(write(keyFile, key), write(certFile, cert))
}

// selfSigned makes a certificate for servers and clients and its key, in PEM.
func selfSigned(hosts []string, years int, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"balsa"}},
		NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(years, 0, 0),
		KeyUsage:    x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}
