// Package nodetest has a stand-in for an rsm.Node, for tests of what answers requests.
package nodetest

import (
	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
)

// Node is a translate.Replica without Raft: it executes at once, or fails as told. It is
// used by one goroutine at a time.
type Node struct {
	Store     *kv.Store
	SubmitErr error
	ReadErr   error
	Modes     []raft.ReadMode // of the reads so far
	Submitted int             // writes so far
	Hold      bool            // keep results of writes back until Release
	held      []func()        // what Release calls
}

// New returns a Node with an empty store, and a Handler that asks it.
func New() (translate.Handler, *Node) {
	n := &Node{Store: kv.NewStore()}
	leader := func(id raft.NodeID) *api.Leader {
		return &api.Leader{NodeId: uint64(id), Name: "n2", ClientUrls: []string{"http://h:2"}}
	}
	return translate.Handler{Replica: n, Store: n.Store, Leader: leader}, n
}

// SubmitFunc implements translate.Replica.
func (n *Node) SubmitFunc(op kv.Op, done func(kv.Result, error)) {
	n.Submitted++
	if n.SubmitErr != nil {
		done(kv.Result{}, n.SubmitErr)
		return
	}
	finish := func() { done(n.Store.DoOp(op), nil) }
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
