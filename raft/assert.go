package raft

import "fmt"

// assertf panics if an invariant does not hold. Assertions are always on.
//
// The arguments are allocated even if the invariant holds. Code that runs for every entry or
// message calls failf within an if instead.
func assertf(ok bool, format string, args ...any) {
	if !ok {
		failf(format, args...)
	}
}

func failf(format string, args ...any) {
	panic("raft: invariant broken: " + fmt.Sprintf(format, args...))
}

// checkInvariants is called after every event. The comparisons are cheap enough to stay on in
// production.
func (r *Raft) checkInvariants() {
	l := &r.log
	if !(r.applied <= r.applying && r.applying <= r.commit && r.commit <= l.last()) {
		failf("%s: applied %d <= applying %d <= committed %d <= last %d", r.id, r.applied, r.applying, r.commit, l.last())
	}
	if !(l.stable <= l.persisting && l.persisting <= l.last()) {
		failf("%s: durable %d <= persisting %d <= last %d", r.id, l.stable, l.persisting, l.last())
	}
	if l.base > r.commit {
		failf("%s: log begins after %d, committed %d", r.id, l.base, r.commit)
	}
	if l.lastTerm() > r.term {
		failf("%s: last entry of term %d in term %d", r.id, l.lastTerm(), r.term)
	}
	if r.role == Leader && (r.leaderID != r.id || r.vote != r.id) {
		failf("%s: leads for %s, voted for %s", r.id, r.leaderID, r.vote)
	}
	if r.role == Candidate && (r.leaderID != None || r.vote != r.id) {
		failf("%s: candidate under %s, voted for %s", r.id, r.leaderID, r.vote)
	}
	if n := len(r.confs); r.role == Leader && n > 1 && r.confs[n-2].index > r.commit && r.log.matches(r.confs[n-2].index, r.term) {
		failf("%s: two configurations of its own are not committed, at %d and %d", r.id, r.confs[n-2].index, r.confs[n-1].index)
	}
	if r.role != Leader && len(r.leader.reads) > 0 {
		failf("%s: %s holds %d reads", r.id, r.role, len(r.leader.reads))
	}
	if r.follower.matched > l.last() {
		failf("%s: matched %d of %d", r.id, r.follower.matched, l.last())
	}
}
