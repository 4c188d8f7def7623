package memnet

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

var (
	_ rsm.Transport = (*Endpoint)(nil)
	_ rsm.Receiver  = Receiver(nil)
)

// inbox is a Receiver that keeps what it gets.
type inbox struct {
	mu       sync.Mutex
	terms    []raft.Term // of the messages, in order of arrival
	snapshot func(m *raft.InstallSnapshot, data io.Reader) error
}

func (b *inbox) Receive(m raft.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.terms = append(b.terms, m.Head().Term)
}

func (b *inbox) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	return b.snapshot(m, data)
}

func (b *inbox) take() []raft.Term {
	b.mu.Lock()
	defer b.mu.Unlock()
	terms := b.terms
	b.terms = nil
	return terms
}

// cluster is a network of three started servers, 1 to 3.
type cluster struct {
	*Network
	nodes [4]*Endpoint
	boxes [4]*inbox
}

func run(t *testing.T, f func(t *testing.T, c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{Network: New(1)}
		defer c.Close()
		for id := raft.NodeID(1); id <= 3; id++ {
			c.nodes[id], c.boxes[id] = c.Node(id), &inbox{}
			c.nodes[id].Start(c.boxes[id])
		}
		f(t, c)
	})
}

func (c *cluster) send(from, to raft.NodeID, terms ...raft.Term) {
	var ms []raft.Message
	for _, term := range terms {
		ms = append(ms, &raft.PreVote{Header: raft.Header{From: from, To: to, Term: term}})
	}
	c.nodes[from].Send(ms)
}

// arrived tells whether a message gets from one server to another.
func (c *cluster) arrived(from, to raft.NodeID) bool {
	c.send(from, to, 1)
	time.Sleep(time.Second)
	return len(c.boxes[to].take()) == 1
}

// call makes a call that returns at once, and tells how long it took.
func (c *cluster) call(client string, to raft.NodeID) (time.Duration, error) {
	start := time.Now()
	got, err := Call(context.Background(), c.Network, client, to, func(context.Context) (int, error) { return 42, nil })
	if err == nil && got != 42 {
		err = errors.New("wrong result")
	}
	return time.Since(start), err
}

func TestReliableNetworkKeepsOrderAndTakesLatency(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		var want []raft.Term
		for term := raft.Term(1); term <= 1000; term++ {
			c.send(1, 2, term)
			want = append(want, term)
		}
		time.Sleep(DefaultLatency - time.Nanosecond)
		synctest.Wait()
		if got := c.boxes[2].take(); got != nil {
			t.Fatalf("%d messages arrived early", len(got))
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := c.boxes[2].take(); !slices.Equal(got, want) {
			t.Fatalf("got %v", got)
		}
	})
}

func TestUnreliableNetworkLosesAndDelays(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		c.Reliable(false)
		const sent = 10_000
		for term := raft.Term(1); term <= sent; term++ {
			c.send(1, 2, term)
		}
		time.Sleep(DefaultLatency + unreliableDelayMax)
		synctest.Wait()
		got := c.boxes[2].take()
		if len(got) < sent*88/100 || len(got) > sent*92/100 {
			t.Errorf("%d of %d messages arrived", len(got), sent)
		}
		if slices.IsSorted(got) {
			t.Error("no message was overtaken")
		}
		if lost := c.Counts().Lost; lost != uint64(sent-len(got)) {
			t.Errorf("counted %d lost of %d", lost, sent-len(got))
		}
	})
}

func TestLongReorderingDelaysRepliesOnly(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		c.LongReordering(true)
		const sent = 3000
		var ms []raft.Message
		for range sent {
			ms = append(ms, &raft.PreVoteReply{Header: raft.Header{From: 1, To: 2, Term: 1}})
		}
		c.nodes[1].Send(ms)
		c.send(1, 3, 1)
		time.Sleep(DefaultLatency)
		synctest.Wait()
		if got := len(c.boxes[3].take()); got != 1 {
			t.Errorf("the request was delayed")
		}
		if got := len(c.boxes[2].take()); got < 900 || got > 1100 {
			t.Errorf("%d replies of %d came at once", got, sent)
		}
		time.Sleep(reorderDelayMin - time.Millisecond)
		synctest.Wait()
		if got := len(c.boxes[2].take()); got != 0 {
			t.Errorf("%d replies came too early", got)
		}
		time.Sleep(reorderDelayMax)
		if c.Counts().Lost != 0 || len(c.boxes[2].take()) < 1900 {
			t.Error("replies were lost")
		}
	})
}

