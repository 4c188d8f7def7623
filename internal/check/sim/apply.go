package sim

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"time"

	"balsa.example/kv"
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
	}
	n.after(delay, func() {
		if len(n.applyTasks) == 0 {
			n.applyBusy = false
			return
		}
		t := n.applyTasks[0]
		n.applyTasks = n.applyTasks[1:]
		image, err := n.applier.Apply(t)
		if err != nil {
			n.w.failf("apply", "%s: %v", n.id, err)
		}
		n.inbox.Applied = max(n.inbox.Applied, n.applier.Index())
		n.wake()
		if image != nil {
			n.saveImage(image)
		}
		n.applyNext()
	})
}

// restored is called by the Applier after a Restore.
func (n *node) restored(meta raft.SnapshotMeta) {
	n.w.trace.numbers(n.w.now, n.id, "restored", uint64(meta.Term), uint64(meta.Index))
	n.w.check.restored(n, meta)
}

func (n *node) saveImage(image *rsm.Image) {
	n.saveSnapshot(snapshotSaving{image.Meta, image.Write}, func(err error) {
		image.Close()
		if errors.Is(err, kv.ErrMemory) {
			n.w.failf("image", "%s: %s: %v", n.id, image.Meta, err)
		}
		n.w.trace.text(n.w.now, n.id, "snapshot", "%s saved: %t", image.Meta, err == nil)
		n.call(func(r *replica) { r.SnapshotDone(image.Meta, image.Bytes, err == nil) })
	})
}

// saveSnapshot does what rsm.Node's does. The Replica must begin one at a time only.
func (n *node) saveSnapshot(s snapshotSaving, done func(error)) {
	if n.disk.snapping != nil {
		n.w.failf("one snapshot at a time", "%s saves %s and %s", n.id, n.disk.snapping.meta, s.meta)
	}
	n.disk.snapping = &s
	n.afterDisk(n.diskDelay(n.w.mix.SnapshotWrite), func() { done(n.disk.finishSnapshot()) })
}

// sendSnapshot streams the newest snapshot to a peer.
func (n *node) sendSnapshot(h raft.Header) {
	meta, reader, err := n.disk.openSnapshot()
	m := &raft.InstallSnapshot{Header: h, Meta: meta}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(reader)
		reader.Close()
	}
	err = cmp.Or(err, rsm.CheckSnapshot(m))
	sent := func(err error) {
		n.w.trace.text(n.w.now, n.id, "sent", "snapshot %s to %s: %t", meta, h.To, err == nil)
		n.call(func(r *replica) { r.SnapshotSent(h.To, meta.Index, err == nil) })
	}
	if err != nil {
		sent(err)
		return
	}
	n.w.net.sendSnapshot(n, m, data, sent)
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
	write := func(out io.Writer) error { return copyStream(out, data, broken) }
	n.saveSnapshot(snapshotSaving{m.Meta, write}, func(err error) {
		if err == nil && n.crashInstalled() {
			return
		}
		n.after(n.lateness(), func() {
			n.call(func(r *replica) { r.SnapshotReceived(m, int64(len(data)), err == nil) })
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

func copyStream(out io.Writer, data []byte, broken bool) error {
	if broken {
		data = data[:len(data)/2]
	}
	if _, err := io.Copy(out, bytes.NewReader(data)); err != nil {
		return err
	}
	if broken {
		return errStream
	}
	return nil
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
