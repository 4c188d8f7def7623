package sim

import (
	"bytes"
	"errors"
	"io"

	"balsa/raft"
	"balsa/rsm"
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
	n.after(n.w.upTo(n.w.mix.Apply)+1, func() {
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
		n.inbox.applied = max(n.inbox.applied, n.applier.Index())
		n.wake()
		if image != nil {
			n.saveImage(image)
		}
		n.applyNext()
	})
}

// restored follows what the Applier does.
func (n *node) restored(meta raft.SnapshotMeta) {
	n.w.trace.numbers(n.w.now, n.id, "restored", uint64(meta.Term), uint64(meta.Index))
	n.w.check.restored(n, meta)
}

func (n *node) saveImage(image *rsm.Image) {
	n.saveSnapshot(snapshotSaving{image.Meta, image.Write}, func(err error) {
		n.w.trace.text(n.w.now, n.id, "snapshot", "%s saved: %t", image.Meta, err == nil)
		n.call(func(r *replica) { r.SnapshotDone(image.Meta, err == nil) })
	})
}

// snapshotJob is a call of saveSnapshot.
type snapshotJob struct {
	saving snapshotSaving
	done   func(error)
}

// saveSnapshot lets one snapshot be saved at a time, be it an own or a received one.
func (n *node) saveSnapshot(s snapshotSaving, done func(error)) {
	n.saver = append(n.saver, snapshotJob{s, done})
	if len(n.saver) == 1 {
		n.saveNext()
	}
}

func (n *node) saveNext() {
	job := n.saver[0]
	n.disk.snapping = &job.saving
	n.after(n.diskDelay(n.w.mix.SnapshotWrite), func() {
		err := n.disk.finishSnapshot()
		n.saver = n.saver[1:]
		if len(n.saver) > 0 {
			n.saveNext()
		}
		job.done(err)
	})
}

// sendSnapshot streams the newest snapshot to a peer.
func (n *node) sendSnapshot(h raft.Header) {
	meta, reader, err := n.disk.openSnapshot()
	var data []byte
	if err == nil {
		data, err = io.ReadAll(reader)
		reader.Close()
	}
	sent := func(err error) {
		n.w.trace.text(n.w.now, n.id, "sent", "snapshot %s to %s: %t", meta, h.To, err == nil)
		n.call(func(r *replica) { r.SnapshotSent(h.To, meta.Index, err == nil) })
	}
	if err != nil {
		sent(err)
		return
	}
	n.w.net.sendSnapshot(n, &raft.InstallSnapshot{Header: h, Meta: meta}, data, sent)
}

var errStream = errors.New("the stream broke")

// receiveSnapshot is rsm.Node's: it stores the data before the core hears of it.
// Broken says that the stream ends early.
func (n *node) receiveSnapshot(m *raft.InstallSnapshot, data []byte, broken bool, done func(error)) {
	n.call(func(r *replica) {
		commit := r.Status().Commit
		n.after(1, func() {
			if m.Meta.Index <= commit {
				n.receive(m)
				done(nil)
				return
			}
			n.w.check.installs++
			if n.crashAtInstall && n.w.chance(0.5) {
				n.crashAtInstall = false
				n.w.injected(InstallCrash)
				n.after(n.w.upTo(2*n.w.mix.SnapshotWrite+milliseconds(5)), func() { n.crashAndRestart(n.w.chance(0.5)) })
			}
			n.saveSnapshot(snapshotSaving{m.Meta, func(out io.Writer) error {
				return copyStream(out, data, broken)
			}}, func(err error) {
				if err == nil && n.crashInstalled() {
					return
				}
				if err == nil {
					n.receive(m)
				}
				done(err)
			})
		})
	})
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

// crashInstalled is a crash, if one is due, when a snapshot is stored and the core has
// not heard of it.
func (n *node) crashInstalled() bool {
	if !n.crashAtInstall {
		return false
	}
	n.crashAtInstall = false
	n.w.injected(InstallCrash)
	n.crashAndRestart(n.w.chance(0.5))
	return true
}
