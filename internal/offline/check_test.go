package offline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/datadir"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// member is a cluster of one without a server.
type member struct {
	t     *testing.T
	dir   *datadir.Dir
	m     *state.Machine
	index raft.Index
	rng   *rand.Rand
}

func newMember(t *testing.T, fs vfs.FS) *member {
	t.Helper()
	dir, err := datadir.Open(datadir.Config{
		Path:  "data",
		Owner: datadir.Owner{ID: 1, Members: []raft.NodeID{1}, NameOf: raft.NodeID.String},
		Log:   wal.Options{FS: fs, NoSnapshots: true, SegmentSize: 16 << 10, Inline: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &member{t: t, dir: dir, rng: rand.New(rand.NewPCG(1, 2))}
	m.m = state.New(state.Config{FS: fs, Dir: "data/state", Cluster: dir.Members.Identity().ClusterID, ID: 1, RunBytes: 4 << 10, CacheBytes: -1})
	position, _, err := m.m.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Log().Load(position); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *member) close() {
	if err := errors.Join(m.m.Close(), m.dir.Close()); err != nil {
		m.t.Fatal(err)
	}
}

// write puts commands into the log, and executes so many of them.
func (m *member) write(n, execute int) {
	m.t.Helper()
	var entries []raft.Entry
	for i := range n {
		m.index++
		c := state.Command{Op: kv.Op{Kind: kv.Put, Key: fmt.Sprint("key ", m.rng.IntN(40)), Value: fmt.Append(nil, m.rng.Uint64()), Unconditional: true}}
		if i%5 == 4 {
			c = state.Command{More: &state.More{Kind: state.KindCompact, Revision: m.m.Revision()}}
		}
		entries = append(entries, raft.Entry{Index: m.index, Term: 1, Kind: raft.EntryCommand, Data: state.Codec{}.Append(nil, c)})
		if i < execute {
			m.m.DoOp(c)
		}
	}
	hard := raft.HardState{Term: 1, Vote: 1}
	if err := m.dir.Log().Save([]raft.Persist{{HardState: &hard, Entries: entries}}); err != nil {
		m.t.Fatal(err)
	}
}

// checkpoint moves the state on, and cuts the log.
func (m *member) checkpoint() {
	m.t.Helper()
	position := raft.SnapshotMeta{Index: m.index, Term: 1, Configuration: raft.NewConfiguration(1)}
	if _, err := m.m.Checkpoint(position)(context.Background()); err != nil {
		m.t.Fatal(err)
	}
	if err := m.dir.Log().Compact(m.index); err != nil {
		m.t.Fatal(err)
	}
	for more, err := true, error(nil); more; {
		if more, err = m.m.Maintain(); err != nil {
			m.t.Fatal(err)
		}
	}
}

// readers read a directory, which is in order, and return why it was not locked.
var readers = map[string]func(fs vfs.FS) (unlocked, err error){
	"check": func(fs vfs.FS) (unlocked, err error) {
		r, err := Check(context.Background(), fs, "data", nil)
		if err != nil {
			return nil, err
		}
		if len(r.Problems) > 0 {
			err = fmt.Errorf("%+v", r.Problems)
		}
		return r.Unlocked, err
	},
	"recover": func(fs vfs.FS) (unlocked, err error) {
		s, err := Survey(context.Background(), fs, "data", "new/scratch")
		if err != nil {
			return nil, err
		}
		return s.Unlocked, s.Close()
	},
}

// TestNoServerStartsOnADirectoryThatIsRead: what it writes meanwhile would be taken for damage, or for what a new cluster
// begins with.
func TestNoServerStartsOnADirectoryThatIsRead(t *testing.T) {
	for name, read := range readers {
		mem := crashfs.NewMem()
		m := newMember(t, mem)
		m.write(60, 60)
		m.checkpoint()
		m.close()
		before, starts := content(t, mem, "data", "data/wal", "data/state"), 0
		start := func() error {
			d, err := datadir.Open(datadir.Config{
				Path: "data", Owner: datadir.Owner{ID: 1, Members: []raft.NodeID{1}, NameOf: raft.NodeID.String},
				Log: wal.Options{FS: mem, NoSnapshots: true, SegmentSize: 16 << 10, Inline: true},
			})
			if err == nil {
				err = d.Close()
			}
			return err
		}
		watched := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpOpen && strings.Contains(op.Path, "run-") {
				starts++
				if err := start(); !errors.Is(err, datadir.ErrInUse) {
					t.Errorf("%s: a server starts meanwhile: %v", name, err)
				}
			}
			return nil
		}))
		if unlocked, err := read(watched); err != nil || unlocked != nil || starts == 0 {
			t.Errorf("%s: %v, with %d starts meanwhile", name, err, starts)
		}
		if after := content(t, mem, "data", "data/wal", "data/state"); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: the directory has changed", name)
		}
		if err := start(); err != nil {
			t.Errorf("%s: later: %v", name, err)
		}
	}
}

// TestADirectoryThatCannotBeLockedIsRead: its disk may be full, or fail, and have all that is left.
func TestADirectoryThatCannotBeLockedIsRead(t *testing.T) {
	mem := crashfs.NewMem()
	m := newMember(t, mem)
	m.write(60, 60)
	m.checkpoint()
	m.close()
	for name, read := range readers {
		for failure, ends := range map[error]bool{syscall.ENOSPC: false, syscall.EIO: false, syscall.ENOLCK: false, syscall.EMFILE: true} {
			unlocked, err := read(lockless{mem, failure})
			if ends && !errors.Is(err, failure) || !ends && (err != nil || !errors.Is(unlocked, failure)) {
				t.Errorf("%s, %v: %v, without a lock: %v", name, failure, err, unlocked)
			}
		}
	}
}

