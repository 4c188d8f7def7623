package raft

import (
	"errors"
	"fmt"
	"slices"
)

// Errors that event methods return. None of them has changed anything.
var (
	// ErrNotLeader: only a leader can do this.
	ErrNotLeader = errors.New("raft: not the leader")
	// ErrNoLeader: no leader is known to ask.
	ErrNoLeader = errors.New("raft: no leader known")
	// ErrBusy: too many bytes wait to be applied (Config.MaxPendingBytes), for the own
	// disk (Config.MaxUnstableBytes), or to be compacted (LimitLog).
	ErrBusy = errors.New("raft: too much in progress")
	// ErrTooLarge: an operation is above Config.MaxEntryBytes, and always will be.
	ErrTooLarge = errors.New("raft: operation too large")
	// ErrTransferring: leadership is being handed over; proposals wait for its end.
	ErrTransferring = errors.New("raft: leadership is being transferred")
	// ErrTransferFailed: a transfer was given up just now; another waits for a while.
	ErrTransferFailed = errors.New("raft: a transfer of leadership has just failed")
	// ErrNotCaughtUp: leadership is handed only to a member that answers and has almost all
	// of the log.
	ErrNotCaughtUp = errors.New("raft: the member does not answer, or is far behind")
	// ErrManyReads: thousands of reads wait already; they end within an election timeout or two.
	ErrManyReads = errors.New("raft: too many reads in progress")
	// ErrMisaddressed: a message that is not for this node.
	ErrMisaddressed = errors.New("raft: message for another node")
	// ErrNotVoter: leadership can be handed only to another voter.
	ErrNotVoter = errors.New("raft: not another voter")
)

// Raft is the state of one node. It is not safe for concurrent use.
type Raft struct {
	id  NodeID
	cfg Config
	now Instant // the latest that Clock, Tick or ReadIndex told

	// The hard state (paper, figure 2), and where its durability stands.
	term                   Term
	vote                   NodeID
	leaseGrant             Nanos  // HardState.LeaseGrant
	lostLog                Index  // HardState.LostLog
	hardStateDirty         bool   // changed since the last Persist that holds one
	hardStatePersistingSeq uint64 // the last Persist that holds one

	role   Role
	leader NodeID // whom this node follows in term; None if not known
	// leaderChanges counts how often leader became another one than None.
	leaderChanges uint64

	log   log
	confs configurations
	// applied <= applying <= commit: what the state machine reflects, what Effects has given
	// to it, what may be given to it.
	commit, applying, applied Index
	// appliedBytes is the size of the log up to and with applied, and maxAppliedBytes its
	// bound; 0: none.
	appliedBytes, maxAppliedBytes int

	// Elections.
	electionElapsed  int  // ticks since the last word from a leader, or the last campaign
	electionTimeout  int  // randomised anew for each campaign, in ticks
	timeoutShortened bool // see shortenElectionTimeout
	sinceLeader      int  // ticks since the last word from a leader, of any term
	// sinceVote counts ticks from when the last vote was given, and again from when it was
	// durable; the first count is votePersistTicks.
	sinceVote, votePersistTicks int
	preVotes                    map[NodeID]bool
	// votes are those for this node in its term, its own when that is durable; nil: it is no
	// candidate of the term, or the term has a leader. They outlast the role of candidate.
	votes             map[NodeID]bool
	leaseGrantedUntil Instant  // no vote for anybody before
	campaign          Campaign // the name of the latest one
	byTransfer        bool     // that one's cause is a TimeoutNow
	yielded           bool     // for another pre-candidate, since the last campaign or leader

	// As follower: how far the log is known to equal the leader's in this term, what
	// was acknowledged of it, and the latest round seen.
	matched, acknowledged Index
	seenRound             Round

	// As leader.
	peers            []*progress // the other members, by id
	heartbeatElapsed int
	round            Round
	roundTimes       roundTimes
	roundWanted      bool // a new round is to be sent with the next Effects
	pendingBytes     int  // of entries that are not applied
	ownDisk          diskWatch
	transfer         transfer
	reads            []pendingRead // waiting for a round, oldest first
	deferredReads    []pendingRead // waiting for the first commit of this term

	// As anyone who asked the leader for a read index.
	nextReadID     ReadID
	forwardedReads []forwardedRead

	// Towards the shell.
	seq, persistedSeq uint64
	outbox            []Message
	pendingDurable    []pendingMessage
	snapshotsWanted   []Header
	shutOuts          []NodeID
	readsDone         []ReadState
	logReset          *SnapshotMeta // for the next Persist
	restore           *SnapshotMeta // for the next Effects
}

