//balsa:pure

package translate

import (
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// KeysNode replicates operations on one key.
type KeysNode interface {
	SubmitFunc(op kv.Op, done func(kv.Result, error))
	ReadFunc(mode raft.ReadMode, done func(error))
}

// KeysOnly is the Replica, Store and Timekeeper of a Handler over a replica that executes
// operations on one key. It refuses all other requests.
type KeysOnly struct {
	*kv.Store
	Node KeysNode
}

// OnKeys returns a Handler of operations on one key.
func OnKeys(node KeysNode, store *kv.Store) Handler {
	k := KeysOnly{store, node}
	return Handler{Replica: k, Store: k, Time: k, Draw: func() int64 { return 1 }}
}

// SubmitFunc implements Replica.
func (k KeysOnly) SubmitFunc(c state.Command, done func(state.Result, error)) {
	if c.More != nil {
		done(state.Result{Result: kv.Result{Code: kv.CodeUnknownKind, Revision: k.Store.Revision()}}, nil)
		return
	}
	k.Node.SubmitFunc(c.Op, func(r kv.Result, err error) { done(state.Result{Result: r}, err) })
}

// ReadFunc implements Replica.
func (k KeysOnly) ReadFunc(mode raft.ReadMode, done func(error)) { k.Node.ReadFunc(mode, done) }

// TryGet implements Store.
func (k KeysOnly) TryGet(key string) (kv.Result, bool) { return k.Store.Get(key), true }

// Range implements Store.
func (k KeysOnly) Range(kv.RangeOp) (kv.RangeResult, error) {
	return kv.RangeResult{Revision: k.Store.Revision()}, kv.ErrUnknownKind
}

// Lease implements Store.
func (k KeysOnly) Lease(int64, bool) (LeaseInfo, bool) { return LeaseInfo{}, false }

// Leases implements Store.
func (k KeysOnly) Leases() []int64 { return nil }

// Stamp implements Timekeeper.
func (k KeysOnly) Stamp() (logtime.Stamp, error) { return logtime.Stamp{}, nil }

// KeepAlive implements Timekeeper.
func (k KeysOnly) KeepAlive(_ int64, done func(int64, error)) { done(0, nil) }
