package clerk

//balsa:pure

import "balsa.example/api"

// Op is the state machine of one operation: it says which server to ask, when to wait and
// for how long, and when the operation is over with what verdict. It does nothing itself.
// Its shell does what a Step says, and tells the Op the result:
//
//	step := op.Start()
//	for step.Action != End {
//	    Ask:  send the request    -> op.Reply(reply), or op.Lost(sent)
//	    Wait: let the time pass   -> op.WaitDone()
//	    a reply to a lost Ask     -> op.Late(attempt, reply)
//	    at any time, to give up   -> op.Cancel(sent)
//	}
//	op.Outcome()
//
// The table says what a Clerk can know. An attempt is "in doubt" if it may have been
// executed, or may be yet: its reply was lost or said UNKNOWN. All others were refused, or
// never sent. Put and Delete are the conditional ones. "Excluded" is the result of
// attempts.excludedBy. "Session" is every write of a session, and "repeatable" the writes
// without one that may be executed twice: see repeatable.
//
//	                              none in doubt         one in doubt
//	reads    any answer           that answer           -
//	         lost                 ask again             -
//	Put,     OK                   done                  done
//	Delete   VERSION_MISMATCH     ErrVersion            ErrMaybe, or ErrVersion if excluded
//	         NO_KEY               ErrNoKey              ErrMaybe, or ErrNoKey if excluded
//	         CHANGED              ask again             ErrMaybe, or, if excluded, ask again
//	                                                    with none in doubt
//	         other refusals       that                  ErrMaybe
//	         lost                 ask again, in doubt   ask again
//	Session  OK, and refusals     that: it is the       that
//	         by the store         outcome of the write
//	         SESSION_ENDED        not executed          ErrMaybe, or not executed if excluded
//	         forgotten            -                     ErrMaybe
//	         TOO_LARGE, INVALID,  that                  ErrMaybe, or that if the session has kept it
//	         TOO_MANY_OPS, and
//	         refused users
//	         lost                 ask again, in doubt   ask again
//	Repeat-  OK, and refusals     that                  that, and Outcome.Again
//	able     by the store
//	         others as a Session
//	others   any answer           that answer           -
//	         lost                 ErrMaybe at once      -
//	all      WRONG_LEADER, BUSY,  ask again             ask again
//	         UNAVAILABLE, unsent
//	         context ended        its error             its error and ErrMaybe
//
// # Why a refused resend leaves a doubt
//
// Our own Put at version v moves the key to v+1. So the resend of an executed Put gets
// VERSION_MISMATCH, as if another client had won. The resend of an executed Delete gets
// NO_KEY. See attempts for when more can be known.
//
// # Why a resend says since when the key must be unchanged
//
// A version alone does not identify a state of the key, since a key that is deleted and
// created again counts from 1:
//
//  1. Our Put at version 0 is executed, and its reply is lost.
//  2. Another client deletes the key.
//  3. The resend creates the key a second time.
//
// The same with a Delete:
//
//  1. Our Delete at version 1 is executed, and its reply is lost.
//  2. Another client creates the key.
//  3. The resend deletes that key.
//
// So the resend demands that the key is unchanged since a revision that the store had
// reached before the first attempt was sent. An executed attempt changes the key at a
// later revision.
//
// # Why the first attempt carries that revision too
//
// It may arrive after the resend:
//
//  1. Our Put at version 0 is delayed on a broken stream.
//  2. The resend is executed.
//  3. Another client deletes the key.
//  4. The first attempt arrives.
//
// The store notes at which revision a resend came. If that is not below the revision of the
// first attempt, the first attempt demands what a resend does. Otherwise it demands
// nothing, so that a Clerk with an old revision need not ask twice. If the answer is
// CHANGED, the first attempt was not executed, and we ask again with the revision of that
// reply.
//
// # Why late replies count
//
// A server that is slower than Pace.AttemptNanos answers after we have asked again, and the
// resend finds our own change. Both replies together say that we were executed: see Late.
//
// # Why Set, Remove and transactions are not sent again
//
// The second one might undo what another client has written in between.
//
// # Why a write of a session is
//
// The store remembers its outcome under its number, and answers each attempt with that. So an
// answer is true of the write, whichever attempt was executed. SESSION_ENDED says that the
// outcome is forgotten: no attempt is executed from then on.
type Op struct {
	route *Route
	rand  Rand
	pace  Pace

	read      bool
	local     bool     // a LOCAL read
	retryable bool     // conditional: may be sent again while an attempt is in doubt
	repeated  bool     // repeatable, or of a session: may be sent again at any time
	session   bool     // of a session
	attempts  attempts // if retryable or repeated

	// The last Ask: its server, its number (from 0 on), what it carries, and the revision
	// that the store is known to have reached when it was sent.
	server         int
	attempt        int
	unchangedSince uint64
	reached        uint64

	asking bool   // the last Step was an Ask
	hint   int    // the server that the newest usable hint names; -1: none
	resume int    // the server to ask after a Wait
	tried  uint64 // set of the servers asked since the last Wait
	lost   uint64 // those of them that gave no answer
	waits  int    // number of Waits so far

	outcome Outcome
}

