package memnet

import (
	"math/rand/v2"
	"time"

	"balsa.example/raft"
)

// How unreliable and reordering networks behave; the numbers are Lab 4's.
const (
	unreliableDelayMax = 26 * time.Millisecond
	unreliableLoss     = 0.1

	reorderedShare  = 2.0 / 3
	reorderDelayMin = 200 * time.Millisecond
	reorderDelayMax = 2400 * time.Millisecond
)

// hop is one direction between two servers or, in a call, between a client and a
// server; then one of the ids is None.
type hop struct {
	call     bool
	client   string
	from, to raft.NodeID
}

func nodeHop(from, to raft.NodeID) hop { return hop{from: from, to: to} }

func (h hop) back() hop { return hop{call: h.call, client: h.client, from: h.to, to: h.from} }

// faults are the present faults of a network.
type faults struct {
	latency    time.Duration
	unreliable bool
	reordering bool
	longDelays bool

	group        map[raft.NodeID]int // partition: a server's side; 0 if it was not named
	disconnected map[raft.NodeID]bool
	cut          map[hop]bool
	// reach holds the servers that a client can reach; a client not in it reaches all.
	reach map[string]map[raft.NodeID]bool
}

func newFaults() faults {
	f := faults{latency: DefaultLatency}
	f.heal()
	return f
}

func (f *faults) heal() {
	f.group = make(map[raft.NodeID]int)
	f.disconnected = make(map[raft.NodeID]bool)
	f.cut = make(map[hop]bool)
	f.reach = make(map[string]map[raft.NodeID]bool)
}

// passes tells whether messages pass h.
func (f *faults) passes(h hop) bool {
	if f.disconnected[h.from] || f.disconnected[h.to] {
		return false
	}
	if h.call {
		servers, restricted := f.reach[h.client]
		return !restricted || servers[h.from] || servers[h.to]
	}
	return f.group[h.from] == f.group[h.to] && !f.cut[h]
}

// loses draws whether a message is lost.
func (f *faults) loses(r *rand.Rand) bool {
	return f.unreliable && r.Float64() < unreliableLoss
}

// delay draws how long a message takes.
func (f *faults) delay(r *rand.Rand, reply bool) time.Duration {
	d := f.latency
	if f.unreliable {
		d += time.Duration(r.Int64N(int64(unreliableDelayMax) + 1))
	}
	if f.reordering && reply && r.Float64() < reorderedShare {
		d += reorderDelayMin + time.Duration(r.Int64N(int64(reorderDelayMax-reorderDelayMin)+1))
	}
	return d
}

// change applies a change of the faults, and wakes the calls in progress.
func (n *Network) change(apply func(*faults)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	apply(&n.faults)
	n.notify()
}

// SetLatency sets how long each hop takes before any fault delays it further.
// Messages from one server to another arrive in order as long as the network is
// reliable and its latency stays the same.
func (n *Network) SetLatency(d time.Duration) {
	n.change(func(f *faults) { f.latency = d })
}

// Reliable(false) delays each message by up to 26 ms and loses one in ten: of a
// call, the request and the reply each.
func (n *Network) Reliable(yes bool) {
	n.change(func(f *faults) { f.unreliable = !yes })
}

// LongReordering(true) delays two replies in three, of calls and of raft messages
// alike, by 200 to 2,400 ms.
func (n *Network) LongReordering(yes bool) {
	n.change(func(f *faults) { f.reordering = yes })
}

// LongDelays(true) keeps the caller of an unreachable server waiting for up to
// 7,000 ms, where it is up to 100 ms otherwise.
func (n *Network) LongDelays(yes bool) {
	n.change(func(f *faults) { f.longDelays = yes })
}

// Partition splits the servers into groups which cannot talk to each other; servers
// in none of the groups are together in one more. It replaces the partition before.
// Clients still reach every server.
func (n *Network) Partition(groups ...[]raft.NodeID) {
	n.change(func(f *faults) {
		f.group = make(map[raft.NodeID]int)
		for i, ids := range groups {
			for _, id := range ids {
				f.group[id] = i + 1
			}
		}
	})
}

// Disconnect cuts the server id off from all servers and all clients.
func (n *Network) Disconnect(id raft.NodeID) {
	n.change(func(f *faults) { f.disconnected[id] = true })
}

// Connect undoes Disconnect.
func (n *Network) Connect(id raft.NodeID) {
	n.change(func(f *faults) { delete(f.disconnected, id) })
}

// CutOneWay stops everything that server from sends to server to; the other
// direction stays as it is.
func (n *Network) CutOneWay(from, to raft.NodeID) {
	n.change(func(f *faults) { f.cut[nodeHop(from, to)] = true })
}

// ConnectClient lets a client reach only these servers; none at all if there are
// none. Without it a client reaches all.
func (n *Network) ConnectClient(client string, servers ...raft.NodeID) {
	reach := make(map[raft.NodeID]bool)
	for _, id := range servers {
		reach[id] = true
	}
	n.change(func(f *faults) { f.reach[client] = reach })
}

// Heal takes back Partition, Disconnect, CutOneWay and ConnectClient. How reliable
// the network is stays as it was set.
func (n *Network) Heal() {
	n.change((*faults).heal)
}
