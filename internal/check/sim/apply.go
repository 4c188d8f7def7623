package sim

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// addApply is the queue of rsm.Node's apply goroutine.
func (n *node) addApply(t rsm.ApplyTask[*waiter]) {
	n.applyTasks = append(n.applyTasks, t)
	if !n.applyBusy {
		n.applyBusy = true
		n.applyNext()
	}
}

func (n *node) applyNext() {
	delay := n.w.upTo(n.w.mix.Apply) + 1
	if len(n.applyTasks) > 0 && n.applyTasks[0].Restore != nil && !n.w.healed && n.w.chance(0.3) {
		delay += n.w.upTo(3 * time.Second) // as if the state were large: a newer snapshot may arrive meanwhile
		n.restoringUntil = n.w.now + delay
	}
	n.afterMachine(delay, n.executeFunc)
}

// execute is the end of the first task.
func (n *node) execute() {
	if len(n.applyTasks) == 0 {
		n.applyBusy = false
		return
	}
	t := n.applyTasks[0]
	n.applyTasks = n.applyTasks[1:]
	var checkpoint *rsm.Checkpoint
	var err error
	n.disk.executing(func() { checkpoint, err = n.applier.Apply(t) })
	if err != nil && (n.disk.excuses(err) || errors.Is(err, errIO)) {
		n.fail(err)
		return
	}
	if err != nil {
		n.w.failf("apply", "%s: %v", n.id, err)
	}
	n.inbox.Applied = max(n.inbox.Applied, n.applier.Index())
	if n.time.term != 0 {
		n.keepTime()
	}
	n.wake()
	if checkpoint != nil {
		n.checkpoint(checkpoint)
	}
	if n.flushed {
		n.flushed = false
		n.onStateDisk(n.applyFunc)
		return
	}
	n.applyNext()
}

// afterMachine calls f after d, and not while the machine hangs.
func (n *node) afterMachine(d time.Duration, f func()) {
	n.w.queue.add(n.w.now+max(d, 0), event{do: f, node: n, life: n.lives, hung: &n.machineHungUntil})
}

// restored is called by the Applier after a Restore.
func (n *node) restored(meta raft.SnapshotMeta) {
	n.w.trace.numbers(n.w.now, n.id, "restored", uint64(meta.Term), uint64(meta.Index))
	n.w.check.restored(n, meta)
}

// checkpoint is rsm.Node's. One that fails is a violation, unless something is wrong with the disk, or the state is beyond
// it: a later one was installed.
func (n *node) checkpoint(c *rsm.Checkpoint) {
	var written int64
	beyond := n.applier.Index() > c.Position.Index
	work := func() (err error) {
		written, err = c.Work(context.Background())
		return err
	}
	n.saveState(stateSaving{c.Position, work}, func(err error) {
		n.w.trace.text(n.w.now, n.id, "snapshot", "%s saved: %t", c.Position, err == nil)
		if errors.Is(err, rsm.ErrMachineFailed) {
			n.fail(err)
			return
		}
		lost := n.disk.rots && errors.Is(err, fs.ErrNotExist)
		if err != nil && !beyond && !lost && !errors.Is(err, errIO) && !errors.Is(err, errFull) && !n.disk.excuses(err) {
			n.w.failf("checkpoint", "%s: %s: %v", n.id, c.Position, err)
		}
		n.after(n.lateness(), func() {
			n.call(func(r *replica) { r.SnapshotDone(c.Position, written, err == nil) })
		})
	})
}

// saveState does what saves a state, at the end of the time that it takes. The Replica sees
// to it that there is one at a time.
func (n *node) saveState(s stateSaving, done func(error)) {
	if n.disk.snapping != nil {
		n.w.failf("one snapshot at a time", "%s saves %s and %s", n.id, n.disk.snapping.meta, s.meta)
	}
	n.disk.snapping = &s
	n.onStateDisk(func() { done(n.disk.finishState()) })
}

// onStateDisk calls f at the end of the time that something takes on the disk of the state.
func (n *node) onStateDisk(f func()) {
	if n.disk.files != nil && n.w.mix.StateDisk {
		n.after(n.w.mix.SnapshotWrite/4+n.w.upTo(n.w.mix.SnapshotWrite)+1, f)
		return
	}
	n.afterDisk(n.diskDelay(n.w.mix.SnapshotWrite), f)
}

// startTransfers is rsm.Node's.
func (n *node) startTransfers(e *rsm.Effects[*waiter]) {
	for _, id := range e.CloseStreams {
		if s := n.streams[id]; s != nil {
			n.closeStream(s)
		}
		delete(n.streams, id)
	}
	for _, t := range e.Snapshots {
		stream := n.streams[t.To]
		delete(n.streams, t.To)
		if !t.Resume {
			stream = nil
		}
		n.after(n.w.upTo(n.w.mix.Loop)+1, func() { n.sendState(t, stream) })
	}
}

