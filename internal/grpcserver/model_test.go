package grpcserver

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// choppedConn writes in pieces of any size.
type choppedConn struct {
	net.Conn
	rng *rand.Rand
}

func (c *choppedConn) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 1+c.rng.IntN([]int{3, 50, 20_000}[c.rng.IntN(3)]))
		if _, err := c.Conn.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(b), nil
}

// exchange is one stream of the model.
type exchange struct {
	id    uint32
	all   []byte // what is sent, and comes back
	rest  []byte // what was not sent yet
	used  int    // of the window of the server, in bytes
	ended bool   // the end of the stream was sent
	reset bool
}

// model is a client that does as it likes, within the rules.
type model struct {
	*client
	rng       *rand.Rand
	server    *testServer
	exchanges []*exchange
}

// Whatever a client does within the rules, each call gets its answer: all of it, in order, on its stream.
// Nothing is left at the server in the end.
func TestClientsThatDoAsTheyLikeGetTheirAnswers(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			s := serve(t, &service{}, func(cfg *Config) {
				cfg.MaxStreams, cfg.StreamWindow, cfg.ConnWindow = 8, 65535, 65535
				cfg.MaxMessageBytes = []int{4 << 20, 150_000, 100_000}[seed%3] // the last two: large messages wait for each other
			})
			m := &model{client: s.dial(t), rng: rng, server: s}
			m.SetMaxReadFrameSize(maxFrame)
			m.Framer = http2.NewFramer(&choppedConn{m.conn, rand.New(rand.NewPCG(seed, 4))}, nil)
			m.AllowIllegalWrites = true
			for range 20 + rng.IntN(60) {
				m.step()
			}
			m.finish()
			for _, e := range m.exchanges {
				if a := m.heard(e.id); !e.reset && (a.status() != "0" || !bytes.Equal(a.data, e.all)) {
					t.Errorf("seed %d: stream %d has %d of %d bytes, status %q, resets %v", seed, e.id, len(a.data), len(e.all), a.status(), a.resets)
				}
			}
			m.wantOpen()
			s.conn(t).wantQuiet(t)
			if n := s.pool.lent.Load(); n != 0 {
				t.Errorf("seed %d: %d buffers are in use", seed, n)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// open are the streams of which something is missing.
func (m *model) open() (all []*exchange) {
	for _, e := range m.exchanges {
		if a := m.heard(e.id); !e.reset && !a.ended {
			all = append(all, e)
		}
	}
	return all
}

func (m *model) step() {
	open := m.open()
	var e *exchange
	if len(open) > 0 {
		e = open[m.rng.IntN(len(open))]
	}
	switch n := m.rng.IntN(20); {
	case n < 5 && len(open) < 8:
		m.begin()
	case e == nil:
	case n < 13:
		m.advance(e, m.rng.IntN(3) == 0)
	case n < 15:
		m.widen(e.id, 1+m.rng.IntN(30_000))
	case n < 17:
		m.widen(0, 1+m.rng.IntN(60_000))
	case n < 18:
		m.set(initialWindowOf(uint32([]int{0, 1, 1000, 65535, 100_000}[m.rng.IntN(5)])))
	case n < 19:
		m.WriteRSTStream(e.id, http2.ErrCodeCancel)
		e.reset = true
	case m.rng.IntN(3) == 0:
		m.set(http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(m.rng.IntN(2) * 4096)})
	default:
		m.WriteRawFrame(99, 0, e.id, []byte("unknown"))
	}
}

// begin begins a call or a stream, of messages of any size.
func (m *model) begin() {
	messages := func(n int) (all [][]byte) {
		for range n {
			size := []int{0, m.rng.IntN(10), m.rng.IntN(2000), m.rng.IntN(100_000)}[m.rng.IntN(4)]
			all = append(all, pattern(m.rng.IntN(1000), size))
		}
		return all
	}
	e := &exchange{}
	if m.rng.IntN(2) == 0 {
		e.all = prefixed(messages(1)...)
		e.id = m.client.begin(call, false)
	} else {
		e.all = prefixed(messages(m.rng.IntN(5))...)
		e.id = m.client.begin(talk, false)
	}
	e.rest = e.all
	m.exchanges = append(m.exchanges, e)
}

// advance sends a part of what a stream still has to send, all that it may, or its end.
func (m *model) advance(e *exchange, much bool) {
	if e.ended {
		return
	}
	a := m.heard(e.id)
	padding := 0
	if m.rng.IntN(4) == 0 {
		padding = 1 + m.rng.IntN(100)
	}
	room := m.server.cfg.StreamWindow + a.credit - e.used
	if padding >= min(room, maxFrame) {
		padding = 0
	}
	n := min(len(e.rest), room-padding, maxFrame-padding)
	if !much {
		n = min(n, m.rng.IntN(500))
	}
	e.ended = n == len(e.rest) && m.rng.IntN(2) == 0
	if padding > 0 {
		m.WriteDataPadded(e.id, e.ended, e.rest[:n], make([]byte, padding-1))
	} else {
		m.WriteData(e.id, e.ended, e.rest[:n])
	}
	e.rest, e.used = e.rest[n:], e.used+n+padding
}

// finish opens all windows, and sends what is left.
func (m *model) finish() {
	m.set(initialWindowOf(1 << 20))
	m.widen(0, 1<<30)
	for i := 0; ; i++ {
		open := m.open()
		if len(open) == 0 {
			return
		}
		if i > 1000 {
			m.t.Fatalf("%d streams do not end", len(open))
		}
		for _, e := range open {
			m.advance(e, true)
		}
	}
}
