package raft

// progressState says how a leader sends to one peer.
type progressState uint8

const (
	// probe: it is not known where the logs agree. One append at a time looks for that.
	probe progressState = iota
	// replicate: appends follow each other without waiting, within the window.
	replicate
	// snapshot: a snapshot is on its way, and entries wait for it.
	snapshot
	// lost: the peer has lost entries that it had acknowledged, and counts for nothing (see
	// ErrLostLog).
	lost
)

func (s progressState) String() string {
	return [...]string{"probe", "replicate", "snapshot", "lost"}[s]
}

// progress is what a leader knows of one peer.
//
// match < next: everything up to match is known to be durable there; next is the first entry
// that has not been sent, or is to be sent again.
type progress struct {
	id    NodeID
	state progressState
	match Index
	next  Index
	// probeSent tells, in the state probe, that a probe is under way, and probePrev is its
	// PrevIndex.
	probeSent bool
	probePrev Index
	// snapshotFailed tells, in the state snapshot, that sending it has failed: the next
	// heartbeat tries again.
	snapshotFailed bool
	// window is what was sent in the state replicate and is not acknowledged.
	window window
	// active: heard from since the last quorum check; wasActive: between the two before.
	active, wasActive bool
	// declined: a transfer of leadership to it was given up in this term.
	declined bool
	// matchRound is the last round that was begun when match was acknowledged.
	matchRound Round
	// suspectedRound, if above 0, says that p may have lost entries (see suspect): p is shut
	// out if a quorum acknowledges this round and p still lacks them.
	suspectedRound Round
	// sentRound is the highest that was sent to p, ackedRound the highest that p acknowledged.
	sentRound, ackedRound Round
	// sentCommit is the latest commit index that was sent to p, forwarded the last entry that p has
	// forwarded: see Raft.commitDue.
	sentCommit, forwarded Index
	// leaseUntil is how long p has granted a lease, by the leader's clock.
	leaseUntil Instant
	catchUp    catchUp
	// witness tells that p is a witness, also where the latest configuration does not have it any more:
	// that may be taken back. witnessFull: it has no room for more.
	witness, witnessFull bool
	removed              removal
}

// recentlyActive tells whether p was heard from lately. Right after a quorum check no peer is
// active, so what was so before the check counts as well.
func (p *progress) recentlyActive() bool { return p.active || p.wasActive }

// become enters a state with nothing under way.
func (p *progress) become(s progressState) {
	p.state, p.probeSent, p.snapshotFailed, p.window = s, false, false, window{}
}

// becomeProbe looks for the agreement of the logs from next on downwards.
func (p *progress) becomeProbe(next Index) {
	p.become(probe)
	p.next = max(next, p.match+1)
}

func (p *progress) becomeReplicate() {
	p.become(replicate)
	p.next = max(p.next, p.match+1)
}

func (p *progress) becomeSnapshot() { p.become(snapshot) }

// maySend tells whether entries may go to p now.
func (p *progress) maySend(cfg *Config) bool {
	switch p.state {
	case probe:
		return !p.probeSent
	case replicate:
		return !p.window.full(cfg)
	default:
		return false
	}
}

// retry is called with each heartbeat, and repeats what has failed or may be lost.
func (p *progress) retry() {
	switch {
	case p.state == probe && p.probeSent: // the probe or its answer may be lost
		p.next, p.probeSent = p.probePrev+1, false
	case p.state == snapshot && p.snapshotFailed:
		p.becomeProbe(p.match + 1)
	}
}

// window bounds what is under way to a peer, in appends and in bytes.
type window struct {
	appends []sentAppend
	bytes   int
}

type sentAppend struct {
	last  Index
	bytes int
}

func (w *window) full(cfg *Config) bool {
	return len(w.appends) >= cfg.MaxInflightAppends || w.bytes >= cfg.MaxInflightBytes
}

func (w *window) add(last Index, bytes int) {
	w.appends = append(w.appends, sentAppend{last, bytes})
	w.bytes += bytes
}

// release frees what match acknowledges.
func (w *window) release(match Index) {
	n := 0
	for n < len(w.appends) && w.appends[n].last <= match {
		w.bytes -= w.appends[n].bytes
		n++
	}
	w.appends = w.appends[n:]
}
