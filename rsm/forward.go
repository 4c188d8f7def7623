//balsa:pure

package rsm

import (
	"cmp"
	"encoding/binary"
	"slices"

	"balsa.example/raft"
)

// A replica that does not lead can forward a Submit to the leader:
//
//  1. It sends the operation to the leader of its term, in a Propose, under a name that no
//     other operation has.
//  2. The leader proposes it. The entry holds the name, so that the replica knows its own
//     operation when that is committed. The result is what its own state machine returns, so
//     that no result has to be encoded.
//  3. The leader's ProposeReply says that it has proposed the operation, with index and term
//     of the entry, or that it never will. From then on the replica waits for that entry as
//     for one of its own.
//
// Messages may be lost, repeated, delayed and reordered. An operation is executed at most
// once all the same, since the leader recognizes a repeated Propose: see proposals.go. A
// replica that gets no answer sends the same message again. It can often do without one:
//
//   - When the entry is committed, the replica finds the name in it.
//   - When an entry of a later term is committed, no further entry of the leader that was
//     asked ever will be. If none had the name, the operation is never executed.
//   - If neither happens for forwardTimeouts, or if a snapshot takes the place of entries that
//     may have had the name, the outcome is ErrUnknown.

// Operation returns the operation in an entry, as a Codec takes it; false if the entry holds
// none.
func Operation(e raft.Entry) (data []byte, ok bool) {
	if e.Kind == raft.EntryCommand {
		return e.Data, true
	}
	_, data, ok = cutName(e)
	return data, ok
}

// maxNameBytes is how much longer an entry is than the operation that was forwarded.
const maxNameBytes = 2 * binary.MaxVarintLen64

// appendName returns the data of an entry of kind EntryForwarded: the name as two unsigned
// varints, and the operation.
func appendName(name proposalName, op []byte) []byte {
	data := make([]byte, 0, maxNameBytes+len(op))
	data = binary.AppendUvarint(data, uint64(name.from))
	data = binary.AppendUvarint(data, uint64(name.id))
	return append(data, op...)
}

// cutName is the inverse of appendName; false if e is of another kind.
func cutName(e raft.Entry) (name proposalName, op []byte, ok bool) {
	if e.Kind != raft.EntryForwarded {
		return name, nil, false
	}
	from, n := binary.Uvarint(e.Data)
	id, m := binary.Uvarint(e.Data[max(n, 0):])
	if n <= 0 || m <= 0 {
		return name, nil, false
	}
	return proposalName{raft.NodeID(from), raft.ProposalID(id)}, e.Data[n+m:], true
}

// forwards are the operations that were sent to a leader which has not answered yet.
type forwards[W any] struct {
	nextID raft.ProposalID
	list   []forward[W] // by rising ID: the oldest is first
	bytes  int          // the size of the operations in list
}

type forward[W any] struct {
	message *raft.Propose
	waiter  W
	ticks   int // since message was sent first
}

// Bounds on forwards. A single operation may be larger. A replica refuses an operation rather
// than to lose it on the way to the leader, where its outcome would be unknown. So what one
// replica has under way fits into the half of a Transport's queue (see transport.Limits) and of
// the leader's inbox (see maxInboxMessages) that operations may take up. If many replicas fill
// that inbox at once, they send again what was dropped.
const (
	maxForwards     = 1 << 11
	maxForwardBytes = 16 << 20
)

const (
	// forwardTimeouts is for how many election timeouts a replica waits for an answer. After
	// that there is another leader, and it has committed an entry, if that is possible.
	forwardTimeouts = 4
	// sendsPerTimeout is how often it sends the Propose in an election timeout.
	sendsPerTimeout = 2
)

func (f *forwards[W]) add(m *raft.Propose, w W) {
	m.ID = f.nextID
	f.nextID++
	f.list = append(f.list, forward[W]{message: m, waiter: w})
	f.bytes += len(m.Data)
}

// answered removes the operation that m answers, and returns its waiter.
func (f *forwards[W]) answered(m *raft.ProposeReply) (w W, ok bool) {
	if i := f.find(m.ID); i >= 0 && f.list[i].message.To == m.From && f.list[i].message.Term == m.Term {
		return f.remove(i), true
	}
	return w, false
}

// take removes the operation of an ID, whose entry is committed, and returns its waiter.
func (f *forwards[W]) take(id raft.ProposalID) (w W, ok bool) {
	if i := f.find(id); i >= 0 {
		return f.remove(i), true
	}
	return w, false
}

