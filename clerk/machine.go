package clerk

//balsa:pure

import "balsa/api"

// Op is the life of one operation: it says which server to ask, when to wait and how
// long, and when the operation is over with what verdict. It does nothing itself. Its
// shell does what a Step says and tells what came of it:
//
//	step := op.Start()
//	for step.Action != End {
//	    Ask:  send the request    -> op.Reply(reply), or op.Lost(sent)
//	    Wait: let the time pass   -> op.Woke()
//	    at any time, to give up   -> op.Cancel(sent)
//	}
//	op.Outcome()
//
// What a Clerk can know is this table. "Clear" means that no earlier attempt of the
// operation may have been executed: all of them were answered WRONG_LEADER, BUSY or
// UNAVAILABLE, or never left. "Doubt" means that one may have been, or may yet be: its
// reply was lost or said UNKNOWN. A doubt never goes away.
//
//	                              clear                 doubt
//	Get      any answer           that answer           -
//	         lost                 ask again             -
//	Put      OK                   done                  done
//	         VERSION_MISMATCH     ErrVersion            ErrMaybe, or ErrVersion if refuted
//	         NO_KEY               ErrNoKey              ErrMaybe
//	         TOO_LARGE, INVALID   that                  ErrMaybe
//	         lost                 ask again, in doubt   ask again
//	Set,     any answer           that answer           -
//	Delete,  lost                 ErrMaybe at once      -
//	Remove
//	all      WRONG_LEADER, BUSY,  ask again             ask again
//	         UNAVAILABLE, unsent
//	         context ended        its error             its error and ErrMaybe
//
// Why a refused resend leaves a doubt. Our own Put at version v moves the key to v+1,
// so the resend of an executed Put meets VERSION_MISMATCH, exactly as if another client
// had won. If the key was deleted meanwhile it meets NO_KEY, and if it was created
// again, any version. A current version below v refutes nothing: an attempt that is
// still under way may be executed when others have brought the key to v. What can be
// known better: see refuted.
//
// Why only a Put is sent again. A Set or Remove might undo what another client wrote
// after the first attempt. So might a Delete, although it names a version: (1) our
// Delete at version 1 is executed and its reply lost; (2) another client creates the
// key, at version 1; (3) the resend deletes that.
//
// OK in doubt means executed once, because a second execution would need the version to
// be v twice. It can be where others delete the key and create it again, since it then
// counts from 1. There, versions alone do not make a Put at most once.
type Op struct {
	route *Route
	rand  Rand
	pace  Pace

	read    bool
	local   bool   // a LOCAL read
	again   bool   // a Put: may be sent again when in doubt
	version uint64 // the version expected
	seen    uint64 // a store revision that existed before the first attempt

	server int    // asked last
	hint   int    // whom the newest usable hint means; -1: none
	resume int    // whom to ask after a Wait
	tried  uint64 // set of servers asked since the last Wait
	lost   uint64 // those of them that gave no answer
	waits  int    // Waits so far
	doubt  bool   // an attempt may have been executed

	outcome Outcome
}

// Rand is where an Op takes its jitter from. *math/rand/v2.Rand is one.
type Rand interface{ Uint64() uint64 }

// Pace is how fast an Op goes. All are in nanoseconds and above 0.
type Pace struct {
	// AttemptNanos is how long to wait for an answer before asking another server.
	AttemptNanos int64
	// WaitNanos is the first wait after all servers were asked in vain. Each further
	// one is twice as long, up to MaxWaitNanos. Jitter takes up to half of it away.
	WaitNanos    int64
	MaxWaitNanos int64
}

// patience is how many times AttemptNanos a write that cannot be sent again waits for
// its answer. A late answer is all that it can hope for.
const patience = 5

// Action is what a Step wants done.
type Action uint8

const (
	// Ask: send the request to Server, and wait for its answer for Nanos.
	Ask Action = iota + 1
	// Wait: let Nanos pass.
	Wait
	// End: the operation is over; see Op.Outcome.
	End
)

// Step is what an Op wants done next.
type Step struct {
	Action Action
	Server int   // Ask: its number in the Route
	Nanos  int64 // Ask, Wait
}

// Verdict says what is known about an operation that is over.
type Verdict uint8

const (
	// Answered: what Outcome.Reply says is what happened, be it OK or a refusal.
	Answered Verdict = iota + 1
	// Maybe: it may have been executed, or may yet be.
	Maybe
	// Dropped: it was given up, and certainly not executed.
	Dropped
)

// Outcome is how an operation ended.
type Outcome struct {
	Verdict Verdict
	// Reply is the last answer. With Maybe it decides nothing. It is nil if there was
	// none, or the operation ended without waiting for one.
	Reply *api.Reply
}

