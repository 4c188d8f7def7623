package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"runtime"
	"time"
)

// The key of an authority is derived from the shared secret, so that only a process which knows
// the secret can issue certificates that the others accept. Each process issues one to itself,
// with the name of its member and a key that never leaves its memory. So TLS authenticates both
// sides, as with certificates from files, and encrypts the connection.
//
// A process that gets a connection can test guesses of the secret offline, so the secret must be
// random: minSecretBytes of text hold at least 128 bits.
const (
	minSecretBytes = 32
	maxSecretBytes = 1 << 10
	maxSecrets     = 4
)

// secretInfo separates the key from others that may be derived from the secret.
const secretInfo = "balsa cluster secret: key of the authority, version 1"

// OpenSecret reads the secrets of a file, one in a line. The first one issues the certificate of
// the member; certificates of other members may be issued by any of them.
func OpenSecret(side, path, member string, log *slog.Logger) (*Source, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return open(&Source{
		side: side, what: "cluster secret file", log: log, paths: []string{path}, read: readSecret,
		parse: func(contents [][]byte, _ time.Time) (*Material, error) {
			m, err := materialOf(contents[0], member, key)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			return m, nil
		},
	})
}

// readSecret reads a file that no other user may read or change.
func readSecret(paths []string) ([][]byte, error) {
	info, err := os.Stat(paths[0])
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o027 != 0 { // Windows has no such bits: its rights are lists
		return nil, fmt.Errorf("%s: others may read or change it (its mode is %s): chmod 600 it", paths[0], fs.FileMode(info.Mode().Perm()))
	}
	return readAll(paths)
}

// materialOf makes Material of the secrets in a file.
func materialOf(content []byte, member string, key *ecdsa.PrivateKey) (*Material, error) {
	m := &Material{Authorities: x509.NewCertPool()}
	for line := range bytes.Lines(content) {
		secret := bytes.TrimSpace(line)
		if len(secret) == 0 {
			continue
		}
		if len(secret) < minSecretBytes || len(secret) > maxSecretBytes {
			return nil, fmt.Errorf("secret of %d bytes; it must have %d to %d, at random", len(secret), minSecretBytes, maxSecretBytes)
		}
		if len(m.authorities) == maxSecrets {
			return nil, fmt.Errorf("more than %d secrets", maxSecrets)
		}
		ca, caKey, err := secretAuthority(secret)
		if err != nil {
			return nil, err
		}
		if m.Certificate == nil {
			if m.Certificate, err = issue(member, key, ca, caKey); err != nil {
				return nil, err
			}
		}
		m.authorities = append(m.authorities, ca)
		m.Authorities.AddCert(ca)
	}
	if m.Certificate == nil {
		return nil, fmt.Errorf("no secret in it; it must have %d to %d bytes, at random", minSecretBytes, maxSecretBytes)
	}
	return m, nil
}

// These certificates do not depend on clocks.
var (
	noBeginning = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	noExpiry    = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// secretAuthority derives the authority of a secret. All processes with the secret derive the
// same one.
func secretAuthority(secret []byte) (*x509.Certificate, ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, secretInfo, ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "balsa cluster secret"},
		NotBefore: noBeginning, NotAfter: noExpiry,
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, key, err
}

// issue makes the certificate of a member.
func issue(member string, key *ecdsa.PrivateKey, ca *x509.Certificate, caKey ed25519.PrivateKey) (*tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: member}, NotBefore: noBeginning, NotAfter: noExpiry,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
