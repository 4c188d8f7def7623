package raft

// This file is the leader's side of replication: AppendEntries and its answers. What a leader
// may send to a peer is said by the state of its progress.

// sendAppends sends p the entries that it may get now. A round that p has not seen travels with
// them, or alone in an empty append. So does a new commit index, if nothing is on its way to p and it
// is due: see commitDue.
func (r *Raft) sendAppends(p *progress) {
	if p.state != snapshot && p.state != lost && p.next <= r.log.base {
		p.becomeSnapshot()
		if p.snapshotFailed = !r.maySendSnapshot(p); !p.snapshotFailed {
			r.effects.Snapshots = append(r.effects.Snapshots, Header{From: r.id, To: p.id, Term: r.term})
		}
	}
	sent := false
	for p.next <= r.log.last() && p.maySend(&r.cfg) {
		entries := r.log.sliceBytes(p.next, r.cfg.MaxAppendBytes)
		r.sendAppend(p, p.next-1, entries)
		sent = true
	}
	if sent || p.sentRound == r.leader.round && !r.commitDue(p) {
		return
	}
	switch p.state {
	case snapshot, lost: // only the round matters; base is an index whose term is known
		r.sendAppend(p, r.log.base, nil)
	default:
		r.sendAppend(p, p.next-1, nil)
	}
}

// commitDue tells whether p is to learn the commit index although there is nothing else to send. It
// would hear of it with the next heartbeat, but clients of p may wait: for what p has forwarded, and
// for what they watch. Where p has forwarded something it is told as soon as the leader has executed
// it, and so has answered its own clients. Otherwise p is told a tick later. While there are writes
// an append carries it by then.
func (r *Raft) commitDue(p *progress) bool {
	idle := p.state == replicate && len(p.window.appends) == 0
	return idle && (p.sentCommit < r.leader.dueCommit || p.sentCommit < min(p.forwarded, r.applied))
}

func (r *Raft) sendAppend(p *progress, prev Index, entries []Entry) {
	term, ok := r.log.term(prev)
	if !ok {
		failf("%s: no term for %d before %s's next %d; the log is %d to %d", r.id, prev, p.id, p.next, r.log.base+1, r.log.last())
	}
	r.send(&AppendEntries{
		Header: Header{To: p.id}, PrevIndex: prev, PrevTerm: term, Entries: entries, Commit: r.commit, Round: r.leader.round,
	})
	p.sentRound, p.sentCommit = r.leader.round, r.commit
	last := prev + Index(len(entries))
	switch {
	case p.state == probe && !p.probeSent:
		p.probePrev, p.probeSent, p.next = prev, true, last+1
	case p.state == replicate && len(entries) > 0:
		p.next = last + 1
		p.window.add(last, r.log.bytes(prev+1, last))
	}
}

// recordAck notes that p still follows this leader, and the round that it acknowledges.
func (r *Raft) recordAck(p *progress, round Round) {
	p.active = true
	if round > p.ackedRound {
		assertf(round <= r.leader.round, "%s: %s acknowledges round %d of %d", r.id, p.id, round, r.leader.round)
		p.ackedRound = round
		r.finishReads()
	}
}

func (r *Raft) onAppendEntriesReply(m *AppendEntriesReply) {
	p := r.peer(m.From)
	if p == nil {
		return // not a member any more
	}
	if m.Match > r.log.last() {
		r.stepDown()
		return
	}
	if p.state == lost {
		r.shutOut(p)
		return
	}
	r.recordAck(p, m.Round)
	p.clearSuspicion(m)
	r.extendLease(p, m)
	advanced := m.Match > p.match
	if advanced {
		p.match, p.matchRound = m.Match, r.leader.round
		p.window.release(m.Match)
	}
	switch p.state {
	case probe:
		// The logs agree up to the probe's PrevIndex. Entries that it carried may not be on the
		// peer's disk yet, or the peer had no room for them (see congested) and gets them again
		// with the next heartbeat.
		//
		// An acknowledgement of any of these entries ends the probe. To demand all of them would
		// end no probe where the disk or the network takes longer than a heartbeat: by the time
		// of the answer the probe has been repeated with more entries.
		if p.match+1 >= p.next || p.probeSent && p.match > p.probePrev {
			p.becomeReplicate()
		}
	case replicate:
		p.next = max(p.next, p.match+1)
	case snapshot:
		if p.match >= r.log.base {
			p.becomeProbe(p.match + 1)
		}
	}
	if advanced {
		r.maybeCommit()
	}
}

// onAppendEntriesReject goes back to where the logs may agree: to the end of the follower's
// log, or past a whole term that differs (paper, 5.3).
func (r *Raft) onAppendEntriesReject(m *AppendEntriesReject) {
	p := r.peer(m.From)
	if p == nil {
		return
	}
	if p.state == lost {
		r.shutOut(p)
		return
	}
	r.recordAck(p, m.Round)
	switch {
	case p.provesLoss(m):
		r.suspect(p)
		return
	case m.PrevIndex > r.log.last(): // of an append that this leader never sent: the peer is faulty
		return
	case m.PrevIndex <= p.match: // a late reject: the peer has acknowledged this entry since
		return
	case p.state == snapshot:
		return
	case p.state == probe && (!p.probeSent || m.PrevIndex != p.probePrev): // of an earlier probe
		return
	}
	next := m.ConflictIndex
	if m.ConflictTerm != 0 {
		if last := r.log.lastOfTerm(m.ConflictTerm, m.PrevIndex); last > r.log.base && r.log.matches(last, m.ConflictTerm) {
			next = last + 1
		}
	}
	p.becomeProbe(min(next, m.PrevIndex))
}

// SnapshotSent answers a header of Effects.Snapshots. If ok, the peer has stored the snapshot
// that ends at index. Otherwise it has not, and the next heartbeat tries again.
func (r *Raft) SnapshotSent(to NodeID, index Index, ok bool) {
	p := r.peer(to)
	if p == nil || p.state != snapshot {
		return
	}
	switch {
	case !ok:
		p.snapshotFailed = true
	case index > r.log.last():
		r.stepDown()
	default:
		p.becomeProbe(index + 1)
	}
}