// NewOp returns the Op of a request, of which only what it asks for is read.
func NewOp(route *Route, rand Rand, pace Pace, req *api.Request) Op {
	read := req.GetKind() == api.Request_GET
	return Op{
		route:   route,
		rand:    rand,
		pace:    pace,
		read:    read,
		local:   read && req.GetConsistency() == api.Request_LOCAL,
		again:   req.GetKind() == api.Request_PUT && req.GetConditional(),
		version: req.GetVersion(),
		seen:    route.revision,
		hint:    -1,
	}
}

// Start returns the first Step.
func (o *Op) Start() Step {
	if o.local {
		return o.ask(o.route.nearest)
	}
	return o.ask(o.route.leader)
}

// Outcome is valid once a Step said End.
func (o *Op) Outcome() Outcome { return o.outcome }

// Reply takes the answer of the server asked.
func (o *Op) Reply(r *api.Reply) Step {
	o.route.revision = max(o.route.revision, r.GetRevision())
	switch r.GetCode() {
	case api.Reply_OK:
		o.route.served(o.server, o.local)
		return o.end(Answered, r)
	case api.Reply_VERSION_MISMATCH, api.Reply_NO_KEY:
		o.route.served(o.server, o.local)
		if o.doubt && !o.refuted(r) {
			return o.end(Maybe, r)
		}
		return o.end(Answered, r)
	case api.Reply_TOO_LARGE, api.Reply_INVALID:
		if o.doubt { // by a server that allows more
			return o.end(Maybe, r)
		}
		return o.end(Answered, r)
	case api.Reply_WRONG_LEADER:
		return o.redirect(r.GetLeader())
	case api.Reply_BUSY: // another server would only send us back
		return o.wait(o.server)
	case api.Reply_UNAVAILABLE:
		o.route.failed(o.server)
		return o.next()
	default: // UNKNOWN, and whatever a newer server may say
		return o.Lost(true)
	}
}

// Lost says that no answer came or will be waited for. Unless the request certainly
// never left, sent is true.
func (o *Op) Lost(sent bool) Step {
	o.lost |= 1 << o.server
	o.route.failed(o.server)
	if sent && !o.read {
		o.doubt = true
		if !o.again {
			return o.end(Maybe, nil)
		}
	}
	return o.next()
}

// Woke says that the wait is over.
func (o *Op) Woke() Step {
	o.tried, o.lost = 0, 0
	return o.ask(o.resume)
}

// Cancel ends the operation without an answer. As in Lost, sent is true if an attempt
// is under way that may have left.
func (o *Op) Cancel(sent bool) Step {
	if o.doubt || sent && !o.read {
		return o.end(Maybe, nil)
	}
	return o.end(Dropped, nil)
}

// refuted tells whether r, the refusal of a resent Put, shows that no earlier attempt
// was executed: the key was last changed at a revision seen before the first attempt
// left, and was past the expected version already. An attempt that is still under way
// comes too late, since the version only grows.
func (o *Op) refuted(r *api.Reply) bool {
	m := r.GetModRevision()
	return r.GetCode() == api.Reply_VERSION_MISMATCH && r.GetVersion() > o.version && m != 0 && m <= o.seen
}

// redirect goes where the hint leads, at once if that server was not asked in this
// round: two servers that take each other for the leader must not keep us running.
func (o *Op) redirect(hint *api.Leader) Step {
	h := o.route.follow(hint)
	if h < 0 || h == o.server || o.lost&(1<<h) != 0 {
		o.route.failed(o.server)
		return o.next()
	}
	o.hint = h
	o.route.leader = h
	if o.tried&(1<<h) == 0 {
		return o.ask(h)
	}
	return o.next()
}

// next asks a server not asked in this round, or ends the round with a wait. The one
// after it begins with the newest hint.
func (o *Op) next() Step {
	n := o.route.Len()
	for i := 1; i < n; i++ {
		if s := (o.server + i) % n; o.tried&(1<<s) == 0 {
			return o.ask(s)
		}
	}
	if o.hint >= 0 && o.lost&(1<<o.hint) == 0 {
		return o.wait(o.hint)
	}
	return o.wait((o.server + 1) % n)
}

func (o *Op) ask(server int) Step {
	o.server = server
	o.tried |= 1 << server
	nanos := o.pace.AttemptNanos
	if !o.read && !o.again {
		nanos *= patience
	}
	return Step{Action: Ask, Server: server, Nanos: nanos}
}

func (o *Op) wait(resume int) Step {
	o.resume = resume
	nanos := o.pace.WaitNanos
	for i := 0; i < o.waits && nanos < o.pace.MaxWaitNanos; i++ {
		nanos *= 2
	}
	nanos = min(nanos, o.pace.MaxWaitNanos)
	o.waits++
	jitter := int64(o.rand.Uint64() % uint64(nanos/2+1))
	return Step{Action: Wait, Nanos: nanos - jitter}
}

func (o *Op) end(v Verdict, r *api.Reply) Step {
	o.outcome = Outcome{Verdict: v, Reply: r}
	return Step{Action: End}
}
