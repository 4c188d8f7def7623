package rsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"balsa/raft"
)

// diskTask is a Persist, or where its Seq is 0 a compaction.
type diskTask struct {
	persist raft.Persist
	compact raft.Index
}

// now is the monotonic time since the start.
func (n *Node[Op, Result]) now() raft.Instant { return raft.Instant(time.Since(n.start)) + 1 }

// runLoop owns the Replica. It takes all events that gathered, and then all the
// effects they have together.
func (n *Node[Op, Result]) runLoop() {
	ticker := time.NewTicker(n.cfg.tick())
	defer ticker.Stop()
	var last raft.Status
	for {
		select {
		case <-n.stop:
			return
		case <-ticker.C:
			n.replica.Tick(n.now())
		case <-n.inbox.wake:
		}
		n.step(n.inbox.take())
		n.perform(n.replica.Effects(n.now()))
		n.logChanges(&last)
	}
}

func (n *Node[Op, Result]) step(ev events[Result]) {
	r := n.replica
	if ev.persisted > 0 {
		r.Persisted(ev.persisted)
	}
	if ev.applied > 0 {
		r.Applied(ev.applied)
	}
	for _, m := range ev.messages {
		if err := r.Receive(m); err != nil {
			n.cfg.Logger.Warn("message refused", "error", err)
		}
	}
	for _, p := range ev.submits {
		r.Submit(p.data, p)
	}
	for _, p := range ev.reads {
		r.Read(p.mode, p)
	}
	for _, f := range ev.calls {
		f(r)
	}
}

// perform carries out effects. Messages go first: the network works while the own
// disk does (thesis 10.2.1).
func (n *Node[Op, Result]) perform(e Effects[*pending[Result]]) {
	if len(e.Messages) > 0 {
		n.cfg.Transport.Send(e.Messages)
	}
	if e.Persist != nil {
		n.disk.add(diskTask{persist: *e.Persist})
	}
	if e.Compact > 0 {
		n.disk.add(diskTask{compact: e.Compact})
	}
	if !e.ApplyTask.Empty() {
		n.apply.add(e.ApplyTask)
	}
	for _, h := range e.Snapshots {
		n.running.Go(func() { n.sendSnapshot(h) })
	}
	for _, f := range e.Fates {
		f.Waiter.fail(f.Err)
	}
}

// logChanges tells operators of elections; nothing else of the core is news.
func (n *Node[Op, Result]) logChanges(last *raft.Status) {
	term, role, leader := n.replica.core.Term(), n.replica.core.Role(), n.replica.core.Leader()
	if term == last.Term && role == last.Role && leader == last.Leader {
		return
	}
	last.Term, last.Role, last.Leader = term, role, leader
	n.cfg.Logger.Info("raft state", "id", n.cfg.ID, "term", term, "role", role, "leader", leader)
}

// runDisk makes Persists durable, all that wait with one sync.
func (n *Node[Op, Result]) runDisk() {
	for {
		select {
		case <-n.stop:
			return
		case <-n.disk.wake:
		}
		if err := n.doDisk(n.disk.take()); err != nil {
			n.fail(err)
			return
		}
	}
}

func (n *Node[Op, Result]) doDisk(tasks []diskTask) error {
	var persists []raft.Persist
	var compact raft.Index
	for _, t := range tasks {
		if t.compact > 0 {
			compact = t.compact
		} else {
			persists = append(persists, t.persist)
		}
	}
	if len(persists) > 0 {
		if err := n.cfg.Storage.Save(persists); err != nil {
			return fmt.Errorf("save the log: %w", err)
		}
		n.inbox.addPersisted(persists[len(persists)-1].Seq)
	}
	if compact > 0 {
		if err := n.cfg.Storage.Compact(compact); err != nil {
			return fmt.Errorf("compact the log: %w", err)
		}
	}
	return nil
}

