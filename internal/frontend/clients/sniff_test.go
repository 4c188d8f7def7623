package clients

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"balsa.example/internal/certs"
	"balsa.example/internal/certs/certstest"
)

// echo answers with the protocol, and what the request brought.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	fmt.Fprintf(w, "%s %s %s", r.Proto, r.URL.Path, body)
}

// listening is a Port on a socket, with TLS if conf is not nil.
func listening(t *testing.T, conf *tls.Config) (p *Port, address string) {
	p = New(Config{
		TLS: conf, Codec: encoding.GetCodecV2("proto"), HTTP: http.HandlerFunc(echo), Logger: slog.New(slog.DiscardHandler),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.SetServing(true, "")
	var serving sync.WaitGroup
	serving.Go(func() { _ = p.Serve(l) })
	t.Cleanup(func() { p.Stop(); serving.Wait() })
	return p, l.Addr().String()
}

// One port answers gRPC, HTTP/1 and HTTP/2, with TLS and without.
func TestOnePortSpeaksAll(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var conf, trust *tls.Config
		scheme := "http"
		if secure {
			conf, trust = testTLS(t)
			scheme = "https"
		}
		_, address := listening(t, conf)
		for name, speak := range map[string]func(p *http.Protocols){
			"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
			"HTTP/2.0": func(p *http.Protocols) { p.SetHTTP2(true); p.SetUnencryptedHTTP2(true) },
		} {
			tr := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: new(http.Protocols)}
			speak(tr.Protocols)
			client := &http.Client{Transport: tr}
			for i := range 3 { // on one connection
				text := strings.Repeat("b", i*40_000)
				resp, err := client.Post(fmt.Sprintf("%s://%s/path", scheme, address), "text/plain", strings.NewReader(text))
				if err != nil {
					t.Fatalf("TLS %t, %s: %v", secure, name, err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := name + " /path " + text; string(got) != want || err != nil {
					t.Errorf("TLS %t, %s: %d bytes, want %d, %v", secure, name, len(got), len(want), err)
				}
			}
			tr.CloseIdleConnections()
		}
		creds := insecure.NewCredentials()
		if secure {
			creds = credentials.NewTLS(trust)
		}
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Errorf("TLS %t, gRPC: %v", secure, err)
		}
		conn.Close()
	}
}

// testTLS is TLS of a server, and of a client that trusts it.
func testTLS(t *testing.T) (server, client *tls.Config) {
	ca := certstest.NewCA(t, "ca")
	d := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n", Hosts: []string{"127.0.0.1"}}), ca.PEM)
	source, err := certs.Open("client", certs.Files{Cert: d.Cert, Key: d.Key, CA: d.CA}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return source.Server(false, nil, ProtocolHTTP2, ProtocolHTTP1), &tls.Config{RootCAs: source.Current().Authorities}
}

// A client of HTTP/2 may wait for the server's SETTINGS before it sends a request, and one of gRPC
// may have none for long.
func TestClientsThatWaitForSettings(t *testing.T) {
	for name, of := range map[string][]byte{"gRPC": headers(), "other": nil} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := open(ctx, Limits{})
			defer p.close()
			defer cancel()
			conn := p.dial(t)
			defer conn.Close()
			conn.Write([]byte(http2.ClientPreface))
			fr := http2.NewFramer(conn, conn)
			fr.WriteSettings()
			began := time.Now()
			if f, err := fr.ReadFrame(); err != nil || f.Header().Type != http2.FrameSettings {
				t.Fatalf("%s: %v, %v", name, f, err)
			}
			if d := time.Since(began); d > 0 {
				t.Errorf("%s: SETTINGS came after %v", name, d)
			}
			fr.WriteSettingsAck()
			if of == nil {
				of = headersAs("GET", "/nothing", "text/plain")
			} else {
				time.Sleep(time.Hour) // it answers no pings, but until then it is connected
			}
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: of, EndHeaders: true, EndStream: true})
			for {
				f, err := fr.ReadFrame()
				if err != nil {
					if name == "other" {
						t.Errorf("%s: %v", name, err)
					}
					break
				}
				if h, ok := f.(*http2.HeadersFrame); ok && h.StreamID == 1 {
					break
				}
				if f, ok := f.(*http2.SettingsFrame); ok && !f.IsAck() {
					fr.WriteSettingsAck()
				}
			}
		})
	}
}

