package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/memtcp"
	"balsa.example/raft"
)

// lossyNet is two nodes on a network that drops packets and tells nobody. Node 1 is a host of
// the address a; node 2 is one of b, or of c when it has moved. Their names are n1 and n2.
type lossyNet struct {
	t       *testing.T
	net     *memtcp.Net
	timeout map[raft.NodeID]time.Duration
	address map[raft.NodeID]string
	hosts   map[raft.NodeID]*memtcp.Host
	nodes   map[raft.NodeID]*node
}

func withLossyNet(t *testing.T, timeout1, timeout2 time.Duration, test func(t *testing.T, w *lossyNet)) {
	synctest.Test(t, func(t *testing.T) {
		w := &lossyNet{
			t: t, net: memtcp.New(), timeout: map[raft.NodeID]time.Duration{1: timeout1, 2: timeout2},
			address: map[raft.NodeID]string{}, hosts: map[raft.NodeID]*memtcp.Host{}, nodes: map[raft.NodeID]*node{},
		}
		w.start(1, "a")
		w.start(2, "b")
		defer w.net.Close()
		defer func() { w.nodes[1].Close(); w.nodes[2].Close() }()
		time.Sleep(time.Second)
		test(t, w)
	})
}

// start boots the host of a node at an address.
func (w *lossyNet) start(id raft.NodeID, address string) *node {
	w.t.Helper()
	h := w.net.Host(address)
	w.net.Name(id.String(), address)
	n := &node{}
	var err error
	n.Transport, err = New(Config{
		ID: id, Group: group, Listener: h.Listen("1"),
		Peers: map[raft.NodeID]string{1: "n1:1", 2: "n2:1"}, Dial: h.Dial,
		Logger: slog.New(slog.NewTextHandler(&n.log, nil)),
		Limits: Limits{KeepaliveTimeout: w.timeout[id]},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n.snapshot = func(_ *raft.InstallSnapshot, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	n.Start(n)
	w.address[id], w.hosts[id], w.nodes[id] = address, h, n
	return n
}

// crash ends a node's host.
func (w *lossyNet) crash(id raft.NodeID) {
	w.hosts[id].Crash()
	w.nodes[id].Close()
}

func (w *lossyNet) cut(from, to raft.NodeID)  { w.net.Cut(w.address[from], w.address[to]) }
func (w *lossyNet) mend(from, to raft.NodeID) { w.net.Mend(w.address[from], w.address[to]) }

// talk lets both nodes speak for d, or until each has heard what the other has said since
// the call. It tells how long that took.
func (w *lossyNet) talk(d time.Duration) (took time.Duration, heard bool) {
	w.nodes[1].took()
	w.nodes[2].took()
	start := time.Now()
	first, second := false, false
	for time.Since(start) <= d {
		w.nodes[1].say(2, 1)
		w.nodes[2].say(1, 2)
		time.Sleep(10 * time.Millisecond)
		first = first || w.nodes[1].hears() != ""
		second = second || w.nodes[2].hears() != ""
		if first && second {
			return time.Since(start), true
		}
	}
	return time.Since(start), false
}

// outages is what a network may do to two nodes. Each returns when it does it no more.
var outages = map[string]func(w *lossyNet, busy bool, d time.Duration){
	"drops all": func(w *lossyNet, busy bool, d time.Duration) {
		w.cut(1, 2)
		w.cut(2, 1)
		w.last(busy, d)
		w.mend(1, 2)
		w.mend(2, 1)
	},
	"drops one way": func(w *lossyNet, busy bool, d time.Duration) {
		w.cut(1, 2)
		w.last(busy, d)
		w.mend(1, 2)
	},
	"one host restarts": func(w *lossyNet, busy bool, d time.Duration) {
		w.crash(2)
		w.last(busy, d)
		w.start(2, w.address[2])
	},
	"one host moves": func(w *lossyNet, busy bool, d time.Duration) {
		w.crash(2)
		w.last(busy, d)
		w.start(2, "c")
	},
	"both hosts move": func(w *lossyNet, busy bool, d time.Duration) {
		w.crash(2)
		w.crash(1)
		w.last(busy, d)
		w.start(1, "d")
		w.start(2, "c")
	},
	"the name points to nobody first": func(w *lossyNet, busy bool, d time.Duration) {
		w.crash(2)
		w.net.Name("n2", "nowhere")
		w.last(busy, d)
		w.start(2, "b")
	},
}

// last lets d pass, in which the nodes speak, or do not.
func (w *lossyNet) last(busy bool, d time.Duration) {
	if !busy {
		time.Sleep(d)
		return
	}
	for start := time.Now(); time.Since(start) < d; {
		w.nodes[1].say(2, 3)
		w.nodes[2].say(1, 4)
		time.Sleep(min(50*time.Millisecond, d-time.Since(start)))
	}
}

// Two nodes that can reach each other talk within an election timeout and a second,
// whatever the network did, for as long as it did. The server's KeepaliveTimeout is the
// election timeout and half a second, so half a second is left.
func TestPeersTalkSoonAfterAnyOutage(t *testing.T) {
	const ms = time.Millisecond
	for _, timeout := range [][2]time.Duration{{550 * ms, 550 * ms}, {1000 * ms, 1000 * ms}, {5500 * ms, 5500 * ms}, {1000 * ms, 5500 * ms}} {
		for name, outage := range outages {
			t.Run(fmt.Sprintf("%v %s", timeout, name), func(t *testing.T) {
				t.Parallel()
				for i, d := range []time.Duration{90 * ms, 430 * ms, 970 * ms, 1310 * ms, 5230 * ms, 28 * time.Second, time.Minute, 10 * time.Minute} {
					withLossyNet(t, timeout[0], timeout[1], func(t *testing.T, w *lossyNet) {
						outage(w, i%2 == 0, d+time.Duration(i)*37*ms)
						bound := min(timeout[0], timeout[1]) + 500*ms
						if took, ok := w.talk(time.Hour); took > bound || !ok {
							t.Errorf("after %v: they talk after %v, want %v", d, took, bound)
						}
					})
				}
			})
		}
	}
}

// While nothing gets through, nothing is held up, and both sides know it.
func TestOutageIsNoticedAndBlocksNothing(t *testing.T) {
	withLossyNet(t, time.Second, 2*time.Second, func(t *testing.T, w *lossyNet) {
		a, b := w.nodes[1], w.nodes[2]
		w.cut(2, 1) // what n1 says arrives, and the answers do not
		start := time.Now()
		for range 100 {
			a.Send([]raft.Message{benchmarkAppend(100, 10_000)})
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("Send took %v", took)
		}
		time.Sleep(1300 * time.Millisecond)
		for _, s := range []PeerStatus{a.status(2), b.status(1)} {
			if s.Connected || s.Inbound {
				t.Errorf("status: %+v", s)
			}
		}
	})
}

func TestSlowConnectionIsKept(t *testing.T) {
	withLossyNet(t, time.Second, time.Second, func(t *testing.T, w *lossyNet) {
		a, b := w.nodes[1], w.nodes[2]
		w.net.Rate(100 << 10)
		a.Send([]raft.Message{benchmarkAppend(1, 4<<20)}) // takes 40 s
		if err := a.SendSnapshot(t.Context(), offer, bytes.NewReader(make([]byte, 20<<20))); err != nil {
			t.Errorf("a snapshot of 200 s: %v", err)
		}
		a.say(2, 1)
		time.Sleep(time.Second)
		if _, got := b.took(); len(got) != 2 {
			t.Errorf("%d messages arrived, want 2", len(got))
		}
		if bytes.Contains(a.log.b.Bytes(), []byte("lost")) {
			t.Errorf("logged: %s", a.logged())
		}
	})
}

// Nobody waits long for a snapshot whose other end has vanished.
func TestSnapshotEndsWithItsNetwork(t *testing.T) {
	for _, cut := range [][2]raft.NodeID{{1, 2}, {2, 1}} {
		withLossyNet(t, time.Second, time.Second, func(t *testing.T, w *lossyNet) {
			received := make(chan error, 1)
			w.nodes[2].snapshot = func(_ *raft.InstallSnapshot, r io.Reader) error {
				_, err := io.Copy(io.Discard, r)
				received <- err
				return err
			}
			w.net.Rate(100 << 10)
			time.AfterFunc(30*time.Second, func() { w.cut(cut[0], cut[1]) })
			start := time.Now()
			err := w.nodes[1].SendSnapshot(t.Context(), offer, endless{})
			if took := time.Since(start); err == nil || took < 30*time.Second || took > 32*time.Second {
				t.Errorf("%v cut: the sender ends after %v: %v", cut, took, err)
			}
			if err := <-received; errors.Is(err, io.EOF) || err == nil || time.Since(start) > 33*time.Second {
				t.Errorf("%v cut: the receiver ends after %v: %v", cut, time.Since(start), err)
			}
		})
	}
}
