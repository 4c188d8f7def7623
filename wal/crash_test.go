package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
)

// crasher pulls the plug before every write, sync, create, rename and remove, in
// the sense that it recovers a clone of what the disk may hold at this moment.
type crasher struct {
	t      *testing.T
	mem    *crashfs.Mem
	random *rand.Rand
	// before and after are the models of the step under way; nil is "not created".
	before, after *model
	crashes       int
	// nested is how many of the recoveries, in percent, are crashed in their turn.
	nested int
	// own is that of the models.
	own bool
}

func newCrasher(t *testing.T, seed uint64, own bool) (*crasher, vfs.FS) {
	c := &crasher{t: t, mem: crashfs.NewCrashableMem(), random: seeded(seed), own: own}
	return c, crashfs.Inject(c.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			c.crash()
		}
		return nil
	}))
}

func (c *crasher) newModel() *model {
	m := newModel(testConf)
	m.own = c.own
	return m
}

func (c *crasher) crash() {
	c.t.Helper()
	for _, percent := range []int{0, 50, 100} {
		c.crashes++
		disk := c.mem.CrashClone(crashfs.Crash{UnsyncedPercent: percent, Rand: c.random})
		if err := c.removeSome(disk, percent); err != nil {
			c.t.Fatal(err)
		}
		if err := c.recover(disk); err != nil {
			c.t.Fatalf("crash %d with %d %% of unsynced data: %v\n%s", c.crashes, percent, err, disk)
		}
	}
}

// removeSome lets some removals be durable that were not synced: a crash clone has
// none of them. Names that were given up in a rename stay: a rename is atomic.
func (c *crasher) removeSome(disk *crashfs.Mem, percent int) error {
	names, err := disk.List(testDir)
	if err != nil {
		return nil // the directory is not there yet
	}
	slices.Sort(names)
	for _, name := range names {
		path := filepath.Join(testDir, name)
		if _, err := c.mem.Stat(path); err == nil || isTemp(name) || c.random.IntN(100) >= percent {
			continue
		}
		if err := disk.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func (c *crasher) recover(disk *crashfs.Mem) error {
	opts := c.after.options(disk, 99)
	if ok, err := Exists(disk, testDir); err != nil {
		return err
	} else if !ok {
		if c.before != nil {
			return errors.New("the log is gone")
		}
		if err := Create(testDir, opts, testID, testConf); err != nil {
			return fmt.Errorf("create again: %w", err)
		}
	}
	if _, err := Inspect(disk, testDir); err != nil {
		return fmt.Errorf("before it is opened: %w", err)
	}
	var allowed []*model
	for _, m := range []*model{c.before, c.after} {
		if m != nil {
			allowed = append(allowed, m)
		}
	}
	if c.random.IntN(100) < c.nested {
		if err := c.recoverTwice(disk, allowed); err != nil {
			return fmt.Errorf("second crash, %w", err)
		}
	}
	l, m, err := checkContents(opts, allowed...)
	if err != nil {
		return err
	}
	return checkGoesOn(l, m, opts)
}

// recoverTwice crashes at every operation of a recovery.
func (c *crasher) recoverTwice(disk *crashfs.Mem, allowed []*model) error {
	first := disk.CrashClone(crashfs.Crash{})
	var failed error
	fs := crashfs.Inject(first, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || failed != nil {
			return nil
		}
		opts := c.after.options(first.CrashClone(crashfs.Crash{UnsyncedPercent: 50, Rand: c.random}), 98)
		l, m, err := checkContents(opts, allowed...)
		if err == nil {
			err = checkGoesOn(l, m, opts)
		}
		failed = err
		return nil
	}))
	l, err := open(testDir, c.after.options(fs, 97), testID, c.after.snapshot)
	if err != nil {
		return err
	}
	return errors.Join(failed, l.Close())
}

