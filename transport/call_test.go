package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"balsa.example/raft"
)

// answers makes a node answer calls by who called and what it said.
func answers(c *Config) {
	c.OnCall = func(_ context.Context, from Caller, request []byte) ([]byte, error) {
		switch string(request) {
		case "no":
			return nil, &Refusal{Code: CodeApplication + 1, Reason: "not that"}
		case "long":
			return make([]byte, MaxCall+1), nil
		}
		return fmt.Appendf(nil, "%s said %s", from.ID, request), nil
	}
}

func TestCalls(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.up(2, answers)
		stranger := &Stranger{Name: "new", Dial: w.dial}
		if got, err := a.Call(t.Context(), 2, []byte("hi")); string(got) != "n1 said hi" {
			t.Errorf("a member got %q (%v)", got, err)
		}
		if got, err := stranger.Call(t.Context(), "n2", []byte("hi")); string(got) != "none said hi" {
			t.Errorf("a stranger got %q (%v)", got, err)
		}
		big := bytes.Repeat([]byte("x"), MaxCall-64)
		if got, err := a.Call(t.Context(), 2, big); len(got) != len(big)+len("n1 said ") {
			t.Errorf("a large request got %d bytes (%v)", len(got), err)
		}
		refusal := new(Refusal)
		if _, err := a.Call(t.Context(), 2, []byte("no")); !errors.As(err, &refusal) || refusal.Code != CodeApplication+1 || refusal.By != 2 || refusal.Reason != "not that" {
			t.Errorf("a refusal is %v", err)
		}
		for name, call := range map[string]func() ([]byte, error){
			"an unknown peer":             func() ([]byte, error) { return a.Call(t.Context(), 9, nil) },
			"a request that is too large": func() ([]byte, error) { return a.Call(t.Context(), 2, make([]byte, MaxCall+1)) },
			"an answer that is too large": func() ([]byte, error) { return a.Call(t.Context(), 2, []byte("long")) },
			"a node that takes no calls":  func() ([]byte, error) { return b.Call(t.Context(), 1, nil) },
			"a stranger at such a node":   func() ([]byte, error) { return stranger.Call(t.Context(), "n1", nil) },
			"a node that is not there":    func() ([]byte, error) { return stranger.Call(t.Context(), "n7", nil) },
			"a peer that is not there":    func() ([]byte, error) { return a.Call(t.Context(), 3, nil) },
		} {
			got, err := call()
			if err == nil {
				t.Errorf("%s: got %q", name, got)
			}
			if wants := strings.HasSuffix(name, "is not there"); errors.Is(err, ErrNotCalled) != wants && !errors.Is(err, ErrRefused) {
				t.Errorf("%s: it is certain that it was not called: %t (%v)", name, !wants, err)
			}
		}
	})
}

// Who is not admitted cannot call, and no stranger is told what only members may know.
func TestWhoIsNotAdmittedCannotCall(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1)
		w.up(2, answers, func(c *Config) {
			c.Handshake.Admit = func(raft.NodeID, []byte) error { return errors.New("disk was replaced") }
		})
		if got, err := a.Call(t.Context(), 2, []byte("hi")); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "disk was replaced") {
			t.Errorf("got %q (%v)", got, err)
		}
		conn, err := w.dial(t.Context(), "n2")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		h := hello{purpose: forCall}
		go conn.Write(appendLayout(appendPreamble(nil), frameHello, func(c *coder) { c.hello(&h) }))
		f := newFrameReader(conn, helloMax)
		var told welcome
		if err := errors.Join(readPreamble(f), readFrame(f, frameWelcome, func(c *coder) { c.welcome(&told) })); err != nil {
			t.Fatal(err)
		}
		if told.from.id != 2 || len(told.from.card)+len(told.from.attributes) > 0 || told.from.group != 0 {
			t.Errorf("a stranger is told %+v", told.from)
		}
	})
}

// Strangers do not take the places of members, and a call that its caller gives up ends.
func TestCallsAreBounded(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		ended := make(chan raft.NodeID, 100)
		a := w.up(1)
		w.up(2, func(c *Config) {
			c.OnCall = func(ctx context.Context, from Caller, request []byte) ([]byte, error) {
				if len(request) == 0 {
					return []byte("at once"), nil
				}
				<-ctx.Done()
				ended <- from.ID
				return nil, ctx.Err()
			}
		})
		ctx, giveUp := context.WithCancel(t.Context())
		refused := make(chan error, 100)
		call := func(of func(context.Context, []byte) ([]byte, error), n int) {
			for range n {
				go func() {
					if _, err := of(ctx, []byte("wait")); errors.Is(err, ErrRefused) {
						refused <- err
					}
				}()
			}
		}
		stranger := &Stranger{Dial: w.dial}
		call(func(ctx context.Context, b []byte) ([]byte, error) { return stranger.Call(ctx, "n2", b) }, maxStrangers+3)
		time.Sleep(time.Second)
		if n := len(refused); n != 3 {
			t.Errorf("%d calls of strangers are refused", n)
		}
		if got, err := a.Call(t.Context(), 2, nil); string(got) != "at once" {
			t.Errorf("while strangers call, a member got %q (%v)", got, err)
		}
		call(func(ctx context.Context, b []byte) ([]byte, error) { return a.Call(ctx, 2, b) }, maxServedCalls+2)
		time.Sleep(time.Second)
		if n := len(refused); n != 5 {
			t.Errorf("%d calls are refused", n)
		}
		giveUp()
		time.Sleep(time.Second)
		if n := len(ended); n != maxStrangers+maxServedCalls {
			t.Errorf("%d calls have ended when their callers gave up", n)
		}
		if got, err := a.Call(t.Context(), 2, nil); string(got) != "at once" {
			t.Errorf("after that a member got %q (%v)", got, err)
		}
	})
}

