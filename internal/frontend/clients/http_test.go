package clients

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/encoding"

	"balsa.example/internal/check/memtcp"
)

// overHTTP runs a test in virtual time, once for each version of HTTP, with a client of a Port whose HTTP is
// answered by handler. A client may stall for stall.
func overHTTP(t *testing.T, stall time.Duration, handler http.HandlerFunc, test func(t *testing.T, get func() (*http.Response, error))) {
	for name, speak := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2.0": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memtcp.New()
				defer n.Close()
				server, client := n.Host("10.0.0.1"), n.Host("10.0.0.2")
				p := New(Config{
					Limits: Limits{Stall: stall}, Codec: encoding.GetCodecV2("proto"), HTTP: handler, Logger: slog.New(slog.DiscardHandler),
				})
				var serving sync.WaitGroup
				l := server.Listen("80")
				serving.Go(func() { _ = p.Serve(l) })
				tr := &http.Transport{
					Protocols:   new(http.Protocols),
					DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return client.Dial(ctx, address) },
				}
				speak(tr.Protocols)
				defer func() {
					tr.CloseIdleConnections()
					p.Stop()
					serving.Wait()
				}()
				test(t, func() (*http.Response, error) { return (&http.Client{Transport: tr}).Get("http://10.0.0.1:80/") })
			})
		})
	}
}

// A watch has nothing to tell for as long as nothing happens.
func TestAResponseMayBeQuiet(t *testing.T) {
	const stall = 10 * time.Second
	quiet := func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			fmt.Fprintln(w, i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * stall)
		}
	}
	overHTTP(t, stall, quiet, func(t *testing.T, get func() (*http.Response, error)) {
		resp, err := get()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); string(body) != "0\n1\n2\n" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// A client that reads nothing holds a response for as long as it may stall.
func TestAResponseThatIsNotReadEnds(t *testing.T) {
	const stall = 10 * time.Second
	var took atomic.Int64
	endless := func(w http.ResponseWriter, _ *http.Request) {
		began, part := time.Now(), []byte(strings.Repeat("x", 10_000))
		for {
			if _, err := w.Write(part); err != nil {
				took.Store(int64(time.Since(began)))
				return
			}
		}
	}
	overHTTP(t, stall, endless, func(t *testing.T, get func() (*http.Response, error)) {
		resp, err := get()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		took.Store(0)
		time.Sleep(2 * stall)
		if d := time.Duration(took.Load()); d < stall || d > stall+time.Second {
			t.Errorf("it ended after %s", d)
		}
	})
}

// A response of one part is large, and the client reads it little by little.
func TestALargeResponseMayBeReadSlowly(t *testing.T) {
	const stall, size, some = 10 * time.Second, 4 << 20, 64 << 10
	large := func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Error(err)
		}
	}
	overHTTP(t, stall, large, func(t *testing.T, get func() (*http.Response, error)) {
		resp, err := get()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for read := int64(0); read < size; time.Sleep(stall / 5) {
			n, err := io.CopyN(io.Discard, resp.Body, some)
			if read += n; err != nil {
				t.Fatalf("%d of %d bytes, then %v", read, size, err)
			}
		}
	})
}

// readFunc is a body.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A goroutine of a stream reads the next message while the stream ends, and gets a part of it.
func TestABodyThatIsReadTooLateCountsNothing(t *testing.T) {
	p := quietPort(Limits{})
	defer p.Stop()
	cl := p.Alone("a")
	body := newBody(nil, cl)
	body.ReadCloser = io.NopCloser(readFunc(func(b []byte) (int, error) {
		body.end(http.NewResponseController(httptest.NewRecorder()))
		return len(b), nil
	}))
	if n, err := body.Read(make([]byte, 100)); n != 100 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if own, all := cl.unfinished.Load(), p.unfinished.Load(); own != 0 || all != 0 {
		t.Errorf("%d bytes of the client count for ever, and %d in all", own, all)
	}
}
