package sim

import (
	"bytes"
	"fmt"
	"io"

	"balsa.example/raft"
	"balsa.example/wal"
)

// disk is the storage of one node, with its faults. An operation takes time, and its effect
// comes at the end. A crash before that interrupts the operation.
type disk struct {
	w     *world
	id    raft.NodeID
	model          // what is durable
	fs    *memFS   // nil: there is only the model
	log   *wal.Log // open

	saving   []raft.Persist // under way
	snapping *stateSaving   // under way
	crashing bool           // snapping is interrupted by a crash
	// maintaining is a step of the machine's work on its files, under way.
	maintaining func() (more bool, err error)
	// partial is a snapshot that arrives.
	partial partial
	// files are those of a machine that keeps its own state, nil if the node has none. The state of such a node is
	// there, and model.snapshot is its position, without data.
	files *memFS
	// possible, with a real log, is what the log may hold after a crash: one of these.
	possible []model

	// failedSnapshots are snapshots whose saving failed. After a crash they may be there or
	// not.
	failedSnapshots []func(*model)

	full     bool
	failNext bool   // the next write
	failRead bool   // the next read of a file of the machine
	damage   damage // at rest
	// rotten are files of the machine that were damaged, and that may be there. rots tells whether
	// any ever was.
	rotten []rottenFile
	rots   bool
	// unopened tells that the machine's files could not be opened, as some are damaged.
	unopened bool
	// previous was durable before the last Save.
	previous model
}

// stateSaving is the work of a checkpoint, or a ReceiveState.
type stateSaving struct {
	meta raft.SnapshotMeta
	work func() error
}

const walDir = "/wal"

// newDisk returns the disk of a node that begins with a configuration.
func newDisk(w *world, id raft.NodeID, conf raft.Configuration) *disk {
	d := &disk{w: w, id: id}
	if w.mix.Durable && !w.mix.witness(id) {
		d.files = newMemFS(w.rand)
	}
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
	return wal.Options{FS: d.fs, SegmentSize: 8 << 10, Rand: randomBytes{d.w}, Inline: true, NoSnapshots: d.files != nil}
}

// randomBytes reads random bytes that follow from the seed.
type randomBytes struct{ w *world }

func (r randomBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.w.rand.Uint32())
	}
	return len(p), nil
}

// open opens the disk when a process starts. After an error the node must not run.
func (d *disk) open() error {
	if d.fs == nil {
		return nil
	}
	if d.w.mix.has(PowerLoss) && !d.w.healed && d.w.chance(0.1) { // a crash during recovery
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

// loadBehindState loads a log behind the state of the node.
func (d *disk) loadBehindState(l *wal.Log) (raft.State, error) {
	if d.files != nil {
		return l.Load(d.snapshot)
	}
	meta, r, err := l.OpenSnapshot()
	if err != nil {
		return raft.State{}, err
	}
	defer r.Close()
	return l.Load(meta)
}

// Load is part of rsm.Log. It compares what is found with what must be.
func (d *disk) Load(from raft.SnapshotMeta) (raft.State, error) {
	if from.Index < d.snapshot.Index {
		return raft.State{}, fmt.Errorf("%w: the state begins at %s; what was durable is at %s", errLost, from, d.snapshot)
	}
	if d.files != nil && from.Index > 0 {
		if from.Index > d.last() {
			d.w.check.counts.AheadOfLog++
		}
		d.nowDurable(from)
		for i := range d.possible {
			d.possible[i].saveSnapshot(from, nil)
		}
	}
	if d.fs == nil {
		return d.load()
	}
	s, err := d.log.Load(from)
	if err != nil {
		return s, err
	}
	if len(d.possible) == 0 {
		d.possible = []model{d.model}
	}
	for i := range d.possible {
		if d.possible[i].equal(s) {
			d.model, d.possible = d.possible[i], nil
			return s, nil
		}
	}
	switch {
	case d.damage == bitFlipped, d.damage == sectorZeroed && !d.previous.equal(s):
		return s, fmt.Errorf("%w: loaded %d entries after %s of term %d", errUndetected, len(s.Entries), s.Snapshot, s.HardState.Term)
	}
	return s, fmt.Errorf("%w: loaded term %d vote %s, snapshot %s, %d entries after it; expected %v",
		errLost, s.HardState.Term, s.HardState.Vote, s.Snapshot, len(s.Entries), d.candidates())
}

// errLost: a restart did not find what was durable.
var errLost = fmt.Errorf("the disk does not hold what was saved")

// errUndetected: the same, because of damage that the log should have detected.
var errUndetected = fmt.Errorf("damage at rest was taken for a write that a crash interrupted")

func (d *disk) candidates() (s []string) {
	for i := range d.possible {
		s = append(s, d.possible[i].String())
	}
	return s
}

// error returns the error that is injected into the next write, nil if none is.
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
	d.possible = []model{before, d.model}
	d.model = before
	return err
}

// reading calls what may read files of the machine. With failRead the first read fails.
func (d *disk) reading(read func()) {
	if d.files == nil || !d.failRead {
		read()
		return
	}
	d.files.readFaultIn = 0
	read()
	if d.files.readFaultIn < 0 {
		d.failRead = false
		d.w.injected(IOError)
		d.w.check.counts.ReadErrors++
	}
	d.files.readFaultIn = -1
}

// executing calls what executes commands. That may also write files of the machine (see onWork): with failNext perhaps one
// of the first writes fails.
func (d *disk) executing(execute func()) {
	if d.files == nil || d.w.mix.MaxUnwritten == 0 || !d.failNext || !d.w.chance(0.3) {
		d.reading(execute)
		return
	}
	d.files.failAfter(8, false)
	failed := d.files.failed
	d.reading(execute)
	d.files.faultIn = -1
	if d.files.failed > failed {
		d.failNext = false
		d.w.injected(IOError)
	}
}

// finishState ends the saving of a state that is under way.
func (d *disk) finishState() error {
	s := d.snapping
	d.snapping = nil
	switch {
	case s == nil:
		return errIO
	case d.files == nil:
		return s.work()
	}
	if d.failNext && d.w.chance(0.5) {
		d.failNext = false
		d.w.injected(IOError)
		d.files.failAfter(8, false)
	}
	err := s.work()
	d.files.faultIn = -1
	switch {
	case err == nil:
		d.nowDurable(s.meta)
	case d.files.full:
		d.w.injected(DiskFull)
	}
	return err
}

// nowDurable says that the state of a machine that keeps its own state is durable at meta.
func (d *disk) nowDurable(meta raft.SnapshotMeta) {
	d.model.saveSnapshot(meta, nil)
	d.previous.saveSnapshot(meta, nil)
}

// SaveSnapshot is part of rsm.Snapshots.
func (d *disk) SaveSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	var data bytes.Buffer
	if d.crashing {
		return d.crashSnapshot(meta, write)
	}
	if d.fs == nil {
		if err := d.error(); err != nil {
			return err
		}
		if err := write(&data); err != nil {
			return err
		}
		d.model.saveSnapshot(meta, data.Bytes())
		return nil
	}
	if d.failNext && d.w.chance(0.5) {
		d.failNext = false
		d.w.injected(IOError)
		d.fs.failAfter(8, false)
	}
	failed := d.fs.failed
	err := d.log.SaveSnapshot(meta, func(w io.Writer) error { return write(io.MultiWriter(w, &data)) })
	d.fs.faultIn = -1
	if err == nil {
		d.model.saveSnapshot(meta, data.Bytes())
		d.previous.saveSnapshot(meta, data.Bytes())
		return nil
	}
	if d.fs.full {
		d.w.injected(DiskFull)
	}
	if d.fs.failed > failed { // else the log had stopped before
		d.failedSnapshots = append(d.failedSnapshots, func(m *model) { m.saveSnapshot(meta, data.Bytes()) })
	}
	return err
}

