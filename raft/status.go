package raft

import (
	"fmt"
	"slices"
)

// Role is the part that a node plays in its term (Raft paper, figure 4).
type Role uint8

// PreCandidate is a node that asks for pre-votes (thesis 9.6); it has not changed its term.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader

	numRoles = 4
)

func (r Role) String() string {
	if r < numRoles {
		return [...]string{"follower", "pre-candidate", "candidate", "leader"}[r]
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// Status is the state of a node at one moment.
type Status struct {
	ID            NodeID
	Role          Role
	Term          Term
	Vote          NodeID // for whom this node voted in Term, or None
	Leader        NodeID // itself if it leads, None if not known
	Transferring  NodeID // to whom this leader transfers leadership, or None
	LeaderChanges uint64 // how often a leader was found since the node started, itself included
	Commit        Index  // everything up to here is known to be committed
	Applied       Index  // the state machine reflects everything up to here
	FirstIndex    Index  // of the log in memory; LastIndex+1 if it is empty
	LastIndex     Index  // of the log in memory
	DurableIndex  Index  // everything up to here is on this node's disk
	// Configuration is the latest one in the log, Committed the one that is committed.
	Configuration, Committed Configuration
	// WitnessFull tells that this node is a witness that takes no more operations (see
	// Config.MaxWitnessBytes).
	WitnessFull bool
	// UnfitPause is for how many ticks this node may lead on, if it leads, although its own state keeps the cluster from
	// serving: it has handed leadership over for that a short time ago, and it came back.
	UnfitPause int
	// Peers is what a leader knows of the other members; nil in any other role.
	Peers []PeerStatus
}

// PeerStatus is what a leader knows of one other member.
type PeerStatus struct {
	ID   NodeID
	Part Part
	// State is "probe", "replicate", "snapshot" or "lost" (see ErrLostLog).
	State string
	Match Index // everything up to here is known to be on the member's disk
	Next  Index // the next entry to send
	// Behind is the size of what the log holds behind Match, in the measure of Entry.Size. A member
	// that lacks earlier entries as well needs a snapshot before.
	Behind int
	// Active tells that the member was heard from within the last election timeout or two, and
	// CaughtUp that a learner may become a voter (see ProposeConfiguration).
	Active, CaughtUp bool
	// WitnessFull tells that the member is a witness that may drop too little of its log: it takes no
	// more operations (see Config.MaxWitnessBytes).
	WitnessFull bool
}

// Status returns the state of the node.
func (r *Raft) Status() Status {
	s := r.OwnStatus()
	s.Peers = slices.Grow(s.Peers, len(r.leader.peers))
	for _, p := range r.leader.peers {
		if p.removed.index > 0 {
			continue
		}
		s.Peers = append(s.Peers, PeerStatus{
			ID: p.id, Part: s.Configuration.Part(p.id), State: p.state.String(), Match: p.match, Next: p.next,
			Behind: r.log.bytes(p.match+1, r.log.last()), Active: p.recentlyActive(), CaughtUp: r.caughtUp(p.id),
			WitnessFull: p.witnessFull,
		})
	}
	return s
}

// OwnStatus returns the Status without Peers. Unlike Status it may be asked for at every step.
func (r *Raft) OwnStatus() Status {
	return Status{
		ID: r.id, Role: r.role, Term: r.term, Vote: r.vote,
		Leader: r.leaderID, Transferring: r.leader.transfer.to, LeaderChanges: r.leaderChanges,
		Commit: r.commit, Applied: r.applied,
		FirstIndex: r.log.base + 1, LastIndex: r.log.last(), DurableIndex: r.log.stable,
		Configuration: r.configuration(), Committed: r.confs.at(r.commit), WitnessFull: r.witnessFull(),
		UnfitPause: r.unfitPause(),
	}
}

// Configurations returns the latest configuration in the log and the one that is committed. version
// is another number whenever one of them may have changed.
func (r *Raft) Configurations() (latest, committed Configuration, version uint64) {
	return r.configuration(), r.confs.at(r.commit), r.confsVersion
}

// ConfigurationsVersion returns the version of Configurations.
func (r *Raft) ConfigurationsVersion() uint64 { return r.confsVersion }

// ChangePending tells whether a change of the members goes on: a configuration is not committed yet,
// or is joint.
func (r *Raft) ChangePending() bool {
	return r.confs.latestIndex() > r.commit || r.configuration().Voters.IsJoint()
}

// WitnessFull tells whether this node is a witness that takes no more operations, since it may drop too
// little of its log (see Config.MaxWitnessBytes).
func (r *Raft) WitnessFull() bool { return r.witnessFull() }

// Removed returns the index of the committed configuration that has this node no more, 0 if there is
// none such. It is 0 too where a configuration never had the node.
func (r *Raft) Removed() Index {
	if !r.removed {
		return 0
	}
	return r.committedConf
}

// Term returns the current term, Role the part that the node plays in it, and Leader whom it
// follows: itself if it leads, None if it knows no leader.
func (r *Raft) Term() Term     { return r.term }
func (r *Raft) Role() Role     { return r.role }
func (r *Raft) Leader() NodeID { return r.leaderID }

// Transferring returns the voter to which this leader transfers leadership, or None.
func (r *Raft) Transferring() NodeID { return r.leader.transfer.to }

// Last is the index of the last entry of the log, Commit that of the last one known to be
// committed, and Durable that of the last one on this node's disk.
func (r *Raft) Last() Index    { return r.log.last() }
func (r *Raft) Commit() Index  { return r.commit }
func (r *Raft) Durable() Index { return r.log.stable }

// Round returns the latest round of the leader of the current term that this node has begun,
// as that leader, or has seen.
func (r *Raft) Round() Round {
	if r.role == Leader {
		return r.leader.round
	}
	return r.follower.seenRound
}

// ElectionTimeoutTicks returns Config.ElectionTimeoutTicks, or the default that stands for 0.
func (r *Raft) ElectionTimeoutTicks() int { return r.cfg.ElectionTimeoutTicks }

// ConfigurationAt returns the configuration in force at an index that is not below the last
// compaction, for the SnapshotMeta of a snapshot there. Where it has no voters there may be no
// snapshot: a node that joins does not know yet who the members are, and could not start from it.
func (r *Raft) ConfigurationAt(i Index) Configuration { return r.confs.at(i) }

// TermAt returns the term of the entry at i. It is false if the log neither holds that entry
// nor begins right after it.
func (r *Raft) TermAt(i Index) (Term, bool) { return r.log.term(i) }

// FirstIndexWithin returns the lowest index such that the log holds everything from there up
// to and with last, and this has at most maxBytes, in the measure of Entry.Size. It is last+1
// if not even last fits.
func (r *Raft) FirstIndexWithin(maxBytes int, last Index) Index {
	return r.log.firstWithin(maxBytes, last)
}

// BytesBetween is the size of those entries from lo to hi, both included, that the log holds,
// in the measure of Entry.Size.
func (r *Raft) BytesBetween(lo, hi Index) int { return r.log.bytes(lo, hi) }

// LogBytes is the size of all entries that the log holds, in the measure of Entry.Size.
func (r *Raft) LogBytes() int { return r.log.size }
