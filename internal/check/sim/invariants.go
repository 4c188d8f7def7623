package sim

import (
	"bytes"
	"slices"
	"time"

	"balsa.example/internal/check/history"
	"balsa.example/internal/check/naive"
	"balsa.example/raft"
	"balsa.example/rsm"
)

type replica = rsm.Replica[*waiter]

// checker sees the whole cluster. After every step it checks the properties of Raft (paper,
// figure 3), the promises of this implementation about disks, leases and Submits, and that
// all replicas execute the same. Its own state machine, truth, executes each entry once, when
// a leader commits it first. All replicas are compared with it.
type checker struct {
	w *world

	views       []view // by id
	leaders     map[raft.Term]raft.NodeID
	leaderTerm  raft.Term // the highest that had a leader
	votes       map[ballot]raft.NodeID
	entries     map[entryID]entry // all that were ever in a log
	committed   []committed       // from index 1 on
	truth       *naive.Machine
	leaseGrants leaseGrants
	preVotes    preVotes
	leaseLives  leaseLives
	// logged and refused are commands of callers that are in the log, and that are certainly not.
	logged, refused map[string]bool

	confs          []confAt // that were committed
	ousted         map[raft.NodeID]ousted
	wereMembers    map[raft.NodeID]bool // ever
	changesRefused map[int]bool         // those of which certainly nothing came, by number

	waiters  uint64
	installs int
	counts   Counts
}

// view is what is known of one process of a node.
type view struct {
	// campaign is the one that the node has asked for votes for last, since campaignAt.
	campaign   raft.Campaign
	campaignAt Instant

	hard     raft.HardState
	role     raft.Role
	commit   raft.Index
	base     raft.Index // of the entry before log[0]
	baseTerm raft.Term
	log      []raft.Entry // durable or not
	// image is the index of the last snapshot that was begun, at imageAt.
	image    raft.Index
	imageAt  Instant
	applying raft.Index // the last that was given to the state machine
	// confs are the configurations of the log, the first one that at its base; the last of them,
	// newConfs, were appended in this turn.
	confs, newConfs []confAt
	// seenFirst, seenLast and seenDurable are those indexes of the status after the last turn, lastTerm the last entry's term
	// then, and full and late tell whether the log that was applied, or not on disk, was at its bound then.
	seenFirst, seenLast, seenDurable raft.Index
	lastTerm                         raft.Term
	full, late                       bool
}

type ballot struct {
	voter raft.NodeID
	term  raft.Term
}

// entryID identifies an entry. By log matching it identifies all entries before it too.
type entryID struct {
	index raft.Index
	term  raft.Term
}

type entry struct {
	prevTerm raft.Term
	kind     raft.EntryKind
	data     []byte
}

func newChecker(w *world) checker {
	return checker{
		w: w, views: make([]view, w.mix.Nodes()+1), truth: naive.New(truthLimits),
		leaseLives:  leaseLives{map[int64]*history.Lease{}, map[int64]bool{}},
		leaseGrants: newLeaseGrants(w.mix.Nodes()), preVotes: newPreVotes(w.mix.Nodes()), logged: map[string]bool{}, refused: map[string]bool{},
		confs: []confAt{{0, w.mix.configuration()}}, ousted: map[raft.NodeID]ousted{}, wereMembers: map[raft.NodeID]bool{}, changesRefused: map[int]bool{},
		leaders: map[raft.Term]raft.NodeID{}, votes: map[ballot]raft.NodeID{}, entries: map[entryID]entry{},
	}
}

func (k *checker) lastCommitted() raft.Index { return raft.Index(len(k.committed)) }

func (v *view) last() raft.Index { return v.base + raft.Index(len(v.log)) }

func (v *view) term(i raft.Index) (raft.Term, bool) {
	switch {
	case i == v.base:
		return v.baseTerm, true
	case i > v.base && i <= v.last():
		return v.log[i-v.base-1].Term, true
	}
	return 0, false
}

