package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/raft"
	"balsa.example/state"
)

// client is a program that does some concurrent operations by one Clerk. It is the shell of
// their state machines, as Clerk.do is in a real program. All share one Route.
type client struct {
	w       *world
	id      int
	route   *clerk.Route
	servers map[string]raft.NodeID
	known   map[string]uint64 // the last known version of each key; 0: none
	busy    int               // operations under way
	reached uint64            // the highest store revision that a server has told this process
}

// operation is one operation under way.
type operation struct {
	client *client
	record *record
	req    *api.Request
	op     clerk.Op
	step   clerk.Step
	turn   int  // number of the present step; events of earlier steps are ignored
	sent   bool // the request of the present Ask may have been sent
	over   bool
}

func newClient(w *world, id int) *client {
	c := &client{w: w, id: id, servers: map[string]raft.NodeID{}}
	for i := range w.mix.Nodes() {
		n := raft.NodeID(i + 1)
		c.servers[address(n)] = n
	}
	c.begin()
	return c
}

// begin starts a new process of the client. Some clients know a part of the servers only,
// and find the others by hints.
func (c *client) begin() {
	w := c.w
	c.known, c.reached = map[string]uint64{}, 0
	var endpoints []string
	for _, i := range w.rand.Perm(w.mix.Nodes()) {
		endpoints = append(endpoints, address(raft.NodeID(i+1)))
	}
	if n := w.mix.Learners + w.mix.Voters/2 + 1; w.chance(0.3) && w.mix.Spares+w.mix.Witnesses == 0 { // at least one voter among them keeps its disk
		endpoints = endpoints[:n]
	}
	var err error
	if c.route, err = clerk.NewRoute(endpoints, false); err != nil {
		w.failf("simulator", "%v", err)
	}
	// The Hello of the first server tells a revision that the store has reached.
	if len(w.nodes) > 0 && w.chance(0.5) {
		if n := w.node(c.servers[c.route.Server(0)]); n.up() {
			c.hello(n)
		}
	}
}

// hello is the Hello of a node on a new connection.
func (c *client) hello(n *node) { c.reached = max(c.reached, n.machine.Revision()) }

// next begins an operation, unless the run is about to end.
func (c *client) next() {
	w := c.w
	if w.closing {
		return
	}
	if c.busy == 0 && w.chance(0.02) {
		c.begin()
	}
	o := &operation{client: c, req: c.draw()}
	o.record = &record{
		id: len(w.records), client: c.id, req: o.req, called: w.now,
		key: string(o.req.Key),
	}
	w.records = append(w.records, o.record)
	c.busy++
	pace := clerk.Pace{AttemptNanos: int64(w.mix.Attempt), WaitNanos: 10e6, MaxWaitNanos: 250e6}
	o.op = clerk.NewOp(c.route, w.rand, pace, o.req)
	w.after(w.mix.Deadline, func() {
		if !o.over {
			o.record.doubt = o.record.doubt || o.sent
			o.do(o.op.Cancel(o.sent))
		}
	})
	o.do(o.op.Start())
}

// draw draws a request. Keys that begin with p get conditional Puts only; those that begin
// with d get all kinds of writes.
func (c *client) draw() *api.Request {
	w := c.w
	keys := w.mix.Keys
	if c.eager() {
		keys += eagerKeys
	}
	key := fmt.Sprintf("%c%d", "ppd"[w.rand.IntN(3)], w.rand.IntN(keys))
	req := &api.Request{Key: []byte(key)}
	dice := w.rand.IntN(100)
	switch {
	case w.chance(c.reads()):
		req.Kind = api.Request_GET
		req.Consistency = pick(w.rand, api.Request_LINEARIZABLE, api.Request_LINEARIZABLE, api.Request_LEASE)
		switch {
		case c.eager():
			req.Consistency = api.Request_LINEARIZABLE
		case dice == 0:
			req.Consistency = api.Request_LOCAL
		}
	case dice < 75 || key[0] == 'p':
		req.Kind, req.Version = api.Request_PUT, c.guess(key)
	case dice < 84:
		req.Kind, req.Unconditional = api.Request_PUT, true
	case dice < 95:
		req.Kind, req.Version = api.Request_DELETE, c.guess(key)
	default:
		req.Kind, req.Unconditional = api.Request_DELETE, true
	}
	if req.Kind != api.Request_GET {
		req.Value = binary.LittleEndian.AppendUint64(nil, uint64(len(w.records)))
		req.Value = append(req.Value, 0, 0) // the number of the attempt
		req.Value = append(req.Value, make([]byte, w.rand.IntN(w.mix.Padding+1))...)
	}
	return req
}

// eager tells whether the client has almost no think time now.
func (c *client) eager() bool {
	w := c.w
	return c.id < w.mix.Eager && w.now >= w.opt.Duration-w.mix.EagerFor
}

// reads returns the client's share of reads.
func (c *client) reads() float64 {
	if c.eager() {
		return c.w.mix.EagerReads
	}
	return c.w.mix.Reads
}

// think draws how long the client waits before the next operation. An eager one waits less
// than a tick.
func (c *client) think() time.Duration {
	if c.eager() {
		return c.w.upTo(eagerPause)
	}
	return c.w.upTo(2 * c.w.mix.Think)
}

const (
	eagerPause = 8 * time.Millisecond
	// eagerKeys is how many more keys eager clients use, so that the history of each key
	// stays short.
	eagerKeys = 16
)

