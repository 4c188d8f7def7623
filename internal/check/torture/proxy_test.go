package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/bits"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"
)

// route is a connection through a proxy: what a client writes at near comes out at far.
type route struct {
	p         *proxy
	near, far *net.TCPConn
}

// newRoute has a proxy pass one connection on.
func newRoute(t *testing.T) *route {
	t.Helper()
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	p, err := newProxy(target.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	near := dialTest(t, p)
	far, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	r := &route{p, near, far.(*net.TCPConn)}
	r.send(t, near, "hello")
	r.want(t, r.far, "hello")
	return r
}

func dialTest(t *testing.T, p *proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// Bounds a test that fails; no test that passes waits for it.
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn.(*net.TCPConn)
}

func (r *route) send(t *testing.T, to io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
}

func (r *route) want(t *testing.T, from io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(from, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got[:n], err, text)
	}
}

func (r *route) await(t *testing.T, wanted func(counts) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := r.p.await(ctx, wanted); err != nil {
		t.Fatal(err)
	}
}

// wantEnd reads what is left, and wants the connection to end so after that text.
func wantEnd(t *testing.T, conn net.Conn, text string, end error) {
	t.Helper()
	got, err := io.ReadAll(conn)
	if string(got) != text || !errors.Is(err, end) {
		t.Errorf("read %q, then %v; want %q, then %v", got, err, text, end)
	}
}

// wantRefusal wants a new connection to be reset, be it while it is made.
func wantRefusal(t *testing.T, p *proxy) {
	t.Helper()
	conn, err := net.Dial("tcp", p.address())
	if err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestProxyPassesBothWaysAndHalfCloses(t *testing.T) {
	r := newRoute(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	go func() {
		r.near.Write(big)
		r.near.CloseWrite()
	}()
	if got, err := io.ReadAll(r.far); err != nil || !bytes.Equal(got, big) {
		t.Fatalf("%d bytes came, %v; want %d", len(got), err, len(big))
	}
	r.send(t, r.far, "and back")
	r.far.Close()
	wantEnd(t, r.near, "and back", nil)
	r.await(t, func(c counts) bool { return c.links == 0 })
}

func TestProxyEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		how  ending
		want error
	}{{"cut", cut, nil}, {"reset", reset, syscall.ECONNRESET}} {
		t.Run(test.name, func(t *testing.T) {
			r := newRoute(t)
			r.p.endAll(test.how)
			wantEnd(t, r.near, "", test.want)
			wantEnd(t, r.far, "", test.want)
			r.await(t, func(c counts) bool { return c.links == 0 })
		})
	}
}

func TestProxyPassesOnAReset(t *testing.T) {
	r := newRoute(t)
	hangUp(r.far, reset)
	wantEnd(t, r.near, "", syscall.ECONNRESET)
}

func TestProxyOfNothingResets(t *testing.T) {
	r := newRoute(t) // whose target listens no more
	wantRefusal(t, r.p)
}

func TestBlackHoleOfOneDirection(t *testing.T) {
	r := newRoute(t)
	r.p.set(impairment{blackHole: [2]bool{up: true}})
	r.send(t, r.near, "into the hole")
	r.await(t, func(c counts) bool { return c.dropped == int64(len("into the hole")) })
	r.send(t, r.far, "still heard")
	r.want(t, r.near, "still heard")
	r.near.CloseWrite() // not heard of either
	r.send(t, r.far, "still up")
	r.want(t, r.near, "still up")
	r.p.set(impairment{})
	wantEnd(t, r.far, "", syscall.ECONNRESET)
	r.await(t, func(c counts) bool { return c.links == 0 })
}

func TestBlackHoleThatSwallowedNothingEndsWithoutTrace(t *testing.T) {
	r := newRoute(t)
	r.p.set(impairment{blackHole: [2]bool{true, true}})
	r.p.set(impairment{})
	r.send(t, r.near, "as before")
	r.want(t, r.far, "as before")
}

// A connection that lost bytes one way passes none after the gap.
func TestBlackHoleLeavesNoGap(t *testing.T) {
	r := newRoute(t)
	r.p.set(impairment{blackHole: [2]bool{true, true}})
	r.send(t, r.near, "lost")
	r.await(t, func(c counts) bool { return c.dropped == 4 })
	r.p.set(impairment{blackHole: [2]bool{down: true}})
	wantEnd(t, r.far, "", syscall.ECONNRESET)
	wantEnd(t, r.near, "", syscall.ECONNRESET)
}

func TestDelay(t *testing.T) {
	r := newRoute(t)
	const delay = 30 * time.Millisecond
	r.p.set(impairment{delay: delay, jitter: delay})
	began := time.Now()
	r.send(t, r.near, "late")
	r.want(t, r.far, "late")
	if took := time.Since(began); took < delay {
		t.Errorf("took %v, want %v at least", took, delay)
	}
	r.p.set(impairment{delay: time.Hour})
	r.send(t, r.near, "no later")
	r.p.set(impairment{}) // ends the wait
	r.want(t, r.far, "no later")
}

func TestTrickle(t *testing.T) {
	r := newRoute(t)
	r.p.set(impairment{trickle: 2})
	began := time.Now()
	r.send(t, r.near, "drop by drop")
	r.want(t, r.far, "drop by drop")
	if took := time.Since(began); took < 6*tick {
		t.Errorf("took %v, want 6 ticks at least", took)
	}
}

func TestCorruptFlipsOneBitOfALink(t *testing.T) {
	r := newRoute(t)
	r.p.corrupt(1)
	sent := bytes.Repeat([]byte{0x55}, 1000)
	r.send(t, r.far, "never on the way down")
	r.want(t, r.near, "never on the way down")
	got := make([]byte, 2*len(sent))
	r.near.Write(sent)
	io.ReadFull(r.far, got[:len(sent)])
	r.near.Write(sent)
	io.ReadFull(r.far, got[len(sent):])
	flipped := 0
	for _, b := range got {
		flipped += bits.OnesCount8(b ^ 0x55)
	}
	if flipped != 1 {
		t.Errorf("%d bits differ, want 1", flipped)
	}
	r.await(t, func(c counts) bool { return c.corrupted == 1 && c.damaged == 1 })
	r.near.Close()
	r.far.Close()
	r.await(t, func(c counts) bool { return c.damaged == 0 })
}

func TestProxyIsBounded(t *testing.T) {
	r := newRoute(t)
	l := func() *link { return &link{p: r.p, over: make(chan struct{})} }
	var more []*link
	for range maxLinks - 1 {
		more = append(more, l())
		if !r.p.admit(more[len(more)-1]) {
			t.Fatalf("link %d was refused", len(more))
		}
	}
	wantRefusal(t, r.p)
	for _, l := range slices.Backward(more) {
		r.p.forget(l)
	}
}

// close waits for all goroutines, so that it returns is what matters; what they wait
// for is each kind of wait that there is.
func TestCloseLeavesNothing(t *testing.T) {
	for _, w := range []impairment{
		{},
		{delay: time.Hour},
		{trickle: 1},
		{blackHole: [2]bool{true, true}},
	} {
		r := newRoute(t)
		r.p.set(w)
		go r.near.Write(make([]byte, 8<<20)) // more than the buffers hold, and it is not read
		r.near.CloseWrite()
		r.p.close()
		r.await(t, func(c counts) bool { return c.links == 0 })
	}
}