func TestCuts(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		// matrix lists the pairs which are connected.
		matrix := func() string {
			var pairs []string
			for from := raft.NodeID(1); from <= 3; from++ {
				for to := raft.NodeID(1); to <= 3; to++ {
					if from != to && c.arrived(from, to) {
						pairs = append(pairs, from.String()+to.String())
					}
				}
			}
			return strings.ReplaceAll(strings.Join(pairs, " "), "n", "")
		}
		all := matrix()
		if len(strings.Fields(all)) != 6 {
			t.Fatalf("connected at first: %s", all)
		}
		expect := func(what string, pairs int) {
			t.Helper()
			if got := matrix(); len(strings.Fields(got)) != pairs {
				t.Errorf("%s: connected are %q, want %d pairs", what, got, pairs)
			}
			c.Heal()
			if got := matrix(); got != all {
				t.Errorf("%s: healed to %q", what, got)
			}
		}
		c.Partition([]raft.NodeID{1, 2})
		expect("partition 1 2 | 3", 2)
		c.Partition([]raft.NodeID{1}, []raft.NodeID{2}, []raft.NodeID{3})
		expect("all apart", 0)
		c.Disconnect(2)
		expect("2 disconnected", 2)
		c.Disconnect(2)
		c.Connect(2)
		expect("2 connected again", 6)
		c.CutOneWay(1, 2)
		if c.arrived(1, 2) || !c.arrived(2, 1) {
			t.Error("one-way cut cuts the wrong way")
		}
		expect("one-way cut", 5)
	})
}

func TestCutStopsWhatIsInFlight(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		c.SetLatency(10 * time.Millisecond)
		c.send(1, 2, 1)
		time.Sleep(5 * time.Millisecond)
		c.Partition([]raft.NodeID{1})
		time.Sleep(time.Second)
		if c.boxes[2].take() != nil {
			t.Error("the message arrived")
		}
	})
}

func TestStoppedServerHearsAndSaysNothing(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		old := c.nodes[2]
		old.Stop()
		old.Stop() // harmless
		if c.arrived(1, 2) || c.arrived(2, 1) {
			t.Fatal("the dead talk")
		}

		c.nodes[2] = c.Node(2)
		c.nodes[2].Start(c.boxes[2])
		if !c.arrived(1, 2) || !c.arrived(2, 1) {
			t.Error("the restarted server is not reached")
		}
		old.Send([]raft.Message{&raft.PreVote{Header: raft.Header{From: 2, To: 1}}})
		time.Sleep(time.Second)
		if c.boxes[1].take() != nil {
			t.Error("the earlier session sent for the later one")
		}
		old.Stop()
		if !c.arrived(1, 2) {
			t.Error("the earlier session stopped the later one")
		}
	})
}

func TestCountsRequestsMessagesAndBytes(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		h := raft.Header{From: 1, To: 2, Term: 1}
		c.nodes[1].Send([]raft.Message{
			&raft.AppendEntries{Header: h, Entries: []raft.Entry{{Data: make([]byte, 100)}, {Data: make([]byte, 11)}}},
			&raft.AppendEntriesReply{Header: h},
		})
		if _, err := c.call("a", 1); err != nil {
			t.Fatal(err)
		}
		if got, want := c.Counts(), (Counts{Requests: 2, Messages: 4, Bytes: 111}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				_, err := Call(t.Context(), c.Network, "a", 1, func(ctx context.Context) (int, error) {
					<-ctx.Done()
					return 0, ctx.Err()
				})
				if err == nil {
					t.Error("the call succeeded")
				}
			})
		}
		time.Sleep(time.Second)
		c.send(1, 2, 1)
		c.Close()
		calls.Wait()
		c.send(1, 2, 1)
		c.Node(9).Start(&inbox{})
	})
}

func BenchmarkSend(b *testing.B) {
	n := New(1)
	defer n.Close()
	n.Node(2).Start(&inbox{})
	from := n.Node(1)
	from.Start(&inbox{})
	ms := []raft.Message{&raft.PreVote{Header: raft.Header{From: 1, To: 2}}}
	b.ReportAllocs()
	for b.Loop() {
		from.Send(ms)
	}
}
