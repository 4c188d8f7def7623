package raft

import (
	"fmt"
	"testing"
	"time"
)

// The tests named with the suffixes 3A to 3D are the scenarios of MIT 6.5840's Lab 3,
// in virtual time.

// labElection is the time in which the lab expects an election to be over.
const labElection = time.Second

// lab is one scenario under way.
type lab struct {
	*cluster
	down    map[NodeID]bool // cut off or crashed
	began   time.Duration
	agreed  int // commands that the scenario saw agreed
	command int
}

// newLab begins a scenario and prints the lab's closing line at its end: seconds,
// peers, RPCs and agreed commands.
func newLab(t *testing.T, servers int, unreliable bool, snapshotEvery Index) *lab {
	t.Helper()
	l := &lab{cluster: newCluster(t, options{nodes: servers, seed: 6_5840 + *flagSeed, snapshotEvery: snapshotEvery}), down: map[NodeID]bool{}}
	l.setUnreliable(unreliable)
	t.Cleanup(func() {
		if !t.Failed() && testing.Verbose() {
			fmt.Printf("  ... Passed -- %5.1f  %d %5d %4d\n", (l.now - l.began).Seconds(), servers, l.net.requests, l.agreed)
		}
	})
	return l
}

// setUnreliable has messages delayed by up to 26 ms and one in ten lost.
func (l *lab) setUnreliable(on bool) {
	l.opt.faults = faults{delay: time.Millisecond, write: time.Millisecond}
	l.net.delay = nil
	if on {
		l.opt.faults.delay, l.opt.faults.loss = 26*time.Millisecond, 0.1
	}
}

// reorderReplies delays two replies of three by 200 to 2,400 ms.
func (l *lab) reorderReplies() {
	l.net.delay = func(m Message) time.Duration {
		if m.Kind().IsRequest() || l.chance(1.0/3) {
			return 0
		}
		return 200*time.Millisecond + l.upTo(l.upTo(2200*time.Millisecond))
	}
}

// next returns the server that is d places after id.
func (l *lab) next(id NodeID, d int) NodeID {
	return NodeID((int(id)-1+d)%len(l.nodes) + 1)
}

func (l *lab) disconnect(ids ...NodeID) {
	for _, id := range ids {
		l.down[id] = true
	}
	l.rewire()
}

func (l *lab) connect(ids ...NodeID) {
	for _, id := range ids {
		delete(l.down, id)
	}
	l.rewire()
}

// rewire opens the links between the servers that are connected, and no others.
func (l *lab) rewire() {
	for _, a := range l.nodes {
		for _, b := range l.nodes {
			l.net.setLink(a.id, b.id, !l.down[a.id] && !l.down[b.id])
		}
	}
}

func (l *lab) disconnectAll() {
	for _, n := range l.nodes {
		l.disconnect(n.id)
	}
}

func (l *lab) connectAll() {
	for _, n := range l.nodes {
		l.start(n.id)
		l.connect(n.id)
	}
}

func (l *lab) stop(ids ...NodeID) {
	for _, id := range ids {
		l.crash(id)
		l.disconnect(id)
	}
}

func (l *lab) restart(ids ...NodeID) {
	for _, id := range ids {
		l.crash(id)
		l.start(id)
		l.connect(id)
	}
}

func (l *lab) restartAll() {
	for _, n := range l.nodes {
		l.crash(n.id)
	}
	for _, n := range l.nodes {
		l.restart(n.id)
	}
}

// leaders returns the connected servers in the role of leader.
func (l *lab) leaders() (ids []NodeID) {
	for _, n := range l.nodes {
		if n.raft != nil && !l.down[n.id] && n.raft.Role() == Leader {
			ids = append(ids, n.id)
		}
	}
	return ids
}

// oneLeader waits until there is a leader, and returns the one of the latest term.
func (l *lab) oneLeader() (leader NodeID) {
	l.t.Helper()
	for range 10 {
		l.run(450*time.Millisecond + l.upTo(100*time.Millisecond))
		for _, id := range l.leaders() {
			if leader == None || l.node(id).raft.Term() > l.node(leader).raft.Term() {
				leader = id
			}
		}
		if leader != None {
			return leader
		}
	}
	l.failf("no leader among the connected")
	return None
}

func (l *lab) noLeader() {
	l.t.Helper()
	if ids := l.leaders(); len(ids) > 0 {
		l.failf("%s leads among the connected", ids[0])
	}
}

// terms returns the term that all connected servers are in.
func (l *lab) terms() (term Term) {
	l.t.Helper()
	for _, n := range l.nodes {
		if n.raft == nil || l.down[n.id] {
			continue
		}
		if term != 0 && n.raft.Term() != term {
			l.failf("terms %d and %d", term, n.raft.Term())
		}
		term = n.raft.Term()
	}
	return term
}

// newCommand returns a command that was never used before.
func (l *lab) newCommand() string {
	l.command++
	return fmt.Sprintf("%d:%d", l.command, l.rand.IntN(1<<30))
}

// whereApplied returns the index of a command, if any server has applied it, and on how many
// servers it is applied.
func (l *lab) whereApplied(command string) (Index, int) {
	committed := l.check.committed
	for i := len(committed) - 1; i >= 0; i-- {
		if string(committed[i].entry.Data) == command {
			return Index(i + 1), l.appliedAt(Index(i + 1))
		}
	}
	return 0, 0
}

// appliedAt counts the servers whose state machine has reached index.
func (l *lab) appliedAt(index Index) (count int) {
	for _, n := range l.nodes {
		if n.raft != nil && n.applied >= index {
			count++
		}
	}
	return count
}

// propose proposes command at the first of the connected servers that takes it.
func (l *lab) propose(command string) bool {
	ok := false
	for _, id := range l.leaders() {
		if _, _, taken := l.cluster.propose(id, command); taken {
			ok = true
		}
	}
	return ok
}

// one proposes a new command until so many servers have applied it, and returns its index.
// Without retry it proposes the command once.
func (l *lab) one(servers int, retry bool) Index {
	l.t.Helper()
	return l.agree(l.newCommand(), servers, retry)
}

func (l *lab) agree(command string, servers int, retry bool) Index {
	l.t.Helper()
	for end := l.now + 10*time.Second; l.now < end; l.run(20 * time.Millisecond) {
		if !l.propose(command) {
			continue
		}
		applied := func() bool { _, n := l.whereApplied(command); return n >= servers }
		if l.runUntil(2*time.Second, applied) {
			l.agreed++
			index, _ := l.whereApplied(command)
			return index
		}
		if !retry {
			break
		}
	}
	l.failf("no agreement on %q by %d servers", command, servers)
	return 0
}

// never checks that no server has applied command.
func (l *lab) never(command string) {
	l.t.Helper()
	if index, n := l.whereApplied(command); n > 0 {
		l.failf("%q is applied at %d by %d servers without a majority", command, index, n)
	}
}

// logBytes is the size of the largest log on a disk.
func (l *lab) logBytes() (most int) {
	for _, n := range l.nodes {
		size := 0
		for _, e := range n.disk.entries {
			size += e.Size()
		}
		most = max(most, size)
	}
	return most
}
