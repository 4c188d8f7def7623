package raft

import "fmt"

// Raft is the state of one node. It is not safe for concurrent use.
type Raft struct {
	id  NodeID
	cfg Config
	now Instant // the latest reading of the clock that an event brought

	// The hard state (paper, figure 2). persist tells what of it is durable.
	term       Term
	vote       NodeID
	leaseGrant Nanos // HardState.LeaseGrant
	lostLog    Index // HardState.LostLog

	log   log
	confs configurations
	// confsVersion counts the changes of the latest and of the committed configuration. The latter
	// is the one at committedConf. wasMember tells that it has this node, removed that an earlier
	// one had.
	confsVersion       uint64
	committedConf      Index
	wasMember, removed bool
	// applied <= applying <= commit. The state machine reflects everything up to applied;
	// Effects has returned everything up to applying.
	commit, applying, applied Index
	// released is, on a witness, up to where every full voter has the log on disk.
	released Index
	// appliedBytes is the size of the log held, up to and with applied. maxAppliedBytes is
	// its bound (see LimitLog); 0 means none.
	appliedBytes, maxAppliedBytes int

	// The role. What belongs to a role is in its struct and empty outside of it, except that a
	// campaign may outlast the role of candidate (see candidateState).
	role          Role
	leaderID      NodeID // whom this node follows in term, itself if it leads; None if unknown
	leaderChanges uint64 // how often leaderID has become another one than None
	follower      followerState
	candidate     candidateState
	leader        leaderState

	timer             electionTimer
	stall             stall   // of the leader that this node follows
	leaseGrantedUntil Instant // until then this node gives no vote; by its own clock
	// nextReadID and campaign begin at Config.FirstID. campaign names the latest campaign.
	nextReadID ReadID
	campaign   Campaign
	// diskTransferPauseTicks counts the ticks until a slow disk of this node, or its own state, may
	// again be the reason for a transfer (see transferAway). It outlasts a term.
	diskTransferPauseTicks int
	ownState               ownState

	persist persistState
	effects Effects // what the next call of Effects returns, but for Persist and Committed
}

// New returns a node that goes on from s, what its disk holds. The state machine must
// reflect s.Snapshot.
//
// It returns an error if cfg is not valid, if the terms and indexes of s contradict each
// other, if a configuration in the log cannot be decoded, or, an ErrLostLog, if s says that
// the node has lost entries that it had acknowledged.
func New(cfg Config, s State) (*Raft, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	if lost := s.HardState.LostLog; lost > 0 {
		return nil, lostLogError(lost, s.Snapshot.Index+Index(len(s.Entries)))
	}
	confs, err := newConfigurations(s)
	if err != nil {
		return nil, fmt.Errorf("raft: read configuration from the log: %w", err)
	}
	r := &Raft{
		id: cfg.ID, cfg: cfg, now: cfg.Now,
		term: s.HardState.Term, vote: s.HardState.Vote, leaseGrant: s.HardState.LeaseGrant,
		log: newLog(s), confs: confs, committedConf: s.Snapshot.Index, wasMember: s.Snapshot.Configuration.Contains(cfg.ID),
		commit: s.Snapshot.Index, applying: s.Snapshot.Index, applied: s.Snapshot.Index,
	}
	first := cfg.FirstID
	if first == 0 {
		first = cfg.Rand.Uint64()
	}
	r.nextReadID, r.campaign = ReadID(first), Campaign(first)
	if s.Snapshot.Term > r.term {
		// A snapshot that arrives is durable before the message about it raises the term. This
		// node crashed in between.
		r.setHardState(s.Snapshot.Term, None)
	}
	// This node may have granted a lease just before it stopped, longer than its settings say
	// now. If it granted none it may vote at once.
	r.leaseGrantedUntil = cfg.Now + Instant(r.leaseGrant)
	r.setLeaseGrant(max(r.leaseGrant, cfg.LeaseDuration))
	r.timer.sinceLeader, r.timer.sinceVote = cfg.ElectionTimeoutTicks, cfg.ElectionTimeoutTicks
	r.resetElectionTimer()
	r.checkInvariants()
	return r, nil
}

// validate checks once what the log assumes from then on: indexes without a gap, and terms
// that never fall. And a snapshot of a cluster that has begun names voters: without them the
// node would follow and never campaign, for good.
func (s State) validate() error {
	if s.Snapshot.Index > 0 && !s.Snapshot.Configuration.HasVoters() {
		return fmt.Errorf("raft: stored snapshot %s has a Configuration without voters", s.Snapshot)
	}
	prev, term := s.Snapshot.Index, s.Snapshot.Term
	for _, e := range s.Entries {
		if e.Index != prev+1 || e.Term < term {
			return fmt.Errorf("raft: stored log has entry %d/%d behind %d/%d", e.Term, e.Index, term, prev)
		}
		prev, term = e.Index, e.Term
	}
	if max(s.HardState.Term, s.Snapshot.Term) < term {
		return fmt.Errorf("raft: stored log ends in term %d, beyond the stored term %d", term, s.HardState.Term)
	}
	return nil
}

func (r *Raft) configuration() Configuration { return r.confs.latest() }

func (r *Raft) isVoter() bool { return r.configuration().Voters.Contains(r.id) }

func (r *Raft) otherVoters() (ids []NodeID) {
	for _, id := range r.configuration().Voters.IDs() {
		if id != r.id {
			ids = append(ids, id)
		}
	}
	return ids
}
