package clerk

//balsa:pure

import "balsa.example/api"

// Op is the life of one operation: it says which server to ask, when to wait and how
// long, and when the operation is over with what verdict. It does nothing itself. Its
// shell does what a Step says and tells what came of it:
//
//	step := op.Start()
//	for step.Action != End {
//	    Ask:  send the request    -> op.Reply(reply), or op.Lost(sent)
//	    Wait: let the time pass   -> op.Woke()
//	    a reply to a lost Ask     -> op.Late(attempt, reply)
//	    at any time, to give up   -> op.Cancel(sent)
//	}
//	op.Outcome()
//
// What a Clerk can know is this table. "Clear" means that no earlier attempt of the
// operation was executed, nor will be: all of them were answered so, or never left.
// "Doubt" means that one may have been, or may yet be: its reply was lost or said UNKNOWN.
// Put and Delete are the conditional ones. "Excluded": see fate.excludes.
//
//	                              clear                 doubt
//	Get      any answer           that answer           -
//	         lost                 ask again             -
//	Put,     OK                   done                  done
//	Delete   VERSION_MISMATCH     ErrVersion            ErrMaybe, or ErrVersion if excluded
//	         NO_KEY               ErrNoKey              ErrMaybe, or ErrNoKey if excluded
//	         CHANGED              ask again             ErrMaybe, or, if excluded, ask again
//	                                                    and be clear
//	         TOO_LARGE, INVALID   that                  ErrMaybe
//	         lost                 ask again, in doubt   ask again
//	Set,     any answer           that answer           -
//	Remove   lost                 ErrMaybe at once      -
//	all      WRONG_LEADER, BUSY,  ask again             ask again
//	         UNAVAILABLE, unsent
//	         context ended        its error             its error and ErrMaybe
//
// Why a refused resend leaves a doubt. Our own Put at version v moves the key to v+1,
// so the resend of an executed Put meets VERSION_MISMATCH, exactly as if another client
// had won; that of an executed Delete meets NO_KEY. What can be known better: see fate.
//
// Why resends say since when the key must be unchanged. A version does not mean one
// state of the key, since a key that others delete and create again counts from 1:
// (1) our Put at version 0 is executed and its reply lost; (2) another client deletes the
// key; (3) the resend creates it a second time. Or (1) our Delete at version 1 is executed;
// (2) another client creates the key; (3) the resend deletes that. So step 3 demands that
// the key be unchanged since a revision that the store had reached before the first attempt
// was sent. Whatever is executed changes the key at a later one.
//
// Why the first attempt carries that revision too. It may be the one that comes late: (1)
// our Put at version 0 is delayed on a broken stream; (2) the resend is executed; (3) another
// client deletes the key; (4) the first attempt arrives. A resend leaves a trace in the
// store, and behind the trace a first attempt of an earlier revision demands what a resend
// does. Without a trace it demands nothing, so that a Clerk whose revision is old need not
// ask twice. Behind a trace it may be CHANGED: then it was not executed, and we ask again
// with the revision of that reply.
//
// Why late replies count. A server that is slower than Pace.AttemptNanos answers after
// we have asked again; the resend then meets our own change. Whoever reads both replies
// knows better than ErrMaybe: see Late.
//
// Why Set and Remove are not sent again. A second one might undo what another client wrote
// in between.
type Op struct {
	route *Route
	rand  Rand
	pace  Pace

	read  bool
	local bool // a LOCAL read
	again bool // conditional: may be sent again when in doubt
	fate  fate // of the attempts, where again is true

	server  int    // asked last
	attempt int    // number of the last Ask, from 0 on
	since   uint64 // what that Ask carries
	reached uint64 // what the store had reached when it left, if that is known
	asking  bool   // the last Step was an Ask
	hint    int    // whom the newest usable hint means; -1: none
	resume  int    // whom to ask after a Wait
	tried   uint64 // set of servers asked since the last Wait
	lost    uint64 // those of them that gave no answer
	waits   int    // Waits so far

	outcome Outcome
}

