package raft

// transfer is the handing over of leadership (thesis 3.10): the leader takes no
// more proposals, brings its successor up to date, and tells it to start an
// election at once. It is given up after an election timeout.
type transfer struct {
	to NodeID
	// elapsed counts the ticks since it began, and due is the one at which TimeoutNow is
	// sent next; it may be lost.
	elapsed, due int
	// timeoutNowSent is true from then on for the whole term, even if the transfer was
	// given up.
	timeoutNowSent bool
	// pause counts the ticks until another may begin, after one that was given up.
	pause int
}

// transferPause is how many election timeouts pass after a transfer was given up until
// another may begin: while one goes on no proposals are taken, and nobody shall be able to
// stop them by asking again and again.
const transferPause = 10

// TransferLeadership begins to hand leadership to a voter, or with None to the one
// whose log is furthest. That it succeeded shows when another leader is known; that it was
// given up, when Status says nothing of it any more. To ask again for what is going on
// changes nothing.
func (r *Raft) TransferLeadership(to NodeID) error {
	if r.role != Leader {
		return ErrNotLeader
	}
	if to == None {
		to = r.bestSuccessor()
	}
	if to == r.id || !r.configuration().Voters.Contains(to) {
		return ErrNotVoter
	}
	switch p := r.peer(to); {
	case r.transfer.to == to:
		return nil
	case r.transfer.to != None:
		return ErrTransferring
	case r.transfer.pause > 0:
		return ErrTransferFailed
	case !r.maySucceed(p):
		return ErrNotCaughtUp
	}
	r.transfer.to, r.transfer.elapsed, r.transfer.due = to, 0, 0
	return nil
}

// maySucceed tells whether p is there, and lacks no more than can be under way to it: it
// must be brought up to date within an election timeout.
func (r *Raft) maySucceed(p *progress) bool {
	return p.recentlyActive() && p.trusted() && p.state != snapshot && p.next > r.log.base &&
		r.log.bytes(p.match+1, r.log.last()) <= r.cfg.MaxInflightBytes
}

func (r *Raft) bestSuccessor() NodeID {
	var best *progress
	for _, p := range r.peers {
		switch {
		case !r.configuration().Voters.Contains(p.id) || !r.maySucceed(p):
		case best == nil, p.match > best.match, p.match == best.match && p.active && !best.active:
			best = p
		}
	}
	if best == nil {
		return None
	}
	return best.id
}

// tickTransfer gives up a transfer that takes too long, and ends the pause after that.
func (r *Raft) tickTransfer() {
	t := &r.transfer
	if t.to == None {
		t.pause = max(0, t.pause-1)
		return
	}
	if t.elapsed++; t.elapsed >= r.cfg.ElectionTimeoutTicks {
		r.giveUpTransfer()
	}
}

func (r *Raft) giveUpTransfer() {
	r.transfer.to, r.transfer.pause = None, transferPause*r.cfg.ElectionTimeoutTicks
}

// maybeSendTimeoutNow tells the successor to begin once it has everything.
func (r *Raft) maybeSendTimeoutNow() {
	if r.transfer.to == None {
		return
	}
	p := r.peer(r.transfer.to)
	if p == nil || !p.trusted() || p.match < r.log.last() || r.transfer.elapsed < r.transfer.due {
		return
	}
	r.transfer.due = r.transfer.elapsed + r.cfg.HeartbeatTicks
	r.transfer.timeoutNowSent = true
	r.send(&TimeoutNow{Header: Header{To: p.id}})
}

// onTimeoutNow starts an election without asking for pre-votes: the leader wants it.
func (r *Raft) onTimeoutNow(m *TimeoutNow) {
	if r.isVoter() {
		r.startElection(true)
	}
}
