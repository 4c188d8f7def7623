//balsa:pure

package rsm

import "balsa.example/raft"

// A replica that does not lead can forward a Submit to the leader:
//
//  1. It sends the operation to the leader of its term, in a Propose.
//  2. The leader proposes it. Its ProposeReply names the entry, by index and term. The reply
//     leaves before the AppendEntries with the entry, so that it mostly arrives before the
//     entry is executed.
//  3. The replica waits for that entry as for one of its own. The result is what its own
//     state machine returns, so that no result has to be encoded.
//
// Messages may be lost, repeated, delayed and reordered. An operation is executed at most
// once all the same, since the leader recognizes a repeated Propose: see proposals.go. A
// replica that gets no answer sends the same message again. If there is still no answer, or
// if the entry was executed before the answer came, the Submit ends with ErrUnknown.

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

// Bounds on forwards. All that is under way has room in the queue of a Transport and in the
// inbox of the leader, which leave half to it: see transport.Limits and maxInboxMessages. An
// operation that is refused is better than one that is lost on its way, whose outcome is
// unknown. A single operation may be larger.
const (
	maxForwards     = 1 << 11
	maxForwardBytes = 16 << 20
)

const (
	// forwardTimeouts is for how many election timeouts a replica waits for an answer. After
	// that there is another leader, if there can be one.
	forwardTimeouts = 2
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
		// Answers mostly come in order, so that few elements have to be moved.
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
	case raft.RefusedTooLarge:
		r.complete(w, ErrTooLarge)
	case raft.RefusedAlarm:
		r.complete(w, ErrAlarm)
	default:
		r.complete(w, ErrUnknown)
	}
}

// awaitEntry has w wait for an entry that another replica has proposed, unless the outcome of
// that entry is known already.
func (r *Replica[W]) awaitEntry(term raft.Term, index raft.Index, w W) {
	lastTerm, _ := r.core.TermAt(r.applying)
	entryTerm, held := r.core.TermAt(index)
	switch {
	case index > r.applying && lastTerm <= term:
		r.submits.add(term, index, w)
	case index > r.applying, held && entryTerm != term:
		// It was replaced: terms never fall along a log, and a committed entry stays.
		r.complete(w, r.notLeader())
	default: // it was executed, and its result is not kept; or a snapshot covers index
		r.complete(w, ErrUnknown)
	}
}
