package raft

// ReadMode says how a leader makes sure that it still leads when it serves a read.
type ReadMode uint8

const (
	// ReadByIndex asks a quorum whether this node still leads (thesis 6.4). It assumes
	// nothing about clocks.
	ReadByIndex ReadMode = iota
	// ReadByLease trusts the leader's lease where there is one (thesis 6.4.1), and falls back
	// to ReadByIndex. It assumes that clocks drift by no more than Config.MaxClockDrift.
	ReadByLease
)

// pendingRead waits on the leader for a quorum to acknowledge round.
type pendingRead struct {
	id    ReadID
	from  NodeID // whose read it is
	index Index
	round Round
}

// forwardedRead waits on another node for the leader's answer.
type forwardedRead struct {
	id  ReadID
	age int // ticks
}

// maxReads bounds the reads that wait on a node: its own, and on a leader those of others.
const maxReads = 1 << 12

// ReadIndex begins a linearizable read. The read ends in Effects.Reads under the ReadID
// returned. now is what the clock shows, read after the call of the client came in. On
// another node than the leader, mode has no effect: the leader is asked for the index.
//
// It returns ErrNoLeader or ErrManyReads.
func (r *Raft) ReadIndex(now Instant, mode ReadMode) (ReadID, error) {
	r.now = max(r.now, now)
	id := r.nextReadID
	if r.role != Leader && r.leaderID == None || r.cfg.Witness {
		return 0, ErrNoLeader
	}
	if len(r.leader.reads)+len(r.leader.deferredReads)+len(r.follower.forwardedReads) >= maxReads {
		return 0, ErrManyReads
	}
	r.nextReadID++
	if r.role != Leader {
		r.follower.forwardedReads = append(r.follower.forwardedReads, forwardedRead{id: id})
		r.send(&ReadIndex{Header: Header{To: r.leaderID}, ID: id})
		return id, nil
	}
	read := pendingRead{id: id, from: r.id}
	if mode == ReadByLease && r.committedOwnTerm() && r.leaseHolds() {
		read.index = r.commit
		r.answerRead(read)
		return id, nil
	}
	r.startRead(read)
	return id, nil
}

func (r *Raft) onReadIndex(m *ReadIndex) {
	if len(r.leader.reads)+len(r.leader.deferredReads) >= maxReads || r.cfg.Witness {
		return // the sender asks again, a witness's successor by then
	}
	r.startRead(pendingRead{id: m.ID, from: m.From})
}

// startRead notes the commit index of now, and asks for a round that begins after now. Before
// a leader has committed an entry of its own term it does not know which entries are
// committed, and the read waits for that (thesis 6.4, step 1).
func (r *Raft) startRead(read pendingRead) {
	l := &r.leader
	if !r.committedOwnTerm() {
		l.deferredReads = append(l.deferredReads, read)
		return
	}
	read.index, read.round = r.commit, l.round+1
	l.reads = append(l.reads, read)
	l.roundWanted = true
}

// committedOwnTerm tells whether the last committed entry is of the present term.
func (r *Raft) committedOwnTerm() bool { return r.log.matches(r.commit, r.term) }

func (r *Raft) startDeferredReads() {
	deferred := r.leader.deferredReads
	r.leader.deferredReads = nil
	for _, read := range deferred {
		r.startRead(read)
	}
}

// finishReads answers the reads whose round a quorum has acknowledged.
func (r *Raft) finishReads() {
	l := &r.leader
	if len(l.reads) == 0 {
		return
	}
	round := r.acknowledgedRound()
	n := 0
	for n < len(l.reads) && l.reads[n].round <= round {
		r.answerRead(l.reads[n])
		n++
	}
	l.reads = l.reads[n:]
}

// acknowledgedRound is the last round that a quorum has acknowledged.
func (r *Raft) acknowledgedRound() Round {
	return Round(r.configuration().Voters.QuorumValue(func(id NodeID) uint64 {
		if id == r.id {
			return uint64(r.leader.round)
		}
		if p := r.peer(id); p != nil {
			return uint64(p.ackedRound)
		}
		return 0
	}))
}

func (r *Raft) answerRead(read pendingRead) {
	if read.from == r.id {
		r.endRead(ReadState{ID: read.id, Index: read.index, OK: true})
		return
	}
	r.send(&ReadIndexReply{Header: Header{To: read.from}, ID: read.id, Index: read.index})
}

// endRead reports the end of a read of this node.
func (r *Raft) endRead(s ReadState) { r.effects.Reads = append(r.effects.Reads, s) }

// failReads ends the own reads of a leader that leads no more. The reads that others asked
// for time out there (tickForwardedReads).
func (r *Raft) failReads() {
	for _, reads := range [][]pendingRead{r.leader.reads, r.leader.deferredReads} {
		for _, read := range reads {
			if read.from == r.id {
				r.endRead(ReadState{ID: read.id})
			}
		}
	}
	r.leader.reads, r.leader.deferredReads = nil, nil
}

// onReadIndexReply ends a read that this node has forwarded, and all that it has forwarded
// before: the leader's commit index has only grown since. No id repeats after a restart (see
// Config.FirstID), so the answer is not one to a read of an earlier run.
func (r *Raft) onReadIndexReply(m *ReadIndexReply) {
	forwarded := r.follower.forwardedReads
	for i, f := range forwarded {
		if f.id != m.ID {
			continue
		}
		for _, done := range forwarded[:i+1] {
			r.endRead(ReadState{ID: done.id, Index: m.Index, OK: true})
		}
		r.follower.forwardedReads = forwarded[i+1:]
		r.commitTo(m.Index)
		return
	}
}

func (r *Raft) failForwardedReads() {
	for _, f := range r.follower.forwardedReads {
		r.endRead(ReadState{ID: f.id})
	}
	r.follower.forwardedReads = nil
}

// tickForwardedReads gives up the reads that have waited for an election timeout. The latest
// one is sent again like a heartbeat, because it or its answer may be lost; its answer ends
// all that wait.
func (r *Raft) tickForwardedReads() {
	forwarded := r.follower.forwardedReads
	n := 0
	for i := range forwarded {
		f := &forwarded[i]
		if f.age++; f.age > r.cfg.ElectionTimeoutTicks {
			r.endRead(ReadState{ID: f.id})
			n++
		}
	}
	forwarded = forwarded[n:]
	r.follower.forwardedReads = forwarded
	if last := len(forwarded) - 1; last >= 0 && forwarded[last].age%r.cfg.HeartbeatTicks == 0 {
		r.send(&ReadIndex{Header: Header{To: r.leaderID}, ID: forwarded[last].id})
	}
}