// started notes that a process of a node has started.
func (k *checker) started(n *node, s raft.State) {
	k.counts.Starts++
	k.views[n.id] = view{
		hard: s.HardState, commit: s.Snapshot.Index,
		base: s.Snapshot.Index, baseTerm: s.Snapshot.Term, log: slices.Clone(s.Entries),
		applying: s.Snapshot.Index, seenLast: s.Snapshot.Index + raft.Index(len(s.Entries)),
	}
	k.logMatching(n, s.Entries)
	k.preVotes.started(n)
	v := &k.views[n.id]
	k.beginConfs(n, v)
	k.snapshotConf(n, s.Snapshot)
	k.w.readAfterStart(n)
}

func (k *checker) stopped(n *node) { k.views[n.id].role = raft.Follower }

// turned is called after each turn of a node's loop, before its effects take place.
func (k *checker) turned(n *node, e *rsm.Effects[*waiter]) {
	v := &k.views[n.id]
	if p := e.Persist; p != nil {
		k.persistingConfs(n, v, p)
		k.persisting(n, v, p)
	}
	s := n.replica.OwnStatus()
	k.hardState(n, v, &s.Status)
	if s.Role == raft.Leader && v.role != raft.Leader && k.leaders[s.Term] == n.id {
		k.w.failf("election safety", "%s leads term %d again", n.id, s.Term) // package rsm rests on it: proposals.go
	}
	if s.Role == raft.Leader && k.leaders[s.Term] != n.id {
		k.elected(n, v, s.Term)
		k.votedForItself(n, s.Term)
		k.electedBy(n, v, s.Term)
	}
	if s.Alarm && k.w.diverging == nil {
		k.w.failf("false alarm", "%s finds that states differ", n.id)
	}
	rose := s.Commit > v.commit
	k.commitIndex(n, v, &s.Status)
	v.role = s.Role
	k.configurations(n, v, &s.Status)
	k.bounds(n, v, &s)
	k.appliedAtOnce(n, v, e, &s.Status)
	for _, m := range e.Messages {
		k.promise(n, v, m)
	}
	k.preVotes.turned(n, rose)
	k.leaseGrants.lease(n, s.Term, e.Lease)
	if e.TakeSnapshot != nil {
		k.snapshot(n, v, e.TakeSnapshot.Index, s.Snapshot.Index)
		k.snapshotConf(n, *e.TakeSnapshot)
	}
}

// snapshot checks that after a failed snapshot the next one is not begun at once, since
// each is expensive.
func (k *checker) snapshot(n *node, v *view, index, newest raft.Index) {
	const pause = 300 * time.Millisecond // 100 ticks of the fastest clock take longer
	if v.image > newest && k.w.now < v.imageAt+pause {
		k.w.failf("snapshot at once", "%s begins one at %d, %v after the one at %d, which has failed", n.id, index, k.w.now-v.imageAt, v.image)
	}
	v.image, v.imageAt = index, k.w.now
	k.counts.Snapshots++
}

// bounds checks the bounds of the log. A node whose applied log is at its bound takes no more
// entries until it is shorter. The same holds for the entries that wait for the disk. These
// are exceptions: what a new leader needs to commit its first entry is taken although the applied
// log is at its bound, and so is the end of a joint phase. A node that joins, and has not applied a
// configuration yet, can make no snapshot, so that its log has no bound of its own.
func (k *checker) bounds(n *node, v *view, s *rsm.Status) {
	grown := s.LastIndex > v.seenLast && len(v.log) > 0
	if grown {
		kind := v.log[len(v.log)-1].Kind
		grown = kind != raft.EntryNoop && kind != raft.EntryConfiguration
	}
	if v.full && s.FirstIndex == v.seenFirst && v.lastTerm == s.Term && grown || v.late && s.DurableIndex == v.seenDurable && grown {
		k.w.failf("log bound", "%s takes entries beyond %d: %s", n.id, v.seenLast, n.describe())
	}
	v.seenFirst, v.seenLast, v.seenDurable = s.FirstIndex, s.LastIndex, s.DurableIndex
	v.lastTerm, _ = v.term(s.LastIndex)
	v.full, v.late = false, false
	if bound := n.replica.MaxAppliedBytes(); bound > 0 && bound < unlimited && v.confAt(s.Applied).HasVoters() {
		v.full = v.bytes(s.FirstIndex, s.Applied) > int(bound)
	}
	if k.w.mix.MaxUnstable < unlimited {
		v.late = v.bytes(s.DurableIndex+1, s.LastIndex) > k.w.mix.MaxUnstable
	}
}

