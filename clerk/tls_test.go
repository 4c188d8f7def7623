package clerk_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"balsa.example/api"
	"balsa.example/clerk"
)

// writeCertificate makes a self-signed certificate for 127.0.0.1 in two PEM files.
func writeCertificate(t *testing.T) (certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", der)
}

func TestTLS(t *testing.T) {
	certFile, keyFile := writeCertificate(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{
		hello:  &api.Hello{ClusterId: 7, NodeId: 1},
		handle: func(*api.Request) *api.Reply { return &api.Reply{} },
		listen: listen,
		options: []grpc.ServerOption{grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert,
		}))},
	}
	f.start(t)
	address := listen.Addr().String()

	// set takes as long as it is allowed unless it succeeds, so it is first allowed little.
	set := func(endpoint string, opts ...clerk.Option) error {
		ck, err := clerk.New([]string{endpoint}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		for patience := 100 * time.Millisecond; ; patience *= 2 {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			_, err = ck.Set(ctx, "k", nil)
			cancel()
			if err == nil || errors.Is(err, clerk.ErrUnavailable) || patience > 10*time.Second {
				return err
			}
		}
	}
	good, err := clerk.LoadTLS(certFile, certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := set("https://"+address, clerk.WithTLS(good)); err != nil {
		t.Errorf("with the right certificates: %v", err)
	}
	for name, err := range map[string]error{
		"without TLS":           set(address),
		"untrusted server":      set("https://" + address),
		"without a certificate": set(address, clerk.WithTLS(&tls.Config{RootCAs: good.RootCAs})),
	} {
		if !errors.Is(err, clerk.ErrUnavailable) || errors.Is(err, clerk.ErrMaybe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadTLSNamesTheFile(t *testing.T) {
	certFile, keyFile := writeCertificate(t)
	for name, files := range map[string][3]string{
		"no such authority file": {"absent.pem", "", ""},
		"no certificate in it":   {keyFile, "", ""},
		"certificate, no key":    {"", certFile, ""},
		"key, no certificate":    {"", "", keyFile},
	} {
		if _, err := clerk.LoadTLS(files[0], files[1], files[2]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