// New returns a node in the state that its disk remembers. Its state machine must
// reflect s.Snapshot.
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
		id: cfg.ID, cfg: cfg,
		term: s.HardState.Term, vote: s.HardState.Vote, leaseGrant: s.HardState.LeaseGrant, now: cfg.Now,
		log: newLog(s), confs: confs,
		commit: s.Snapshot.Index, applying: s.Snapshot.Index, applied: s.Snapshot.Index,
	}
	first := cfg.FirstID
	if first == 0 {
		first = cfg.Rand.Uint64()
	}
	r.nextReadID, r.campaign = ReadID(first), Campaign(first)
	if s.Snapshot.Term > r.term {
		// A snapshot that arrives is durable before the message about it raises the
		// term, and a crash may come in between.
		r.setHardState(s.Snapshot.Term, None)
	}
	// This node may have granted a lease just before it stopped, longer than its settings say
	// now. If it granted none it may vote at once.
	r.leaseGrantedUntil = cfg.Now + Instant(r.leaseGrant)
	r.setLeaseGrant(max(r.leaseGrant, cfg.LeaseDuration))
	r.sinceLeader, r.sinceVote = cfg.ElectionTimeoutTicks, cfg.ElectionTimeoutTicks
	r.resetElectionTimer()
	r.checkInvariants()
	return r, nil
}

