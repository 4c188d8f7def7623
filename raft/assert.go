package raft

import "fmt"

// assertf panics if a thing that must be true is not. Asserts are always on.
func assertf(ok bool, format string, args ...any) {
	if !ok {
		panic("raft: invariant broken: " + fmt.Sprintf(format, args...))
	}
}

// checkInvariants holds after every event. Each line is a sentence of the design;
// the comparisons are cheap enough to stay on in production.
func (r *Raft) checkInvariants() {
	l := &r.log
	assertf(r.applied <= r.handed && r.handed <= r.commit && r.commit <= l.last(),
		"%s: applied %d <= handed out %d <= committed %d <= last %d", r.id, r.applied, r.handed, r.commit, l.last())
	assertf(l.stable <= l.saved && l.saved <= l.last(), "%s: durable %d <= saved %d <= last %d", r.id, l.stable, l.saved, l.last())
	assertf(l.base <= r.commit, "%s: log begins after %d, committed %d", r.id, l.base, r.commit)
	assertf(l.lastTerm() <= r.term, "%s: last entry of term %d in term %d", r.id, l.lastTerm(), r.term)
	assertf(r.role != Leader || (r.leader == r.id && r.vote == r.id), "%s: leads for %s, voted for %s", r.id, r.leader, r.vote)
	assertf(r.role != Candidate || (r.leader == None && r.vote == r.id), "%s: candidate under %s, voted for %s", r.id, r.leader, r.vote)
	assertf(r.role == Leader || len(r.reads) == 0, "%s: %s holds %d reads", r.id, r.role, len(r.reads))
	assertf(r.matched <= l.last(), "%s: matched %d of %d", r.id, r.matched, l.last())
}
