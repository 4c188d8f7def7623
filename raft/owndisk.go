package raft

// diskWatch lets a leader notice that its own disk is worse than a follower's. It
// compares them over one election timeout after the other.
type diskWatch struct {
	// elapsed counts the ticks of the present period, and is negative in a pause.
	elapsed int
	// mark is where the log ended when the period began.
	mark Index
	// full counts the ticks since the log has been full (see LimitLog).
	full int
	// ahead are the peers that had everything up to mark on disk by the middle of the period.
	ahead []*progress
}

// ownDiskPause is how many election timeouts pass after a leader has begun to hand over
// because of its disk until it compares again: if nobody took over, writes shall not be
// held up over and over.
const ownDiskPause = 10

// fullLogTimeouts is after how many election timeouts a log that waits for its snapshot is
// a reason to hand over. A snapshot takes long on a healthy disk too, and the followers
// write theirs at about the same time.
const fullLogTimeouts = 4

// watchOwnDisk hands leadership over when the own disk is overdue and another voter's
// is not. A leader does not need its own disk to commit (thesis 10.2.1), but while that
// hangs the cluster bears one failure less, and what waits for it has a bound.
//
// Overdue is what was to be written before the period began and is not on disk at its end,
// and the snapshot for which a full log has waited long. A voter that had all of the
// log by the middle of the period is better, and not by chance; where all disks are equally
// slow nobody is, and leadership stays.
func (r *Raft) watchOwnDisk() {
	w := &r.ownDisk
	if w.elapsed == 0 {
		w.mark, w.ahead = r.log.last(), w.ahead[:0]
	}
	w.elapsed++
	if w.full++; !r.logFull() {
		w.full = 0
	}
	switch w.elapsed {
	case r.cfg.ElectionTimeoutTicks / 2:
		for _, p := range r.peers {
			if p.match >= w.mark && r.configuration().Voters.Contains(p.id) {
				w.ahead = append(w.ahead, p)
			}
		}
	case r.cfg.ElectionTimeoutTicks:
		w.elapsed = 0
		if r.log.stable < w.mark || w.full >= fullLogTimeouts*r.cfg.ElectionTimeoutTicks {
			r.yieldTo(w.ahead)
		}
	}
}

// yieldTo begins to hand over to the one of these that is there and has most.
func (r *Raft) yieldTo(peers []*progress) {
	var best *progress
	for _, p := range peers {
		if p.recentlyActive() && (best == nil || p.match > best.match) {
			best = p
		}
	}
	if best != nil && r.transfer.to == None && r.TransferLeadership(best.id) == nil {
		r.ownDisk.elapsed = -ownDiskPause * r.cfg.ElectionTimeoutTicks
	}
}
