package transport

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/raft"
)

// The tests here are about what pipeNet do not show: real sockets, TLS, and load.

// tcpNode is a node on a loopback socket. What happens to it comes out of channels.
type tcpNode struct {
	*Transport
	messages chan raft.Message
	ups      chan raft.NodeID
	downs    chan raft.NodeID
}

func (n *tcpNode) Receive(m raft.Message) {
	select {
	case n.messages <- m:
	default:
	}
}

func (n *tcpNode) ReceiveSnapshot(_ *raft.InstallSnapshot, data io.Reader) error {
	_, err := io.Copy(io.Discard, data)
	return err
}

func (n *tcpNode) Unreachable(id raft.NodeID) { n.downs <- id }

func upTCP(t testing.TB, id raft.NodeID, changes ...func(*Config)) *tcpNode {
	t.Helper()
	n := &tcpNode{messages: make(chan raft.Message, 10_000), ups: make(chan raft.NodeID, 100), downs: make(chan raft.NodeID, 100)}
	c := Config{
		ID: id, Listen: "127.0.0.1:0",
		onPeerUp: func(id raft.NodeID) { n.ups <- id },
		Logger:   slog.New(slog.DiscardHandler),
	}
	for _, change := range changes {
		change(&c)
	}
	var err error
	if n.Transport, err = New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	n.Start(n)
	return n
}

// meet makes two nodes peers.
func meet(t testing.TB, a, b *tcpNode) {
	t.Helper()
	a.AddPeer(b.self.id, b.Addr().String())
	b.AddPeer(a.self.id, a.Addr().String())
	within(t, a.ups)
	within(t, b.ups)
}

// within receives from c, and fails if nothing comes for long.
func within[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing happens")
		panic("unreachable")
	}
}

func TestDeathOfAPeerIsNoticedAtOnce(t *testing.T) {
	a, b := upTCP(t, 1), upTCP(t, 2)
	meet(t, a, b)
	address := b.Addr().String()
	start := time.Now()
	b.Close()
	if id := within(t, a.downs); id != 2 {
		t.Errorf("%s is down", id)
	}
	t.Logf("noticed after %v", time.Since(start))

	b = upTCP(t, 2, func(c *Config) { c.Listen = address })
	b.AddPeer(1, a.Addr().String())
	within(t, a.ups)
	a.Send(examples())
	for range examples() {
		within(t, b.messages)
	}
}

func TestCloseUnderLoadLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	a, b := upTCP(t, 1), upTCP(t, 2)
	meet(t, a, b)
	var load sync.WaitGroup
	stop := make(chan struct{})
	for _, n := range []*tcpNode{a, b} {
		to := 3 - n.self.id
		m := benchmarkAppend(10, 1000)
		m.From, m.To = n.self.id, to
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					n.Send([]raft.Message{m})
				}
			}
		})
		load.Go(func() {
			m := &raft.InstallSnapshot{Header: raft.Header{From: n.self.id, To: to}}
			if err := n.SendSnapshot(t.Context(), m, endless{}); err == nil {
				t.Error("an endless snapshot has arrived")
			}
		})
	}
	for range 100 {
		within(t, a.messages)
		within(t, b.messages)
	}
	a.Close()
	b.Close()
	close(stop)
	load.Wait()
	a.Close()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines more than before\n%s", n-before, buf[:runtime.Stack(buf, true)])
	}
}

// endless is data without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// authority makes certificates.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der := a.sign(a.cert)
	a.cert, _ = x509.ParseCertificate(der.Certificate[0])
	a.pool.AddCert(a.cert)
	return a
}

// sign returns a certificate after template with a new key, which the first time is
// the authority's own.
func (a *authority) sign(template *x509.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.key == nil {
		a.key = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) node() tls.Certificate {
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

// mutual is the TLS configuration of a node for both directions.
func (a *authority) mutual(c *Config) {
	c.TLS = &tls.Config{
		Certificates: []tls.Certificate{a.node()}, RootCAs: a.pool,
		ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	a, b := upTCP(t, 1, ca.mutual), upTCP(t, 2, ca.mutual)
	meet(t, a, b)
	a.Send(examples())
	for range examples() {
		within(t, b.messages)
	}
	if err := a.SendSnapshot(t.Context(), offer, bytes.NewReader(make([]byte, 1e6))); err != nil {
		t.Error(err)
	}
	b.Close()
	within(t, a.downs)
}

func TestWithoutCertificateNobodyGetsIn(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no TLS":            {func(*Config) {}, "the other side speaks TLS"},
		"no certificate":    {func(c *Config) { ca.mutual(c); c.TLS.Certificates = nil }, "certificate required"},
		"other authority":   {func(c *Config) { ca.mutual(c); c.TLS.Certificates = []tls.Certificate{other.node()} }, ""},
		"server not proven": {func(c *Config) { ca.mutual(c); c.TLS.RootCAs = other.pool }, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := upTCP(t, 1, tc.change), upTCP(t, 2, ca.mutual)
			b.AddPeer(1, "127.0.0.1:1")
			a.AddPeer(2, b.Addr().String())
			for start := time.Now(); ; time.Sleep(time.Millisecond) {
				s, _ := a.Peer(2)
				if s.Connected || time.Since(start) > 10*time.Second {
					t.Fatalf("status: %+v", s)
				}
				if s.LastError != "" {
					if !strings.Contains(s.LastError, tc.want) {
						t.Errorf("error: %s", s.LastError)
					}
					break
				}
			}
			if s, _ := b.Peer(1); s.Inbound {
				t.Error("got in")
			}
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	x, y := upTCP(b, 1), upTCP(b, 2)
	meet(b, x, y)
	there := []raft.Message{&raft.TimeoutNow{Header: raft.Header{From: 1, To: 2}}}
	back := []raft.Message{&raft.TimeoutNow{Header: raft.Header{From: 2, To: 1}}}
	for b.Loop() {
		x.Send(there)
		<-y.messages
		y.Send(back)
		<-x.messages
	}
}

func BenchmarkSnapshot(b *testing.B) {
	x, y := upTCP(b, 1), upTCP(b, 2)
	meet(b, x, y)
	const size = 64 << 20
	b.SetBytes(size)
	for b.Loop() {
		if err := x.SendSnapshot(b.Context(), offer, io.LimitReader(endless{}, size)); err != nil {
			b.Fatal(err)
		}
	}
}

// Silent connections and half-open handshakes of TLS keep no member out.
func TestSilentConnectionsKeepNoMemberOutOfTLS(t *testing.T) {
	ca := newAuthority(t)
	a := upTCP(t, 1, ca.mutual, func(c *Config) { c.Limits.HandshakeTimeout = time.Minute }) // nobody is timed out here
	for i := range 200 {
		conn, err := net.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			conn.Write([]byte{22, 3, 1, 2, 0, 1}) // the begin of a hello
		}
	}
	b := upTCP(t, 2, ca.mutual)
	meet(t, a, b)
	b.Send([]raft.Message{&raft.TimeoutNow{Header: raft.Header{From: 2, To: 1}}})
	within(t, a.messages)
	if s := a.Stats(); s.Evicted < 100 || s.Handshakes > s.MaxHandshakes {
		t.Errorf("%+v", s)
	}
}