// A call whose answer never comes ends by itself.
func TestACallEndsInTime(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1)
		w.up(2, func(c *Config) {
			c.OnCall = func(ctx context.Context, _ Caller, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		for _, call := range []func() ([]byte, error){
			func() ([]byte, error) { return a.Call(t.Context(), 2, nil) },
			func() ([]byte, error) { return (&Stranger{Dial: w.dial}).Call(t.Context(), "n2", nil) },
		} {
			begin := time.Now()
			if _, err := call(); err == nil || errors.Is(err, ErrNotCalled) || time.Since(begin) > callTime+5*time.Second {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
		}
	})
}

func TestCallsOverTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	a, b := upTCP(t, 1, ca.mutual), upTCP(t, 2, ca.mutual, func(c *Config) {
		c.OnCall = func(_ context.Context, from Caller, _ []byte) ([]byte, error) {
			return []byte(from.TLS.PeerCertificates[0].Subject.CommonName), nil
		}
	})
	meet(t, a, b)
	if got, err := a.Call(t.Context(), 2, nil); string(got) != "node" {
		t.Errorf("a member got %q (%v)", got, err)
	}
	with := func(a *authority) *Stranger {
		var c Config
		a.mutual(&c)
		return &Stranger{TLS: c.TLS}
	}
	if got, err := with(ca).Call(t.Context(), b.Addr().String(), nil); string(got) != "node" {
		t.Errorf("a stranger got %q (%v)", got, err)
	}
	for name, stranger := range map[string]*Stranger{"another authority": with(other), "no TLS": {}} {
		if got, err := stranger.Call(t.Context(), b.Addr().String(), nil); err == nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
	wary := with(ca)
	wary.Authorize = func(address string, _ tls.ConnectionState) error { return fmt.Errorf("not %s", address) }
	if _, err := wary.Call(t.Context(), b.Addr().String(), nil); err == nil || !strings.Contains(err.Error(), "not "+b.Addr().String()) {
		t.Errorf("a node that is not trusted: %v", err)
	}
	// A node that speaks no TLS is not talked to by one that does.
	plain := upTCP(t, 3, answers)
	if _, err := with(ca).Call(t.Context(), plain.Addr().String(), nil); err == nil {
		t.Error("a plain node was called over TLS")
	}
}

// Bytes that are no call end the connection, and nothing else.
func TestBadCallsEndTheConnection(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.up(2, answers)
		for name, raw := range map[string][]byte{
			"another kind of frame": appendFrame(nil, frameFetch, []byte("hi")),
			"a bad checksum":        append(appendFrame(nil, frameCall, []byte("hi"))[:frameHeaderSize], "ho"...),
			"a frame too long":      appendFrame(nil, frameCall, make([]byte, MaxCall+1))[:frameHeaderSize],
		} {
			p := w.rawDial(b, 3, forCall)
			go p.Write(raw)
			p.SetReadDeadline(time.Now().Add(time.Second))
			if n, err := p.Read(make([]byte, 1)); err == nil || isTimeout(err) {
				t.Errorf("%s: read %d bytes (%v)", name, n, err)
			}
			p.Close()
		}
		if got, err := a.Call(t.Context(), 2, []byte("hi")); string(got) != "n1 said hi" {
			t.Errorf("after that: %q (%v)", got, err)
		}
	})
}

// Who connects, and calls nothing, has a place among those in the handshake, of which there are few:
// a stranger has proved nothing yet.
func TestCallersThatSayNothingAreBounded(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		b := w.up(1, answers, func(c *Config) { c.Limits.MaxHandshakes = 4 })
		for range 10 {
			conn, err := w.dial(t.Context(), "n1")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			by, err := (&Stranger{}).greet(conn, newFrameReader(conn, helloMax), "n1")
			if by != 1 || err != nil {
				t.Fatalf("%s: %v", by, err)
			}
		}
		time.Sleep(time.Second)
		if s := b.Stats(); s.Handshakes != 4 || s.Evicted != 6 {
			t.Errorf("%+v", s)
		}
		if got, err := (&Stranger{Dial: w.dial}).Call(t.Context(), "n1", []byte("hi")); string(got) != "none said hi" {
			t.Errorf("another one got %q (%v)", got, err)
		}
	})
}
