package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state/auth"
	"balsa.example/state/lease"
	"balsa.example/vfs"
)

// Config says where a Machine keeps its state. FS and Dir are required.
type Config struct {
	FS  vfs.FS
	Dir string // is made if it is missing
	// Cluster stands in all files: those of another cluster are refused.
	Cluster uint64
	ID      raft.NodeID
	// Pace is called while files are written, with the number of bytes. It may rest for some times as long as was
	// worked since it was called before, and tells whether it lets others go first. May be nil.
	Pace func(bytes, times int) (gentle bool)
	// Gently calls f, and returns when it has ended. It may let others go first meanwhile. It is for what this member does
	// to get the state of another one. May be nil.
	Gently func(f func())
	// Publisher is told of all changes. May be nil.
	Publisher kv.Publisher
	// RunBytes and CacheBytes are those of run.Options.
	RunBytes, CacheBytes int64
	// MaxUnwritten is how many bytes of history in memory alone let CheckpointWanted ask for a checkpoint; a
	// sixteenth of it where space is short. At twice as many commands wait until they are written. 0: any. The log may
	// be far smaller, since a command of a few bytes can delete or copy any number of keys.
	MaxUnwritten int64
	// MaxIndexBytes is how much memory the index of all keys may take. InstallState frees that of the old state first
	// where the new one does not fit beside it, and reads get kv.ErrUnreadable until it is there. 0: any.
	MaxIndexBytes int64
	// Limits are those of the leases in a new cluster, the same at all members; the zero value
	// stands for lease.DefaultLimits.
	Limits lease.Limits
	// Version is the newest version of commands that is known; 0: Version. Less is for tests of an
	// older program.
	Version uint64
	// Origin is that of the restored state with which the cluster began; zero: it began empty.
	// Configuration is the one that it began with, where there is an Origin.
	Origin        Origin
	Configuration raft.Configuration
	// OnWork, if not nil, is told of work that begins, and what it returns is called with how that
	// ended. Any goroutine may call both.
	OnWork func(Work) (end func(error))
	// OnExecuted, if not nil, is told of commands that were executed: how many of one of CommandNames, whether they
	// were taken, and the share that each has in the time that all those took that were executed together. It is
	// called by the goroutine that executes commands.
	OnExecuted func(name int, taken bool, count int, each time.Duration)
}

// New returns a Machine. Open has to be called before anything else.
func New(cfg Config) *Machine {
	if cfg.Gently == nil {
		cfg.Gently = func(f func()) { f() }
	}
	m := &Machine{cfg: cfg, purging: make(chan struct{}, 1)}
	m.ctx, m.interrupt = context.WithCancel(context.Background())
	if cfg.OnExecuted != nil {
		m.executed = new(executed)
	}
	m.files = files{
		fs: cfg.FS, dir: cfg.Dir, work: make(chan struct{}, 1), cluster: cfg.Cluster, pins: map[string]int{}, pinned: map[*manifest]int{},
		doomed: map[string]bool{}, replaced: make(chan struct{}),
	}
	m.scrubs = scrubs{wanted: make(chan struct{}, 1), suspects: map[uint32]bool{}, damaged: map[uint32]bool{}}
	return m
}

func (m *Machine) runOptions(mf *manifest) run.Options {
	return run.Options{
		FS: m.cfg.FS, Dir: m.cfg.Dir, Cluster: mf.historyIn(m.cfg.Cluster), RunBytes: m.cfg.RunBytes, CacheBytes: m.cfg.CacheBytes,
		Gentle: func() bool { return m.gentle.Load() && !m.waits.Load() },
	}
}

// Open is part of rsm.DurableMachine. After Interrupt it ends with context.Canceled, and may be called no more.
func (m *Machine) Open() (position raft.SnapshotMeta, written int64, err error) {
	f := &m.files
	if err := vfs.MakeDir(f.fs, f.dir); err != nil {
		return position, 0, fmt.Errorf("make the directory of the state: %w", err)
	}
	// A name that a crash has left may not be durable yet.
	if err := vfs.SyncDir(f.fs, f.dir); err != nil {
		return position, 0, err
	}
	mf, err := f.read()
	if err == nil && mf == nil {
		mf, err = m.adopt()
	}
	if err != nil {
		return position, 0, err
	}
	if mf == nil {
		mf = &manifest{}
	} else {
		f.current.Store(mf)
		if err := f.adopted(); err != nil {
			return position, 0, err
		}
	}
	if mf, err = m.loadOrRepair(mf); err != nil {
		return position, 0, err
	}
	if f.current.Load() == nil { // a manifest that got lost: the log says so next, and the files may be of use to somebody
		return mf.position, 0, nil
	}
	f.tidy(nil)
	return mf.position, 0, nil
}

// loadOrRepair loads a manifest, and repairs what it finds damaged meanwhile. It returns the manifest
// that is loaded in the end.
func (m *Machine) loadOrRepair(mf *manifest) (*manifest, error) {
	for attempts := 0; ; attempts++ {
		err := m.load(mf)
		if err == nil || attempts > len(mf.runs) {
			return mf, err
		}
		if mf, err = m.repairOnOpen(mf, err); err != nil {
			return nil, err
		}
	}
}

