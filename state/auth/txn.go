package auth

import "balsa.example/kv"

// LeaseKeys returns the first key of a lease from one on, false if there is none.
type LeaseKeys func(id int64, from string) (key string, ok bool)

// PermittedTxn tells whether a user may do all of a transaction, whichever list is executed.
func (t *Table) PermittedTxn(u *User, txn *kv.Txn, keys LeaseKeys) bool {
	if u.Root() {
		return true
	}
	for i := range txn.If {
		if !t.Permitted(u, txn.If[i].Span, false) {
			return false
		}
	}
	for _, ops := range [][]kv.TxnOp{txn.Then, txn.Else} {
		for i := range ops {
			if !t.permittedOp(u, &ops[i], keys) {
				return false
			}
		}
	}
	return true
}

// permittedOp tells whether a user may do one operation. What an operation gives back has to be
// read.
func (t *Table) permittedOp(u *User, op *kv.TxnOp, keys LeaseKeys) bool {
	switch {
	case op.Range != nil:
		return t.Permitted(u, op.Range.Span, false)
	case op.Put != nil:
		key := kv.Single(op.Put.Key)
		return t.Permitted(u, key, true) && (!op.Put.Prev || t.Permitted(u, key, false)) && t.PermittedLease(u, op.Put.Lease, keys)
	case op.Delete != nil:
		span := op.Delete.Span
		return t.Permitted(u, span, true) && (!op.Delete.Prev || t.Permitted(u, span, false))
	case op.Txn != nil:
		return t.PermittedTxn(u, op.Txn, keys)
	}
	return true // the store refuses it
}

// PermittedLease tells whether a user may write all keys that hang on a lease, and so let it end;
// 0 is no lease. A key may only be put on such a lease: otherwise whoever may end the lease could
// delete that key.
func (t *Table) PermittedLease(u *User, id int64, keys LeaseKeys) bool {
	return id == 0 || t.PermittedAll(u, func(from string) (string, bool) { return keys(id, from) }, true)
}

// CheckTxn is Check for all of a transaction: see PermittedTxn.
func (t *Table) CheckTxn(name string, stamp uint64, txn *kv.Txn, keys LeaseKeys) kv.Code {
	return t.decide(name, stamp, func(u *User) bool { return t.PermittedTxn(u, txn, keys) })
}