// bytes returns the size of the entries lo to hi.
func (v *view) bytes(lo, hi raft.Index) (size int) {
	for i := lo; i <= hi; i++ {
		size += v.log[i-v.base-1].Size()
	}
	return size
}

// appliedAtOnce checks that committed entries are given to the state machine at once,
// whichever disk is late.
func (k *checker) appliedAtOnce(n *node, v *view, e *rsm.Effects[*waiter], s *raft.Status) {
	if e.Restore != nil {
		v.applying = e.Restore.Index
	}
	if c := e.Commands; len(c) > 0 {
		v.applying = c[len(c)-1].Entry.Index
	}
	if n.witness {
		k.witnessTurned(n, v, e, s)
		return
	}
	if commit := s.Commit; v.applying != commit {
		k.w.failf("executed at once", "%s has committed %d, and executes up to %d", n.id, commit, v.applying)
	}
}

// hardState checks that the term never decreases, and that the vote never changes within a
// term.
func (k *checker) hardState(n *node, v *view, s *raft.Status) {
	was := v.hard
	if s.Term < was.Term || s.Term == was.Term && was.Vote != raft.None && was.Vote != s.Vote {
		k.w.failf("hard state", "%s goes from term %d vote %s to term %d vote %s", n.id, was.Term, was.Vote, s.Term, s.Vote)
	}
	v.hard = raft.HardState{Term: s.Term, Vote: s.Vote}
}

// persisting follows the changes of a node's log.
func (k *checker) persisting(n *node, v *view, p *raft.Persist) {
	if p.Snapshot != nil {
		v.base, v.baseTerm, v.log = p.Snapshot.Index, p.Snapshot.Term, nil
	}
	if len(p.Entries) == 0 {
		return
	}
	first := p.Entries[0].Index
	if first <= v.base || first > v.last()+1 {
		k.w.failf("log order", "%s persists from %d on; its log is %d to %d", n.id, first, v.base+1, v.last())
	}
	if first <= v.commit {
		k.w.failf("log order", "%s overwrites %d, and has committed to %d", n.id, first, v.commit)
	}
	if v.role == raft.Leader && first <= v.last() && v.hard.Term == n.replica.OwnStatus().Term {
		k.w.failf("leader append-only", "%s leads term %d, and overwrites %d of %d", n.id, v.hard.Term, first, v.last())
	}
	v.log = append(v.log[:first-v.base-1], p.Entries...)
	k.logMatching(n, p.Entries)
}

// logMatching checks that an index and a term identify an entry and the term of the entry
// before it, and so by induction all entries before it (paper, figure 3).
func (k *checker) logMatching(n *node, entries []raft.Entry) {
	v := &k.views[n.id]
	for _, e := range entries {
		prev, ok := v.term(e.Index - 1)
		if !ok {
			k.w.failf("log order", "%s has %d with nothing before it", n.id, e.Index)
		}
		id := entryID{e.Index, e.Term}
		known, ok := k.entries[id]
		if !ok {
			k.entries[id] = entry{prev, e.Kind, e.Data}
		} else if known.prevTerm != prev || known.kind != e.Kind || !bytes.Equal(known.data, e.Data) {
			k.w.failf("log matching", "%s holds %s behind term %d; elsewhere it is %s %q behind term %d",
				n.id, e, prev, known.kind, known.data, known.prevTerm)
		}
	}
}

