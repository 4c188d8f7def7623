package clients

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"

	"balsa.example/internal/certs"
	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/ratelog"
)

// Before the handshake is over, little of a connection is kept in memory. A long chain of
// certificates gets through all the same.
func TestAHandshakeIsShort(t *testing.T) {
	ca := certstest.NewCA(t, "ca")
	d := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n", Hosts: []string{"n"}}), ca.PEM)
	source, err := certs.Open("client", certs.Files{Cert: d.Cert, Key: d.Key, CA: d.CA}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	conf := source.Server(true, nil, ProtocolHTTP2)
	serve := func(client func(net.Conn)) error {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			client(far)
		}()
		conn, err := serveTLS(near, conf, ratelog.New(slog.New(slog.DiscardHandler), RefusalLines, refusalPeriod))
		if err == nil {
			_, err = io.CopyN(io.Discard, conn, 4*maxHandshakeBytes)
		}
		near.Close()
		return err
	}

	sent := 0
	err = serve(func(conn net.Conn) { // a ClientHello of 64,000 bytes, of which the last never comes
		message := append([]byte{1, 0, 0xfa, 0}, make([]byte, 63_999)...)
		for part := range slices.Chunk(message, 16_000) {
			n, err := conn.Write(append([]byte{22, 3, 1, byte(len(part) >> 8), byte(len(part))}, part...))
			if sent += n; err != nil {
				return
			}
		}
	})
	if !errors.Is(err, errLongHandshake) || sent > maxHandshakeBytes+lingerBytes {
		t.Errorf("after %d bytes: %v", sent, err)
	}

	pair := ca.Issue(certstest.Leaf{CN: "client"})
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for size := 0; size < 16<<10; size += len(cert.Certificate[0]) {
		cert.Certificate = append(cert.Certificate, cert.Certificate[0])
	}
	err = serve(func(conn net.Conn) {
		c := tls.Client(conn, &tls.Config{
			Certificates: []tls.Certificate{cert}, RootCAs: source.Current().Authorities, ServerName: "n", NextProtos: []string{ProtocolHTTP2},
		})
		if _, err := c.Write(make([]byte, 4*maxHandshakeBytes)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Errorf("a client with a long chain: %v", err)
	}
}