// load makes the state of a manifest the present one.
func (m *Machine) load(mf *manifest) error {
	p := new(present)
	history, err := run.Open(m.runOptions(mf), mf.runs, mf.nextFile)
	if err != nil {
		return err
	}
	if mf.small.number == 0 {
		p.leases.table, err = lease.NewTable(cmp.Or(m.cfg.Limits, lease.DefaultLimits()))
		p.keys = kv.NewStore(history, &p.leases)
		p.times.gap = firstGap
		p.users.set(auth.New())
	} else {
		err = m.loadSmall(p, mf, history)
	}
	if err != nil {
		return errors.Join(err, history.Close())
	}
	p.history, p.historyID = history, mf.history
	p.keys.PublishTo(m.cfg.Publisher)
	if hash := p.hash(); mf.small.number != 0 && hash != mf.hash {
		err := fmt.Errorf("%w: the state at %s has hash %016x, the manifest says %016x", ErrManifest, mf.position, hash, mf.hash)
		return errors.Join(err, history.Close())
	}
	p.deletes = deletes{clean: map[uint32]uint64{}, dead: p.keys.DeadDeletes()}
	p.times.stamped = p.keys.Revision()
	if m.cfg.Publisher != nil && m.present.Load() != nil {
		// First: whoever reads the old state and cannot read this one is told from where on he can.
		m.cfg.Publisher.Compacted(p.keys.Compacted())
	}
	if old := m.present.Swap(p); old != nil {
		close(old.users.now.Load().replaced)
	}
	if m.cfg.Publisher != nil {
		m.cfg.Publisher.Reset(p.keys.Revision(), p.keys.Compacted())
	}
	return nil
}

func (m *Machine) loadSmall(p *present, mf *manifest, history *run.History) error {
	b, err := m.files.readSmall(mf.small)
	if err != nil {
		return err
	}
	s, leases, err := decodeSmall(b)
	if err != nil {
		return err
	}
	p.leases.table = leases
	if err := s.usableBy(m.cfg.Version); err != nil {
		return err
	}
	p.quota.Store(s.quota)
	p.version.Store(s.version)
	p.refused.Store(s.refused)
	p.alarms.set(s.alarms)
	p.users.set(s.users)
	p.times.timesImage = s.times
	p.keys, err = kv.OpenStore(history, s.totals, &p.leases, m.ctx.Err)
	return err
}

// Checkpoint is part of rsm.DurableMachine.
func (m *Machine) Checkpoint(position raft.SnapshotMeta) rsm.CheckpointWork {
	p := m.present.Load()
	m.awaited.Store(0)
	mark, small, hash := p.history.Mark(), p.small(), p.hash()
	p.due.Store(&mark)
	return func(ctx context.Context) (written int64, err error) {
		if err := m.files.begin(ctx); err != nil {
			p.due.CompareAndSwap(&mark, nil)
			return 0, err
		}
		defer m.files.end()
		defer p.due.CompareAndSwap(&mark, nil)
		end := m.begin(WorkCheckpoint)
		defer func() { end(err) }()
		if err := m.passOver(p, position, mark); err != nil {
			return 0, err
		}
		times := m.flushes.next()
		runs, written, err := p.history.Flush(ctx, mark, m.resting(times))
		if err != nil {
			return written, failed(err)
		}
		m.flushes.ended(written, p.history.Unwritten(), times == mostRests && !m.gentle.Load())
		mf := &manifest{position: position, history: p.historyID, hash: hash, compacted: small.totals.Compacted(), runs: runs}
		mf.small.number = p.history.NewFile()
		mf.small.bytes, mf.small.checksum, err = m.files.write(smallName(mf.small.number), small)
		if err != nil {
			return written, err
		}
		written += mf.small.bytes
		mf.nextFile = p.history.NextFile()
		if err := m.files.publish(mf); err != nil {
			return written, m.files.discard(mf.small, err)
		}
		p.keys.Durable(mf.compacted)
		m.files.tidy(p.inUse())
		return written, nil
	}
}

// passOver gives up a state that was received, and that nobody will install, since the log had what is in
// it: a checkpoint of the own state takes its place.
func (m *Machine) passOver(p *present, position raft.SnapshotMeta, mark run.Mark) error {
	r := m.files.received
	switch {
	case r == nil:
		return nil
	case r.position.Index > position.Index:
		return fmt.Errorf("checkpoint at %s: a state at %s was received meanwhile", position, r.position)
	}
	for _, info := range r.runs {
		if err := p.history.Adopt(info, mark); err != nil { // the next process opens what was received
			return fmt.Errorf("%w: checkpoint at %s: the state received at %s has other records: %w", rsm.ErrMachineFailed, position, r.position, err)
		}
	}
	m.files.received = nil
	return nil
}

// inUse returns the files of the history, whatever manifest names them.
func (p *present) inUse() map[string]bool {
	names := map[string]bool{}
	for _, info := range p.history.Runs() {
		names[runName(info.File)] = true
	}
	return names
}
