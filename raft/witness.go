package raft

import (
	"maps"
	"slices"

	"balsa.example/raft/quorum"
)

// A witness is a voter that keeps no state (Liskov et al., Replication in the Harp File System,
// 1991; thesis 11.7.2). With two full voters, which keep state, it makes a cluster that survives the
// loss of any one member. It votes, and acknowledges entries, by the same rules as any voter, and
// keeps the tail of the log. It may have to lead, if its log is the longest, but only to hand its
// tail over: a full voter leads then.
//
// It drops an entry when every full voter has it on disk, which the leader tells it (Release), and
// not when the entry is committed. The bad schedule otherwise:
//
//  1. B is down. A and the witness W commit entry 9, and its writer is told.
//  2. W drops entry 9, which A has executed.
//  3. A is lost for good. B comes back, and W cannot give it entry 9.
//
// So its tail grows while a full voter is away. At Config.MaxWitnessBytes it says so, and a leader
// that needs it takes no more operations, until that voter is back or removed.

// defaultWitnessBytes is the default of Config.MaxWitnessBytes.
const defaultWitnessBytes = 1 << 30

// IsWitness tells whether a member keeps no state, be it a voter or a learner that is to be one.
func (c Configuration) IsWitness(id NodeID) bool { return slices.Contains(c.Witnesses, id) }

