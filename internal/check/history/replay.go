package history

import (
	"cmp"
	"fmt"
	"slices"

	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/state"
)

// CheckCalls returns why a history is wrong, nil if it is right. committed are the events of all
// revisions from 2 on, as a watcher of the whole store has seen them, whatever was compacted. No two
// puts of a key write the same value, but for the empty one, and no two leases have the same number.
//
// It replays the history on a naive machine in the order of the store's revisions, and compares
// every answer with the naive one, the events of each revision with what was committed, and the
// order with real time. That takes near-linear time, and goes across keys. A revision that no
// answer claims must be what a command of unknown outcome would make, or the end of a lease.
//
// The order of revisions says nothing about commands that make none. So compactions are compared
// with real time, and a refusal for want of a lease is not compared: see CheckLease.
func CheckCalls(calls []Call, committed [][]kv.Event) error {
	h := newReplay(calls, committed)
	groups := h.groups(calls)
	h.answered = answers(groups, h.last())
	for revision := uint64(1); revision <= h.last(); revision++ {
		if err := h.revision(revision, groups[revision]); err != nil {
			return err
		}
	}
	return nil
}

// replay is a naive machine at some revision of a history.
type replay struct {
	m           *naive.Machine
	committed   [][]kv.Event
	compactions compactions
	// unknown are the commands of unknown outcome that have not been found executed, by what they
	// may do.
	unknown map[trace][]*Call
	found   map[*Call]bool
	// written are all puts of the history that have a value.
	written map[trace]bool
	// answered is when the first of all calls was answered that are ordered at a revision or later.
	answered []int64
	// latest is the call that was called last, of those replayed so far.
	latest *Call
}

func newReplay(calls []Call, committed [][]kv.Event) *replay {
	h := &replay{
		m: naive.New(naive.Limits{}), committed: committed, compactions: newCompactions(calls),
		unknown: map[trace][]*Call{}, found: map[*Call]bool{}, written: map[trace]bool{},
	}
	for _, e := range slices.Concat(committed...) {
		if t := traceOf(e); t.value != "" {
			h.written[t] = true
		}
	}
	for i := range calls {
		c := &calls[i]
		if c.Known || c.Range != nil {
			continue
		}
		if c.kind() == state.KindGrant { // perhaps
			h.m.DoOp(c.Command)
		}
		for _, t := range tracesOf(c.Command) {
			h.unknown[t] = append(h.unknown[t], c)
		}
	}
	for _, list := range h.unknown {
		slices.SortStableFunc(list, func(a, b *Call) int { return cmp.Compare(a.Called, b.Called) })
	}
	return h
}

func (h *replay) last() uint64 { return uint64(len(h.committed)) + 1 }

// groups returns the calls that were answered, by their position. One that is ahead of all that
// was committed is in the last group, which refuses it.
func (h *replay) groups(calls []Call) map[uint64][]*Call {
	groups := map[uint64][]*Call{}
	for i := range calls {
		if c := &calls[i]; c.Known && c.Result.Code != kv.CodeForgotten {
			at := min(max(c.position(), 1), h.last())
			groups[at] = append(groups[at], c)
		}
	}
	return groups
}

// answers returns for each revision when the first call at it or later was answered.
func answers(groups map[uint64][]*Call, last uint64) []int64 {
	list := make([]int64, last+1)
	first := int64(never)
	for revision := last; revision > 0; revision-- {
		for _, c := range groups[revision] {
			if !c.Stale {
				first = min(first, c.Returned)
			}
		}
		list[revision] = first
	}
	return list
}

// revision replays the command that made a revision, and then all calls that were answered at it.
func (h *replay) revision(revision uint64, group []*Call) error {
	for _, c := range group {
		if c.position() != revision {
			return fmt.Errorf("revision %d was not committed, but is in the answer of %s", c.position(), c)
		}
		if err := h.compactions.check(c); err != nil {
			return err
		}
	}
	var maker *Call
	if revision > 1 {
		var err error
		if maker, err = h.make(revision, group); err != nil {
			return err
		}
	}
	others := slices.DeleteFunc(slices.Clone(group), func(c *Call) bool { return c == maker })
	for _, c := range others {
		if c.kind() == state.KindGrant && c.Range == nil && c.Result.Code == kv.CodeOK {
			h.m.DoOp(c.Command)
		}
	}
	for _, c := range others {
		if err := h.answer(c); err != nil {
			return err
		}
	}
	return h.realTime(others)
}

// make replays what made the next revision. It returns the call, nil for the end of a lease.
func (h *replay) make(revision uint64, group []*Call) (*Call, error) {
	events := h.committed[revision-2]
	maker, err := h.claim(revision, group)
	if err != nil {
		return nil, err
	}
	if maker == nil {
		err = h.explain(revision, events)
	} else {
		err = h.execute(maker)
	}
	if err != nil {
		return nil, err
	}
	if d := naive.DifferEvents(events, h.m.Events(revision)); d != "" {
		return nil, fmt.Errorf("revision %d is not what its command makes: %s", revision, d)
	}
	if maker == nil {
		return nil, nil
	}
	return maker, h.realTime([]*Call{maker})
}

// explain replays what made a revision that no answer claims: a command of unknown outcome, or the
// end of a lease. If it may be either, the command may still have been executed elsewhere, and the
// lease may live.
func (h *replay) explain(revision uint64, events []kv.Event) error {
	lost := h.lost(revision, events)
	lease, ended := h.ended(events)
	switch {
	case lost != nil:
		h.m.DoOp(lost.Command)
		h.found[lost] = !ended
	case ended:
		h.m.DoOp(state.Command{More: &state.More{Kind: state.KindRevoke, Lease: lease}})
	default:
		return fmt.Errorf("nothing that was called in time makes revision %d: %s", revision, naive.Text(events))
	}
	return nil
}

