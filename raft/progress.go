package raft

// progressState says how a leader sends to one peer.
type progressState uint8

const (
	// probe: it is not known where the logs agree; one append at a time looks for it.
	probe progressState = iota
	// replicate: appends follow each other without waiting, within the window.
	replicate
	// snapshot: a snapshot is on its way, and entries wait for it.
	snapshot
	// lost: it has lost entries that it had acknowledged, and counts for nothing.
	lost
)

func (s progressState) String() string {
	return [...]string{"probe", "replicate", "snapshot", "lost"}[s]
}

// progress is what a leader knows of one other member.
//
// match < next: everything up to match is known to be durable there; next is the
// first entry that has not been sent, or is to be sent again.
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
	// matchRound is the last round that was begun when match was acknowledged.
	matchRound Round
	// suspectedRound, if above 0, is the round that a quorum has to acknowledge before p is shut out.
	suspectedRound Round
	// ackedRound is the highest acknowledged. leaseUntil is how long p has granted a lease, by
	// the leader's clock.
	ackedRound Round
	leaseUntil Instant
	// sentRound is the highest that was sent.
	sentRound Round
}

// recentlyActive does not change with the quorum check itself: just after it nobody has
// been heard, and everybody is still there.
func (p *progress) recentlyActive() bool { return p.active || p.wasActive }

// becomeProbe looks for the agreement of the logs from next on downwards.
func (p *progress) becomeProbe(next Index) {
	p.state, p.next = probe, max(next, p.match+1)
	p.probeSent, p.snapshotFailed, p.window = false, false, window{}
}

func (p *progress) becomeReplicate() {
	p.state, p.probeSent, p.snapshotFailed = replicate, false, false
	p.next = max(p.next, p.match+1)
}

func (p *progress) becomeSnapshot() {
	p.state, p.probeSent, p.snapshotFailed, p.window = snapshot, false, false, window{}
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
