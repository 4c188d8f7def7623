package raft

import "math"

// A lease lets a leader read without asking anybody. It stands on what each follower
// promises with its acknowledgement of a round: to give nobody its vote, itself included,
// for so long (thesis 6.4.1). The leader counts from when it sent the round, on its own
// clock, and on less by the drift between the clocks. As an election needs a vote of each
// quorum, nobody else leads before the promises of a quorum have run out.
//
// The promise is in the message, so members need not have equal settings; and it is in the
// hard state before it is made, so a restart keeps it, whatever the settings are then.

// promiseSilence makes the promise of an acknowledgement that is sent now.
func (r *Raft) promiseSilence() Nanos {
	if r.cfg.Silence > r.silence {
		failf("%s promises %d ns of silence, its hard state holds %d", r.id, r.cfg.Silence, r.silence)
	}
	r.silentUntil = max(r.silentUntil, r.now+Instant(r.cfg.Silence))
	return r.cfg.Silence
}

// silent tells whether a promise is in force.
func (r *Raft) silent() bool { return r.now < r.silentUntil }

// shrinkSilence forgets a promise that an earlier life made, with other settings, when it
// has run out: the next restart need not keep it any more.
func (r *Raft) shrinkSilence() {
	if !r.silent() {
		r.setSilence(r.cfg.Silence)
	}
}

func (r *Raft) setSilence(n Nanos) {
	if n != r.silence {
		r.silence, r.hardStateDirty = n, true
	}
}

// extendLease notes what p has promised when it acknowledged a round.
func (r *Raft) extendLease(p *progress, m *AppendEntriesReply) {
	if sent, ok := r.roundTimes.sentAt(m.Round); ok && m.Silence > 0 {
		sure := float64(m.Silence) * (1 - r.cfg.MaxClockDrift)
		p.silentUntil = max(p.silentUntil, sent+Instant(min(sure, maxSilence)))
	}
}

// maxSilence keeps sums of instants far from their limit: a hundred years.
const maxSilence = 100 * 365 * 24 * 3600 * 1e9

// leaseHolds tells whether nobody else can have been elected by now.
func (r *Raft) leaseHolds() bool { return r.now < r.leaseUntil() }

// Lease returns until when nobody else can be elected, while this node leads and knows
// all that was committed before it did; 0 if it cannot tell.
func (r *Raft) Lease() Instant {
	if r.role != Leader || !r.committedOwnTerm() {
		return 0
	}
	return r.leaseUntil()
}

// leaseUntil is until when a quorum of voters is silent; the leader itself is as long as
// it leads. A TimeoutNow releases the followers from their promises, for the rest of the
// term: a late one, or one sent to another, may still come.
func (r *Raft) leaseUntil() Instant {
	if r.cfg.Silence == 0 || r.transfer.timeoutNowSent {
		return 0
	}
	return Instant(r.configuration().Voters.QuorumValue(func(id NodeID) uint64 {
		if id == r.id {
			return math.MaxInt64
		}
		if p := r.peer(id); p != nil {
			return uint64(p.silentUntil)
		}
		return 0
	}))
}

// maxRoundTimes bounds how many rounds are remembered; a round answered later than
// that renews no lease.
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
