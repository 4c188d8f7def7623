package history

import (
	"cmp"
	"fmt"
	"slices"

	"balsa.example/kv"
	"balsa.example/state"
)

// compactions are those that clients asked for, in the order of time. A compaction makes no
// revision, so all that is known of it is when it was called and when it was answered.
type compactions struct {
	// called has for each compaction that may have been executed when it was called; answered
	// for each that was executed when it was answered. Both have the highest revision so far.
	called, answered []compaction
}

type compaction struct {
	at       int64
	revision uint64
}

func newCompactions(calls []Call) (cs compactions) {
	for i := range calls {
		c := &calls[i]
		if c.Range != nil || c.kind() != state.KindCompact {
			continue
		}
		if !c.Known || c.Result.Code == kv.CodeOK {
			cs.called = append(cs.called, compaction{c.Called, c.Command.More.Revision})
		}
		if c.Known && c.Result.Code == kv.CodeOK {
			cs.answered = append(cs.answered, compaction{c.Returned, c.Command.More.Revision})
		}
	}
	for _, list := range [][]compaction{cs.called, cs.answered} {
		slices.SortFunc(list, func(a, b compaction) int { return cmp.Compare(a.at, b.at) })
		for i := range list[min(1, len(list)):] {
			list[i+1].revision = max(list[i].revision, list[i+1].revision)
		}
	}
	return cs
}

// before returns the highest revision of a list before a time.
func before(list []compaction, at int64) uint64 {
	i, _ := slices.BinarySearchFunc(list, at, func(c compaction, at int64) int { return cmp.Compare(c.at, at) })
	if i == 0 {
		return 0
	}
	return list[i-1].revision
}

// check checks an answer against the compactions that it must and may have seen.
func (cs compactions) check(c *Call) error {
	must, may := before(cs.answered, c.Called), before(cs.called, c.Returned)
	refused := c.Result.Code == kv.CodeCompacted
	if c.Range == nil && c.kind() == state.KindCompact {
		at := c.Command.More.Revision
		switch {
		case refused && at > may && at > 0:
			return fmt.Errorf("wrong answer: %s\nbut the compaction before is at %d at most", c, may)
		case c.Result.Code == kv.CodeOK && at <= must:
			return fmt.Errorf("wrong answer: %s\nbut there was a compaction at %d", c, must)
		case (c.Result.Code == kv.CodeFutureRevision) != (at > c.position()):
			return fmt.Errorf("wrong answer: %s\nat revision %d", c, c.position())
		}
		return nil
	}
	oldest, reads := oldestRead(c)
	switch {
	case !reads:
	case refused && oldest >= may:
		return fmt.Errorf("wrong answer: %s\nbut nothing above %d was compacted", c, may)
	case c.Result.Code == kv.CodeOK && !c.bare() && oldest < must && !c.Stale:
		return fmt.Errorf("wrong answer: %s\nbut there was a compaction at %d", c, must)
	}
	return nil
}

// oldestRead returns the lowest revision that a call has read at, or if it was refused may have
// asked to read at.
func oldestRead(c *Call) (oldest uint64, ok bool) {
	if c.Range != nil {
		return c.Range.Revision, c.Range.Revision > 0
	}
	if c.kind() != state.KindTxn {
		return 0, false
	}
	return oldestIn(c.Command.More.Txn, c.Result.Txn)
}

// oldestIn looks at the branches that a transaction has taken, at both if it has no result.
func oldestIn(t *kv.Txn, r *kv.TxnResult) (oldest uint64, ok bool) {
	list := slices.Concat(t.Then, t.Else)
	switch {
	case r != nil && r.Succeeded:
		list = t.Then
	case r != nil:
		list = t.Else
	}
	for i, op := range list {
		var at uint64
		switch {
		case op.Range != nil:
			at = op.Range.Revision
		case op.Txn != nil && r != nil && i < len(r.Responses):
			at, _ = oldestIn(op.Txn, r.Responses[i].Txn)
		case op.Txn != nil:
			at, _ = oldestIn(op.Txn, nil)
		}
		if at > 0 && (!ok || at < oldest) {
			oldest, ok = at, true
		}
	}
	return oldest, ok
}
