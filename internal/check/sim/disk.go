package sim

import (
	"bytes"
	"fmt"
	"io"

	"balsa.example/raft"
	"balsa.example/wal"
)

// disk is the storage of one node, with its faults. What it does it does at the end
// of the time that it takes; a crash before then finds it in the midst of it.
type disk struct {
	w     *world
	id    raft.NodeID
	model          // what is durable
	fs    *memFS   // nil: there is only the model
	log   *wal.Log // open

	saving   []raft.Persist  // under way
	snapping *snapshotSaving // under way
	// may be, in a disk with a real log, is what the crash may have left: one of them.
	maybe []model

	// doubtful are snapshots whose saving met an error: a crash may find them or not.
	doubtful []func(*model)

	full     bool
	failNext bool   // the next write
	damage   damage // at rest
	// previous is what was durable before the last Save.
	previous model
}

// snapshotSaving is a SaveSnapshot.
type snapshotSaving struct {
	meta  raft.SnapshotMeta
	write func(io.Writer) error
}

const walDir = "/wal"

func newDisk(w *world, id raft.NodeID) *disk {
	d := &disk{w: w, id: id}
	conf := w.mix.configuration()
	d.snapshot = raft.SnapshotMeta{Configuration: conf}
	if w.mix.WAL {
		d.fs = newMemFS(w.rand)
		if err := wal.Create(walDir, d.walOptions(), d.identity(), conf); err != nil {
			w.failf("storage", "%s: create: %v", id, err)
		}
	}
	return d
}

func (d *disk) identity() wal.Identity { return wal.Identity{ClusterID: 1, NodeID: d.id} }

func (d *disk) walOptions() wal.Options {
	return wal.Options{FS: d.fs, SegmentSize: 8 << 10, Rand: randomBytes{d.w}, Inline: true}
}

// randomBytes gives the run's chance to who wants bytes.
type randomBytes struct{ w *world }

func (r randomBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.w.rand.Uint32())
	}
	return len(p), nil
}

// open is what a starting process does first. An error means that the node must not run.
func (d *disk) open() error {
	if d.fs == nil {
		return nil
	}
	if d.w.mix.has(PowerLoss) && !d.w.healed && d.w.chance(0.1) { // a crash in the midst of recovery
		d.fs.failAfter(20, true)
	}
	log, err := wal.Open(walDir, d.walOptions(), d.identity())
	if d.fs.dead && err == nil {
		log.Close() // only closes files
		err = errCrashed
	}
	d.fs.faultIn = -1
	if err == nil {
		d.log = log
	}
	return err
}

// loadNewest loads the log behind its newest snapshot.
func loadNewest(l *wal.Log) (raft.State, error) {
	meta, r, err := l.OpenSnapshot()
	if err != nil {
		return raft.State{}, err
	}
	defer r.Close()
	return l.Load(meta)
}

// Load is part of rsm.Log. It compares what is found with what must be.
func (d *disk) Load(from raft.SnapshotMeta) (raft.State, error) {
	if d.fs == nil {
		return d.load(), nil
	}
	s, err := d.log.Load(from)
	if err != nil {
		return s, err
	}
	if len(d.maybe) == 0 {
		d.maybe = []model{d.model}
	}
	for i := range d.maybe {
		if d.maybe[i].equal(s) {
			d.model, d.maybe = d.maybe[i], nil
			return s, nil
		}
	}
	switch {
	case d.damage == flipped, d.damage == hollowed && !d.previous.equal(s):
		return s, fmt.Errorf("%w: loaded %d entries after %s of term %d", errUndetected, len(s.Entries), s.Snapshot, s.HardState.Term)
	}
	return s, fmt.Errorf("%w: loaded term %d vote %s, snapshot %s, %d entries after it; expected %v",
		errLost, s.HardState.Term, s.HardState.Vote, s.Snapshot, len(s.Entries), d.candidates())
}

// errLost: a restart did not find what was durable, or found more.
var errLost = fmt.Errorf("the disk does not hold what was saved")

// errUndetected: so it is, and that is because of damage that shows.
var errUndetected = fmt.Errorf("damage at rest was taken for a write that a crash interrupted")

func (d *disk) candidates() (s []string) {
	for i := range d.maybe {
		s = append(s, d.maybe[i].String())
	}
	return s
}

// error is what the next write meets, if anything.
func (d *disk) error() error {
	switch {
	case d.failNext:
		d.failNext = false
		d.w.injected(IOError)
		return errIO
	case d.full:
		d.w.injected(DiskFull)
		return errFull
	}
	return nil
}

// Save ends the saving under way. After an error any part of it may be durable.
func (d *disk) Save(ps []raft.Persist) error {
	d.saving = nil
	if d.fs != nil {
		return d.saveWAL(ps)
	}
	err := d.error()
	n := len(ps)
	if err != nil {
		n = d.w.rand.IntN(n + 1)
	}
	for _, p := range ps[:n] {
		if err := d.model.save(p); err != nil {
			d.w.failf("storage", "%s: %v", d.id, err)
		}
	}
	return err
}

