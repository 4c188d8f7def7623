package sim

import (
	"time"

	"balsa.example/raft"
)

// preVotes checks that a node which hears a leader that commits grants no pre-vote (thesis 9.6): a member
// that was cut off would depose that leader. All times are by the node's clock.
type preVotes struct {
	heard    []word          // that each node has handled last
	arriving []word          // that it handles in its next turn
	deaf     []time.Duration // until then what arrives does not count: a connection has broken
	commits  []time.Duration // when its commit index has risen last
}

// word is a message of a leader.
type word struct {
	term raft.Term
	at   time.Duration
}

func newPreVotes(nodes int) preVotes {
	return preVotes{make([]word, nodes+1), make([]word, nodes+1), make([]time.Duration, nodes+1), make([]time.Duration, nodes+1)}
}

// started forgets what an earlier process has heard.
func (p *preVotes) started(n *node) { p.heard[n.id], p.arriving[n.id] = word{}, word{} }

func (p *preVotes) arrives(n *node, m raft.Message) {
	now := n.clock.read(n.w.now)
	if a, ok := m.(*raft.AppendEntries); ok && now >= p.deaf[n.id] {
		p.arriving[n.id] = word{a.Term, now}
	}
}

// broke notes that the connection to the leader may have broken: then a node hears nobody for a while.
func (p *preVotes) broke(n *node) {
	p.started(n)
	p.deaf[n.id] = n.clock.read(n.w.now) + time.Second
}

// turned ends a turn, in which the commit index may have risen.
func (p *preVotes) turned(n *node, rose bool) {
	p.heard[n.id] = p.arriving[n.id]
	if rose {
		p.commits[n.id] = n.clock.read(n.w.now)
	}
}

// granted checks a pre-vote that a node has granted in a term.
func (p *preVotes) granted(n *node, term raft.Term, to raft.NodeID) {
	now, last := n.clock.read(n.w.now), p.heard[n.id]
	if last.term > 0 && last.term == term && now-last.at < n.timeout/2 && now-p.commits[n.id] < n.timeout {
		n.w.failf("pre-vote", "%s grants one to %s, and has heard the leader of term %d %v before", n.id, to, term, now-last.at)
	}
}
