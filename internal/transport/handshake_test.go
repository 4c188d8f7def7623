package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

// Node 1 dials node 2, one of them does not want to, and both can say why, once.
func TestRefusals(t *testing.T) {
	evil := func(from raft.NodeID, incarnation [16]byte) error {
		if incarnation == [16]byte{byte(from)} {
			return errors.New("disk was replaced")
		}
		return nil
	}
	onlyDialed := func(c *Config) { delete(c.Peers, 1) } // but knows nobody, so refuses
	quiet := func(c *Config) { c.Peers[1] = "nowhere" }  // knows node 1 and does not reach it
	for name, tc := range map[string]struct {
		dialer, acceptor func(*Config)
		event            string // at the dialer
		lastError        string // at the dialer
		accepts          string // an event at the acceptor
	}{
		"unknown peer": {
			acceptor: onlyDialed,
			event:    "refused by n2: transport: handshake: n1 is not a member that n2 knows",
		},
		"wrong cluster": {
			acceptor: func(c *Config) { quiet(c); c.ClusterID = 1 },
			event:    "refused by n2: transport: handshake: n1 is of cluster 00000000000ba15a, n2 of 0000000000000001",
		},
		"wrong node": {
			acceptor: func(c *Config) { quiet(c); c.ID = 3; delete(c.Peers, 2) },
			event:    "refused by n2: transport: handshake: this is n3, not n2",
		},
		"not admitted by acceptor": {
			acceptor: func(c *Config) { quiet(c); c.Admit = evil },
			event:    "refused by n2: disk was replaced",
		},
		"not admitted by dialer": {
			dialer:    func(c *Config) { c.Admit = evil },
			acceptor:  quiet,
			lastError: "disk was replaced",
			accepts:   "refused by n1: disk was replaced",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				change := func(f func(*Config)) func(*Config) {
					return func(c *Config) {
						delete(c.Peers, 3)
						if f != nil {
							f(c)
						}
					}
				}
				b := w.up(2, change(tc.acceptor))
				a := w.up(1, change(tc.dialer))
				time.Sleep(10 * time.Minute)
				if events, _ := a.took(); events != tc.event {
					t.Errorf("dialer: %s", events)
				}
				if events, _ := b.took(); events != tc.accepts {
					t.Errorf("acceptor: %s", events)
				}
				s := a.status(2)
				if s.Connected || s.Admitted || !strings.Contains(s.LastError, tc.lastError) {
					t.Errorf("status at the dialer: %+v", s)
				}
				for _, n := range []*node{a, b} {
					if lines := strings.Count(n.logged(), "\n"); lines < 1 || lines > 25 {
						t.Errorf("%s logged %d lines in ten minutes", n.self.id, lines)
					}
				}
			})
		})
	}
}

func TestOtherMajorVersionIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.up(1)
		conn, err := w.dial(t.Context(), "n1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		b := appendPreamble(nil)
		b[len(magic)] = majorVersion + 1
		conn.Write(b)
		f := newFrameReader(conn, helloMax)
		if err := readPreamble(f); err != nil {
			t.Fatal(err)
		}
		var got welcome
		if err := readFrame(f, frameWelcome, func(c *coder) { c.welcome(&got) }); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		want := fmt.Sprintf("peer speaks wire version %d.%d, this node %d.%d", majorVersion+1, minorVersion, majorVersion, minorVersion)
		if !strings.Contains(string(got.reason), want) || !strings.Contains(a.logged(), want) {
			t.Errorf("told %q, logged %s", got.reason, a.logged())
		}

		l := w.listen("n2")
		conn, err = l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go io.Copy(io.Discard, conn)
		conn.Write(b)
		synctest.Wait()
		if s := a.status(2); !strings.Contains(s.LastError, want) {
			t.Errorf("as a dialer: %+v", s)
		}
	})
}

func TestStrangersAreSentAway(t *testing.T) {
	for name, tc := range map[string]struct{ say, log string }{
		"another protocol": {"GET / HTTP/1.1\r\n\r\n", "not a balsa peer"},
		"silence":          {"", "timeout"},
		"half a hello":     {string(appendPreamble(nil)) + "\x10", "timeout"},
		"no hello":         {string(appendFrame(appendPreamble(nil), frameConfirm, nil)), "where 128 was expected"},
		"long hello":       {string(appendFrame(appendPreamble(nil), frameHello, make([]byte, helloMax+1)))[:frameHeaderSize+preambleSize], "at most 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.up(1, func(c *Config) { c.Peers = nil })
				conn, err := w.dial(t.Context(), "n1")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				go io.Copy(io.Discard, conn)
				go io.WriteString(conn, tc.say)
				time.Sleep(time.Minute)
				if !strings.Contains(a.logged(), tc.log) {
					t.Errorf("logged: %s", a.logged())
				}
				if _, err := conn.Write([]byte("x")); err == nil {
					t.Error("still connected")
				}
			})
		})
	}
}

func TestStrangersAreLimitedInNumber(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.up(1, func(c *Config) { c.Limits.Strangers = 2 })
		for range 3 {
			conn, err := w.dial(t.Context(), "n1")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		if !strings.Contains(a.logged(), "there are too many") {
			t.Errorf("logged: %s", a.logged())
		}
		if s := a.Handshakes(); s.Taken != 2 || s.Evicted != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute) // they time out and make room
		w.up(2)
		time.Sleep(2 * time.Second)
		if s := a.status(2); !s.Inbound {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

// TestSilentStrangersKeepNoMemberOut: they hold as many connections as there may be, and
// connect again whenever they are cut off.
func TestSilentStrangersKeepNoMemberOut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.up(1)
		ctx, cancel := context.WithCancel(t.Context())
		var silent sync.WaitGroup
		defer silent.Wait()
		defer cancel()
		for range 80 {
			silent.Go(func() {
				for ctx.Err() == nil {
					conn, err := w.dial(ctx, "n1")
					if err != nil {
						return
					}
					stop := context.AfterFunc(ctx, func() { conn.Close() })
					io.Copy(io.Discard, conn)
					stop()
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		time.Sleep(time.Second)
		w.up(2)
		time.Sleep(2 * time.Second)
		if s := a.status(2); !s.Inbound {
			t.Errorf("a member does not get in: %+v", s)
		}
		if n := strings.Count(a.logged(), "\n"); n > 20 {
			t.Errorf("%d lines of log in 3 s", n)
		}
	})
}

func TestUnknownPurposeIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.up(1)
		conn, err := w.dial(t.Context(), "n1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		stranger := &Transport{self: identity{cluster: cluster, id: 2}}
		_, err = stranger.introduce(conn, newFrameReader(conn, helloMax), 1, 3)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "unknown purpose 3") {
			t.Errorf("got %v", err)
		}
	})
}

// exhausted is a listener that for a while has no descriptors left.
type exhausted struct {
	net.Listener
	until time.Time
}

func (l exhausted) Accept() (net.Conn, error) {
	if time.Now().Before(l.until) {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func TestAcceptGoesOnWhenDescriptorsRunOut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.up(1, func(c *Config) { c.Listener = exhausted{c.Listener, time.Now().Add(time.Minute)} })
		w.up(2)
		time.Sleep(2 * time.Minute)
		if s := a.status(2); !s.Inbound || !strings.Contains(a.logged(), "too many open files") {
			t.Errorf("status: %+v, logged %s", s, a.logged())
		}
	})
}
