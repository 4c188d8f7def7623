package sim

import (
	"errors"
	"fmt"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// attempt is one attempt of one operation.
type attempt struct {
	record *record
	number int
}

// handle answers a request as a server does.
func (n *node) handle(req *api.Request, a attempt, reply func(*api.Reply)) {
	h := translate.Handler{Replica: asked{n, a}, Store: stored{n.machine}}
	h.Leader = func(id raft.NodeID) *api.Leader {
		return &api.Leader{NodeId: uint64(id), ClientUrls: []string{"http://" + address(id)}}
	}
	handler := &h
	if n.w.mix.Users {
		handler = h.As(auth.RootName, auth.ByCertificate)
	}
	handler.Handle(req, func(r *api.Reply) {
		if r.Code == api.Reply_INVALID || r.Code == api.Reply_TOO_LARGE {
			n.w.failf("simulator", "invalid request: %s", r.Message)
		}
		reply(r)
	})
}

// asked is the replica of a node as the service sees it, for the request of one attempt.
type asked struct {
	node    *node
	attempt attempt
}

func (a asked) SubmitEntryFunc(c state.Command, done func(state.Result, rsm.EntryID, error)) {
	x := &waiter{attempt: a.attempt, done: func(r state.Result, err error) {
		if errors.Is(err, rsm.ErrBusy) {
			a.node.w.injected(FullQueue)
		}
		done(r, rsm.EntryID{}, err)
	}}
	w := a.node.w
	x.data = state.Codec{}.Append(nil, c)
	a.node.submit(x.data, x, w.chance(w.mix.Forward))
}

func (a asked) ReadFunc(mode raft.ReadMode, done func(error)) {
	a.node.read(&waiter{mode: mode, attempt: a.attempt, done: func(_ state.Result, err error) { done(err) }})
}

func address(id raft.NodeID) string { return fmt.Sprintf("node%d:1", uint64(id)) }