// emptyRevision is where every store begins.
const emptyRevision = 1

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
	// Attempt is the number of an Ask: 0, 1, 2, and so on.
	Attempt int
	// UnchangedSince and Kind are what the request must carry. They may differ from one Ask
	// to the next.
	UnchangedSince uint64
	Kind           api.Request_Attempt
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
	again := !read && req.GetConditional()
	return Op{
		route:   route,
		rand:    rand,
		pace:    pace,
		read:    read,
		local:   read && req.GetConsistency() == api.Request_LOCAL,
		again:   again,
		fate:    fate{remove: req.GetKind() == api.Request_DELETE, version: req.GetVersion(), since: emptyRevision},
		attempt: -1,
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

// Sent says that the store had reached a revision when the present attempt left. It comes
// before Reply, Lost or Cancel, and may be left out.
func (o *Op) Sent(reached uint64) {
	o.reached = max(o.reached, reached)
	if o.again && o.fate.clear() {
		o.fate.since = max(o.fate.since, reached)
	}
}

// Reply takes the answer of the server asked.
func (o *Op) Reply(r *api.Reply) Step {
	o.route.Reached(r.GetRevision())
	switch r.GetCode() {
	case api.Reply_OK:
		o.route.served(o.server, o.local)
		return o.end(Answered, r)
	case api.Reply_VERSION_MISMATCH, api.Reply_NO_KEY:
		o.route.served(o.server, o.local)
		if !o.fate.excludes(r) {
			return o.end(Maybe, r)
		}
		return o.end(Answered, r)
	case api.Reply_CHANGED:
		return o.changed(r)
	case api.Reply_TOO_LARGE, api.Reply_INVALID:
		if !o.fate.clear() { // by a server that allows more
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

// Lost says that no answer came in time. Unless the request certainly never left, sent
// is true.
func (o *Op) Lost(sent bool) Step {
	o.lost |= 1 << o.server
	o.route.failed(o.server)
	if sent && !o.read {
		if !o.again {
			return o.end(Maybe, nil)
		}
		o.fate.lost(o.attempt, o.reached)
	}
	o.asking = false
	if step, ok := o.settled(); ok {
		return step
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
	if sent && !o.read && !o.again {
		return o.end(Maybe, nil)
	}
	if sent && o.again {
		o.fate.lost(o.attempt, o.reached)
	}
	o.asking = false
	switch step, ok := o.settled(); {
	case ok && step.Action == End:
		return step
	case !ok && !o.fate.clear():
		return o.end(Maybe, nil)
	}
	return o.end(Dropped, nil)
}

// Late takes the answer to an attempt that was lost before. If ok is true the Step takes the
// place of the present one, else that goes on.
func (o *Op) Late(attempt int, r *api.Reply) (step Step, ok bool) {
	o.route.Reached(r.GetRevision())
	final := r.GetCode() == api.Reply_OK || o.read && r.GetCode() == api.Reply_NO_KEY
	switch {
	case final:
		return o.end(Answered, r), true
	case o.read || o.fate.bit(attempt) == 0:
		return Step{}, false // nothing new
	}
	switch r.GetCode() {
	case api.Reply_VERSION_MISMATCH, api.Reply_NO_KEY, api.Reply_CHANGED:
		o.fate.settle(attempt)
		o.fate.refuse(r, o.attempt)
	case api.Reply_TOO_LARGE, api.Reply_INVALID, api.Reply_WRONG_LEADER, api.Reply_BUSY, api.Reply_UNAVAILABLE:
		o.fate.settle(attempt)
	}
	return o.settled()
}

// settled tells whether a late refusal has shown the fate of all attempts, that under way
// included. Then nothing is left to wait for.
func (o *Op) settled() (step Step, ok bool) {
	r, all := o.fate.refusal, o.fate
	if r == nil {
		return Step{}, false
	}
	if o.asking {
		all.lost(o.attempt, o.reached)
	}
	switch {
	case !all.excludes(r):
		return Step{}, false
	case r.GetCode() == api.Reply_CHANGED:
		return o.afresh(r), true
	default:
		return o.end(Answered, r), true
	}
}

// changed takes the answer that the key was changed at a revision above since.
func (o *Op) changed(r *api.Reply) Step {
	if !o.again || r.GetRevision() <= o.since { // not an answer to what we asked
		return o.Lost(true)
	}
	o.route.served(o.server, o.local)
	if !o.fate.excludes(r) {
		return o.end(Maybe, r)
	}
	return o.afresh(r)
}

// afresh asks again when r has shown that no attempt was executed, nor will be.
func (o *Op) afresh(r *api.Reply) Step {
	o.fate.open = 0 // ask begins anew
	o.fate.since = max(o.fate.since, r.GetRevision())
	return o.ask(o.server)
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
	o.attempt++
	o.asking = true
	o.reached = o.route.revision
	step := Step{Action: Ask, Server: server, Nanos: o.pace.AttemptNanos, Attempt: o.attempt}
	switch {
	case o.again && o.fate.clear():
		o.fate.begin(o.attempt)
		o.fate.since = max(o.fate.since, o.route.revision)
		step.Kind = api.Request_FIRST
	case o.again:
		step.Kind = api.Request_RESEND
	case !o.read:
		step.Nanos *= patience
	}
	if o.again {
		step.UnchangedSince = o.fate.since
	}
	o.since = step.UnchangedSince
	return step
}

func (o *Op) wait(resume int) Step {
	o.resume, o.asking = resume, false
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
	o.asking = false
	o.outcome = Outcome{Verdict: v, Reply: r}
	return Step{Action: End}
}