// claim returns the call whose answer says that it made a revision.
func (h *replay) claim(revision uint64, group []*Call) (maker *Call, err error) {
	for _, c := range group {
		switch {
		case !c.made():
		case maker != nil:
			return nil, fmt.Errorf("revision %d was given twice: %s\nand %s", revision, maker, c)
		default:
			maker = c
		}
	}
	if maker != nil {
		return maker, nil
	}
	for _, c := range group {
		if c.Range == nil && c.Result.Code == kv.CodeOK && c.Called <= h.answered[revision] && h.mayClaim(c, h.committed[revision-2]) {
			return c, nil
		}
	}
	return nil, nil
}

// mayClaim tells whether a call makes these events whose answer does not say whether it made any.
func (h *replay) mayClaim(c *Call, events []kv.Event) bool {
	if c.kind() == state.KindRevoke {
		lease, ok := h.ended(events)
		return ok && lease == c.Command.More.Lease
	}
	return c.bare() && h.makes(c, events)
}

// makes tells whether a command would make these events now.
func (h *replay) makes(c *Call, events []kv.Event) bool {
	would := h.m.Would(c.Command)
	return len(would) > 0 && naive.DifferEvents(events, would) == ""
}

// lost returns the command of unknown outcome that makes these events, of several the one that was
// called first. It was called before the answer of everything that is ordered after it.
func (h *replay) lost(revision uint64, events []kv.Event) (first *Call) {
	for _, key := range traces(events[0]) {
		list := slices.DeleteFunc(h.unknown[key], func(c *Call) bool { return h.found[c] })
		h.unknown[key] = list
		for _, c := range list {
			if c.Called > h.answered[revision] {
				break
			}
			if (first == nil || c.Called < first.Called) && h.makes(c, events) && !h.elsewhere(c, events) {
				first = c
			}
		}
	}
	return first
}

// elsewhere tells whether a command has put a value in another revision than that of these events.
func (h *replay) elsewhere(c *Call, events []kv.Event) bool {
	return slices.ContainsFunc(tracesOf(c.Command), func(t trace) bool {
		return h.written[t] && !slices.ContainsFunc(events, func(e kv.Event) bool { return traceOf(e) == t })
	})
}

// ended returns the lease whose end makes these events: they delete all of its keys.
func (h *replay) ended(events []kv.Event) (lease int64, ok bool) {
	e := events[0]
	if !e.Deleted || e.Prev == nil || e.Prev.Lease == 0 {
		return 0, false
	}
	_, _, keys, ok := h.m.Lease(e.Prev.Lease)
	if !ok || len(keys) != len(events) {
		return 0, false
	}
	for i, e := range events {
		if !e.Deleted || e.Key != keys[i] {
			return 0, false
		}
	}
	return e.Prev.Lease, true
}

// execute replays a command, and compares its answer if there is one.
func (h *replay) execute(c *Call) error {
	want := h.m.DoOp(c.Command)
	if !c.Known || c.kind() == state.KindRevoke {
		return nil
	}
	got := c.Result
	if got.Replayed, got.DoneAt = false, 0; got.Kept == state.KeptResult {
		got.Kept = 0
	}
	got.DeleteRevision, want.DeleteRevision = 0, 0 // clients need not be told
	if d := naive.Differ(got, want); d != "" {
		return fmt.Errorf("wrong answer: %s\n%s", c, d)
	}
	return nil
}

// answer compares the answer of a call that has made no revision.
func (h *replay) answer(c *Call) error {
	switch code := c.Result.Code; {
	case code == kv.CodeCompacted || code == kv.CodeNoLease || code == kv.CodeLeaseFull || code == kv.CodeQuota || code == kv.CodeUnreadable:
		return nil // what refuses these is not in the order of revisions
	case c.Range != nil:
		want, wantCode := h.m.Range(*c.Range)
		if code != wantCode {
			return fmt.Errorf("wrong answer: %s\nwant %v", c, wantCode)
		}
		if d := naive.DifferRange(c.Found, want); d != "" && code == kv.CodeOK {
			return fmt.Errorf("wrong answer: %s\n%s", c, d)
		}
	case c.bare() && len(h.m.Would(c.Command)) > 0: // when it made nothing is not known
	case c.kind() == state.KindOp || c.kind() == state.KindTxn:
		if err := h.execute(c); err != nil {
			return err
		}
		if h.m.Revision() != c.position() {
			return fmt.Errorf("wrong answer: %s\nbut it makes %s", c, naive.Text(h.m.Events(h.m.Revision())))
		}
	case c.kind() == state.KindRevoke:
		if _, _, keys, ok := h.m.Lease(c.Command.More.Lease); ok && len(keys) > 0 {
			return fmt.Errorf("wrong answer: %s\nbut the keys %q are left", c, keys)
		}
		h.m.DoOp(c.Command)
	}
	return nil
}

// realTime checks that no call is ordered after one that began after its end. Calls of a group are
// in no order.
func (h *replay) realTime(group []*Call) error {
	for _, c := range group {
		if h.latest != nil && c.Known && !c.Stale && c.Returned < h.latest.Called {
			return fmt.Errorf("out of order: %s\nis ordered after, but had ended before %s", c, h.latest)
		}
	}
	for _, c := range group {
		if !c.Stale && (h.latest == nil || c.Called > h.latest.Called) {
			h.latest = c
		}
	}
	return nil
}
