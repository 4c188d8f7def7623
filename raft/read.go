package raft

// ReadMode says what a linearizable read stands on.
type ReadMode uint8

const (
	// ReadByIndex asks a quorum whether this node still leads (thesis 6.4). It
	// assumes nothing about clocks.
	ReadByIndex ReadMode = iota
	// ReadByLease trusts the leader's lease where there is one (thesis 6.4.1), and
	// falls back to ReadByIndex.
	ReadByLease
)

// pendingRead waits on the leader for a quorum to acknowledge round.
type pendingRead struct {
	id    ReadID
	from  NodeID // who asked
	index Index
	round Round
}

// forwardedRead waits on another node for the leader's answer.
type forwardedRead struct {
	id  ReadID
	age int // ticks
}

// maxReads bounds the reads that wait here, those that were begun here and those that
// others asked for. Who asked may ask again.
const maxReads = 1 << 12

// ReadIndex begins a linearizable read; its end comes in Effects.Reads under the
// ReadID returned. now is what the clock shows after the read was asked for.
func (r *Raft) ReadIndex(now Instant, mode ReadMode) (ReadID, error) {
	r.now = max(r.now, now)
	id := r.nextReadID
	if r.role != Leader && r.leader == None {
		return 0, ErrNoLeader
	}
	if len(r.reads)+len(r.deferredReads)+len(r.forwardedReads) >= maxReads {
		return 0, ErrManyReads
	}
	r.nextReadID++
	if r.role != Leader {
		r.forwardedReads = append(r.forwardedReads, forwardedRead{id: id})
		r.send(&ReadIndex{Header: Header{To: r.leader}, ID: id})
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
	if len(r.reads)+len(r.deferredReads) >= maxReads {
		return // it is asked again
	}
	r.startRead(pendingRead{id: m.ID, from: m.From})
}

// startRead notes the commit index now and asks for a round that begins after now.
// Before the first commit of its own term a leader does not know how far the
// committed entries reach, and the read waits for that (thesis 6.4, step 1).
func (r *Raft) startRead(read pendingRead) {
	if !r.committedOwnTerm() {
		r.deferredReads = append(r.deferredReads, read)
		return
	}
	read.index, read.round = r.commit, r.round+1
	r.reads = append(r.reads, read)
	r.roundWanted = true
}

// committedOwnTerm: the last committed entry is of the term of this leader.
func (r *Raft) committedOwnTerm() bool { return r.log.matches(r.commit, r.term) }

func (r *Raft) startDeferredReads() {
	early := r.deferredReads
	r.deferredReads = nil
	for _, read := range early {
		r.startRead(read)
	}
}

// finishReads answers the reads whose round a quorum has acknowledged.
func (r *Raft) finishReads() {
	if len(r.reads) == 0 {
		return
	}
	round := r.acknowledgedRound()
	n := 0
	for n < len(r.reads) && r.reads[n].round <= round {
		r.answerRead(r.reads[n])
		n++
	}
	r.reads = r.reads[n:]
}

// acknowledgedRound is the last round that a quorum has acknowledged.
func (r *Raft) acknowledgedRound() Round {
	return Round(r.configuration().Voters.QuorumValue(func(id NodeID) uint64 {
		if id == r.id {
			return uint64(r.round)
		}
		if p := r.peer(id); p != nil {
			return uint64(p.ackedRound)
		}
		return 0
	}))
}

func (r *Raft) answerRead(read pendingRead) {
	if read.from == r.id {
		r.readsDone = append(r.readsDone, ReadState{ID: read.id, Index: read.index, OK: true})
		return
	}
	r.send(&ReadIndexReply{Header: Header{To: read.from}, ID: read.id, Index: read.index})
}

// failReads ends the reads of a leader that leads no more. Those that others asked
// for run out on their side.
func (r *Raft) failReads() {
	for _, reads := range [][]pendingRead{r.reads, r.deferredReads} {
		for _, read := range reads {
			if read.from == r.id {
				r.readsDone = append(r.readsDone, ReadState{ID: read.id})
			}
		}
	}
	r.reads, r.deferredReads = nil, nil
}

// onReadIndexReply ends a read that this node asked for, and all that it asked for
// before: the leader's commit index has not gone back since. The id is from this life
// of the node, since ids begin at a random number.
func (r *Raft) onReadIndexReply(m *ReadIndexReply) {
	for i, f := range r.forwardedReads {
		if f.id != m.ID {
			continue
		}
		for _, done := range r.forwardedReads[:i+1] {
			r.readsDone = append(r.readsDone, ReadState{ID: done.id, Index: m.Index, OK: true})
		}
		r.forwardedReads = r.forwardedReads[i+1:]
		r.commitTo(m.Index)
		return
	}
}

func (r *Raft) failForwardedReads() {
	for _, f := range r.forwardedReads {
		r.readsDone = append(r.readsDone, ReadState{ID: f.id})
	}
	r.forwardedReads = nil
}

// tickForwardedReads gives up on answers that are long overdue; they come in order
// of age. The latest is asked for again like a heartbeat, since it or its answer may
// be lost, and its answer serves all.
func (r *Raft) tickForwardedReads() {
	n := 0
	for i := range r.forwardedReads {
		f := &r.forwardedReads[i]
		if f.age++; f.age > r.cfg.ElectionTimeoutTicks {
			r.readsDone = append(r.readsDone, ReadState{ID: f.id})
			n++
		}
	}
	r.forwardedReads = r.forwardedReads[n:]
	if last := len(r.forwardedReads) - 1; last >= 0 && r.forwardedReads[last].age%r.cfg.HeartbeatTicks == 0 {
		r.send(&ReadIndex{Header: Header{To: r.leader}, ID: r.forwardedReads[last].id})
	}
}
