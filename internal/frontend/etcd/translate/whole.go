//balsa:pure

package translate

import "balsa.example/kv"

// Cut tells whether a bound on bytes has ended a range before its own limit did.
func Cut(op *kv.RangeOp, r *kv.RangeResult) bool { return CutAfter(op, r, len(r.Entries)) }

// CutAfter is Cut for a range whose entries, so many, are elsewhere.
func CutAfter(op *kv.RangeOp, r *kv.RangeResult, entries int) bool {
	return r.More && (op.Limit == 0 || int64(entries) < op.Limit)
}

// ErrTxnCut says that a transaction was executed, but what it has read cannot be told.
var ErrTxnCut = &Error{ResourceExhausted, "etcdserver: transaction was executed, but it has read too much for its response"}

// executed is an operation of a transaction, with its result.
type executed struct {
	op *kv.TxnOp
	r  *kv.OpResult
}

// Whole reads again what the machine has cut from the result of a transaction, from the history of
// a store that has executed it. enough is false where the result has more than maxBytes then, and one key more.
func Whole(t *kv.Txn, r *kv.TxnResult, store Ranger, maxBytes int64) (enough bool, err error) {
	all := executedOf(nil, t, r)
	room := maxBytes
	for _, e := range all {
		room -= e.bytes()
	}
	for i, e := range all {
		if !e.cut() {
			continue
		}
		if e.r.Range != nil && e.op.Range.Revision == 0 && e.r.Range.Revision == r.Revision && changedIn(e.op.Range.Span, all[i+1:]) {
			return false, ErrTxnCut // no revision holds what it has seen
		}
		if room += e.bytes(); room <= 0 {
			return false, nil
		}
		if enough, err = e.again(store, room); !enough || err != nil {
			return false, err
		}
		room -= e.bytes()
	}
	return true, nil
}

// cut tells whether the machine has left out a part of the result.
func (e *executed) cut() bool {
	switch {
	case e.r.Range != nil:
		return Cut(e.op.Range, e.r.Range)
	case e.r.Put != nil:
		return e.r.Put.More
	}
	return e.r.Delete != nil && e.r.Delete.More
}

// bytes is what the result has of keys and values.
func (e *executed) bytes() (sum int64) {
	var entries []kv.Entry
	switch {
	case e.r.Range != nil:
		entries = e.r.Range.Entries
	case e.r.Delete != nil:
		entries = e.r.Delete.Prev
	case e.r.Put != nil && e.r.Put.Prev != nil:
		sum = int64(len(e.r.Put.Prev.Key) + len(e.r.Put.Prev.Value))
	}
	for i := range entries {
		sum += int64(len(entries[i].Key) + len(entries[i].Value))
	}
	return sum
}

// again reads what was cut. enough is false where that has more than maxBytes.
func (e *executed) again(store Ranger, maxBytes int64) (enough bool, err error) {
	switch {
	case e.r.Range != nil:
		return wholeRange(e.op.Range, e.r.Range, store, maxBytes)
	case e.r.Put != nil:
		return true, wholePut(e.op.Put, e.r.Put, store)
	}
	return wholeDelete(e.op.Delete, e.r.Delete, store, maxBytes)
}

// executedOf appends the operations that were executed, in their order.
func executedOf(all []executed, t *kv.Txn, r *kv.TxnResult) []executed {
	ops := t.Then
	if !r.Succeeded {
		ops = t.Else
	}
	for i := range r.Responses {
		if nested := r.Responses[i].Txn; nested != nil {
			all = executedOf(all, ops[i].Txn, nested)
		} else {
			all = append(all, executed{&ops[i], &r.Responses[i]})
		}
	}
	return all
}

// changedIn tells whether operations change keys of a span.
func changedIn(span kv.Span, ops []executed) bool {
	for _, e := range ops {
		if e.op.Put != nil && span.Contains(e.op.Put.Key) || e.op.Delete != nil && span.Overlaps(e.op.Delete.Span) {
			return true
		}
	}
	return false
}

func wholeRange(op *kv.RangeOp, r *kv.RangeResult, store Ranger, maxBytes int64) (bool, error) {
	again := *op
	again.MaxBytes = maxBytes
	if op.Revision == 0 {
		again.Revision = r.Revision
	}
	whole, err := store.Range(again)
	if err != nil {
		return false, ErrTxnCut // it was compacted since
	}
	if Cut(op, &whole) {
		return false, nil
	}
	r.Entries, r.More = whole.Entries, whole.More
	return true, nil
}

// wholePut reads what the key held at the revision before. No other operation of the transaction has changed it.
func wholePut(op *kv.PutOp, r *kv.PutResult, store Ranger) error {
	before, err := store.Range(kv.RangeOp{Span: kv.Single(op.Key), Revision: r.Revision - 1})
	if err != nil || len(before.Entries) == 0 {
		return ErrTxnCut
	}
	r.Prev, r.More = &before.Entries[0], false
	return nil
}

// wholeDelete reads what was deleted at the revision before.
func wholeDelete(op *kv.DeleteOp, r *kv.DeleteResult, store Ranger, maxBytes int64) (bool, error) {
	before, err := store.Range(kv.RangeOp{Span: op.Span, Revision: r.Revision - 1, MaxBytes: maxBytes})
	switch {
	case err != nil:
		return false, ErrTxnCut
	case before.More:
		return false, nil
	case int64(len(before.Entries)) != r.Deleted:
		return false, ErrTxnCut // other operations of the transaction have deleted some of them
	}
	r.Prev, r.More = before.Entries, false
	return true, nil
}
