package sim

import (
	"time"

	"balsa/kv"
	"balsa/raft"
	"balsa/rsm"
)

// tick is the ticker of rsm.Node's loop: at most one tick waits, others are lost.
func (n *node) tick() {
	life := n.lives
	n.w.after(n.clock.real(n.w.mix.Tick), func() {
		if n.lives == life {
			n.tick()
		}
	})
	n.tickPending = true
	n.awake(n.wake)
}

// wake lets the loop take its turn, soon.
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
	n.after(delay, func() {
		n.turnDue = false
		n.turn()
	})
}

// turn is one round of rsm.Node's loop.
func (n *node) turn() {
	n.turning = true
	w, r := n.w, n.replica
	if n.tickPending && (n.inbox.empty() || w.chance(0.5)) {
		n.tickPending = false
		r.Tick(n.now())
	}
	in := n.inbox
	n.inbox = inbox{}
	n.step(in)
	e := r.Effects(n.now())
	w.check.turned(n, &e)
	n.perform(e)
	n.turning = false
	if n.slow {
		n.freeAt = w.now + w.upTo(milliseconds(20))
	}
	if n.tickPending || !n.inbox.empty() {
		n.wake()
	}
}

func (n *node) step(in inbox) {
	r := n.replica
	if in.persisted > 0 {
		r.Persisted(in.persisted)
	}
	if in.applied > 0 {
		r.Applied(in.applied)
	}
	for _, m := range in.messages {
		if err := r.Receive(m); err != nil {
			n.w.failf("addressing", "%s: %v", n.id, err)
		}
	}
	for _, x := range in.submits {
		r.Submit(x.data, x)
	}
	for _, x := range in.reads {
		x.asked = n.w.events
		r.Read(x.mode, x)
	}
	for _, f := range in.calls {
		f(r)
	}
}

// perform carries out effects, in the order of rsm.Node.
func (n *node) perform(e rsm.Effects[*waiter]) {
	for _, m := range e.Messages {
		n.w.net.send(m)
	}
	if e.Persist != nil {
		n.addDisk(diskTask{persist: *e.Persist})
	}
	if e.Compact > 0 {
		n.addDisk(diskTask{compact: e.Compact})
	}
	if !e.ApplyTask.Empty() {
		n.addApply(e.ApplyTask)
	}
	for _, h := range e.Snapshots {
		n.after(n.w.upTo(n.w.mix.Loop)+1, func() { n.sendSnapshot(h) })
	}
	for _, f := range e.Fates {
		n.end(f.Waiter, kv.Result{}, f.Err)
	}
}

func (n *node) submit(x *waiter) {
	n.await(x)
	n.inbox.submits = append(n.inbox.submits, x)
	n.wake()
}

func (n *node) read(x *waiter) {
	x.read, x.floor = true, n.w.check.lastCommitted()
	n.await(x)
	n.inbox.reads = append(n.inbox.reads, x)
	n.wake()
}

func (n *node) await(x *waiter) {
	n.w.check.waiters++
	x.number = n.w.check.waiters
	n.waiting[x] = true
}

// end gives a waiter what it waits for. Each must get it once.
func (n *node) end(x *waiter, result kv.Result, err error) {
	if !n.waiting[x] {
		n.w.failf("waiters", "%s ends one twice, with %v", n.id, err)
	}
	delete(n.waiting, x)
	n.w.check.ended(n, x, err)
	x.done(result, err)
}

func (n *node) receive(m raft.Message) {
	n.inbox.messages = append(n.inbox.messages, m)
	n.wake()
}

func (n *node) call(f func(*replica)) {
	n.inbox.calls = append(n.inbox.calls, f)
	n.wake()
}

// diskTask is a Persist, or where its Seq is 0 a compaction.
type diskTask struct {
	persist raft.Persist
	compact raft.Index
}

func (n *node) addDisk(t diskTask) {
	n.diskTasks = append(n.diskTasks, t)
	if !n.diskBusy {
		n.diskBusy = true
		n.after(n.w.upTo(n.w.mix.Loop)+1, n.takeDisk)
	}
}

// takeDisk makes all Persists durable that wait, with one Save.
func (n *node) takeDisk() {
	tasks := n.diskTasks
	n.diskTasks = nil
	if len(tasks) == 0 {
		n.diskBusy = false
		return
	}
	var persists []raft.Persist
	var compact raft.Index
	for _, t := range tasks {
		if t.compact > 0 {
			compact = t.compact
		} else {
			persists = append(persists, t.persist)
		}
	}
	if len(persists) == 0 {
		n.compactDisk(compact)
		return
	}
	n.disk.saving = persists
	n.after(n.diskDelay(n.w.mix.DiskWrite), func() {
		if err := n.disk.finishSave(); err != nil {
			n.fail(err)
			return
		}
		seq := persists[len(persists)-1].Seq
		n.w.trace.numbers(n.w.now, n.id, "saved", seq)
		n.inbox.persisted = max(n.inbox.persisted, seq)
		n.wake()
		n.compactDisk(compact)
	})
}

func (n *node) compactDisk(index raft.Index) {
	n.after(n.w.upTo(n.w.mix.Loop)+1, func() {
		if index > 0 {
			if err := n.disk.compactTo(index); err != nil {
				n.fail(err)
				return
			}
		}
		n.takeDisk()
	})
}

func (n *node) diskDelay(limit time.Duration) time.Duration {
	d := n.w.upTo(limit)
	if n.slowDisk {
		d += n.w.upTo(400 * time.Millisecond)
	}
	return d + 1
}
