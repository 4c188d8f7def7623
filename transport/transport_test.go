package transport

import (
	"bytes"
	"context"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
)

func TestMessagesArriveInOrder(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.up(2)
		time.Sleep(time.Second)
		a.say(2, 1, 2, 3)
		a.say(2, 4)
		a.say(3, 99) // is not there
		b.say(1, 5)
		if got := b.hears(); got != "1 2 3 4" {
			t.Errorf("b hears %q", got)
		}
		if got := a.hears(); got != "5" {
			t.Errorf("a hears %q", got)
		}
		a.Send(examples()) // from 1 to 2, too
		if _, got := b.took(); len(got) != len(examples()) {
			t.Errorf("%d of the examples arrived", len(got))
		}
		if s := a.status(3); s.Dropped != 1 || s.Connected || !strings.Contains(s.LastError, "refused") {
			t.Errorf("status of an absent peer: %+v", s)
		}
	})
}

func TestPeersKnowEachOtherBeforeTheyStart(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.listening(1), w.listening(2)
		time.Sleep(time.Second)
		s := a.status(2)
		if !s.Connected || !s.Inbound || !s.Admitted || s.LastError != "" ||
			string(s.Attributes) != "attributes of n2" || s.MinorVersion != minorVersion || s.LastActive.IsZero() {
			t.Errorf("status: %+v", s)
		}
		if events, _ := a.took(); events != "up n2" {
			t.Errorf("events: %s", events)
		}
		all := a.Peers()
		if len(all) != 2 || all[0].ID != 2 || all[1].ID != 3 {
			t.Errorf("peers: %+v", all)
		}
		a.say(2, 1)
		synctest.Wait()
		b.Start(b)
		a.say(2, 2)
		if got := b.hears(); got != "2" {
			t.Errorf("b hears %q: what comes before Start is dropped", got)
		}
	})
}

func TestRestartedPeerIsFoundAgain(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.up(2)
		time.Sleep(time.Second)
		a.took()
		b.Close()
		a.say(2, 1)
		if events, _ := a.took(); events != "down n2" {
			t.Errorf("events after the crash: %s", events)
		}
		time.Sleep(10 * time.Minute)
		a.say(2, 2)
		if events, _ := a.took(); events != "" {
			t.Errorf("events while it is away: %s", events)
		}
		if s := a.status(2); s.Connected || s.Inbound || !s.Admitted || s.Dropped != 2 || s.Disconnected != 1 {
			t.Errorf("status while it is away: %+v", s)
		}
		if n := strings.Count(a.logged(), "cannot connect to peer"); n > 25 {
			t.Errorf("%d warnings in ten minutes with two peers away", n)
		}

		b = w.up(2, func(c *Config) { c.Handshake.Attributes = []byte("another life") })
		synctest.Wait() // b dials, and that makes a dial at once
		a.say(2, 3)
		if got := b.hears(); got != "3" {
			t.Errorf("b hears %q", got)
		}
		if s := a.status(2); !s.Connected || !s.Inbound || string(s.Attributes) != "another life" {
			t.Errorf("status afterwards: %+v", s)
		}
	})
}

func TestStuckPeerNeverBlocksSend(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		const room = 1 << 20
		l := w.listen("n2")
		a := w.up(1, func(c *Config) {
			c.Limits.QueueBytes = room
			c.Limits.KeepaliveTimeout = 3 * time.Second
		})
		stuck := w.rawAccept(l, 2)
		defer stuck.Close()
		synctest.Wait()

		start := time.Now()
		m := benchmarkAppend(1, 1000)
		for range 10 * room / 1000 {
			a.Send([]raft.Message{m})
		}
		synctest.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("Send took %v", took)
		}
		p := a.peer(2)
		p.queue.mu.Lock()
		held := p.queue.bytes
		p.queue.mu.Unlock()
		if held > room || held < room*9/10 {
			t.Errorf("%d bytes wait", held)
		}
		sent := uint64(10 * room / 1000)
		if s := a.status(2); !s.Connected || s.Dropped < sent*85/100 || s.Dropped >= sent {
			t.Errorf("dropped %d of %d", s.Dropped, sent)
		}
		time.Sleep(4 * time.Second)
		if s := a.status(2); s.Connected || s.Dropped != sent || !strings.Contains(s.LastError, "timeout") {
			t.Errorf("after the write timeout: %+v, %d sent", s, sent)
		}
		if events, _ := a.took(); events != "up n2" {
			t.Errorf("events: %s; a stuck peer is not known to be down", events)
		}
	})
}