// emptyRevision is the revision of an empty store.
const emptyRevision = 1

// Rand is an Op's source of jitter. *math/rand/v2.Rand is one.
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

// forBytes gives the attempts of a large request more time: a quarter of what others have for each MiB. Else it would be
// sent once more while it is on its way, and take the room of itself.
func (p Pace) forBytes(n int) Pace {
	if n > 2<<20 {
		p.AttemptNanos += p.AttemptNanos / 4 * int64(n>>20)
	}
	return p
}

// patience is how many times AttemptNanos a write that cannot be sent again waits for its
// answer: without one it ends in ErrMaybe.
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
	// Again tells, of a write without a session that is Answered, that an earlier attempt may
	// have been executed, or may be yet. So a refusal may be due to it.
	Again bool
}

// NewOp returns the Op of a request, of which only what it asks for is read. If it names a
// session it is a PUT, DELETE, TXN or DELETE_RANGE: all of these take a revision where they
// change something.
func NewOp(route *Route, rand Rand, pace Pace, req *api.Request) Op {
	read, session := reads(req), req.GetSession() != nil
	repeated := session || repeatable(req.GetKind())
	return Op{
		route:     route,
		rand:      rand,
		pace:      pace,
		read:      read,
		local:     read && req.GetConsistency() == api.Request_LOCAL,
		retryable: !read && !repeated && conditional(req),
		repeated:  !read && repeated,
		session:   !read && session,
		attempts: attempts{
			remove: req.GetKind() == api.Request_DELETE && !req.GetUnconditional(), version: req.GetVersion(),
			unchangedSince: emptyRevision, anyTime: repeated,
		},
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

// Sent says that the store had reached a revision when the present attempt was sent. It is
// called before Reply, Lost or Cancel, or not at all.
func (o *Op) Sent(reached uint64) {
	o.reached = max(o.reached, reached)
	if (o.retryable || o.repeated) && o.attempts.noneInDoubt() {
		o.attempts.unchangedSince = max(o.attempts.unchangedSince, reached)
	}
}

// Reply takes the answer of the server asked.
func (o *Op) Reply(r *api.Reply) Step {
	o.route.Reached(r.GetRevision())
	code := r.GetCode()
	switch {
	case code == api.Reply_FUTURE_REVISION && o.local: // another server may have reached it
		return o.next()
	case o.session && forgotten(r):
		return o.end(Maybe, r)
	case code == api.Reply_OK, o.repeated && ofTheStore(code), o.session && keptRefusal(r):
		o.route.served(o.server, o.local)
		return o.end(Answered, r)
	case code == api.Reply_VERSION_MISMATCH, code == api.Reply_NO_KEY, o.session && code == api.Reply_SESSION_ENDED:
		o.route.served(o.server, o.local)
		if !o.attempts.excludedBy(r) {
			return o.end(Maybe, r)
		}
		return o.end(Answered, r)
	case ofTheStore(code), ofTheServer(code), code == api.Reply_SESSION_ENDED:
		o.route.served(o.server, o.local)
		if !o.attempts.noneInDoubt() { // another server may have a higher limit, and have executed it
			return o.end(Maybe, r)
		}
		return o.end(Answered, r)
	}
	switch code {
	case api.Reply_CHANGED:
		return o.changed(r)
	case api.Reply_WRONG_LEADER:
		return o.redirect(r.GetLeader())
	case api.Reply_BUSY: // another server would only send us back
		return o.wait(o.server)
	case api.Reply_UNAVAILABLE:
		o.route.failed(o.server)
		return o.next()
	default: // UNKNOWN, and codes of newer servers
		return o.Lost(true)
	}
}

// Lost says that no answer came in time. sent is false only if the request was certainly
// never sent.
func (o *Op) Lost(sent bool) Step {
	o.lost |= 1 << o.server
	o.route.failed(o.server)
	if sent && !o.read {
		if !o.retryable && !o.repeated {
			return o.end(Maybe, nil)
		}
		o.attempts.lost(o.attempt, o.reached)
	}
	o.asking = false
	if step, ok := o.resolved(); ok {
		return step
	}
	return o.next()
}

// WaitDone says that the time of a Wait is over.
func (o *Op) WaitDone() Step {
	o.tried, o.lost = 0, 0
	return o.ask(o.resume)
}

// Cancel ends the operation without an answer. sent is true if the present attempt may
// have been sent, as in Lost.
func (o *Op) Cancel(sent bool) Step {
	if o.asking {
		o.route.gaveUp(o.server)
	}
	if sent && !o.read && !o.retryable && !o.repeated {
		return o.end(Maybe, nil)
	}
	if sent && (o.retryable || o.repeated) {
		o.attempts.lost(o.attempt, o.reached)
	}
	o.asking = false
	switch step, ok := o.resolved(); {
	case ok && step.Action == End:
		return step
	case !ok && !o.attempts.noneInDoubt():
		return o.end(Maybe, nil)
	}
	return o.end(Dropped, nil)
}

// Late takes the answer to an attempt that was lost before. If ok is true, the returned
// Step replaces the present one. Otherwise the present one goes on.
func (o *Op) Late(attempt int, r *api.Reply) (step Step, ok bool) {
	o.route.Reached(r.GetRevision())
	final := r.GetCode() == api.Reply_OK || (o.read || o.repeated) && ofTheStore(r.GetCode())
	switch {
	case final:
		o.attempts.notExecuted(attempt)
		return o.end(Answered, r), true
	case o.session && forgotten(r):
		return o.end(Maybe, r), true
	case o.read || o.attempts.bit(attempt) == 0:
		return Step{}, false // it tells nothing new
	}
	switch r.GetCode() {
	case api.Reply_VERSION_MISMATCH, api.Reply_NO_KEY, api.Reply_CHANGED, api.Reply_SESSION_ENDED:
		o.attempts.notExecuted(attempt)
		o.attempts.refusedLate(r, o.attempt)
	default:
		if certain(r.GetCode()) {
			o.attempts.notExecuted(attempt)
		}
	}
	return o.resolved()
}

// resolved tells whether a late refusal has shown that no attempt was executed or will be,
// the present one included. Then step says how to go on.
func (o *Op) resolved() (step Step, ok bool) {
	r, all := o.attempts.refusal, o.attempts
	if r == nil {
		return Step{}, false
	}
	if o.asking {
		all.lost(o.attempt, o.reached)
	}
	switch {
	case !all.excludedBy(r):
		return Step{}, false
	case r.GetCode() == api.Reply_CHANGED:
		return o.restart(r), true
	default:
		return o.end(Answered, r), true
	}
}

// changed takes the answer that the key was changed at a revision above unchangedSince.
func (o *Op) changed(r *api.Reply) Step {
	if !o.retryable || r.GetRevision() <= o.unchangedSince { // not an answer to what we asked
		return o.Lost(true)
	}
	o.route.served(o.server, o.local)
	if !o.attempts.excludedBy(r) {
		return o.end(Maybe, r)
	}
	return o.restart(r)
}

// restart asks again with a new FIRST attempt, when r has shown that no attempt was
// executed or will be.
func (o *Op) restart(r *api.Reply) Step {
	o.attempts.inDoubt = 0
	o.attempts.unchangedSince = max(o.attempts.unchangedSince, r.GetRevision())
	return o.ask(o.server)
}

// redirect asks the server that the hint names. If that server was asked before in this
// round, it is asked after the next Wait, since two servers may name each other as leader
// for a long time.
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

// next asks a server that was not asked in this round, or ends the round with a Wait. The
// next round begins with the server of the newest hint.
func (o *Op) next() Step {
	n := o.route.Len()
	for i := 1; i < n; i++ {
		if s := (o.server + i) % n; o.tried&(1<<s) == 0 && o.route.asked(s) {
			return o.ask(s)
		}
	}
	if o.hint >= 0 && o.lost&(1<<o.hint) == 0 {
		return o.wait(o.hint)
	}
	return o.wait(o.route.after(o.server))
}

func (o *Op) ask(server int) Step {
	o.server = server
	o.tried |= 1 << server
	o.attempt++
	o.asking = true
	o.reached = o.route.revision
	step := Step{Action: Ask, Server: server, Nanos: o.pace.AttemptNanos, Attempt: o.attempt}
	switch {
	case o.retryable && o.attempts.noneInDoubt():
		o.attempts.begin(o.attempt)
		o.attempts.unchangedSince = max(o.attempts.unchangedSince, o.route.revision)
		step.Kind = api.Request_FIRST
	case o.retryable:
		step.Kind = api.Request_RESEND
	case o.repeated && o.attempts.noneInDoubt():
		o.attempts.begin(o.attempt)
	case !o.read && !o.repeated:
		step.Nanos *= patience
	}
	if o.retryable {
		step.UnchangedSince = o.attempts.unchangedSince
	}
	o.unchangedSince = step.UnchangedSince
	return step
}

func (o *Op) wait(resume int) Step {
	o.resume, o.asking = resume, false
	nanos := o.pace.wait(o.waits, o.rand)
	o.waits++
	return Step{Action: Wait, Nanos: nanos}
}

// wait returns how long to wait after so many waits before.
func (p Pace) wait(before int, rand Rand) int64 {
	nanos := p.WaitNanos
	for i := 0; i < before && nanos < p.MaxWaitNanos; i++ {
		nanos *= 2
	}
	nanos = min(nanos, p.MaxWaitNanos)
	return nanos - int64(rand.Uint64()%uint64(nanos/2+1))
}

func (o *Op) end(v Verdict, r *api.Reply) Step {
	o.asking = false
	o.outcome = Outcome{Verdict: v, Reply: r, Again: v == Answered && o.repeated && !o.attempts.noneInDoubt()}
	return Step{Action: End}
}