// fullVoters returns the voters that keep state, of both sets.
func (c Configuration) fullVoters() (ids []NodeID) {
	for _, id := range c.Voters.IDs() {
		if !c.IsWitness(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// fullVotersInForce returns the full voters of the latest configuration and of the committed one. The
// latest may be taken back until it is committed, and the one before may have voters that it has not.
func (r *Raft) fullVotersInForce() (ids []NodeID) {
	for _, c := range r.confs[r.confs.find(r.commit):] {
		ids = append(ids, c.configuration.fullVoters()...)
	}
	return ids
}

// executable is the index up to which entries may be given to the state machine. A witness has none:
// to execute an entry is to need it no more.
func (r *Raft) executable() Index {
	if r.cfg.Witness {
		return min(r.commit, r.released)
	}
	return r.commit
}

// release tells the witnesses how much of the log every full voter has on disk. A leader calls it
// with each heartbeat.
func (r *Raft) release() {
	latest := r.configuration()
	if len(latest.Witnesses) == 0 {
		return
	}
	least := r.commit
	for _, id := range r.fullVotersInForce() {
		least = min(least, r.durableAt(id))
	}
	// It stays true what was known: what is on a disk stays there. A member that loses its disk is
	// shut out, and counts as one that is lost.
	l := &r.leader
	l.everywhere = max(l.everywhere, least)
	if r.cfg.Witness {
		r.released = max(r.released, l.everywhere)
	}
	for _, p := range l.peers {
		if latest.IsWitness(p.id) && p.state != lost {
			r.send(&Release{Header: Header{To: p.id}, Index: l.everywhere})
		}
	}
}

func (r *Raft) onRelease(m *Release) {
	if r.cfg.Witness {
		r.released = max(r.released, m.Index)
		r.send(&ReleaseReply{Header: Header{To: m.From}, Full: r.witnessFull()})
	}
}

func (r *Raft) onReleaseReply(m *ReleaseReply) {
	if p := r.peer(m.From); p != nil {
		p.active, p.witnessFull = true, m.Full
	}
}

// tailBytes is the size of the log that a witness may not drop yet.
func (r *Raft) tailBytes() int { return r.log.size - r.appliedBytes }

// witnessFull tells whether this witness has no more room for operations.
func (r *Raft) witnessFull() bool { return r.cfg.Witness && r.tailBytes() > r.cfg.MaxWitnessBytes }

// witnessRefuses tells whether a witness takes no more of the log. It takes what leaders may have
// accepted before they heard that it is full: entries behind those may be a change of the members,
// which is the way out. It takes entries that are no operations: each term has one of these. And a
// witness that has nothing to keep takes entries of any size.
func (r *Raft) witnessRefuses(entries []Entry) bool {
	tail := r.tailBytes()
	return r.cfg.Witness && tail > 0 && tail+sizeOf(entries)-r.cfg.MaxPendingBytes > r.cfg.MaxWitnessBytes &&
		slices.ContainsFunc(entries, func(e Entry) bool { return e.Kind == EntryCommand || e.Kind == EntryForwarded })
}

// needsFullWitness tells whether this leader can commit nothing without a witness that is full.
func (r *Raft) needsFullWitness() bool {
	if !slices.ContainsFunc(r.leader.peers, func(p *progress) bool { return p.witnessFull }) {
		return false
	}
	takes := map[NodeID]bool{r.id: true}
	for _, p := range r.leader.peers {
		takes[p.id] = p.recentlyActive() && !p.witnessFull
	}
	maps.DeleteFunc(takes, func(_ NodeID, takes bool) bool { return !takes })
	return r.configuration().Voters.VoteResult(takes) != quorum.VoteWon
}

// maySendSnapshot tells whether a peer that lacks entries from before the log may get a snapshot. A
// witness has none to send. What it gets as one is no state but a position, behind which its log
// begins anew. For that it drops its tail, so that every full voter must have what is before the
// position. Where a witness leads they do: it has dropped that itself. One that is removed for certain
// has nothing that anybody needs.
func (r *Raft) maySendSnapshot(p *progress) bool {
	if !p.witness {
		return !r.cfg.Witness
	}
	return r.cfg.Witness || p.removed.index > 0 && p.removed.index <= r.commit || r.leader.everywhere >= r.log.base || r.fullVotersHaveBase(p.id)
}

// fullVotersHaveBase tells whether every full voter surely has what this leader has compacted, unless
// the witness has it itself. Of each full voter
//
//   - this leader knows it, or
//   - no majority does without the witness and that voter. A majority has committed what this leader
//     has compacted. So the witness was in it, or that voter was.
//
// The majority is that of the configuration that is committed, and not of a later one. The schedule:
//
//  1. A and B, of the full voters A, B and C, commit entry 9. C is down.
//  2. A adds the witness W: a majority of four has W or C in it. That is not committed yet.
//  3. A compacts its log. If W began behind entry 9, neither W nor C would have it.
//
// If that configuration is joint, an earlier leader may have left it and committed by the incoming
// voters alone, without this leader's knowledge. So only those count. Where this says no, the witness
// waits for a full voter that is behind. With at most MaxVotersWithWitness voters that can only be
// while members join or leave.
func (r *Raft) fullVotersHaveBase(witness NodeID) bool {
	decided := r.confs.at(r.commit).Voters
	return !slices.ContainsFunc(r.fullVotersInForce(), func(id NodeID) bool {
		return r.durableAt(id) < r.log.base && decidesWithout(decided.Incoming, witness, id)
	})
}

// MaxVotersWithWitness is the largest number of voters of which no majority does without two given
// ones.
const MaxVotersWithWitness = 4

// decidesWithout tells whether the voters but two are a majority.
func decidesWithout(voters quorum.Majority, a, b NodeID) bool {
	votes := map[NodeID]bool{}
	for _, id := range voters {
		votes[id] = id != a && id != b
	}
	return voters.VoteResult(votes) == quorum.VoteWon
}

// WitnessPosition returns the position behind which the log of a witness is to begin anew, if id is
// a witness: that of Effects.Snapshots has no data.
func (r *Raft) WitnessPosition(id NodeID) (m SnapshotMeta, ok bool) {
	if p := r.peer(id); p != nil && !p.witness || p == nil && !r.configuration().IsWitness(id) {
		return m, false
	}
	return SnapshotMeta{Index: r.log.base, Term: r.log.baseTerm, Configuration: r.confs.at(r.log.base)}, true
}

// lacksReleased tells whether p lacks entries that witnesses may have dropped, or that this leader
// cannot send as entries. Such a member may not become a voter beside a witness: a full one would have
// to be given what witnesses have dropped, and a witness may have to wait for a full voter that is down.
func (r *Raft) lacksReleased(p *progress) bool {
	return p.match < max(r.leader.everywhere, r.log.base)
}