// crashSnapshot is SaveSnapshot that a crash interrupts.
func (d *disk) crashSnapshot(meta raft.SnapshotMeta, write func(io.Writer) error) error {
	var data bytes.Buffer
	if d.fs == nil {
		err := write(&data)
		if err == nil {
			d.model.saveSnapshot(meta, data.Bytes())
		}
		return err
	}
	// The crash may come when a part of the snapshot was written, or all of it.
	err := d.log.SaveSnapshot(meta, func(w io.Writer) error { return write(io.MultiWriter(w, &data)) })
	d.mayHave(err, func(m *model) { m.saveSnapshot(meta, bytes.Clone(data.Bytes())) })
	return err
}

// OpenSnapshot is part of rsm.Snapshots.
func (d *disk) OpenSnapshot() (raft.SnapshotMeta, io.ReadCloser, error) {
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

// crash ends the process that uses the disk, perhaps during a write. After a power loss any
// part of what was not synced is missing.
func (d *disk) crash(powerLoss bool) {
	if d.files != nil {
		d.crashState(powerLoss)
	}
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
	if d.snapping != nil && d.w.chance(0.5) {
		d.interrupt()
	}
	d.saving, d.snapping = nil, nil
}

// interrupt does the saving of a state that is under way, which a crash interrupts.
func (d *disk) interrupt() {
	d.crashing = true
	_ = d.snapping.work()
	d.crashing = false
}

// crashState ends the process that uses the files of a machine that keeps its own state.
func (d *disk) crashState(powerLoss bool) {
	switch {
	case d.snapping != nil:
		d.files.failAfter(12, true)
		d.interrupt()
	case d.maintaining != nil:
		d.files.failAfter(12, true)
		_, _ = d.maintaining()
	}
	d.snapping, d.maintaining = nil, nil
	d.files.restart(powerLoss)
}

// crashWriting lets the process crash at some operation of the write under way, and notes
// what the log may hold after that.
func (d *disk) crashWriting() {
	if len(d.possible) == 0 {
		d.possible = []model{d.model}
	}
	for _, change := range d.failedSnapshots {
		d.mayHave(errIO, change)
	}
	d.failedSnapshots = nil
	d.fs.failAfter(12, true)
	if d.snapping != nil {
		d.interrupt()
	}
	if ps := d.saving; len(ps) > 0 {
		err := d.log.Save(ps)
		d.mayHave(err, func(m *model) {
			for _, p := range ps {
				_ = m.save(p) // an error: the snapshot before it failed, so this model does not match
			}
		})
	}
	d.saving, d.snapping = nil, nil
}

// mayHave adds to each possible state the same state with a change. Without an error the
// change is certain.
func (d *disk) mayHave(err error, change func(*model)) {
	for _, m := range d.possible[:len(d.possible):len(d.possible)] {
		change(&m)
		d.possible = append(d.possible, m)
	}
	if err == nil {
		d.possible = d.possible[len(d.possible)/2:]
	}
}

func (d *disk) setFull(full bool) {
	d.full = full
	for _, fs := range []*memFS{d.fs, d.files} {
		if fs != nil {
			fs.full = full
		}
	}
}

func (d *disk) heal() {
	d.failNext, d.failRead = false, false
	d.setFull(false)
}

// rot damages the disk.
func (d *disk) rot() { d.damage = d.fs.rot() }
