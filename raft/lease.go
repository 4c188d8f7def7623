package raft

import "math"

// A lease lets a leader answer reads without a round of messages (thesis 6.4.1). Each
// follower grants it with its acknowledgement of a round: for the time of the grant the
// follower gives no other node its vote, and does not campaign itself. Any two quorums share a
// voter, so no other node can be elected until the grants of a quorum have ended. The leader
// counts a grant from when it sent the round, by its own clock, and shortens it by the drift
// between the two clocks.
//
// The length of the grant travels in the message, so members may have different settings.
// It is in the follower's hard state before it is sent, so a restart keeps the grant,
// whatever the settings are then.

// grantLease starts the lease that an acknowledgement sent now grants, and returns its
// length. Pre-votes that this node has asked for while the leader stalled count no more: the answers may
// come during the lease.
func (r *Raft) grantLease() Nanos {
	if r.cfg.LeaseDuration > r.leaseGrant {
		failf("%s grants a lease of %d ns, its hard state holds %d", r.id, r.cfg.LeaseDuration, r.leaseGrant)
	}
	if r.leaderStalls() {
		return 0
	}
	r.candidate.preVotes = nil
	r.leaseGrantedUntil = max(r.leaseGrantedUntil, r.now+Instant(r.cfg.LeaseDuration))
	return r.cfg.LeaseDuration
}

// leaseGranted tells whether a lease that this node has granted is in force.
func (r *Raft) leaseGranted() bool { return r.now < r.leaseGrantedUntil }

// shrinkLeaseGrant forgets a lease that was granted before a restart, with other settings,
// when it has ended: the next restart need not keep it any more.
func (r *Raft) shrinkLeaseGrant() {
	if !r.leaseGranted() {
		r.setLeaseGrant(r.cfg.LeaseDuration)
	}
}

func (r *Raft) setLeaseGrant(n Nanos) {
	if n != r.leaseGrant {
		r.leaseGrant, r.persist.hardStateDirty = n, true
	}
}

// extendLease notes the lease that p granted when it acknowledged a round.
func (r *Raft) extendLease(p *progress, m *AppendEntriesReply) {
	if sent, ok := r.leader.roundTimes.sentAt(m.Round); ok && m.LeaseGrant > 0 {
		sure := float64(m.LeaseGrant) * (1 - r.cfg.MaxClockDrift)
		p.leaseUntil = max(p.leaseUntil, sent+Instant(min(sure, maxLeaseDuration)))
	}
}

// maxLeaseDuration is a hundred years in nanoseconds. It keeps sums of instants from
// overflowing.
const maxLeaseDuration = 100 * 365 * 24 * 3600 * 1e9

// leaseHolds tells whether no other node can have been elected by now.
func (r *Raft) leaseHolds() bool { return r.now < r.leaseUntil() }

// Lease returns the instant before which no other node can be elected. It is 0, no lease,
// unless this node leads and has committed an entry of its own term: before that it may not
// know all that is committed. A witness has none.
func (r *Raft) Lease() Instant {
	if r.role != Leader || !r.committedOwnTerm() {
		return 0
	}
	return r.leaseUntil()
}

// leaseUntil is when the grants of a quorum of voters end. The leader's own grant lasts as
// long as it leads. After a TimeoutNow there is no lease for the rest of the term: that
// message lets its receiver campaign at once, however late it arrives.
func (r *Raft) leaseUntil() Instant {
	if r.cfg.Witness {
		return 0
	}
	if r.cfg.LeaseDuration == 0 || r.leader.transfer.timeoutNowSent {
		return 0
	}
	return Instant(r.configuration().Voters.QuorumValue(func(id NodeID) uint64 {
		if id == r.id {
			return math.MaxInt64
		}
		if p := r.peer(id); p != nil {
			return uint64(p.leaseUntil)
		}
		return 0
	}))
}

// maxRoundTimes bounds for how many rounds it is remembered when they were sent. An older
// round renews no lease.
const maxRoundTimes = 1024

// roundTimes remembers when the latest rounds were sent.
type roundTimes struct {
	first Round
	times []Instant
}

func (t *roundTimes) add(round Round, now Instant) {
	if len(t.times) == 0 {
		t.first = round
	}
	t.times = append(t.times, now)
	if len(t.times) > maxRoundTimes {
		n := maxRoundTimes / 2
		t.first += Round(n)
		t.times = append([]Instant(nil), t.times[n:]...)
	}
}

func (t *roundTimes) sentAt(round Round) (Instant, bool) {
	if round < t.first || round >= t.first+Round(len(t.times)) {
		return 0, false
	}
	return t.times[round-t.first], true
}
