package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificate writes a certificate, NAME.pem, and its key, NAME.key, where NAME is its common name. It is
// good for an hour, if about says no other end. Without a key of the CA it is its own.
func Certificate(t testing.TB, dir string, about, ca *x509.Certificate, caKey *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if caKey == nil {
		caKey = key
	}
	about.SerialNumber, about.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	if about.NotAfter.IsZero() {
		about.NotAfter = time.Now().Add(time.Hour)
	}
	cert, err := x509.CreateCertificate(rand.Reader, about, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: cert}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, about.Subject.CommonName+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key
}
