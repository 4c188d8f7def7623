//balsa:pure

package rsm

import "balsa.example/raft"

// A replica that does not lead can forward a Submit to the leader:
//
//  1. It sends the operation to the leader of its term, in a Propose.
//  2. The leader proposes it, and names the entry that holds it, by index and term, in a
//     ProposeReply. That leaves before the AppendEntries with the entry, so that it mostly
//     arrives before the entry is executed.
//  3. The replica waits for that entry as for one of its own. The result is what its own
//     state machine returns, so that no result has to be encoded.
//
// Messages may be lost, repeated, delayed and reordered. An operation is executed at most
// once all the same, since the leader recognizes a repeated Propose: see proposals.go. A
// replica that gets no answer asks again, with the same message. If there is still none, or
// if the entry was executed before the answer came, the outcome is ErrUnknown.

// forwards are the operations that were sent to a leader and are not answered.
type forwards[W any] struct {
	nextID raft.ProposalID
	list   []forward[W] // by rising ID, so the oldest first
	bytes  int          // of the operations in list
}

type forward[W any] struct {
	message *raft.Propose
	waiter  W
	ticks   int // since it was sent first
}

// maxForwardBytes bounds the operations that wait for an answer; one more may be larger.
const maxForwardBytes = 64 << 20

// How long an answer is waited for, and how often it is asked for meanwhile, in election
// timeouts. By then there is another leader, if there can be one.
const (
	forwardTimeouts = 2
	asksPerTimeout  = 2
)

func (f *forwards[W]) add(m *raft.Propose, w W) {
	m.ID = f.nextID
	f.nextID++
	f.list = append(f.list, forward[W]{message: m, waiter: w})
	f.bytes += len(m.Data)
}

// answered removes the operation that m answers, if there is one.
func (f *forwards[W]) answered(m *raft.ProposeReply) (w W, ok bool) {
	for i := range f.list {
		asked := f.list[i].message
		if asked.ID < m.ID {
			continue
		}
		if asked.ID != m.ID || asked.To != m.From || asked.Term != m.Term {
			return w, false
		}
		w = f.list[i].waiter
		f.bytes -= len(asked.Data)
		// Answers come mostly in order, so there is little before this one to be moved.
		copy(f.list[1:i+1], f.list[:i])
		f.dropFirst(1)
		return w, true
	}
	return w, false
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
	case leader == raft.None:
		r.complete(s.Waiter, r.notLeader())
	case f.bytes > 0 && f.bytes+len(s.Data) > maxForwardBytes:
		r.complete(s.Waiter, ErrBusy)
	default:
		m := &raft.Propose{Header: raft.Header{From: r.id, To: leader, Term: r.core.Term()}, Round: r.core.Round(), Data: s.Data}
		f.add(m, s.Waiter)
		r.messages = append(r.messages, m)
	}
}

// tickForwards asks again for answers that are late, and gives up on those that are too late.
// It asks the leader that was asked first, even if there is another since: no other knows
// whether it has proposed the operation.
func (r *Replica[W]) tickForwards() {
	f, timeout := &r.forwards, r.core.ElectionTimeoutTicks()
	again, over := timeout/asksPerTimeout, 0
	for i := range f.list {
		late := &f.list[i]
		late.ticks++
		switch {
		case late.ticks >= forwardTimeouts*timeout:
			f.bytes -= len(late.message.Data)
			r.complete(late.waiter, ErrUnknown)
			over++
		case late.ticks%again == 0:
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
		if err.Leader == m.From && r.core.Term() == m.Term { // who has just said that it does not lead
			err.Leader = raft.None
		}
		r.complete(w, err)
	case raft.RefusedBusy:
		r.complete(w, ErrBusy)
	case raft.RefusedTooLarge:
		r.complete(w, ErrTooLarge)
	case raft.RefusedAlarm:
		r.complete(w, ErrAlarm)
	default:
		r.complete(w, ErrUnknown)
	}
}

// awaitEntry has w wait for the entry of a term that another replica has proposed at index,
// unless its outcome is known already.
func (r *Replica[W]) awaitEntry(term raft.Term, index raft.Index, w W) {
	lastTerm, _ := r.core.TermAt(r.applying)
	entryTerm, held := r.core.TermAt(index)
	switch {
	case index > r.applying && lastTerm <= term:
		r.submits.add(term, index, w)
	case index > r.applying, held && entryTerm != term:
		// Behind an entry of a later term, or in the place of the one that is committed at
		// index, it never will be.
		r.complete(w, r.notLeader())
	default: // it was executed, and its result is gone, or a snapshot covers index
		r.complete(w, ErrUnknown)
	}
}