// find returns where the operation of an ID is in the list, or -1.
func (f *forwards[W]) find(id raft.ProposalID) int {
	i, ok := slices.BinarySearchFunc(f.list, id, func(x forward[W], id raft.ProposalID) int { return cmp.Compare(x.message.ID, id) })
	if !ok {
		return -1
	}
	return i
}

func (f *forwards[W]) remove(i int) W {
	w := f.list[i].waiter
	f.bytes -= len(f.list[i].message.Data)
	// Operations are mostly done in order, so that few elements have to be moved.
	copy(f.list[1:i+1], f.list[:i])
	f.dropFirst(1)
	return w
}

// dropTerms removes the operations that leaders of terms up to last were asked for, and calls
// end for each.
func (f *forwards[W]) dropTerms(last raft.Term, end func(W)) {
	n := 0
	for n < len(f.list) && f.list[n].message.Term <= last { // the term of a replica never falls
		f.bytes -= len(f.list[n].message.Data)
		end(f.list[n].waiter)
		n++
	}
	f.dropFirst(n)
}

// dropFirst removes the first n of the list.
func (f *forwards[W]) dropFirst(n int) {
	clear(f.list[:n])
	f.list = f.list[n:]
}

func (f *forwards[W]) drain() (waiters []W) {
	for i := range f.list {
		waiters = append(waiters, f.list[i].waiter)
	}
	f.list, f.bytes = nil, 0
	return waiters
}

// forward sends an operation to the leader.
func (r *Replica[W]) forward(s Submission[W]) {
	f, leader := &r.forwards, r.core.Leader()
	switch {
	case leader == raft.None, r.core.Round() == 0:
		// Before it has seen a round of the leader, which may have sent only a snapshot so far,
		// its Propose would count as old.
		r.complete(s.Waiter, r.notLeader())
	case len(f.list) >= maxForwards, f.bytes > 0 && f.bytes+len(s.Data) > maxForwardBytes:
		r.complete(s.Waiter, ErrBusy)
	default:
		m := &raft.Propose{Header: raft.Header{From: r.id, To: leader, Term: r.core.Term()}, Round: r.core.Round(), Data: s.Data}
		f.add(m, s.Waiter)
		r.messages = append(r.messages, m)
	}
}

// tickForwards sends again what is not answered, and gives up what has waited for too long. A
// Propose goes to the same receiver again, even if another replica leads since: only that
// receiver knows whether it has proposed the operation.
func (r *Replica[W]) tickForwards() {
	f, timeout := &r.forwards, r.core.ElectionTimeoutTicks()
	interval, over := timeout/sendsPerTimeout, 0
	for i := range f.list {
		late := &f.list[i]
		late.ticks++
		switch {
		case late.ticks >= forwardTimeouts*timeout:
			f.bytes -= len(late.message.Data)
			r.complete(late.waiter, ErrUnknown)
			over++
		case late.ticks%interval == 0:
			r.messages = append(r.messages, late.message)
		}
	}
	f.dropFirst(over)
}

// onProposeReply takes the answer of a leader.
func (r *Replica[W]) onProposeReply(m *raft.ProposeReply) {
	w, ok := r.forwards.answered(m)
	if !ok {
		return
	}
	switch m.Refusal {
	case raft.NotRefused:
		r.awaitEntry(m.Term, m.Index, w)
	case raft.RefusedNotLeader:
		err := &NotLeaderError{Leader: r.core.Leader()}
		if err.Leader == m.From && r.core.Term() == m.Term {
			err.Leader = raft.None // this replica has not noticed yet that it does not lead any more
		}
		r.complete(w, err)
	case raft.RefusedBusy:
		r.complete(w, ErrBusy)
	case raft.RefusedAdmission:
		r.complete(w, ErrNotAdmitted)
	case raft.RefusedTooLarge:
		r.complete(w, ErrTooLarge)
	case raft.RefusedAlarm:
		r.complete(w, ErrAlarm)
	default:
		r.complete(w, ErrUnknown)
	}
}

// awaitEntry lets w wait for an entry that another replica has proposed.
func (r *Replica[W]) awaitEntry(term raft.Term, index raft.Index, w W) {
	lastTerm, _ := r.core.TermAt(r.applying)
	if index > r.applying && lastTerm <= term {
		r.submits.add(term, index, w)
		return
	}
	// Another entry was committed in its place, or one of a later term before it. If it had been
	// committed itself, takeCommitted would have found its name, and ended the wait.
	r.complete(w, r.notLeader())
}
