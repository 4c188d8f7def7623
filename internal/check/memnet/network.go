// Package memnet is a network in memory that obeys a fault schedule. Tests run
// whole clusters on it, usually in the virtual time of testing/synctest: raft
// messages and snapshots travel between Endpoints (an Endpoint is an
// rsm.Transport), and Call carries what clients ask of servers.
//
//	Endpoint 1 ── Send ──►┐                                ┌─► Receive ── Endpoint 2
//	                      │  one queue, ordered by arrival │
//	client "a" ── Call ──►┘  latency, loss, cuts, delays   └─► handler  ── Endpoint 3
//
// Every fault can be changed at any time. Faults apply to a message twice, when it is sent and
// when it arrives, so that a cut also stops messages under way. One PRNG, made from the seed,
// decides all that is random.
package memnet

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"balsa.example/internal/wake"
	"balsa.example/raft"
)

// DefaultLatency is how long each hop takes on a network without faults.
const DefaultLatency = time.Millisecond

// Counts says what a network has carried, from its start. Lost messages count too:
// they were sent.
type Counts struct {
	// Requests is the number of raft messages that ask something
	// (raft.MessageKind.IsRequest) plus client calls: RPCs, as Lab 4 counts them.
	Requests uint64
	// Messages is the number of all raft messages and snapshots, and two for each
	// client call.
	Messages uint64
	// Bytes is the size of the data of entries and snapshots.
	Bytes uint64
	// Lost is the number of messages that were lost by a fault or at a stopped server.
	Lost uint64
}

// Network connects servers with each other and clients with servers.
type Network struct {
	start  time.Time
	wake   wake.Signal // the head of queue has changed
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup // the dispatcher and running handlers

	mu     sync.Mutex
	closed bool
	rand   *rand.Rand
	seq    uint64
	queue  eventQueue
	up     map[raft.NodeID]*session
	faults faults
	// changed is closed and replaced when a fault or a server is added or removed, so that
	// calls in progress check again.
	changed chan struct{}
	counts  Counts
}

// New returns a network without faults whose choices follow from seed. Inside a
// synctest bubble it must be made in the bubble.
func New(seed uint64) *Network {
	n := &Network{
		start:   time.Now(),
		wake:    wake.New(),
		rand:    rand.New(rand.NewPCG(seed, 0x6d656d6e6574)),
		up:      make(map[raft.NodeID]*session),
		faults:  newFaults(),
		changed: make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.work.Go(n.dispatch)
	return n
}

// Close stops every endpoint, fails every call in progress and returns when no
// goroutine of the network is left, handlers included: their contexts have ended.
func (n *Network) Close() {
	n.mu.Lock()
	n.closed = true
	var sessions []*session
	for _, l := range n.up {
		sessions = append(sessions, l)
	}
	n.mu.Unlock()

	n.cancel()
	for _, l := range sessions {
		n.stop(l)
	}
	n.work.Wait()
}

// Counts returns what has been carried so far.
func (n *Network) Counts() Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counts
}

// dispatch delivers each message at its time, in order of arrival; those that
// arrive at the same time, in the order in which they were sent.
func (n *Network) dispatch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n.ctx.Err() == nil {
		m, to, wait := n.next()
		if to != nil {
			to.receiver.Receive(m)
			to.deliveries.Done()
			continue
		}
		// No timer runs while nothing is on its way, so that synctest can tell a
		// deadlocked cluster from a slow one.
		timer.Stop()
		if wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
		case <-n.wake.C():
		case <-n.ctx.Done():
		}
	}
}

// next takes the next message that has arrived and that no fault stops. It returns the message
// and its receiver, and counts the delivery as begun. If there is none it returns the time
// until the next arrival, 0 if no message is under way.
func (n *Network) next() (raft.Message, *session, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.queue) > 0 {
		if wait := n.queue[0].at - time.Since(n.start); wait > 0 {
			return nil, nil, wait
		}
		m := n.queue.pop().message
		h := m.Head()
		if to := n.up[h.To]; to != nil && n.faults.passes(nodeHop(h.From, h.To)) {
			to.deliveries.Add(1)
			return m, to, 0
		}
		n.counts.Lost++
	}
	return nil, nil, 0
}

// send queues the messages that no fault stops.
func (n *Network) send(l *session, ms []raft.Message) {
	n.mu.Lock()
	if n.up[l.id] != l {
		n.mu.Unlock()
		return
	}
	head := false
	now := time.Since(n.start)
	for _, m := range ms {
		n.count(m)
		h := m.Head()
		if !n.faults.passes(nodeHop(h.From, h.To)) || n.faults.loses(n.rand) {
			n.counts.Lost++
			continue
		}
		n.seq++
		e := event{at: now + n.faults.delay(n.rand, !m.Kind().IsRequest()), seq: n.seq, message: m}
		n.queue.push(e)
		head = head || n.queue[0].seq == e.seq
	}
	n.mu.Unlock()

	if head {
		n.wake.Set()
	}
}

func (n *Network) count(m raft.Message) {
	n.counts.Messages++
	if m.Kind().IsRequest() {
		n.counts.Requests++
	}
	switch m := m.(type) {
	case *raft.AppendEntries:
		for _, e := range m.Entries {
			n.counts.Bytes += uint64(len(e.Data))
		}
	case *raft.Propose:
		n.counts.Bytes += uint64(len(m.Data))
	}
}

// notify wakes the calls in progress. The caller holds mu.
func (n *Network) notify() {
	close(n.changed)
	n.changed = make(chan struct{})
}