// lockless is a file system on which no lock can be had.
type lockless struct {
	vfs.FS
	err error
}

func (l lockless) Lock(string) (io.Closer, error) { return nil, l.err }

// TestADirectoryIsValidAfterEachCrash: whatever a loss of power leaves, at any moment.
func TestADirectoryIsValidAfterEachCrash(t *testing.T) {
	mem := crashfs.NewCrashableMem()
	crashes, random := 0, rand.New(rand.NewPCG(1, 2))
	fs := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt {
			return nil
		}
		crashes++
		if crashes%2 == 0 && !testing.Short() || crashes%20 == 0 {
			crash := crashfs.Crash{UnsyncedPercent: crashes % 3 * 50, Rand: random}
			r, err := Check(context.Background(), mem.CrashClone(crash), "data", nil)
			if err != nil && !errors.Is(err, ErrNothing) {
				t.Fatalf("crash %d: %v", crashes, err)
			}
			if r != nil && len(r.Problems) > 0 {
				t.Fatalf("crash %d: %+v", crashes, r.Problems)
			}
		}
		return nil
	}))
	m := newMember(t, fs)
	for range 6 {
		m.write(60, 60)
		m.checkpoint()
	}
	m.write(20, 10)
	m.close()
	if crashes < 100 {
		t.Errorf("%d crashes", crashes)
	}
	r, err := Check(context.Background(), mem, "data", nil)
	if err != nil || len(r.Problems) > 0 || r.Log.Last != m.index || r.State.Position().Index != m.index-20 || !r.Members.Active {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestAReadThatFailsIsNoDamage: a member must not be replaced since this process had no descriptors left.
func TestAReadThatFailsIsNoDamage(t *testing.T) {
	mem := crashfs.NewMem()
	m := newMember(t, mem)
	m.write(60, 60)
	m.checkpoint()
	m.close()
	for _, file := range []string{"MEMBERS", ".log", "MANIFEST", "small-", "run-"} {
		met := false
		fs := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind != errorfs.OpOpen || !strings.Contains(op.Path, file) {
				return nil
			}
			met = true
			return syscall.EMFILE
		}))
		if r, err := Check(context.Background(), fs, "data", nil); !errors.Is(err, syscall.EMFILE) || r != nil || !met {
			t.Errorf("%s: %v: %+v", file, err, r)
		}
	}
}

// TestWhatANewerProgramHasWrittenIsNoDamage: that program reads it, and nobody has to be replaced.
func TestWhatANewerProgramHasWrittenIsNoDamage(t *testing.T) {
	fs := crashfs.NewMem()
	m := newMember(t, fs)
	m.write(10, 10)
	m.m.DoOp(state.Command{More: &state.More{Kind: state.KindVersion, Version: state.Version + 1, Internal: true}})
	m.checkpoint()
	m.close()
	r, err := Check(context.Background(), fs, "data", nil)
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Do != doNewer || !strings.Contains(r.Problems[0].What, "use a newer one") {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestDamageIsFound: each file counts, and each byte of it that is used.
func TestDamageIsFound(t *testing.T) {
	fs := crashfs.NewMem()
	m := newMember(t, fs)
	m.write(60, 60)
	m.checkpoint()
	m.write(60, 60)
	m.close()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, dir := range []string{"data", "data/wal", "data/state"} {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			if stat, err := fs.Stat(path); err != nil || stat.IsDir() || stat.Size() == 0 {
				continue
			}
			good, err := vfs.ReadFile(fs, path)
			if err != nil {
				t.Fatal(err)
			}
			// Behind the end of the log are zeros, and of a write there it is not known whether it was whole.
			used := bytes.TrimRight(good, "\x00")
			missed := 0
			for range 20 {
				bad := bytes.Clone(good)
				bad[rng.IntN(len(used))] ^= 1 << rng.IntN(8)
				replaceFile(t, fs, path, bad)
				if !found(t, fs) {
					missed++
				}
			}
			if missed > 0 && !strings.HasSuffix(name, ".log") || missed > 10 {
				t.Errorf("%s: %d of 20 flipped bits were not found", path, missed)
			}
			if err := fs.Remove(path); err != nil {
				t.Fatal(err)
			}
			if !found(t, fs) && !strings.HasSuffix(name, ".tmp") && len(used) > unusedSegment {
				t.Errorf("nobody misses %s", path)
			}
			replaceFile(t, fs, path, good)
		}
	}
	if found(t, fs) {
		t.Error("damage was found where there is none")
	}
}

// unusedSegment is the length of what is in a segment that is prepared and has nothing yet.
const unusedSegment = 64

func replaceFile(t *testing.T, fs vfs.FS, path string, content []byte) {
	t.Helper()
	if err := vfs.WriteFile(fs, path, content); err != nil {
		t.Fatal(err)
	}
}

// found tells whether Check finds something, which must then say where it is and what to do.
func found(t *testing.T, fs vfs.FS) bool {
	t.Helper()
	r, err := Check(context.Background(), fs, "data", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		if p.File == "" || p.What == "" || p.Do == "" {
			t.Errorf("a problem without words: %+v", p)
		}
	}
	return len(r.Problems) > 0
}

func TestADirectoryInUseIsNotChecked(t *testing.T) {
	fs := crashfs.NewMem()
	m := newMember(t, fs)
	if _, err := Check(context.Background(), fs, "data", nil); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	m.close()
	if _, err := Check(context.Background(), fs, "elsewhere", nil); !errors.Is(err, ErrNothing) {
		t.Error(err)
	}
}
