package grpcserver

import (
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials"
)

// sending is a message that a client sends as fast as it may.
type sending struct {
	id   uint32
	rest []byte
	used int // of the window of the server
}

// advance sends what the windows allow, or a window of it, and the end of the stream behind it. It tells whether that
// was anything.
func (o *sending) advance(c *client, s *testServer) bool {
	n := min(len(o.rest), s.cfg.StreamWindow+c.heard(o.id).credit-o.used, s.cfg.StreamWindow)
	if n == 0 {
		return false
	}
	c.send(o.id, o.rest[:n], n == len(o.rest))
	o.rest, o.used = o.rest[n:], o.used+n
	return true
}

// A client sends many large messages at a time, a part of each in turns, on streams and in calls. What the server
// has of them is one largest message, and a window of each stream. All are answered.
func TestLargeMessagesTakeTurns(t *testing.T) {
	for _, method := range []string{call, talk} {
		synctest.Test(t, func(t *testing.T) {
			const streams, size = 12, 1500 << 10
			seen := &noted{}
			s := serve(t, &service{}, func(cfg *Config) {
				cfg.Observe = func(credentials.AuthInfo) Observer { return seen }
			})
			c := s.dial(t, initialWindowOf(2*size))
			c.widen(0, 1<<30)
			all := make([]*sending, streams)
			for i := range all {
				all[i] = &sending{id: c.begin(method, false), rest: prefixed(pattern(i, size))}
			}
			most := int64(s.cfg.MaxMessageBytes + streams*s.cfg.StreamWindow)
			for sent := true; sent; {
				sent = false
				for _, o := range all {
					sent = o.advance(c, s) || sent
					if n := seen.now().Unfinished; n > most {
						t.Fatalf("%s: %d bytes of unfinished messages", method, n)
					}
				}
			}
			for i, o := range all {
				c.want(o.id, pattern(i, size))
			}
			s.conn(t).wantQuiet(t)
		})
	}
}

// Streams that end make room: the one whose turn it is, and those that wait, in any order.
func TestStreamsThatEndLeaveTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 300 << 10
		s := serveBounded(t, &service{}, size, func(cfg *Config) { cfg.MaxMessageBytes = size })
		c := s.dial(t, initialWindowOf(2*size))
		c.widen(0, 1<<30)
		all := make([]*sending, 5)
		for i := range all {
			all[i] = &sending{id: c.begin(talk, false), rest: prefixed(pattern(i, size))}
			all[i].advance(c, s)
		}
		turn := func() (all []uint32) {
			synctest.Wait()
			for id := uint32(1); id < c.next; id += 2 {
				if c.heard(id).credit > 0 {
					all = append(all, id)
				}
			}
			return all
		}
		if got := turn(); len(got) != 1 || got[0] != all[0].id {
			t.Fatalf("it is the turn of %v", got)
		}
		c.WriteRSTStream(all[2].id, http2.ErrCodeCancel) // waits
		c.WriteRSTStream(all[0].id, http2.ErrCodeCancel)
		if got := turn(); len(got) != 2 || got[1] != all[1].id {
			t.Fatalf("it has been the turn of %v", got)
		}
		for _, i := range []int{1, 3, 4} {
			for all[i].advance(c, s) {
			}
			c.want(all[i].id, pattern(i, size))
		}
		s.conn(t).wantQuiet(t)
	})
}

// A message that needs a turn, and comes without: what the client may send at first was enough for it. The
// turn that it has, or waits for, ends all the same.
func TestAMessageMayComeBeforeItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{}, func(cfg *Config) { cfg.MaxMessageBytes = 100 << 10 })
		c := s.dial(t, initialWindowOf(1<<20))
		c.widen(0, 1<<30)
		first := &sending{id: c.begin(talk, false), rest: prefixed(pattern(1, 100<<10))}
		first.advance(c, s)
		size := s.cfg.StreamWindow - endRoom // with prefix and endRoom it is beyond the window
		for i := range 3 {
			id := c.begin([]string{call, talk}[i%2], false)
			c.flow(s, id, prefixed(pattern(i, size)), true)
			c.want(id, pattern(i, size))
		}
		for first.advance(c, s) {
		}
		c.want(first.id, pattern(1, 100<<10))
		s.conn(t).wantQuiet(t)
	})
}