func (d *disk) saveWAL(ps []raft.Persist) error {
	before := d.model
	for _, p := range ps {
		if err := d.model.save(p); err != nil {
			d.w.failf("storage", "%s: %v", d.id, err)
		}
	}
	if d.failNext {
		d.failNext = false
		d.w.injected(IOError)
		d.fs.failAfter(3, false)
	}
	err := d.log.Save(ps)
	d.fs.faultIn = -1
	if err == nil {
		d.previous = before
		return nil
	}
	if d.fs.full {
		d.w.injected(DiskFull)
	}
	d.maybe = []model{before, d.model}
	d.model = before
	return err
}

// finishSnapshot ends the SaveSnapshot under way.
func (d *disk) finishSnapshot() error {
	s := d.snapping
	d.snapping = nil
	if s == nil {
		return errIO
	}
	var data bytes.Buffer
	if d.fs == nil {
		if err := d.error(); err != nil {
			return err
		}
		if err := s.write(&data); err != nil {
			return err
		}
		d.model.saveSnapshot(s.meta, data.Bytes())
		return nil
	}
	if d.failNext && d.w.chance(0.5) {
		d.failNext = false
		d.w.injected(IOError)
		d.fs.failAfter(8, false)
	}
	failed := d.fs.failed
	err := d.log.SaveSnapshot(s.meta, func(w io.Writer) error { return s.write(io.MultiWriter(w, &data)) })
	d.fs.faultIn = -1
	if err == nil {
		d.model.saveSnapshot(s.meta, data.Bytes())
		d.previous.saveSnapshot(s.meta, data.Bytes())
		return nil
	}
	if d.fs.full {
		d.w.injected(DiskFull)
	}
	if d.fs.failed > failed { // and not because the log had stopped before
		d.doubtful = append(d.doubtful, func(m *model) { m.saveSnapshot(s.meta, data.Bytes()) })
	}
	return err
}

func (d *disk) openSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
	if d.fs == nil {
		return d.snapshot, io.NopCloser(bytes.NewReader(d.data)), nil
	}
	return d.log.OpenSnapshot()
}

func (d *disk) Compact(i raft.Index) error {
	d.model.compact(i)
	d.previous.compact(i)
	if d.fs == nil {
		return nil
	}
	return d.log.Compact(i)
}

// crash ends the process that uses the disk, perhaps in the midst of writing. A
// power loss takes any part of what was not synced.
func (d *disk) crash(powerLoss bool) {
	if d.fs == nil {
		d.crashModel()
		return
	}
	if d.log != nil {
		d.crashWriting()
		d.log.Close() // only closes files
		d.log = nil
	}
	d.fs.restart(powerLoss)
}

func (d *disk) crashModel() {
	for _, p := range d.saving[:d.w.rand.IntN(len(d.saving)+1)] {
		if err := d.model.save(p); err != nil {
			d.w.failf("storage", "%s: %v", d.id, err)
		}
	}
	if s := d.snapping; s != nil && d.w.chance(0.5) {
		var data bytes.Buffer
		if err := s.write(&data); err == nil {
			d.model.saveSnapshot(s.meta, data.Bytes())
		}
	}
	d.saving, d.snapping = nil, nil
}

// crashWriting lets the process die at some operation of what it is writing, and
// notes what may be found after that.
func (d *disk) crashWriting() {
	if len(d.maybe) == 0 {
		d.maybe = []model{d.model}
	}
	for _, change := range d.doubtful {
		d.eitherOr(errIO, change)
	}
	d.doubtful = nil
	d.fs.failAfter(12, true)
	if s := d.snapping; s != nil {
		var data bytes.Buffer
		// The log's writer may run when this one has written a part, or all.
		err := d.log.SaveSnapshot(s.meta, func(w io.Writer) error { return s.write(io.MultiWriter(w, &data)) })
		d.eitherOr(err, func(m *model) { m.saveSnapshot(s.meta, bytes.Clone(data.Bytes())) })
	}
	if ps := d.saving; len(ps) > 0 {
		err := d.log.Save(ps)
		d.eitherOr(err, func(m *model) {
			for _, p := range ps {
				_ = m.save(p) // out of order after a snapshot that failed: will not match
			}
		})
	}
	d.saving, d.snapping = nil, nil
}

// eitherOr adds to what may be found the same with a change. Without an error the
// change is there for sure.
func (d *disk) eitherOr(err error, change func(*model)) {
	for _, m := range d.maybe[:len(d.maybe):len(d.maybe)] {
		change(&m)
		d.maybe = append(d.maybe, m)
	}
	if err == nil {
		d.maybe = d.maybe[len(d.maybe)/2:]
	}
}

func (d *disk) setFull(full bool) {
	d.full = full
	if d.fs != nil {
		d.fs.full = full
	}
}

func (d *disk) heal() {
	d.failNext = false
	d.setFull(false)
}

// rot changes what lies on the disk.
func (d *disk) rot() { d.damage = d.fs.rot() }
