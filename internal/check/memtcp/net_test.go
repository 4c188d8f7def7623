package memtcp

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pair runs a test with a connection between two hosts.
func pair(t *testing.T, test func(t *testing.T, n *Net, near, far net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		defer n.Close()
		a, b := n.Host("a"), n.Host("b")
		n.Name("name", "b")
		l := b.Listen("1")
		near, err := a.Dial(t.Context(), "name:1")
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		test(t, n, near, far)
	})
}

// arrival writes a byte on one side, and returns how long it takes to the other.
func arrival(t *testing.T, from, to net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := from.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := to.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

func TestDataGetsThrough(t *testing.T) {
	pair(t, func(t *testing.T, n *Net, near, far net.Conn) {
		if d := arrival(t, near, far) + arrival(t, far, near); d != 0 {
			t.Errorf("took %v", d)
		}
		n.Rate(1 << 20)
		start := time.Now()
		go near.Write(make([]byte, 10<<20))
		if _, err := io.CopyN(io.Discard, far, 10<<20); err != nil || time.Since(start).Round(time.Second) != 10*time.Second {
			t.Errorf("10 MiB at 1 MiB/s: %v, %v", time.Since(start), err)
		}
		near.Close()
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestSenderBacksOff is what makes connections useless after an outage.
func TestSenderBacksOff(t *testing.T) {
	for _, back := range []bool{false, true} { // drop the data, or the acknowledgements
		pair(t, func(t *testing.T, n *Net, near, far net.Conn) {
			from, to := "a", "b"
			if back {
				from, to = to, from
			}
			n.Cut(from, to)
			time.AfterFunc(30*time.Second, func() { n.Mend(from, to) })
			if back {
				arrival(t, near, far)
			}
			// At 0.2, 0.6, ... 25.4, and then 51 s.
			if d := arrival(t, near, far); d != 51*time.Second {
				t.Errorf("arrived after %v", d)
			}
		})
	}
}

func TestACrashSendsNoPacket(t *testing.T) {
	pair(t, func(t *testing.T, n *Net, near, far net.Conn) {
		n.hosts["b"].Crash()
		near.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("on the crashed side: %v", err)
		}
		near.SetReadDeadline(time.Time{})
		near.Write([]byte("x"))
		n.Host("b")
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("from the host that is back: %v", err)
		}
	})
}

func TestDial(t *testing.T) {
	pair(t, func(t *testing.T, n *Net, _, _ net.Conn) {
		a := n.Host("c")
		if _, err := a.Dial(t.Context(), "b:2"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a port without a listener: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := a.Dial(ctx, "nowhere:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nowhere: %v", err)
		}
		n.Cut("c", "b")
		time.AfterFunc(5*time.Second, func() { n.Mend("c", "b") })
		start := time.Now()
		if _, err := a.Dial(t.Context(), "name:1"); err != nil || time.Since(start) != 7*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
