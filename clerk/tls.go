package clerk

import (
	"crypto/tls"
	"fmt"

	"balsa.example/internal/certs"
)

// LoadTLS makes a TLS configuration for WithTLS from PEM files: the certificates of
// the authorities to trust, and the client's own certificate and key. Any may be empty:
// without authorities those of the system are trusted, without a certificate (and key)
// the client shows none. The files are read once; see WithTLSFiles.
func LoadTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	m, err := certs.Read(certs.Files{CA: caFile, Cert: certFile, Key: keyFile})
	if err != nil {
		return nil, fmt.Errorf("load TLS files: %w", err)
	}
	return m.Client(), nil
}

// WithTLSFiles is WithTLS with the files of LoadTLS, which are read again at each connection.
// They may be renewed while the Clerk is in use, one by one: as long as they do not fit
// together, the last ones that did are used.
func WithTLSFiles(caFile, certFile, keyFile string) Option {
	return func(o *config) { o.tlsFiles = &certs.Files{CA: caFile, Cert: certFile, Key: keyFile} }
}