// elected checks that a term has one leader, and that its log has all entries that were
// committed in earlier terms (paper, figure 3). By log matching it is enough to look at the
// last of them.
func (k *checker) elected(n *node, v *view, term raft.Term) {
	if other, ok := k.leaders[term]; ok {
		k.w.failf("election safety", "%s and %s lead term %d", other, n.id, term)
	}
	k.leaders[term] = n.id
	k.leaderTerm = max(k.leaderTerm, term)
	k.counts.Elections++
	if n.witness {
		k.counts.LedByWitness++
	}
	k.w.trace.numbers(k.w.now, n.id, "leads", uint64(term), uint64(v.last()))
	k.w.after(1, k.w.readFromOldLeaders)
	for i := len(k.committed); i > 0; i-- {
		c := &k.committed[i-1]
		if c.in >= term {
			continue
		}
		if have, ok := v.term(c.entry.Index); c.entry.Index > v.base && (!ok || have != c.entry.Term) {
			k.w.failf("leader completeness", "%s leads term %d without %s, committed in term %d", n.id, term, c.entry, c.in)
		}
		return
	}
}

// votedForItself checks that the leader's own vote, which it has counted, is durable.
func (k *checker) votedForItself(n *node, term raft.Term) {
	if n.disk.hard.Term < term {
		k.w.failf("promise", "%s leads term %d, and its own vote is not on disk", n.id, term)
	}
	k.vote(n, term, n.id)
}

// commitIndex checks that the commit index never decreases, and that two nodes commit the
// same entry at an index.
func (k *checker) commitIndex(n *node, v *view, s *raft.Status) {
	if s.Commit < v.commit {
		k.w.failf("commit monotonic", "%s goes back from %d to %d", n.id, v.commit, s.Commit)
	}
	if s.Commit == v.commit {
		return
	}
	if s.Commit > k.lastCommitted() {
		if s.Role != raft.Leader && v.role != raft.Leader {
			k.w.failf("commit", "%s follows to %d, and nobody has committed beyond %d", n.id, s.Commit, k.lastCommitted())
		}
		k.committing(n, v, s)
	}
	for i := max(v.commit, v.base) + 1; i <= s.Commit; i++ {
		if want, have := k.committed[i-1].entry.Term, v.log[i-v.base-1].Term; want != have {
			k.w.failf("state machine safety", "%s commits %d of term %d; elsewhere it is of term %d", n.id, i, have, want)
		}
	}
	v.commit = s.Commit
}

// committing notes entries that a leader is the first to commit. It checks that a quorum has
// them on disk, and that the last of them is of the leader's own term (paper, 5.4.2).
func (k *checker) committing(n *node, v *view, s *raft.Status) {
	in := s.Term
	if s.Role != raft.Leader { // it has just stepped down
		in, _ = v.term(s.Commit)
	}
	for i := k.lastCommitted() + 1; i <= s.Commit; i++ {
		k.commit(v.log[i-v.base-1], in)
	}
	last := k.committed[s.Commit-1].entry
	if last.Term != in {
		k.w.failf("figure 8", "%s leads term %d and commits %s by counting", n.id, in, last)
	}
	if !k.onQuorum(v, last) {
		k.w.failf("durability", "%s commits %d, which is not on the disks of a majority of %s", n.id, last.Index, v.latest())
	}
}

