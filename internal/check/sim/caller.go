package sim

import (
	"errors"
	"slices"
	"time"

	"balsa.example/internal/check/history"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// caller is a client of all that the service has besides operations on one key. It sends
// commands and reads as they are, one after the other, and sends a command again only if it was
// certainly not executed, or if it belongs to a session. Its keys are not those of the Clerks.
type caller struct {
	w       *world
	id      int
	at      raft.NodeID // the node that it asks
	etcd    bool        // it speaks the API of etcd, where that can say what it asks for
	session int64       // 0: none
	seq     uint64
	acked   uint64
	busy    bool
	// leases are those that it was granted, and granting counts all that were asked for.
	leases   []int64
	granting int64
}

// call is one call of a caller.
type call struct {
	*history.Call
	caller *caller
	begun  Instant
	// session is the place of a command in its session, if it has one.
	session state.SessionSeq
	mode    raft.ReadMode
	turn    int  // number of the present attempt; events of earlier ones are ignored
	asking  bool // an attempt is under way
	over    bool
	doubt   bool // an attempt may have been executed, and got no answer
	etcd    bool // by the API of etcd
}

// answer is what a node says to an attempt.
type answer struct {
	result state.Result
	found  kv.RangeResult
	err    error
}

// next begins a call, unless the run is about to end.
func (c *caller) next() {
	w := c.w
	if w.closing || c.busy {
		return
	}
	x := &call{Call: &history.Call{Client: c.id, Called: int64(w.now)}, caller: c, begun: w.now}
	w.calls = append(w.calls, x)
	c.busy = true
	c.draw(x)
	w.after(w.mix.Deadline, func() {
		if !x.over {
			x.doubt = x.doubt || x.asking
			x.end(false)
		}
	})
	x.try()
}

// try makes an attempt.
func (x *call) try() {
	c, w := x.caller, x.caller.w
	x.turn++
	x.asking = true
	turn := x.turn
	if w.chance(0.2) {
		c.at = raft.NodeID(1 + w.rand.IntN(w.mix.Nodes()))
	}
	to := w.node(c.at)
	w.after(w.upTo(2*w.mix.Attempt), func() { // no answer
		if x.turn == turn && !x.over {
			x.doubt = true
			x.again(0)
		}
	})
	if w.chance(w.mix.ClientLoss) {
		return
	}
	w.after(w.net.latency(), func() {
		to.awake(func() {
			if !to.up() || w.net.clientCut[to.id] > 0 {
				return
			}
			to.serve(x, func(a answer) {
				if w.net.clientCut[to.id] > 0 || w.chance(w.mix.ClientLoss) {
					return
				}
				w.after(w.net.latency(), func() { x.hear(a, turn) })
			})
		})
	})
}

// serve answers a call as a server does.
func (n *node) serve(x *call, reply func(answer)) {
	forward := n.w.chance(n.w.mix.Forward)
	if x.kind() == state.KindTick && !forward {
		n.keepAlive(x.Command.More.Leases[0], reply)
		return
	}
	if x.Range == nil {
		n.serveCommand(x, forward, reply)
		return
	}
	if x.Stale && !n.witness {
		n.answerRange(x, reply)
		return
	}
	n.read(&waiter{mode: x.mode, done: func(_ state.Result, err error) {
		if err != nil {
			reply(answer{err: err})
			return
		}
		n.answerRange(x, reply)
	}})
}

// serveCommand lets the cluster execute what a call asks for.
func (n *node) serveCommand(x *call, forward bool, reply func(answer)) {
	c := x.command()
	respond := func(r state.Result) (state.Result, error) { return r, nil }
	if x.etcd {
		var err error
		if c, respond, err = x.etcdCommand(); err != nil {
			reply(answer{err: errEtcdRefused})
			return
		}
	}
	if !forward { // a leader's stamp is for what it proposes itself
		var ok bool
		if c, ok = n.stamp(c); !ok {
			reply(answer{err: rsm.ErrWrongLeader})
			return
		}
	}
	data := state.Codec{}.Append(nil, c)
	if x.kind() == state.KindGrant && n.w.chance(0.05) {
		// A second copy is refused, or grants the lease again after it has ended.
		n.submitOnly(c, false)
		n.w.check.leaseLives.forget(c.More.Lease)
	}
	n.submit(data, &waiter{data: data, unique: x.session.ID == 0 && x.unique(), done: func(r state.Result, err error) {
		if err == nil && !denied(r) {
			if r, err = respond(r); err != nil {
				err = errEtcdRefused
			}
		}
		reply(answer{result: r, err: err})
	}}, forward)
}

// answerRange reads what a call asks for from the machine as it is.
func (n *node) answerRange(x *call, reply func(answer)) {
	var found kv.RangeResult
	var err error
	op := *x.Range
	if x.etcd {
		if op, err = x.etcdRange(); err != nil {
			reply(answer{err: errEtcdRefused})
			return
		}
	}
	n.disk.reading(func() { found, err = n.machine.Range(op) })
	code, known := kv.CodeOf(err)
	if !known && (n.disk.excuses(err) || errors.Is(err, errIO)) {
		reply(answer{err: rsm.ErrWrongLeader}) // the client asks another
		return
	}
	if !known {
		n.w.failf("read", "%s: %v", n.id, err)
	}
	if x.etcd && code != kv.CodeOK {
		reply(answer{err: errEtcdRefused})
		return
	}
	if x.etcd {
		found = rangeHeard(rangeSaid(&found))
	}
	r := state.Result{Result: kv.Result{Code: code, Revision: found.Revision}}
	reply(answer{r, found, nil})
}

// command is what is sent: the command of the call in its session.
func (x *call) command() state.Command {
	c := x.Command
	if x.session.ID == 0 {
		return c
	}
	more := *c.More
	more.Session = x.session
	return state.Command{Op: c.Op, More: &more}
}

// hear takes the answer to an attempt.
func (x *call) hear(a answer, turn int) {
	if x.over {
		return
	}
	refused := errors.Is(a.err, rsm.ErrWrongLeader) || errors.Is(a.err, rsm.ErrBusy) || errors.Is(a.err, rsm.ErrWitness) || errors.Is(a.err, logtime.ErrNotLeader)
	switch {
	case errors.Is(a.err, errEtcdRefused):
		x.end(false)
	case a.err == nil && a.result.Code == kv.CodeForgotten:
		// The session has ended, or the command has fallen out of its window.
		x.caller.session = 0
		x.end(false)
	case a.err == nil && denied(a.result):
		x.caller.w.check.counts.Denied++
		x.end(false)
	case a.err == nil && limited(a.result.Code):
		x.caller.w.check.counts.Limited++
		x.end(false)
	case a.err == nil && a.result.Replayed && a.result.Kept == state.KeptRevision: // the right is gone since
		x.doubt = true
		x.end(false)
	case a.err == nil:
		x.Result, x.Found = a.result, a.found
		x.end(true)
	case x.turn != turn: // a late error
	default:
		x.doubt = x.doubt || !refused
		x.again(milliseconds(10) + x.caller.w.upTo(milliseconds(100)))
	}
}

// again makes another attempt, if the command cannot be executed twice by that.
func (x *call) again(pause time.Duration) {
	c, w := x.caller, x.caller.w
	x.turn++
	x.asking = false
	if x.doubt && x.Range == nil && x.session.ID == 0 && x.kind() != state.KindTick {
		x.end(false)
		return
	}
	turn := x.turn
	w.after(pause, func() {
		if x.turn != turn || x.over {
			return
		}
		c.at = raft.NodeID(1 + w.rand.IntN(w.mix.Nodes()))
		if l := w.leader(); l != nil && w.chance(0.7) {
			c.at = l.id // as if there had been a hint
		}
		x.renew()
		x.try()
	})
}

// end ends a call, with an answer or without. A command that was certainly not executed is not
// part of the history.
func (x *call) end(known bool) {
	c, w := x.caller, x.caller.w
	x.over, c.busy = true, false
	x.Known, x.Returned = known, int64(w.now)
	if x.session.ID != 0 && known && x.session.ID == c.session {
		c.acked = x.session.Seq
	}
	switch {
	case known:
		w.check.counts.Calls++
		if x.etcd {
			w.check.counts.EtcdCalls++
		}
		c.learn(x)
	case x.Range == nil && x.doubt:
		w.check.counts.UnknownCalls++
	}
	w.after(w.upTo(2*w.mix.Think), c.next)
}

// learn remembers what an answer tells.
func (c *caller) learn(x *call) {
	if x.Range != nil || x.Result.Code != kv.CodeOK || x.Command.More == nil {
		return
	}
	switch m := x.Command.More; m.Kind {
	case state.KindGrant:
		if m.IsSession {
			c.session, c.seq, c.acked = m.Lease, 0, 0
			return
		}
		c.leases = append(c.leases, m.Lease)
	case state.KindTick:
		if x.Result.TTL[0] == 0 {
			c.forget(m.Leases[0])
		}
	case state.KindRevoke:
		c.forget(m.Lease)
	}
}

// forget forgets a lease that has ended.
func (c *caller) forget(id int64) {
	if id == c.session {
		c.session = 0
	}
	c.leases = slices.DeleteFunc(c.leases, func(l int64) bool { return l == id })
}