// run does the steps with a crash at every operation, Create and Open included.
func (c *crasher) run(fs vfs.FS, next func() (step, bool)) {
	c.t.Helper()
	c.after = c.newModel()
	opts := c.after.options(fs, 1)
	if err := Create(testDir, opts, testID, testConf); err != nil {
		c.t.Fatal(err)
	}
	c.before = c.after
	l, err := open(testDir, opts, testID, raft.SnapshotMeta{})
	for s, ok := next(); ok && err == nil; s, ok = next() {
		c.after = c.before.clone()
		s.onModel(c.after)
		if s.kind == stepReopen {
			s.meta = c.after.snapshot
		}
		l, err = s.onLog(l, testDir, opts, testID)
		c.before = c.after
	}
	if err == nil {
		c.crash()
		err = l.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func entries(first raft.Index, term raft.Term, sizes ...int) []raft.Entry {
	var es []raft.Entry
	for i, n := range sizes {
		e := raft.Entry{Index: first + raft.Index(i), Term: term, Kind: raft.EntryCommand}
		if n > 0 {
			e.Data = make([]byte, n)
			for k := range e.Data {
				e.Data[k] = byte(k) | 1
			}
		}
		es = append(es, e)
	}
	return es
}

// script visits every kind of change, and rolls and removes segments.
func script() []step {
	meta := func(i raft.Index, term raft.Term) raft.SnapshotMeta {
		return raft.SnapshotMeta{Index: i, Term: term, Configuration: testConf}
	}
	received := meta(30, 4)
	save := func(ps ...raft.Persist) step { return step{kind: stepSave, persists: ps} }
	return []step{
		save(raft.Persist{HardState: &raft.HardState{Term: 1, Vote: 2}}),
		save(raft.Persist{Entries: entries(1, 1, 10, 0, 700)}, raft.Persist{Entries: entries(4, 1, 5)}),
		save(raft.Persist{Entries: entries(5, 1, 9000)}), // larger than a segment, and than a page
		save(raft.Persist{HardState: &raft.HardState{Term: 2}, Entries: entries(4, 2, 300, 300, 300)}),
		{kind: stepSnapshot, meta: meta(3, 1), data: make([]byte, 5000)},
		{kind: stepCompact, index: 3},
		save(raft.Persist{Entries: entries(7, 2, 1500)}),
		save(raft.Persist{Entries: entries(8, 2, 1500)}),
		{kind: stepReopen},
		{kind: stepSnapshot, meta: meta(7, 2), data: []byte("seven")},
		{kind: stepCompact, index: 7},
		save(raft.Persist{Entries: entries(9, 2, 1500)}),
		{kind: stepSnapshot, meta: received, data: []byte("thirty")},
		save(raft.Persist{Snapshot: &received, HardState: &raft.HardState{Term: 4}, Entries: entries(31, 4, 20)}),
		{kind: stepCompact, index: 30},
		save(raft.Persist{Entries: entries(32, 4, 800, 800)}),
		{kind: stepSnapshot, meta: meta(50, 5), data: []byte("fifty")},
		{kind: stepReopen}, // before the log was reset
		save(raft.Persist{HardState: &raft.HardState{Term: 5}, Entries: entries(51, 5, 1)}),
	}
}

func TestCrashAtEveryOperation(t *testing.T) {
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprint("own state ", own), func(t *testing.T) {
			c, fs := newCrasher(t, 1, own)
			c.nested = 100
			steps := script()
			c.run(fs, func() (s step, ok bool) {
				if len(steps) == 0 {
					return s, false
				}
				s, steps = steps[0], steps[1:]
				return s, true
			})
			t.Logf("%d crashes", c.crashes)
		})
	}
}

func TestCrashAtEveryOperationOfRandomSteps(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c, fs := newCrasher(t, seed, seed >= 5)
			c.nested = 5
			g := plausible{choose: seeded(seed + 100).IntN, m: c.newModel()}
			left := 40
			c.run(fs, func() (step, bool) {
				if left--; left < 0 && len(g.pending) == 0 {
					return step{}, false
				}
				return g.next(), true
			})
			t.Logf("%d crashes", c.crashes)
		})
	}
}

// A process that is killed leaves its last write in the memory of the kernel. Who
// restarts and promises what it reads there must have made it durable first.
func TestKillThenPowerLoss(t *testing.T) {
	opts := testOptions(crashfs.NewCrashableMem(), 1)
	l := mustCreate(t, opts)
	mustClose(t, l)

	for op := range 200 {
		disk := opts.FS.(*crashfs.Mem).CrashClone(crashfs.Crash{})
		killed := &killer{left: op}
		m := newModel(testConf)
		m.hard = raft.HardState{Term: 1}
		steps := script()
		l, err := Open(testDir, testOptions(crashfs.Inject(disk, killed), 2), testID)
		for i := 0; i < len(steps) && err == nil; i++ {
			if steps[i].kind == stepReopen {
				break
			}
			l, err = steps[i].onLog(l, testDir, testOptions(disk, 3), testID)
		}
		if l != nil {
			mustClose(t, l)
		}

		l = mustOpen(t, testOptions(disk, 4)) // finds all that was written
		seen, err := loadAll(l)
		if err != nil {
			t.Fatal(err)
		}
		lost := disk.CrashClone(crashfs.Crash{})
		l = mustOpen(t, testOptions(lost, 5))
		if kept, err := loadAll(l); err != nil || !kept.equal(seen) {
			t.Fatalf("killed at operation %d: saw %s\nkept %s (%v)", op, seen, kept, err)
		}
	}
}

// killer fails every operation after some.
type killer struct{ left int }

func (k *killer) String() string { return "killer" }

func (k *killer) MaybeError(op errorfs.Op) error {
	if k.left--; k.left < 0 {
		return errorfs.ErrInjected
	}
	return nil
}