// sendState streams the state to a peer: on an open stream, or if that is nil on a new one. A witness
// gets a position.
func (n *node) sendState(t rsm.Transfer, stream *rsm.StateStream) {
	h, err := t.Header, error(nil)
	if t.Witness != nil {
		n.w.check.counts.Positions++
		stream = rsm.WitnessStream(*t.Witness)
	} else if stream == nil {
		stream = new(rsm.StateStream)
		*stream, err = n.machine.OpenState()
	} else if _, err := stream.Data.(io.Seeker).Seek(0, io.SeekStart); err != nil {
		n.w.failf("stream", "%s: %v", n.id, err)
	}
	m := &raft.InstallSnapshot{Header: h, Meta: stream.Position, Stream: stream.ID}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(stream.Data)
	}
	err = cmp.Or(err, m.Check())
	sent := func(err error) {
		n.w.trace.text(n.w.now, n.id, "sent", "snapshot %s to %s: %t", m.Meta, h.To, err == nil)
		n.call(func(r *replica) {
			kept := err != nil && stream.ID != 0
			switch {
			case kept:
				n.streams[h.To] = stream
			case stream.Data != nil:
				n.closeStream(stream)
			}
			r.SnapshotSent(h.To, m.Meta.Index, err == nil, kept)
		})
	}
	if err != nil {
		sent(err)
		return
	}
	n.w.net.sendSnapshot(n, m, data, sent)
}

func (n *node) closeStream(s *rsm.StateStream) {
	if err := s.Data.Close(); err != nil && !errors.Is(err, errIO) {
		n.w.failf("stream", "%s: close: %v", n.id, err)
	}
}

var errStream = errors.New("the stream broke")

// receiveSnapshot does what rsm.Node's does: it stores the data before it tells the core.
// If broken is true, the stream ends early.
func (n *node) receiveSnapshot(m *raft.InstallSnapshot, data []byte, broken bool, done func(error)) {
	n.offer(m, func(err error) {
		n.after(1, func() {
			switch {
			case errors.Is(err, rsm.ErrSnapshotNotNeeded):
				n.receive(m)
				done(nil)
			case err != nil:
				done(err)
			default:
				n.install(m, data, broken, done)
			}
		})
	})
}

func (n *node) install(m *raft.InstallSnapshot, data []byte, broken bool, done func(error)) {
	n.w.check.installs++
	if n.crashAtInstall && n.w.chance(0.5) {
		n.crashAtInstall = false
		n.w.injected(InstallCrash)
		n.after(n.w.upTo(2*n.w.mix.SnapshotWrite+milliseconds(5)), func() { n.crashAndRestart(n.w.chance(0.5)) })
	}
	if m.Offset > 0 {
		n.w.check.counts.Resumed++
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.endReceiving = cancel
	work := func() error {
		return n.machine.ReceiveState(ctx, m.Meta, m.Stream, int64(m.Offset), arriving(data, broken))
	}
	n.saveState(stateSaving{m.Meta, work}, func(err error) {
		notNeeded := err != nil && ctx.Err() != nil
		cancel()
		switch {
		case err == nil && n.crashInstalled():
			return
		case errors.Is(err, rsm.ErrMachineFailed):
			n.fail(err)
			return
		}
		n.after(n.lateness(), func() {
			n.call(func(r *replica) { r.SnapshotReceived(m, int64(m.Offset)+int64(len(data)), err == nil) })
			if notNeeded {
				n.w.check.counts.NotNeeded++
				n.receive(m)
			}
			done(err)
		})
	})
}

// lateness draws how long a goroutine is delayed between the end of its work and the message
// that says so, while other goroutines see the work done. Mostly it is 0.
func (n *node) lateness() time.Duration {
	if !n.w.chance(0.2) {
		return 0
	}
	return n.w.upTo(n.w.upTo(2 * n.w.mix.ElectionTimeout))
}

// arriving is what arrives of data: all of it, or half and then an error.
func arriving(data []byte, broken bool) io.Reader {
	if broken {
		return io.MultiReader(bytes.NewReader(data[:len(data)/2]), failing{errStream})
	}
	return bytes.NewReader(data)
}

// crashInstalled crashes the node, if that is due, between the storage of a snapshot and the
// message to the core about it. It tells whether it did.
func (n *node) crashInstalled() bool {
	if !n.crashAtInstall {
		return false
	}
	n.crashAtInstall = false
	n.w.injected(InstallCrash)
	n.crashAndRestart(n.w.chance(0.5))
	return true
}
