package clerk

import (
	"bytes"
	"context"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
)

// Txn is a transaction that is being put together: conditions, what is done if all of them
// hold, and what is done if one does not.
//
//	result, err := ck.Txn(ctx).
//		If(clerk.Version("a").Equals(3), clerk.Missing("b")).
//		Then(clerk.OpPut("a", x), clerk.OpPut("b", y)).
//		Else(clerk.OpGet("a")).
//		Commit()
type Txn struct {
	clerk *Clerk
	ctx   context.Context
	txn   api.Txn
}

// Txn begins a transaction.
func (c *Clerk) Txn(ctx context.Context) *Txn { return &Txn{clerk: c, ctx: ctx} }

// If adds conditions. All of them, those of nested transactions included, see the store as it
// was before the transaction.
func (t *Txn) If(conditions ...Compare) *Txn {
	t.txn.Compares = append(t.txn.Compares, compares(conditions)...)
	return t
}

// Then adds operations that are executed if all conditions hold.
func (t *Txn) Then(list ...TxnOp) *Txn {
	t.txn.Then = append(t.txn.Then, ops(list)...)
	return t
}

// Else adds operations that are executed if a condition does not hold.
func (t *Txn) Else(list ...TxnOp) *Txn {
	t.txn.Else = append(t.txn.Else, ops(list)...)
	return t
}

// Commit executes the transaction, all in one revision. A transaction that changes nothing is
// a read. Any other one is not sent again after a lost reply, and ends in ErrMaybe, unless the
// Clerk has a session: see WithSession.
func (t *Txn) Commit() (*TxnResult, error) {
	req := &api.Request{Kind: api.Request_TXN, Call: &api.Request_Txn{Txn: proto.CloneOf(&t.txn)}}
	r, err := t.clerk.write(t.ctx, req)
	if err != nil {
		return nil, err
	}
	result := txnResult(r.GetTxn(), r.GetRevision())
	result.Incomplete = r.GetIncomplete()
	return result, nil
}

// TxnResult is what a transaction did.
type TxnResult struct {
	// Succeeded tells that all conditions held.
	Succeeded bool
	// Revision is the store's after the transaction.
	Revision uint64
	// Results are those of the executed operations, in their order.
	Results []OpResult
	// Incomplete tells that the reply had no room for all that the operations read; or that the
	// session had no room to remember it, when the transaction was sent again. Then Results may
	// be empty.
	Incomplete bool
}

// OpResult is what one operation of a transaction gave.
type OpResult struct {
	// KVs are what OpGet or OpRange found; or, if WithPrev asks for it, what OpPut has replaced
	// or OpDelete has removed.
	KVs []KV
	// Count is how many keys the span of a range has, whatever its limit and bounds, and More
	// tells that the limit left some out.
	Count int64
	More  bool
	// Deleted is how many keys OpDelete has removed.
	Deleted int64
	// Txn is the result of OpTxn.
	Txn *TxnResult
}

// TxnOp is one operation of a transaction.
type TxnOp struct{ message *api.TxnOp }

// OpPut creates a key or replaces its value, at any version.
func OpPut(key string, value []byte, opts ...PutOption) TxnOp {
	put := &api.Put{Key: []byte(key), Value: bytes.Clone(value)}
	for _, opt := range opts {
		opt.put(put)
	}
	return TxnOp{&api.TxnOp{Op: &api.TxnOp_Put{Put: put}}}
}

// OpDelete removes a key, or all keys of a span, at any version.
func OpDelete[K Keys](keys K, opts ...DeleteOption) TxnOp {
	del := &api.DeleteRange{Span: spanOf(keys).message()}
	for _, opt := range opts {
		opt.delete(del)
	}
	return TxnOp{&api.TxnOp{Op: &api.TxnOp_DeleteRange{DeleteRange: del}}}
}

// OpGet reads a key. It sees what the operations before it wrote.
func OpGet(key string) TxnOp { return OpRange(Key(key)) }

// OpRange reads the keys of a span. It sees what the operations before it wrote. What it finds
// must fit into one reply: see OpResult.More. Options on how fresh a read must be mean nothing
// here.
func OpRange(span Span, opts ...RangeOption) TxnOp {
	return TxnOp{&api.TxnOp{Op: &api.TxnOp_Range{Range: newReading(span, opts).message}}}
}

// OpTxn is a transaction in a transaction.
func OpTxn(conditions []Compare, then, otherwise []TxnOp) TxnOp {
	txn := &api.Txn{Compares: compares(conditions), Then: ops(then), Else: ops(otherwise)}
	return TxnOp{&api.TxnOp{Op: &api.TxnOp_Txn{Txn: txn}}}
}

func compares(list []Compare) (messages []*api.Compare) {
	for _, c := range list {
		messages = append(messages, c.message)
	}
	return messages
}

func ops(list []TxnOp) (messages []*api.TxnOp) {
	for _, op := range list {
		messages = append(messages, op.message)
	}
	return messages
}