// runApply owns the StateMachine.
func (n *Node[Op, Result]) runApply() {
	for {
		select {
		case <-n.stop:
			return
		case <-n.apply.wake:
		}
		for _, task := range n.apply.take() {
			n.doApply(task)
		}
	}
}

func (n *Node[Op, Result]) doApply(task ApplyTask[*pending[Result]]) {
	if n.stopping() {
		n.applier.Drop(task)
		return
	}
	image, err := n.applier.Apply(task)
	if err != nil {
		n.fail(err)
		return
	}
	n.inbox.addApplied(n.applier.Index())
	if image != nil {
		n.saveImage(image)
	}
}

// saveImage saves what the state machine gave, in the background.
func (n *Node[Op, Result]) saveImage(image *Image) {
	n.running.Go(func() {
		err := n.saveSnapshot(image.Meta, image.Write)
		n.endSnapshot(image.Meta, errors.Join(err, image.Close()))
	})
}

func (n *Node[Op, Result]) endSnapshot(meta raft.SnapshotMeta, err error) {
	if err != nil {
		n.cfg.Logger.Warn("snapshot given up", "id", n.cfg.ID, "index", meta.Index, "error", err)
	} else {
		n.cfg.Logger.Info("snapshot saved", "id", n.cfg.ID, "index", meta.Index)
	}
	n.inbox.call(func(r *Replica[*pending[Result]]) {
		if r != nil {
			r.SnapshotDone(meta, err == nil)
		}
	})
}

// saveSnapshot lets one snapshot be saved at a time, be it an own or a received one.
func (n *Node[Op, Result]) saveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	select {
	case n.savingSnapshot <- struct{}{}:
	case <-n.stop:
		return ErrStopped
	}
	defer func() { <-n.savingSnapshot }()
	if n.stopping() {
		return ErrStopped
	}
	return n.cfg.Storage.SaveSnapshot(meta, func(w io.Writer) error {
		u := &untilStopped{ctx: n.ctx, w: w}
		return cmp.Or(write(u), u.err) // nobody can swallow that something is missing
	})
}

// untilStopped breaks a snapshot off when the node stops, which would else have to
// wait for gigabytes.
type untilStopped struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (u *untilStopped) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		u.err = ErrStopped
		return 0, u.err
	}
	return u.w.Write(p)
}

// sendSnapshot streams the newest snapshot to a peer. A failure is reported after a
// while only, since what the core does then is to try again.
func (n *Node[Op, Result]) sendSnapshot(h raft.Header) {
	meta, err := n.streamSnapshot(h)
	if n.stopping() {
		return
	}
	log := n.cfg.Logger.With("id", n.cfg.ID, "to", h.To, "index", meta.Index)
	if err != nil {
		log.Warn("snapshot not sent", "error", err)
		select {
		case <-time.After(n.cfg.ElectionTimeout):
		case <-n.stop:
		}
	} else {
		log.Info("snapshot sent")
	}
	n.inbox.call(func(r *Replica[*pending[Result]]) {
		if r != nil {
			r.SnapshotSent(h.To, meta.Index, err == nil)
		}
	})
}

func (n *Node[Op, Result]) streamSnapshot(h raft.Header) (raft.SnapshotMeta, error) {
	meta, data, err := n.cfg.Storage.OpenSnapshot()
	if err != nil {
		return meta, err
	}
	m := &raft.InstallSnapshot{Header: h, Meta: meta}
	if err = checkTerm(m); err == nil {
		err = n.cfg.Transport.SendSnapshot(n.ctx, m, data)
	}
	return meta, errors.Join(err, data.Close())
}

// checkTerm refuses a snapshot from beyond the term of its sender. That can be had by
// a leader that was deposed: its successor's snapshot is stored already, and the
// message that says so not yet handled. Those who still follow it could not take it,
// for no log has an entry of a term that its node has not reached.
func checkTerm(m *raft.InstallSnapshot) error {
	if m.Meta.Term > m.Term {
		return fmt.Errorf("snapshot %s is of a later term than its sender, which is in %d", m.Meta, m.Term)
	}
	return nil
}
