package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
)

// Node 1 dials node 2, one of them does not want to, and both can say why, once.
func TestRefusals(t *testing.T) {
	evil := func(from raft.NodeID, card []byte) error {
		if card[0] == byte(from) {
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
			event:    "refused by n2: n1 is no member of the cluster of n2: n1, n2, n3",
		},
		"removed peer": {
			acceptor: func(c *Config) {
				onlyDialed(c)
				c.Handshake.Unknown = func(from Caller, _ []byte) error {
					return &Refusal{Code: CodeApplication, Reason: from.ID.String() + " was removed"}
				}
			},
			event: "refused by n2: n1 was removed",
		},
		"wrong cluster": {
			acceptor: func(c *Config) { quiet(c); c.Group = 1 },
			event:    "refused by n2: n1 was told other members or another token than n2: n1, n2, n3",
		},
		"wrong node": {
			acceptor: func(c *Config) { quiet(c); c.ID = 3; delete(c.Peers, 2) },
			event:    "refused by n2: transport: handshake: this is n3, not n2",
		},
		"not admitted by acceptor": {
			acceptor: func(c *Config) { quiet(c); c.Handshake.Admit = evil },
			event:    "refused by n2: disk was replaced",
		},
		"not admitted by dialer": {
			dialer:    func(c *Config) { c.Handshake.Admit = evil },
			acceptor:  quiet,
			lastError: "disk was replaced",
			accepts:   "refused by n1: disk was replaced",
		},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
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

// Two nodes may say CodeNotYet to each other, in silence, and still see each other's cards.
// Once there is news and they dial, they are connected at once.
func TestLater(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		var ready atomic.Bool
		var seen [3]atomic.Int64
		both := make(chan struct{}) // listen, so that no dial is refused
		later := func(c *Config) {
			delete(c.Peers, 3)
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				<-both
				return w.dial(ctx, address)
			}
			c.Handshake.Admit = func(from raft.NodeID, card []byte) error {
				seen[card[0]].Add(1)
				if !ready.Load() {
					return &Refusal{Code: CodeNotYet, Reason: "not yet"}
				}
				return nil
			}
		}
		a, b := w.up(1, later), w.up(2, later)
		close(both)
		time.Sleep(10 * time.Minute)
		for _, n := range []*node{a, b} {
			if events, _ := n.took(); events != "" {
				t.Errorf("events: %s", events)
			}
			if s := n.status(3 - n.self.id); s.Connected || !strings.Contains(s.LastError, "not yet") {
				t.Errorf("status: %+v", s)
			}
			if strings.Contains(n.logged(), "WARN") {
				t.Errorf("logged: %s", n.logged())
			}
		}
		if one, two := seen[1].Load(), seen[2].Load(); one < 600 || two < 600 {
			t.Errorf("in ten minutes node 1 was seen %d times and node 2 %d times", one, two)
		}
		ready.Store(true)
		a.DialNow()
		synctest.Wait()
		if s := a.status(2); !s.Connected || !s.Inbound {
			t.Errorf("status when they are ready: %+v", s)
		}
	})
}

// A node that does not know another one yet says nothing of itself. That is no other group: the one that is not
// known tries again, and logs nothing.
func TestNotKnownYet(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		group := func(c *Config) { delete(c.Peers, 3); c.Group = 7 }
		w.up(2, func(c *Config) {
			group(c)
			c.Peers = map[raft.NodeID]string{}
			c.Handshake.Unknown = func(Caller, []byte) error { return &Refusal{Code: CodeNotYet, Reason: "who is this?"} }
		})
		n := w.up(1, group)
		time.Sleep(time.Minute)
		if s := n.status(2); s.Connected || !strings.Contains(s.LastError, "who is this?") || strings.Contains(n.logged(), "WARN") {
			t.Errorf("status %+v; logged: %s", s, n.logged())
		}
	})
}

// Admit may give its refusal a code, and OnRefused at the other side gets it.
func TestRefusalsHaveCodes(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		codes := make(chan Code, 1)
		w.up(2, func(c *Config) {
			c.Peers = map[raft.NodeID]string{1: "nowhere"}
			c.Handshake.Admit = func(raft.NodeID, []byte) error { return &Refusal{Code: CodeApplication + 7, Reason: "no"} }
		})
		w.up(1, func(c *Config) {
			delete(c.Peers, 3)
			c.Handshake.OnRefused = func(r *Refusal) {
				if r.By == 2 && r.Reason == "no" {
					codes <- r.Code
				}
			}
		})
		if code := <-codes; code != CodeApplication+7 {
			t.Errorf("code %d", code)
		}
	})
}

