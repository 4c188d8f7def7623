package clerk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/api"
)

// operation is the shell of one Op: it sends requests, lets time pass, and tells the Op the
// results.
type operation struct {
	clerk       *Clerk
	ctx         context.Context
	req         *api.Request // of the present Ask
	op          Op
	step        Step
	address     string // of the server that the present Ask asks
	ended       error  // why the operation was given up
	reason      error  // why the last attempt did not end it
	tlsFailures tlsFailures
	grant       *grantIDs // of a LEASE_GRANT without an id; else nil

	// pending are the lost attempts that may still be answered, at most maxLate. late is
	// where their replies arrive; nil while there are none.
	pending []PendingReply
	late    chan lateReply
}

// lateReply is the reply to an attempt that was lost before.
type lateReply struct {
	attempt int
	reply   *api.Reply
}

// maxLate is how many lost attempts of an operation may still be answered. Each sends at
// most one lateReply, so that none waits for room.
const maxLate = lastBit + 1

// do runs an operation to its end.
func (c *Clerk) do(ctx context.Context, req *api.Request) (*api.Reply, error) {
	if c.tracer != nil {
		return c.trace(ctx, req)
	}
	return c.run(ctx, req)
}

func (c *Clerk) run(ctx context.Context, req *api.Request) (*api.Reply, error) {
	bytes, err := c.check(req)
	if err != nil {
		return nil, failure(req, err)
	}
	o := &operation{clerk: c, ctx: ctx, req: req, grant: newGrantIDs(req)}
	o.decide(func() Step {
		o.op = NewOp(c.route, c.rand, c.pace.forBytes(bytes), req)
		return o.op.Start()
	})
	for o.step.Action != End {
		o.proceed()
	}
	for _, p := range o.pending {
		p.Stop()
	}
	out := o.op.Outcome()
	o.grant.revokeOthers(c, out)
	if out.Again && out.Reply.Code == alreadyDone(req.Kind) {
		return out.Reply, nil // by an attempt before, or by somebody else: it is done
	}
	return conclude(o.req, out, o.ended, o.tlsFailures.addTo(o.reason))
}

// decide lets the Op choose its next step. It is the only use of the Route.
func (o *operation) decide(choose func() Step) {
	o.clerk.mu.Lock()
	defer o.clerk.mu.Unlock()
	o.take(choose())
}

func (o *operation) take(step Step) {
	o.step = step
	if step.Action == Ask {
		o.address = o.clerk.route.Server(step.Server)
		o.req = attemptOf(o.req, step)
		if o.grant != nil {
			o.req = o.grant.attempt(o.clerk, o.req, o.op.attempts.noneInDoubt())
		}
	}
}

// attemptOf returns the request as the step wants it sent. It does not change req, since an
// earlier attempt may still read it.
func attemptOf(req *api.Request, step Step) *api.Request {
	if req.UnchangedSince == step.UnchangedSince && req.Attempt == step.Kind {
		return req
	}
	c := req.Copy()
	c.UnchangedSince, c.Attempt = step.UnchangedSince, step.Kind
	return c
}

// proceed does what the present step says, and goes on to the next.
func (o *operation) proceed() {
	if o.takeLate() {
		return
	}
	if o.ended = o.clerk.ended(o.ctx); o.ended != nil {
		o.decide(func() Step { return o.op.Cancel(false) })
		return
	}
	if o.step.Action == Wait {
		o.wait()
		return
	}
	if o.late == nil {
		answer, err := o.clerk.caller.Call(o.ctx, o.address, o.req, time.Duration(o.step.Nanos))
		o.finish(answer, err)
		return
	}
	o.askWhileLate()
}

// wait lets the time of a Wait pass, unless a late reply or the end of the operation comes.
func (o *operation) wait() {
	timer := time.NewTimer(time.Duration(o.step.Nanos))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			o.decide(o.op.WaitDone)
			return
		case l := <-o.late:
			if o.tell(l) {
				return
			}
		case <-o.ctx.Done():
			return
		case <-o.clerk.done:
			return
		}
	}
}

// askWhileLate sends the request while replies to earlier attempts may come.
func (o *operation) askWhileLate() {
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	type called struct {
		answer Answer
		err    error
	}
	done := make(chan called, 1)
	address, req, timeout := o.address, o.req, time.Duration(o.step.Nanos)
	go func() {
		answer, err := o.clerk.caller.Call(ctx, address, req, timeout)
		done <- called{answer, err}
	}()
	for {
		select {
		case d := <-done:
			if o.takeLate() { // late replies that came before this one
				d.answer.stop()
				return
			}
			o.finish(d.answer, d.err)
			return
		case l := <-o.late:
			if o.tell(l) {
				cancel()
				d := <-done
				d.answer.stop()
				return
			}
		}
	}
}

// takeLate tells the Op of the late replies that have come. It returns true if one of them
// replaced the present step.
func (o *operation) takeLate() bool {
	for {
		select {
		case l := <-o.late:
			if o.tell(l) {
				return true
			}
		default:
			return false
		}
	}
}

// tell tells the Op of a late reply. It returns true if that replaced the present step.
func (o *operation) tell(l lateReply) (replaced bool) {
	o.clerk.mu.Lock()
	defer o.clerk.mu.Unlock()
	step, replaced := o.op.Late(l.attempt, l.reply)
	if replaced {
		o.reason = refusal("late reply", l.reply)
		o.take(step)
	}
	return replaced
}

// finish tells the Op the result of the present attempt.
func (o *operation) finish(answer Answer, err error) {
	o.tlsFailures.note(o.address, err)
	if err == nil {
		o.reason = refusal(o.address, answer.Reply)
		o.decide(func() Step {
			o.clerk.learn(answer.Reply)
			o.op.Sent(answer.Reached)
			return o.op.Reply(answer.Reply)
		})
		return
	}
	sent := !errors.Is(err, ErrNotSent)
	if o.ended = o.clerk.ended(o.ctx); o.ended == nil {
		o.reason = fmt.Errorf("%s: %w: %w", o.address, ErrUnavailable, err)
		if o.ended = o.tlsFailures.ofAll(o.clerk.servers()); o.ended == nil {
			o.ended = refusedLogin(err)
		}
		if o.ended != nil {
			o.reason = nil // ended says it
		}
	}
	o.await(answer)
	o.decide(func() Step {
		o.op.Sent(answer.Reached)
		if o.ended != nil {
			return o.op.Cancel(sent)
		}
		return o.op.Lost(sent)
	})
}

// await lets the reply to a lost attempt, if it comes, arrive at late.
func (o *operation) await(answer Answer) {
	if answer.Pending == nil || len(o.pending) == maxLate {
		answer.stop()
		return
	}
	if o.late == nil {
		o.late = make(chan lateReply, maxLate)
	}
	o.pending = append(o.pending, answer.Pending)
	attempt, late := o.step.Attempt, o.late
	answer.Pending.Then(func(r *api.Reply) { late <- lateReply{attempt, r} })
}
