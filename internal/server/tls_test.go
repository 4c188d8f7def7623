package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa/clerk"
)

// writeCerts makes a CA and one certificate of it that is good for both ends of
// connections on loopback, and returns their files.
func writeCerts(t *testing.T) (ca, cert, key string) {
	t.Helper()
	caKey, leafKey := newKey(t), newKey(t)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := template
	leaf.SerialNumber, leaf.IsCA, leaf.KeyUsage = big.NewInt(2), false, x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "CERTIFICATE", sign(t, &template, &template, caKey, caKey)),
		writePEM(t, "CERTIFICATE", sign(t, &leaf, &template, leafKey, caKey)),
		writePEM(t, "PRIVATE KEY", keyBytes)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServersAndClientsTalkTLS(t *testing.T) {
	t.Parallel()
	ca, cert, key := writeCerts(t)
	c := newTestCluster(t, 3, "")
	secure, err := ParseCluster("test", strings.ReplaceAll(memberList(c.configs[0].Cluster), "http:", "https:"))
	if err != nil {
		t.Fatal(err)
	}
	var endpoints []string
	for i := range c.configs {
		cfg := &c.configs[i]
		cfg.Cluster, cfg.ListenPeer = secure, secure.Members[i].PeerURL
		cfg.ListenClient[0].Scheme = "https"
		cfg.ClientTLS = TLS{CertFile: cert, KeyFile: key, CAFile: ca, ClientAuth: true}
		cfg.PeerTLS = cfg.ClientTLS
		endpoints = append(endpoints, cfg.ListenClient[0].String())
	}
	c.startAll()
	c.clerk.Close()
	conf, err := clerk.LoadTLS(ca, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if c.clerk, err = clerk.New(endpoints, clerk.WithTLS(conf)); err != nil {
		t.Fatal(err)
	}
	c.put("a", "1", 0)
	c.wants("a", "1")

	conf.Certificates = nil
	stranger, err := clerk.New(endpoints, clerk.WithTLS(conf))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := stranger.Get(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client without a certificate: %v", err)
	}
}

func TestConfigRefusesHalfTLS(t *testing.T) {
	for _, test := range []struct {
		tls  TLS
		url  string
		says string
	}{
		{TLS{CertFile: "c"}, "https://h:1", "both a certificate and a key"},
		{TLS{CAFile: "ca"}, "http://h:1", "no certificate"},
		{TLS{ClientAuth: true}, "http://h:1", "no certificate"},
		{TLS{CertFile: "c", KeyFile: "k", ClientAuth: true}, "https://h:1", "needs a trusted CA"},
		{TLS{CertFile: "c", KeyFile: "k"}, "http://h:1", "must be https"},
		{TLS{}, "https://h:1", "needs a certificate"},
	} {
		u, err := ParseURL(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := test.tls.check("client", u); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v on %s: %v", test.tls, test.url, err)
		}
	}
}
