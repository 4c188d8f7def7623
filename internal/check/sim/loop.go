package sim

import (
	"errors"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// tick is the ticker of rsm.Node's loop: at most one tick waits, as in a time.Ticker.
func (n *node) tick() {
	n.w.after(n.clock.real(n.w.mix.Tick), n.nextTick)
	n.tickPending = true
	n.awake(n.wakeFunc)
}

// wake schedules a turn of the loop.
func (n *node) wake() {
	if n.turning || n.turnDue {
		return
	}
	delay := n.w.upTo(n.w.mix.Loop)
	if n.slow {
		delay += n.w.upTo(milliseconds(100))
	}
	if delay = max(delay, n.freeAt-n.w.now); delay <= 0 {
		n.turn()
		return
	}
	n.turnDue = true
	n.after(delay, n.turnFunc)
}

// turn is one round of rsm.Node's loop.
func (n *node) turn() {
	n.turnDue, n.turning = false, true
	w := n.w
	ev := n.inbox
	n.inbox = rsm.Events[*waiter]{Messages: n.spare}
	ev.Ticked = n.tickPending && (empty(&ev) || w.chance(0.5))
	n.tickPending = n.tickPending && !ev.Ticked
	if ev.Ticked {
		if m, ok := n.machine.(rsm.Damageable); ok {
			ev.Damaged = m.Damaged()
		}
		ev.Fetched, n.fetched = n.fetched, false
	}
	for _, q := range ev.Reads {
		q.Waiter.asked = w.events
	}
	e := n.replica.Turn(ev, n.now())
	clear(ev.Messages) // Turn keeps nothing of it
	n.spare = ev.Messages[:0]
	w.check.turned(n, &e)
	n.perform(&e)
	n.turning = false
	if n.slow {
		n.freeAt = w.now + w.upTo(milliseconds(20))
	}
	if n.tickPending || !empty(&n.inbox) {
		n.wake()
	}
}

// perform executes effects, in the order of rsm.Node.
func (n *node) perform(e *rsm.Effects[*waiter]) {
	n.lease = e.Lease
	for _, m := range e.Messages {
		n.w.net.send(m)
	}
	if !e.DiskTask.Empty() {
		n.addDisk(e.DiskTask)
	}
	if !e.ApplyTask.Empty() {
		n.addApply(e.ApplyTask)
	}
	n.startTransfers(e)
	if e.SnapshotNotNeeded && n.endReceiving != nil {
		n.endReceiving()
	}
	n.leadership()
	for _, f := range e.Completions {
		if f.Configuration != nil {
			n.w.check.changeMade(n, f.Waiter, *f.Configuration)
		}
		n.end(f.Waiter, state.Result{}, f.Err)
	}
	for _, id := range e.ShutOut {
		if !n.w.node(id).oldDisk {
			n.w.failf("lost log", "%s shuts out %s, whose disk has not gone back", n.id, id)
		}
	}
	for _, id := range e.Diverged {
		if n.w.node(id) != n.w.diverging && !n.w.spread {
			n.w.failf("false alarm", "%s finds that the state of %s differs from that of a majority", n.id, id)
		}
	}
	switch {
	case errors.Is(e.Failure, rsm.ErrRemoved):
		n.after(1, n.leave)
	case errors.Is(e.Failure, rsm.ErrDiverged):
		n.after(1, n.diverged)
	case e.Failure != nil:
		if !n.oldDisk {
			n.w.failf("lost log", "%s fails, and its disk has not gone back: %v", n.id, e.Failure)
		}
		n.after(1, func() {
			n.fatal = true
			n.crash(false)
		})
	}
	for _, err := range e.Refused {
		n.w.failf("addressing", "%s: %v", n.id, err)
	}
}

// empty tells whether there is no event, apart from a tick.
func empty(ev *rsm.Events[*waiter]) bool {
	return ev.Persisted == 0 && ev.Applied == 0 && len(ev.Messages)+len(ev.Submits)+len(ev.Reads)+len(ev.SnapshotOffers)+len(ev.Changes)+len(ev.Unreachable)+len(ev.Calls) == 0
}

func (n *node) submit(data []byte, x *waiter, forward bool) {
	x.forwarded = forward && n.w.check.views[n.id].role != raft.Leader
	n.await(x)
	n.inbox.Submits = append(n.inbox.Submits, rsm.Submission[*waiter]{Data: data, Waiter: x, Forward: forward})
	n.wake()
}

// submitOnly submits a command of which nobody waits for the result.
func (n *node) submitOnly(c state.Command, forward bool) {
	data := state.Codec{}.Append(nil, c)
	n.submit(data, &waiter{data: data, done: func(state.Result, error) {}}, forward)
}

func (n *node) read(x *waiter) {
	x.read, x.floor = true, n.w.check.lastCommitted()
	n.await(x)
	if x.mode == raft.ReadByLease && n.lease.Serves(n.now(), n.applier.Index()) {
		x.asked = n.w.events
		n.end(x, state.Result{}, nil)
		return
	}
	n.inbox.Reads = append(n.inbox.Reads, rsm.ReadRequest[*waiter]{Mode: x.mode, Waiter: x})
	n.wake()
}

func (n *node) offer(m *raft.InstallSnapshot, answer func(error)) {
	x := &waiter{offer: true, done: func(_ state.Result, err error) { answer(err) }}
	n.await(x)
	n.inbox.SnapshotOffers = append(n.inbox.SnapshotOffers, rsm.SnapshotOffer[*waiter]{Message: m, Waiter: x})
	n.wake()
}

func (n *node) await(x *waiter) {
	n.w.check.waiters++
	x.number = n.w.check.waiters
	n.waiting[x] = true
}

// executed is rsm.Applier.End.
func (n *node) executed(x *waiter, entry rsm.EntryID, result state.Result, err error) {
	if err == nil {
		n.w.check.executed(n, x, entry)
	}
	n.end(x, result, err)
}

// end gives a waiter its result, which each must get once.
func (n *node) end(x *waiter, result state.Result, err error) {
	if !n.waiting[x] {
		n.w.failf("waiters", "%s ends one twice, with %v", n.id, err)
	}
	delete(n.waiting, x)
	n.w.check.ended(n, x, err)
	x.done(result, err)
}

func (n *node) receive(m raft.Message) {
	n.w.check.leaseGrants.arrives(n, m)
	n.w.check.preVotes.arrives(n, m)
	n.inbox.Messages = append(n.inbox.Messages, m)
	n.wake()
}

// unreachable tells the replica that the connection to a peer broke.
func (n *node) unreachable(peer raft.NodeID) {
	n.w.check.preVotes.broke(n)
	n.inbox.Unreachable = append(n.inbox.Unreachable, peer)
	n.wake()
}

func (n *node) call(f func(*replica)) {
	n.inbox.Calls = append(n.inbox.Calls, f)
	n.wake()
}

// addDisk is the queue of rsm.Node's disk goroutine.
func (n *node) addDisk(t rsm.DiskTask) {
	n.diskTasks = append(n.diskTasks, t)
	if !n.diskBusy {
		n.diskBusy = true
		n.after(n.w.upTo(n.w.mix.Loop)+1, n.diskFunc)
	}
}

// diskNext does the next step of the disk goroutine.
func (n *node) diskNext() {
	if len(n.diskSteps) == 0 {
		n.diskSteps, n.diskTasks = rsm.DiskSteps(n.diskTasks, n.w.mix.SaveBytes), nil
	}
	if len(n.diskSteps) == 0 {
		n.diskBusy = false
		return
	}
	delay := n.w.upTo(n.w.mix.Loop) + 1
	if persists := n.diskSteps[0].Persists; len(persists) > 0 {
		n.disk.saving = persists
		delay = n.diskDelay(n.w.mix.DiskWrite)
	}
	n.afterDisk(delay, n.saveFunc)
}

// save is the end of the first step.
func (n *node) save() {
	step := n.diskSteps[0]
	n.diskSteps = n.diskSteps[1:]
	seq, err := step.Do(n.disk)
	if err != nil {
		n.fail(err)
		return
	}
	if seq > 0 {
		n.w.trace.numbers(n.w.now, n.id, "saved", seq)
		n.inbox.Persisted = max(n.inbox.Persisted, seq)
		n.wake()
	}
	n.diskNext()
}

// afterDisk calls f after d, and not while the disk hangs.
func (n *node) afterDisk(d time.Duration, f func()) {
	n.w.queue.add(n.w.now+max(d, 0), event{do: f, node: n, life: n.lives, hung: &n.hungUntil})
}

// unlessHung calls f when a time has come that may become an earlier one.
func (n *node) unlessHung(until *Instant, f func()) {
	if left := *until - n.w.now; left > 0 {
		n.after(min(left, milliseconds(100)), func() { n.unlessHung(until, f) })
		return
	}
	f()
}

func (n *node) diskDelay(limit time.Duration) time.Duration {
	d := limit/4 + n.w.upTo(limit*3/4)
	if n.slowDisk {
		d += n.w.upTo(400 * time.Millisecond)
	}
	return d + 1
}