// A client that says nothing, or too little, does not stay.
func TestSilentClientsHaveTheirTime(t *testing.T) {
	for said, most := range map[string]time.Duration{
		"": connectTimeout, "PRI * HT": connectTimeout,
		"GET / HT": 2 * connectTimeout, "GET / HTTP/1.1\r\nHost: a\r\n": 2 * connectTimeout,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc": 31*time.Second + 2*clientCheck,
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                            idleTimeout + time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := open(ctx, Limits{})
			defer p.close()
			defer cancel()
			conn := p.dial(t)
			began := time.Now()
			io.WriteString(conn, said)
			io.Copy(io.Discard, conn)
			if d := time.Since(began); d > most {
				t.Errorf("%q: the connection was closed after %v", said, d)
			}
			conn.Close()
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			if n := len(p.all); n != 0 {
				t.Errorf("%q: %d clients are left", said, n)
			}
			if b := p.unfinished.Load(); b != 0 {
				t.Errorf("%q: %d bytes are counted in the end", said, b)
			}
		})
	}
}

// A connection that left gRPC keeps the deadlines that it gets.
func TestDeadlinesOfGRPCEndWithIt(t *testing.T) {
	p := quietPort(Limits{})
	near, far := net.Pipe()
	defer far.Close()
	cl := p.add(near, nil, "a")
	cl.left.Store(true)
	cl.SetReadDeadline(time.Now().Add(-time.Second))
	cl.SetDeadline(time.Time{})
	if _, err := cl.Read(make([]byte, 1)); err == nil {
		t.Error("the deadline was lost")
	}
	cl.Close()
}

// Requests in progress end when the Port stops, and gracefully if they can.
func TestHTTPStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{}, 2)
		p := &openPort{Port: New(Config{
			Codec: encoding.GetCodecV2("proto"), Logger: slog.New(slog.DiscardHandler),
			HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				began <- struct{}{}
				<-r.Context().Done()
			}),
		})}
		p.serveInMemory(t.Context())
		conn := p.dial(t)
		silent := p.dial(t)
		defer silent.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		<-began
		start := time.Now()
		graceful := make(chan struct{})
		go func() { p.GracefulStop(); close(graceful) }()
		time.Sleep(time.Second)
		p.Stop()
		<-graceful
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("it took %v to stop", d)
		}
		if _, err := bufio.NewReader(conn).ReadByte(); err == nil {
			t.Error("the connection is open")
		}
		conn.Close()
	})
}

// The first acknowledgement of SETTINGS is left out, wherever the bytes are cut, and nothing else.
func TestAckFilter(t *testing.T) {
	var sent, want bytes.Buffer
	for _, b := range []*bytes.Buffer{&sent, &want} {
		b.WriteString(http2.ClientPreface)
		fr := http2.NewFramer(b, nil)
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 7})
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(), EndHeaders: true})
		if b == &sent {
			fr.WriteSettingsAck()
		}
		fr.WriteData(1, false, make([]byte, 1000))
		fr.WriteSettingsAck()
		fr.WriteData(1, true, nil)
	}
	for size := 1; size < 100; size++ {
		c := &ackFilter{from: bytes.NewReader(sent.Bytes()), skip: len(http2.ClientPreface)}
		var got bytes.Buffer
		if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{c}, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("in pieces of %d: %d bytes, want %d", size, got.Len(), want.Len())
		}
	}
}

// fixedConn gives out what it holds, and takes everything.
type fixedConn struct {
	net.Conn
	io.Reader
}

func (c fixedConn) Read(b []byte) (int, error)     { return c.Reader.Read(b) }
func (fixedConn) Write(b []byte) (int, error)      { return len(b), nil }
func (fixedConn) SetReadDeadline(time.Time) error  { return nil }
func (fixedConn) SetWriteDeadline(time.Time) error { return nil }

// Whatever a client sends first is read again, but for one acknowledgement.
func FuzzSniff(f *testing.F) {
	var h2 bytes.Buffer
	h2.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&h2, nil)
	fr.WriteSettings()
	fr.WriteSettingsAck()
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headersAs("GET", "/", "text/plain"), EndHeaders: true})
	fr.WriteData(1, true, []byte("abc"))
	f.Add(h2.Bytes())
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte(http2.ClientPreface))
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, speaks, err := sniff(fixedConn{Reader: iotest.OneByteReader(bytes.NewReader(data))}, 100)
		if err != nil {
			return
		}
		got, err := io.ReadAll(conn)
		switch {
		case speaks != speaksHTTP2 && (err != nil || !bytes.Equal(got, data)):
			t.Errorf("%q was read again as %q, %v", data, got, err)
		case speaks == speaksHTTP2 && len(got) < len(data) && err == nil && len(data)-len(got) < frameHeader:
			t.Errorf("of %q %d bytes are missing", data, len(data)-len(got))
		}
	})
}