// validate checks at the gate what the log assumes ever after.
func (s State) validate() error {
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

// handler takes a message of the node's own term.
type handler func(*Raft, Message)

// handlers is the protocol's index: what each role does with each message of its
// term. An empty place means that the message comes too late and is ignored.
var handlers = [numRoles][numMessageKinds]handler{
	Follower: {
		KindPreVote:          on((*Raft).onPreVote),
		KindRequestVote:      on((*Raft).onRequestVote),
		KindRequestVoteReply: on((*Raft).onRequestVoteReply),
		KindAppendEntries:    on((*Raft).onAppendEntries),
		KindInstallSnapshot:  on((*Raft).onInstallSnapshot),
		KindTimeoutNow:       on((*Raft).onTimeoutNow),
		KindReadIndexReply:   on((*Raft).onReadIndexReply),
		KindLogLost:          on((*Raft).onLogLost),
	},
	PreCandidate: {
		KindPreVote:          on((*Raft).onPreVote),
		KindPreVoteReply:     on((*Raft).onPreVoteReply),
		KindRequestVote:      on((*Raft).onRequestVote),
		KindRequestVoteReply: on((*Raft).onRequestVoteReply),
		KindAppendEntries:    on((*Raft).onAppendEntries),
		KindInstallSnapshot:  on((*Raft).onInstallSnapshot),
		KindTimeoutNow:       on((*Raft).onTimeoutNow),
	},
	Candidate: {
		KindPreVote:          on((*Raft).onPreVote),
		KindRequestVote:      on((*Raft).onRequestVote),
		KindRequestVoteReply: on((*Raft).onRequestVoteReply),
		KindAppendEntries:    on((*Raft).onAppendEntries),
		KindInstallSnapshot:  on((*Raft).onInstallSnapshot),
	},
	Leader: {
		KindRequestVote:         on((*Raft).onRequestVote),
		KindAppendEntries:       on((*Raft).onSecondLeader),
		KindInstallSnapshot:     on((*Raft).onSecondLeader),
		KindAppendEntriesReply:  on((*Raft).onAppendEntriesReply),
		KindAppendEntriesReject: on((*Raft).onAppendEntriesReject),
		KindReadIndex:           on((*Raft).onReadIndex),
	},
}

// on makes a handler of a method that takes one message type.
func on[M Message](f func(*Raft, M)) handler {
	return func(r *Raft, m Message) { f(r, m.(M)) }
}

// Step takes a message that arrived. An InstallSnapshot is stepped only when its
// data is durable on this node.
func (r *Raft) Step(m Message) error {
	h := m.Head()
	if h.To != r.id || h.From == r.id || h.From == None {
		return fmt.Errorf("%w: %s at %s", ErrMisaddressed, m, r.id)
	}
	if r.lostLog > 0 || !r.settleTerm(m) {
		return nil
	}
	if f := handlers[r.role][m.Kind()]; f != nil {
		f(r, m)
	}
	r.checkInvariants()
	return nil
}

// settleTerm brings the node and a message to one term, and tells whether there is
// anything left to handle (paper, 5.1).
func (r *Raft) settleTerm(m Message) bool {
	h := m.Head()
	if r.ignoresVoteRequest(m) {
		return false
	}
	switch {
	case h.Term > r.term:
		leader := None
		if k := m.Kind(); k == KindAppendEntries || k == KindInstallSnapshot {
			leader = h.From
		}
		r.becomeFollower(h.Term, leader)
		return true
	case h.Term < r.term:
		r.answerStale(m)
		return false
	}
	return true
}

// answerStale lets the sender of an old term learn of the present one.
func (r *Raft) answerStale(m Message) {
	to := Header{To: m.Head().From}
	switch m.Kind() {
	case KindAppendEntries, KindInstallSnapshot:
		r.send(&AppendEntriesReject{Header: to})
	case KindPreVote:
		r.send(&PreVoteReply{Header: to})
	case KindRequestVote:
		r.send(&RequestVoteReply{Header: to})
	}
}

// Clock tells the core what the clock shows. A shell calls it before it hands over what came
// in since the last time: the leases that the core grants are counted from here.
func (r *Raft) Clock(now Instant) { r.now = max(r.now, now) }

// Tick says that one tick has passed and what the clock shows.
func (r *Raft) Tick(now Instant) {
	r.Clock(now)
	r.shrinkLeaseGrant()
	r.electionElapsed++
	r.sinceLeader++
	r.sinceVote++
	r.ownDisk.pause = max(0, r.ownDisk.pause-1)
	if r.role == Leader {
		r.tickLeader()
	} else {
		r.tickForwardedReads()
		r.tickElection()
	}
	r.checkInvariants()
}

// Propose appends an operation to the leader's log and returns its place; together
// with the present term that names it for good. The core keeps data.
func (r *Raft) Propose(data []byte) (Index, error) {
	switch {
	case r.role != Leader:
		return 0, ErrNotLeader
	case len(data) > r.cfg.MaxEntryBytes:
		return 0, ErrTooLarge
	case r.transfer.to != None:
		return 0, ErrTransferring
	case r.pendingBytes+len(data) > r.cfg.MaxPendingBytes && r.pendingBytes > 0, r.diskBehind(len(data)), r.logFull():
		return 0, ErrBusy
	}
	return r.appendOwn(EntryCommand, data), nil
}

// diskBehind tells whether so many bytes more are too much to wait for the own disk.
func (r *Raft) diskBehind(bytes int) bool {
	unstable := r.log.unstableBytes()
	return unstable > 0 && unstable+bytes > r.cfg.MaxUnstableBytes
}

// logFull tells whether the log has to be compacted before it may grow.
func (r *Raft) logFull() bool {
	return r.maxAppliedBytes > 0 && r.appliedBytes > r.maxAppliedBytes
}

// appendOwn adds an entry to the leader's own log. A leader never overwrites or
// deletes entries of its log (paper, 5.3).
func (r *Raft) appendOwn(kind EntryKind, data []byte) Index {
	e := Entry{Term: r.term, Index: r.log.last() + 1, Kind: kind, Data: data}
	r.log.append([]Entry{e})
	r.pendingBytes += e.Size()
	return e.Index
}

func (r *Raft) configuration() Configuration { return r.confs.latest() }

func (r *Raft) isVoter() bool { return r.configuration().Voters.Contains(r.id) }

// becomeFollower enters a term, or goes back to following within it.
func (r *Raft) becomeFollower(term Term, leader NodeID) {
	vote := r.vote
	if term > r.term {
		vote = None
	}
	if term > r.term || r.leader != leader {
		r.matched, r.acknowledged, r.seenRound = 0, 0, 0
		r.failForwardedReads()
		if leader != None {
			r.leaderChanges++
		}
	}
	if r.role != Follower || leader != None {
		r.resetElectionTimer()
	}
	if term > r.term || leader != None {
		r.votes, r.yielded = nil, false
	}
	r.leaveLeadership()
	r.setHardState(term, vote)
	r.role, r.leader, r.preVotes = Follower, leader, nil
}

// leaveLeadership drops what only a leader has.
func (r *Raft) leaveLeadership() {
	r.failReads()
	r.peers, r.pendingBytes, r.transfer, r.roundWanted = nil, 0, transfer{}, false
	r.ownDisk = diskWatch{pause: r.ownDisk.pause}
	r.roundTimes = roundTimes{}
}

// resetElectionTimer begins to wait for a leader. A sole voter has nobody to wait for.
func (r *Raft) resetElectionTimer() {
	r.electionElapsed, r.timeoutShortened = 0, false
	r.electionTimeout = r.cfg.ElectionTimeoutTicks + r.cfg.Rand.IntN(r.cfg.ElectionTimeoutTicks)
	if len(r.otherVoters()) == 0 {
		r.electionTimeout = 1
	}
}

// ConfigurationAt returns the configuration in force at an index that is not below
// the last compaction, as a snapshot's meta needs it.
func (r *Raft) ConfigurationAt(i Index) Configuration { return r.confs.at(i) }

// TermAt returns the term of the entry at i, if the log still knows it.
func (r *Raft) TermAt(i Index) (Term, bool) { return r.log.term(i) }

// FirstIndexWithin returns the lowest index such that the log from there up to and
// with last is held and has at most maxBytes, in the measure of Entry.Size.
func (r *Raft) FirstIndexWithin(maxBytes int, last Index) Index {
	return r.log.firstWithin(maxBytes, last)
}

// BytesBetween is the size of those of the entries lo to hi that are held, in the measure
// of Entry.Size.
func (r *Raft) BytesBetween(lo, hi Index) int { return r.log.bytes(lo, hi) }

// LogBytes is the size of the log held, in the measure of Entry.Size.
func (r *Raft) LogBytes() int { return r.log.size }

// Term returns the current term, Role the part played in it, and Leader whom this
// node follows (itself when leading, None when unknown).
func (r *Raft) Term() Term     { return r.term }
func (r *Raft) Role() Role     { return r.role }
func (r *Raft) Leader() NodeID { return r.leader }

// Last is where the log ends, Commit how far it is known to be committed, and Durable how
// far it is on the own disk.
func (r *Raft) Last() Index    { return r.log.last() }
func (r *Raft) Commit() Index  { return r.commit }
func (r *Raft) Durable() Index { return r.log.stable }

// Round returns the latest round of the leader of the current term that this node has begun,
// as that leader, or has seen.
func (r *Raft) Round() Round {
	if r.role == Leader {
		return r.round
	}
	return r.seenRound
}

// ElectionTimeoutTicks is that of the Config.
func (r *Raft) ElectionTimeoutTicks() int { return r.cfg.ElectionTimeoutTicks }

// Status returns a picture of the node.
func (r *Raft) Status() Status {
	s := Status{
		ID: r.id, Role: r.role, Term: r.term, Vote: r.vote, Leader: r.leader, Transferring: r.transfer.to, LeaderChanges: r.leaderChanges,
		Commit: r.commit, Applied: r.applied,
		FirstIndex: r.log.base + 1, LastIndex: r.log.last(), DurableIndex: r.log.stable,
		Configuration: r.configuration(),
	}
	s.Peers = slices.Grow(s.Peers, len(r.peers))
	for _, p := range r.peers {
		s.Peers = append(s.Peers, PeerStatus{ID: p.id, State: p.state.String(), Match: p.match, Next: p.next, Active: p.recentlyActive()})
	}
	return s
}

// peer returns the progress of a member, or nil if this node does not lead it.
func (r *Raft) peer(id NodeID) *progress {
	i, ok := slices.BinarySearchFunc(r.peers, id, func(p *progress, id NodeID) int {
		switch {
		case p.id < id:
			return -1
		case p.id > id:
			return 1
		default:
			return 0
		}
	})
	if !ok {
		return nil
	}
	return r.peers[i]
}
