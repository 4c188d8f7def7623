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
}

func (t *transfer) abort() { t.to = None }

// TransferLeadership begins to hand leadership to a voter, or with None to the one
// whose log is furthest. That it succeeded shows when another leader is known.
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
	r.transfer.to, r.transfer.elapsed, r.transfer.due = to, 0, 0
	return nil
}

func (r *Raft) bestSuccessor() NodeID {
	var best *progress
	for _, p := range r.peers {
		switch {
		case !r.configuration().Voters.Contains(p.id) || !p.recentlyActive():
		case best == nil, p.match > best.match, p.match == best.match && p.active && !best.active:
			best = p
		}
	}
	if best == nil {
		return None
	}
	return best.id
}

// maybeSendTimeoutNow tells the successor to begin once it has everything.
func (r *Raft) maybeSendTimeoutNow() {
	if r.transfer.to == None {
		return
	}
	p := r.peer(r.transfer.to)
	if p == nil || p.match < r.log.last() || r.transfer.elapsed < r.transfer.due {
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