func TestQueuedMessagesGoOutTogether(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		var writes atomic.Int64
		dial := func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := w.dial(ctx, address)
			return countingConn{conn, &writes}, err
		}
		a, b := w.up(1, func(c *Config) { c.Dial = dial; delete(c.Peers, 3) }), w.up(2)
		time.Sleep(time.Second + keepaliveInterval/2)
		writes.Store(0)
		a.say(2, make([]raft.Term, 1000)...)
		if _, got := b.took(); len(got) != 1000 || writes.Load() != 1 {
			t.Errorf("%d messages in %d writes", len(got), writes.Load())
		}
	})
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

func TestCorruptFrameEndsTheConnection(t *testing.T) {
	timeout := appendMessageFrame(nil, &raft.TimeoutNow{Header: raft.Header{From: 2, To: 1}})
	flipped := bytes.Clone(timeout)
	flipped[len(flipped)-1] ^= 1
	for name, tc := range map[string]struct {
		wire []byte
		log  string
	}{
		"flipped bit":      {flipped, "checksum"},
		"too long":         {appendFrame(nil, 1, make([]byte, 1001)), "1001 bytes"},
		"unknown kind":     {appendFrame(nil, 0x7f, nil), "unknown kind 127"},
		"bad layout":       {appendFrame(nil, byte(raft.KindTimeoutNow), []byte{2, 1}), "truncated"},
		"another sender":   {appendMessageFrame(nil, &raft.TimeoutNow{Header: raft.Header{From: 3, To: 1}}), "from n3 to n1"},
		"another receiver": {appendMessageFrame(nil, &raft.TimeoutNow{Header: raft.Header{From: 2, To: 3}}), "from n2 to n3"},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				a := w.up(1, func(c *Config) { c.Limits.MaxFrame = 1000 })
				p := w.rawDial(a, 2, forMessages)
				defer p.Close()
				p.Write(timeout)
				p.Write(tc.wire)
				if !p.gone() {
					t.Error("still connected")
				}
				if _, got := a.took(); len(got) != 1 {
					t.Errorf("%d messages were delivered", len(got))
				}
				if !strings.Contains(a.logged(), tc.log) {
					t.Errorf("logged: %s", a.logged())
				}
			})
		})
	}
}

func TestHalfAFrameDoesNotWaitForEver(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1)
		p := w.rawDial(a, 2, forMessages)
		defer p.Close()
		wire := appendMessageFrame(nil, benchmarkAppend(1, 100))
		c := p.keepAlive(t)
		go io.Copy(io.Discard, p) // a pipe has no room: the other side could not write
		time.Sleep(time.Hour)     // to be idle is no fault
		if !a.status(2).Inbound {
			t.Error("an idle connection was closed")
		}
		c.writing <- struct{}{} // nothing follows the half frame
		defer func() { <-c.writing }()
		p.Write(wire[:50])
		time.Sleep(time.Minute)
		if a.status(2).Inbound {
			t.Error("a stalled connection was kept")
		}
	})
}

