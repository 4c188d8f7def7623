package kv

// Txn compares, and then executes one of two lists of operations, all in one revision.
// All compares see the store as it was before the transaction, those of nested
// transactions included. A RangeOp sees what the operations before it wrote.
type Txn struct {
	If   []Compare // all must hold
	Then []TxnOp   // executed if they do
	Else []TxnOp   // executed if one does not
}

// TxnOp is one operation of a transaction: one of the fields is set.
type TxnOp struct {
	Range  *RangeOp
	Put    *PutOp
	Delete *DeleteOp
	Txn    *Txn
}

// PutOp creates a key, or replaces its value, at any version.
type PutOp struct {
	Key   string
	Value []byte
	// Lease is the lease that the key hangs on from then on; 0: none.
	Lease int64
	// IgnoreValue and IgnoreLease keep the value or the lease that the key has. It must
	// exist then.
	IgnoreValue, IgnoreLease bool
	// Prev asks for what the key held before.
	Prev bool
}

// DeleteOp removes all keys of a span.
type DeleteOp struct {
	Span
	Prev bool // asks for what they held
}

// Compare is a condition on every key of a span. A span without keys is compared as one absent
// key: that has version, revisions and lease 0, and a compare of its value is false.
type Compare struct {
	Span
	Target   Target
	Relation Relation
	// Number is what Version, Create, Mod or Lease is compared with, Value what Value is.
	Number uint64
	Value  []byte
}

// Target is what a Compare compares.
type Target uint8

const (
	TargetVersion Target = iota
	TargetCreate
	TargetMod
	TargetValue
	TargetLease
)

// Relation is how a Compare compares: the key's Target stands on the left.
type Relation uint8

const (
	Equal Relation = iota
	Greater
	Less
	NotEqual
)

// TxnResult is the outcome of a Txn.
type TxnResult struct {
	Code Code
	// Succeeded tells which list was executed.
	Succeeded bool
	// Revision is the store's after the transaction. It is the one before where nothing
	// changed.
	Revision uint64
	// Responses are those of the executed operations, in their order.
	Responses []OpResult
}

// OpResult is what one operation of a transaction gave.
type OpResult struct {
	Range  *RangeResult
	Put    *PutResult
	Delete *DeleteResult
	Txn    *TxnResult
}

// PutResult is the outcome of a PutOp. Prev is set if it was asked for and the key existed. More tells
// that it is left out, since the result has too much already.
type PutResult struct {
	Prev     *Entry
	More     bool
	Revision uint64
}

// DeleteResult is the outcome of a DeleteOp. Prev are the keys that are gone, in their
// order, if they were asked for. More tells that they are too many or too large to be all there.
type DeleteResult struct {
	Deleted  int64
	Prev     []Entry
	More     bool
	Revision uint64
}