func TestOtherMajorVersionIsRefused(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
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
		want := fmt.Sprintf("the peer speaks version %d.%d of the protocol, this node %d.%d", majorVersion+1, minorVersion, majorVersion, minorVersion)
		if !strings.Contains(string(got.verdict.reason), want) || !strings.Contains(a.logged(), want) {
			t.Errorf("told %q, logged %s", got.verdict.reason, a.logged())
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

func TestBadHandshakesEndTheConnection(t *testing.T) {
	for name, tc := range map[string]struct{ say, log string }{
		"another protocol": {"GET / HTTP/1.1\r\n\r\n", "not a balsa peer"},
		"silence":          {"", "timeout"},
		"half a hello":     {string(appendPreamble(nil)) + "\x10", "timeout"},
		"no hello":         {string(appendFrame(appendPreamble(nil), frameConfirm, nil)), "where 128 was expected"},
		"long hello":       {string(appendFrame(appendPreamble(nil), frameHello, make([]byte, helloMax+1)))[:frameHeaderSize+preambleSize], "at most 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
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

func TestHandshakesAreBounded(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1, func(c *Config) { c.Limits.MaxHandshakes = 2 })
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
		if s := a.Stats(); s.Handshakes != 2 || s.Evicted != 1 {
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

// TestSilentConnectionsKeepNoMemberOut: they hold as many connections as there may be, and
// connect again whenever they are cut off.
func TestSilentConnectionsKeepNoMemberOut(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
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
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		w.up(1)
		conn, err := w.dial(t.Context(), "n1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		other := &Transport{self: identity{group: group, id: 2}}
		_, err = other.dialHandshake(conn, newFrameReader(conn, helloMax), 1, forCall+1)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "unknown purpose 5") {
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
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1, func(c *Config) { c.Listener = exhausted{c.Listener, time.Now().Add(time.Minute)} })
		w.up(2)
		time.Sleep(2 * time.Minute)
		if s := a.status(2); !s.Inbound || !strings.Contains(a.logged(), "too many open files") {
			t.Errorf("status: %+v, logged %s", s, a.logged())
		}
	})
}

// Who is refused hears nothing of whoever refuses but the name, be it that it is unknown,
// of another cluster, or another directory of a member: not what would let it speak for one.
func TestARefusalTellsNothing(t *testing.T) {
	admit := func(from raft.NodeID, card []byte) error {
		if string(card) == string([]byte{byte(from)}) {
			return nil
		}
		return errors.New("the cluster knows it by another data directory")
	}
	for name, from := range map[string]identity{
		"unknown":           {group: group, id: 9},
		"another cluster":   {group: 1, id: 2, card: []byte{2}},
		"another directory": {group: group, id: 2, card: []byte{77}},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				w.up(1, func(c *Config) { c.Handshake.Admit = admit })
				conn, err := w.dial(t.Context(), "n1")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				other := &Transport{self: from}
				told, err := other.dialHandshake(conn, newFrameReader(conn, helloMax), 1, forMessages)
				if !errors.Is(err, ErrRefused) {
					t.Errorf("got %v", err)
				}
				if told.group != 0 || len(told.card) > 0 || len(told.attributes) > 0 {
					t.Errorf("told %+v", told)
				}
			})
		})
	}
}

// Nothing at all is told before the certificate of the other side was found to be one of
// the member that it claims to be: neither by who accepts nor by who dials.
func TestNothingIsToldBeforeProof(t *testing.T) {
	ca := newAuthority(t)
	secretive := func(c *Config) {
		ca.mutual(c)
		c.Handshake.Card = func() []byte { t.Error("the card was shown"); return nil }
		c.Handshake.Admit = func(raft.NodeID, []byte) error { t.Error("judged"); return nil }
		c.Authorize = func(raft.NodeID, tls.ConnectionState) error { return errors.New("names somebody else") }
	}
	a, b := upTCP(t, 1, secretive), upTCP(t, 2, secretive)
	c := upTCP(t, 3, ca.mutual, func(c *Config) { c.Handshake.Card = func() []byte { return []byte("card") } }) // believes everybody
	a.AddPeer(2, b.Addr().String())
	a.AddPeer(3, "127.0.0.1:1")
	c.AddPeer(1, a.Addr().String())
	d := upTCP(t, 4, ca.mutual) // whom nobody knows
	d.AddPeer(1, a.Addr().String())
	lastError := func(n *tcpNode, id raft.NodeID) string {
		for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
			if s, _ := n.Peer(id); s.LastError != "" || s.Connected {
				return s.LastError
			}
		}
		return "nothing happens"
	}
	if got := lastError(d, 1); !strings.Contains(got, "is no member") {
		t.Errorf("who is no member is told %q", got)
	}
	for _, got := range []string{lastError(a, 2), lastError(c, 1)} {
		if !strings.Contains(got, "names somebody else") {
			t.Errorf("got %q", got)
		}
	}
	if a.Stats().Unauthenticated < 2 {
		t.Errorf("%d connections were refused", a.Stats().Unauthenticated)
	}
}