// promise checks that no message leaves before what it promises is on disk (paper,
// figure 2), which is what a crash would leave now.
func (k *checker) promise(n *node, v *view, m raft.Message) {
	h, d := m.Head(), &n.disk.model
	if r, ok := m.(*raft.RequestVote); ok {
		k.leaseGrants.campaign(n, r)
		k.campaigns(n, v, r)
		return // it promises nothing
	}
	if _, ok := m.(*raft.Propose); ok {
		return // a question too
	}
	if h.Term > d.hard.Term {
		k.w.failf("promise", "%s speaks in term %d, on disk is %d: %s", n.id, h.Term, d.hard.Term, m)
	}
	switch m := m.(type) {
	case *raft.RequestVoteReply:
		if m.Granted {
			k.vote(n, h.Term, h.To)
			k.leaseGrants.vote(n, ballot{h.To, h.Term})
		}
	case *raft.PreVoteReply:
		if m.Granted {
			k.preVotes.granted(n, v.hard.Term, h.To)
		}
	case *raft.TimeoutNow:
		if k.w.node(h.To).witness {
			k.w.failf("witness serves", "%s hands leadership to %s", n.id, h.To)
		}
		k.leaseGrants.timeoutNow(m)
	case *raft.AppendEntriesReply:
		k.leaseGrants.grant(n, m)
		if h.Term < v.hard.Term || m.Match <= d.snapshot.Index {
			return // the entries may have been overwritten since, or are in the snapshot
		}
		onDisk, ok := d.term(m.Match)
		inMemory, held := v.term(m.Match)
		if !ok || held && onDisk != inMemory {
			k.w.failf("promise", "%s acknowledges %d of term %d; on disk it is of term %d", n.id, m.Match, inMemory, onDisk)
		}
	}
}

// vote checks that each node votes once in a term, also if it crashes in between.
func (k *checker) vote(n *node, term raft.Term, candidate raft.NodeID) {
	b := ballot{n.id, term}
	if was, ok := k.votes[b]; ok && was != candidate {
		k.w.failf("one vote", "%s votes for %s and %s in term %d", n.id, was, candidate, term)
	}
	k.votes[b] = candidate
	if d := n.disk.hard; d.Term == term && d.Vote != candidate {
		k.w.failf("promise", "%s votes for %s in term %d, which is not on disk", n.id, candidate, term)
	}
}

// ended checks the result that a waiter gets.
func (k *checker) ended(n *node, x *waiter, err error) {
	switch {
	case x.offer:
	case n.witness && err == nil:
		k.w.failf("witness serves", "%s answers %q, mode %d, change %d", n.id, x.data, x.mode, x.change)
	case x.change > 0:
		k.changeEnded(n, x, err)
	case !x.read:
		k.submitEnded(n, x, err)
	case err == nil:
		k.readEnded(n, x)
	}
}

// readEnded checks that a read reflects all that was committed anywhere when it began. A read
// that is served at once is served by a lease: then no other node may lead.
func (k *checker) readEnded(n *node, x *waiter) {
	k.counts.Reads++
	if n.applier.Index() < x.floor {
		k.w.failf("stale read", "%s reads at %d; %d was committed before (mode %d)", n.id, n.applier.Index(), x.floor, x.mode)
	}
	if x.mode == raft.ReadByLease && x.asked == k.w.events {
		k.counts.LeaseReads++
		if term := k.views[n.id].hard.Term; term < k.leaderTerm {
			k.w.failf("leases overlap", "%s reads by its lease of term %d, and %s leads term %d",
				n.id, term, k.leaders[k.leaderTerm], k.leaderTerm)
		}
	}
}

// finalHash is that of the state after all that was committed.
func (k *checker) finalHash() uint64 {
	if len(k.committed) == 0 {
		return 0
	}
	return k.committed[len(k.committed)-1].hash
}

// converged tells whether all nodes that have a disk are in the same state, and none waits
// for anything.
func (k *checker) converged() bool {
	for _, n := range k.w.members() {
		if n.fatal || n.waitsForFullVoter() {
			continue
		}
		if !n.up() || len(n.waiting) > 0 || n.reached() != k.lastCommitted() || !n.witness && n.machine.Hash() != k.finalHash() {
			return false
		}
		s := n.replica.OwnStatus()
		keeps := n.witness && k.w.anyFatal() // what a full voter lacks
		if s.LastIndex != k.lastCommitted() || s.Applied != s.LastIndex && !keeps || s.DurableIndex != s.LastIndex || s.Pending > 0 {
			return false
		}
	}
	return true
}