func TestOversizedMessageIsDroppedAlone(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1, func(c *Config) { c.Limits.MaxFrame = 1000 }), w.up(2)
		time.Sleep(time.Second)
		a.say(2, 1)
		a.Send([]raft.Message{benchmarkAppend(1, 1001)})
		a.say(2, 2)
		if got := b.hears(); got != "1 2" {
			t.Errorf("b hears %q", got)
		}
		if s := a.status(2); s.Dropped != 1 || !s.Connected {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestPeersComeMoveAndGo(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		alone := func(c *Config) { c.Peers = nil }
		a, b := w.up(1, alone), w.up(2, alone)
		b.AddPeer(1, "n1")
		time.Sleep(time.Second)
		if s := b.status(1); s.Admitted {
			t.Error("an unknown node was admitted")
		}
		a.AddPeer(2, "nowhere")
		time.Sleep(2 * time.Second)
		if s := a.status(2); s.Connected || !s.Inbound {
			t.Errorf("before the address is right: %+v", s)
		}
		a.AddPeer(2, "n2")
		synctest.Wait()
		if s := a.status(2); !s.Connected {
			t.Errorf("after the move: %+v", s)
		}
		a.RemovePeer(2)
		a.RemovePeer(2)
		time.Sleep(2 * time.Second)
		if s := b.status(1); s.Connected || s.Inbound || s.Admitted {
			t.Errorf("after it was removed: %+v", s)
		}
		if _, known := a.Peer(2); known {
			t.Error("a removed peer is still known")
		}
		a.say(2, 1)
		a.AddPeer(1, "n1")
		if len(a.Peers()) != 0 {
			t.Error("a node is its own peer")
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue(Limits{QueueBytes: 1000, QueueMessages: 3})
	small, big := &raft.TimeoutNow{}, benchmarkAppend(1, 2000)
	put := func(want int, ms ...raft.Message) {
		t.Helper()
		if got := q.put(ms); got != want {
			t.Errorf("%d dropped, want %d", got, want)
		}
	}
	put(1, small) // not open yet
	q.open()
	put(0, big)        // alone, however big
	put(2, small, big) // no bytes left
	batch := q.take(nil)
	put(1, small) // taken is not done
	q.done(1, raft.MessageSize(big))
	put(1, small, small, small, small)
	if got := q.take(batch); !slices.Equal(got, []raft.Message{small, small, small}) {
		t.Errorf("took %v", got)
	}
	put(1, small)
	if got := q.close(); got != 3 {
		t.Errorf("close dropped %d", got)
	}
	q.open()
	put(0, small, small, small)
}

// Operations that are forwarded leave half of a queue to other messages, in number and bytes.
func TestForwardsLeaveRoomInAQueue(t *testing.T) {
	for bytes, want := range map[int]int{0: 5, 300: 2} {
		q := newQueue(Limits{QueueBytes: 1000, QueueMessages: 10})
		q.open()
		m := &raft.Propose{Data: make([]byte, bytes)}
		if forwards := 10 - q.put(slices.Repeat([]raft.Message{m}, 10)); forwards != want {
			t.Errorf("%d of %d bytes each wait, want %d", forwards, bytes, want)
		}
		if dropped := q.put([]raft.Message{&raft.TimeoutNow{}, &raft.TimeoutNow{}}); dropped != 0 {
			t.Errorf("%d others are dropped", dropped)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, c := range map[string]Config{
		"ID":         {Listen: "127.0.0.1:0"},
		"Attributes": {ID: 1, Listen: "127.0.0.1:0", Handshake: Handshake{Attributes: make([]byte, attributesMax+1)}},
		"Listener":   {ID: 1},
		"listen for": {ID: 1, Listen: "256.0.0.1:0"},

		"Limits.MaxFrame":         {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{MaxFrame: math.MaxInt}},
		"Limits.MaxFrame is neg":  {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{MaxFrame: -1}},
		"Limits.QueueBytes":       {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{QueueBytes: -1}},
		"Limits.QueueMessages":    {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{QueueMessages: -1}},
		"Limits.KeepaliveTimeout": {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{KeepaliveTimeout: -1}},
		"Limits.HandshakeTimeout": {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{HandshakeTimeout: -1}},
		"Limits.RedialMin":        {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{RedialMin: -time.Second}},
		"Limits.RedialMax":        {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{RedialMax: -time.Second}},
		"Limits.MaxHandshakes":    {ID: 1, Listen: "127.0.0.1:0", Limits: Limits{MaxHandshakes: -1}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// obstructed takes each message only when it may.
type obstructed struct {
	*node
	may chan struct{}
}

func (o obstructed) Receive(m raft.Message) {
	<-o.may
	o.node.Receive(m)
}

// TestNothingArrivesByAConnectionThatWasClosed: what had arrived is lost with it. It would come behind what a later
// connection brings, or from a node that is no peer any more.
func TestNothingArrivesByAConnectionThatWasClosed(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(*pipeNet, *node)
		want string
	}{
		"the peer is removed": {func(_ *pipeNet, a *node) { a.RemovePeer(2) }, "1"},
		"the peer has another one": {func(w *pipeNet, a *node) {
			later := w.rawDial(a, 2, forMessages)
			go io.Copy(io.Discard, later)
			later.Write(appendMessageFrame(nil, &raft.TimeoutNow{Header: raft.Header{From: 2, To: 1, Term: 9}}))
			w.t.Cleanup(func() { later.Close() })
		}, "1 9"},
	} {
		t.Run(name, func(t *testing.T) {
			withPipeNet(t, func(t *testing.T, w *pipeNet) {
				a := w.listening(1)
				may := make(chan struct{})
				a.Start(obstructed{a, may})
				p := w.rawDial(a, 2, forMessages)
				defer p.Close()
				go io.Copy(io.Discard, p)
				var frames []byte
				for term := range raft.Term(5) {
					frames = appendMessageFrame(frames, &raft.TimeoutNow{Header: raft.Header{From: 2, To: 1, Term: term + 1}})
				}
				p.Write(frames)
				synctest.Wait()
				tc.end(w, a)
				synctest.Wait()
				close(may)
				if got := a.hears(); got != tc.want && got != "9 1" {
					t.Errorf("messages %q have arrived, want %q", got, tc.want)
				}
			})
		})
	}
}