// guess returns the expected version for a conditional write, mostly the last known one.
func (c *client) guess(key string) uint64 {
	if c.w.chance(0.05) {
		return c.known[key] + uint64(c.w.rand.IntN(3))
	}
	return c.known[key]
}

func (o *operation) do(step clerk.Step) {
	o.turn++
	o.step, o.sent = step, false
	turn, w := o.turn, o.client.w
	switch step.Action {
	case clerk.Ask:
		o.ask(turn)
	case clerk.Wait:
		w.after(time.Duration(step.Nanos), func() {
			if o.turn == turn {
				o.do(o.op.WaitDone())
			}
		})
	case clerk.End:
		o.end()
	}
}

// ask sends the request to a server, unless the connection fails at once.
func (o *operation) ask(turn int) {
	c, w := o.client, o.client.w
	to := w.node(c.servers[c.route.Server(o.step.Server)])
	refused := !to.up() || to.witness || w.net.clientCut[to.id] > 0
	if refused && w.chance(0.7) { // the connection was refused, or had not been made
		w.after(w.net.latency(), func() {
			if o.turn == turn {
				o.do(o.op.Lost(false))
			}
		})
		return
	}
	o.sent = true
	if to.up() && w.chance(0.2) { // over a new connection
		c.hello(to)
	}
	o.op.Sent(c.reached)
	o.record.attempts++
	if !o.record.doubt {
		o.record.reached = c.reached
	}
	a := attempt{o.record, o.record.attempts}
	w.trace.numbers(w.now, to.id, "asked", uint64(o.record.id), uint64(a.number), uint64(o.req.Kind))
	w.after(time.Duration(o.step.Nanos), func() {
		if o.turn == turn {
			o.record.doubt = true
			o.do(o.op.Lost(true))
		}
	})
	if w.chance(w.mix.ClientLoss) {
		w.injected(ClientLoss)
		return
	}
	req := o.stamped(a)
	number := o.step.Attempt
	latency := w.net.latency()
	if w.chance(w.mix.ClientLoss) { // it arrives after the client has asked again
		latency += w.upTo(4 * w.mix.Attempt)
	}
	w.after(latency, func() { o.arrive(to, req, a, number, turn) })
}

func (o *operation) arrive(to *node, req *api.Request, a attempt, number, turn int) {
	w := o.client.w
	if w.net.clientCut[to.id] > 0 {
		return
	}
	to.awake(func() {
		if to.up() && !to.witness {
			to.handle(req, a, func(r *api.Reply) { o.reply(to, r, number, turn) })
		}
	})
}

// stamped returns the request with the number of the attempt in its value. So the value
// shows which attempt was executed.
func (o *operation) stamped(a attempt) *api.Request {
	if o.req.Kind == api.Request_GET {
		return o.req
	}
	value := append([]byte(nil), o.req.Value...)
	binary.LittleEndian.PutUint16(value[8:], uint16(a.number))
	req := o.req.Copy()
	req.Value, req.UnchangedSince, req.Attempt = value, o.step.UnchangedSince, o.step.Kind
	return req
}

func (o *operation) reply(from *node, r *api.Reply, number, turn int) {
	w := o.client.w
	if w.net.clientCut[from.id] > 0 {
		return
	}
	if w.chance(w.mix.ClientLoss) {
		w.injected(ClientLoss)
		return
	}
	w.after(w.net.latency(), func() {
		o.client.reached = max(o.client.reached, r.Revision)
		if o.over {
			return
		}
		o.record.told(r)
		if o.turn != turn {
			if step, ok := o.op.Late(number, r); ok {
				o.do(step)
			}
			return
		}
		if r.Leader != nil {
			c := o.client
			for i := range c.route.Len() {
				c.route.Learn(i, uint64(c.servers[c.route.Server(i)]))
			}
		}
		o.do(o.op.Reply(r))
	})
}

// end ends the operation. The client begins the next one after its think time.
func (o *operation) end() {
	c, w := o.client, o.client.w
	o.over = true
	out := o.op.Outcome()
	o.record.ended(w, out)
	if r := out.Reply; r != nil && out.Verdict == clerk.Answered {
		c.known[o.record.key] = r.Version
	}
	if out.Verdict == clerk.Maybe {
		delete(c.known, o.record.key)
	}
	c.busy--
	w.after(c.think(), c.next)
}

// readAfterStart sends reads to a node that has just started, leader or not: answers to
// reads of its earlier process may still be under way.
func (w *world) readAfterStart(n *node) {
	for range 6 {
		w.after(w.upTo(milliseconds(400)), func() {
			if !w.closing {
				w.read(n)
			}
		})
	}
}

// read sends a node a read whose result only the checker sees.
func (w *world) read(n *node) { w.readBy(n, pick(w.rand, raft.ReadByIndex, raft.ReadByLease)) }

func (w *world) readBy(n *node, mode raft.ReadMode) {
	n.awake(func() {
		if n.up() {
			n.read(&waiter{mode: mode, done: func(state.Result, error) {}})
		}
	})
}

// readFromOldLeaders sends reads to nodes that still believe to lead although another was
// elected: they are the likeliest to give a stale answer.
func (w *world) readFromOldLeaders() {
	if w.closing {
		return
	}
	found := false
	for _, n := range w.nodes {
		v := &w.check.views[n.id]
		if !n.up() || v.role != raft.Leader || v.hard.Term >= w.check.leaderTerm {
			continue
		}
		found = true
		w.read(n)
	}
	if found {
		w.after(w.upTo(milliseconds(5)), w.readFromOldLeaders)
	}
}
