// Package nodetest has a stand-in for an rsm.Node, for tests of what answers requests.
package nodetest

import (
	"balsa.example/api"
	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// Node is all that a translate.Handler needs, without Raft, over a naive.Machine: it executes
// at once, or fails as told. It is used by one goroutine at a time.
type Node struct {
	Machine   *naive.Machine
	Now       logtime.Stamp // of the leader's clock
	SubmitErr error
	ReadErr   error
	Modes     []raft.ReadMode // of the reads so far
	Submitted int             // writes so far
	Last      state.Command   // the last one
	Hold      bool            // keep results of writes back until Release
	held      []func()        // what Release calls
	drawn     int64           // the last id of a lease
}

// New returns a Node with an empty store, and a Handler that asks it.
func New() (translate.Handler, *Node) {
	n := &Node{Machine: naive.New(naive.Limits{})}
	return n.Handler(), n
}

// Handler returns a Handler that asks the Node.
func (n *Node) Handler() translate.Handler {
	leader := func(id raft.NodeID) *api.Leader {
		return &api.Leader{NodeId: uint64(id), Name: "n2", ClientUrls: []string{"http://h:2"}}
	}
	draw := func() int64 { n.drawn++; return 1000 + n.drawn }
	return translate.Handler{Replica: n, Store: store{n.Machine}, Time: n, Draw: draw, Leader: leader}
}

// Do executes an operation on one key.
func (n *Node) Do(op kv.Op) kv.Result { return n.Machine.DoOp(state.Command{Op: op}).Result }

// SubmitFunc is SubmitEntryFunc for those who do not ask for the entry.
func (n *Node) SubmitFunc(c state.Command, done func(state.Result, error)) {
	n.SubmitEntryFunc(c, func(r state.Result, _ rsm.EntryID, err error) { done(r, err) })
}

// SubmitEntryFunc implements translate.Replica.
func (n *Node) SubmitEntryFunc(c state.Command, done func(state.Result, rsm.EntryID, error)) {
	n.Submitted++
	n.Last = c
	if n.SubmitErr != nil {
		done(state.Result{}, rsm.EntryID{}, n.SubmitErr)
		return
	}
	entry := rsm.EntryID{Index: raft.Index(n.Submitted), Term: 1}
	finish := func() { done(n.Machine.DoOp(c), entry, nil) }
	if n.Hold {
		n.held = append(n.held, finish)
		return
	}
	finish()
}

// Release lets all writes finish that were held back.
func (n *Node) Release() {
	for _, finish := range n.held {
		finish()
	}
	n.held = nil
}

// ReadFunc implements translate.Replica.
func (n *Node) ReadFunc(mode raft.ReadMode, done func(error)) {
	n.Modes = append(n.Modes, mode)
	done(n.ReadErr)
}

// Stamp implements translate.Timekeeper.
func (n *Node) Stamp() (logtime.Stamp, error) { return n.Now, n.SubmitErr }

// KeepAlive implements translate.Timekeeper.
func (n *Node) KeepAlive(id int64, done func(ttl int64, err error)) {
	n.KeepAllAlive([]int64{id}, func(ttls []int64, err error) {
		if err != nil {
			ttls = []int64{0}
		}
		done(ttls[0], err)
	})
}

// KeepAllAlive implements translate.Timekeeper.
func (n *Node) KeepAllAlive(ids []int64, done func(ttls []int64, err error)) {
	c := state.Command{More: &state.More{Kind: state.KindTick, Stamp: n.Now, Leases: ids}}
	n.SubmitFunc(c, func(r state.Result, err error) { done(r.TTL, err) })
}

// store is a naive.Machine as a translate.Store.
type store struct{ *naive.Machine }

func (s store) TryGets(keys []string, each func(i int, r kv.Result, ok bool)) {
	for i, key := range keys {
		each(i, s.Get(key), true)
	}
}

func (s store) EncodeRange(op kv.RangeOp, b []byte, add func([]byte, *kv.Entry) []byte) ([]byte, kv.RangeResult, error) {
	r, code := s.Machine.Range(op)
	for i := range r.Entries {
		b = add(b, &r.Entries[i])
	}
	return b, r, code.Err()
}

func (s store) Lease(id int64, keys bool) (translate.LeaseInfo, bool) {
	ttl, expiry, attached, ok := s.Machine.Lease(id)
	info := translate.LeaseInfo{TTL: ttl, Remaining: max(0, expiry-s.Clock()), Session: s.IsSession(id)}
	if keys {
		info.Keys = attached
	}
	return info, ok
}
