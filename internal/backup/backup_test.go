package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/logtime"
	"balsa.example/vfs"
)

const cluster = 7

// world is a member, and the time.
type world struct {
	t     *testing.T
	m     *state.Machine
	index raft.Index
	now   time.Time
	rng   *rand.Rand
	// at has the keys at some revisions, and when the last change before was.
	at map[uint64][]kv.Entry
}

func newWorld(t *testing.T) *world {
	m := state.New(state.Config{FS: crashfs.NewCrashableMem(), Dir: "state", Cluster: cluster, ID: 1, RunBytes: 4 << 10, CacheBytes: -1})
	if _, _, err := m.Open(); err != nil {
		t.Fatal(err)
	}
	return &world{t: t, m: m, now: time.UnixMilli(1_700_000_000_000), rng: rand.New(rand.NewPCG(1, 2)), at: map[uint64][]kv.Entry{}}
}

// write writes some keys, one each second. The leader's stamp follows, as it does within an election
// timeout.
func (w *world) write(n int) {
	for range n {
		w.now = w.now.Add(time.Second)
		w.do(state.Command{Op: kv.Op{Kind: kv.Put, Key: fmt.Sprint("key ", w.rng.IntN(50)), Value: fmt.Append(nil, w.rng.Uint64()), Unconditional: true}})
		w.do(state.Command{More: &state.More{Kind: state.KindTick, Stamp: logtime.Stamp{Log: logtime.Time(w.now.UnixNano()), Wall: w.now.UnixNano()}}})
	}
	w.at[w.m.Revision()] = entries(w.t, w.m)
}

func (w *world) do(c state.Command) {
	w.index++
	w.m.DoOp(c)
}

func entries(t *testing.T, m *state.Machine) []kv.Entry {
	t.Helper()
	r, err := m.Range(kv.RangeOp{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Entries
}

// compact forgets all but some revisions, and writes files anew.
func (w *world) compact(keep uint64) {
	w.do(state.Command{More: &state.More{Kind: state.KindCompact, Revision: w.m.Revision() - keep}})
	w.checkpoint()
	for more, err := true, error(nil); more; {
		if more, err = w.m.Maintain(); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) checkpoint() {
	w.t.Helper()
	if _, err := w.m.Checkpoint(raft.SnapshotMeta{Index: w.index, Term: 1})(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// source is a world as a Source. sent counts the bytes of files.
type source struct {
	*world
	cluster uint64
	sent    int64
	limit   int64         // after so many bytes the stream breaks; 0: never
	behind  time.Duration // by which its clock is
}

func (s *source) Image(context.Context) ([]byte, uint64, time.Time, error) {
	stream, err := s.m.OpenState()
	if err != nil {
		return nil, 0, time.Time{}, err
	}
	b, err := io.ReadAll(stream.Data)
	return b, s.cluster, s.now.Add(-s.behind), errors.Join(err, stream.Data.Close())
}

var errBroken = errors.New("broken")

func (s *source) File(_ context.Context, name []byte, offset int64) (io.ReadCloser, error) {
	f, err := s.m.OpenFile(name, offset)
	return struct {
		io.Reader
		io.Closer
	}{counted{s, f}, f}, err
}

type counted struct {
	s *source
	r io.Reader
}

func (c counted) Read(b []byte) (int, error) {
	if c.s.limit > 0 {
		if c.s.sent >= c.s.limit {
			return 0, errBroken
		}
		b = b[:min(int64(len(b)), c.s.limit-c.s.sent)]
	}
	n, err := c.r.Read(b)
	c.s.sent += int64(n)
	return n, err
}

func (w *world) source() *source { return &source{world: w, cluster: cluster} }

func receive(t *testing.T, fs vfs.FS, from Source) *Point {
	t.Helper()
	p, fresh, err := Receive(context.Background(), fs, "backup", from, nil)
	if err != nil || !fresh {
		t.Fatalf("backup: %v, new: %t", err, fresh)
	}
	return p
}

func open(t *testing.T, fs vfs.FS) *Dir {
	t.Helper()
	d, err := Open(fs, "backup")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func verify(t *testing.T, fs vfs.FS) (damage []error) {
	t.Helper()
	err := open(t, fs).Verify(context.Background(), nil, func(err error) { damage = append(damage, err) })
	if err != nil {
		t.Fatal(err)
	}
	return damage
}

// restore returns the keys that a new cluster has.
func restore(t *testing.T, d *Dir, revision uint64) []kv.Entry {
	t.Helper()
	p, err := d.Covering(revision)
	if err != nil {
		t.Fatal(err)
	}
	im, err := d.Image(p)
	if err != nil {
		t.Fatal(err)
	}
	fs := crashfs.NewMem()
	if _, err := im.Restore(context.Background(), d.Files(), state.Restoration{FS: fs, Dir: "state", Revision: revision, MoveTo: 1e9}); err != nil {
		t.Fatal(err)
	}
	origin, err := state.OriginOf(fs, "state")
	if err != nil {
		t.Fatal(err)
	}
	m := state.New(state.Config{FS: fs, Dir: "state", Cluster: 9, ID: 3, Origin: origin, Configuration: raft.NewConfiguration(3)})
	if _, _, err := m.Open(); err != nil {
		t.Fatal(err)
	}
	return entries(t, m)
}

// TestAChainOfBackupsBringsBackWhatWasCompacted: each backup fetches what is new, and all revisions
// that one of them covers can be restored, though the cluster has forgotten them.
func TestAChainOfBackupsBringsBackWhatWasCompacted(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	for round := range 8 {
		for range 6 {
			w.write(40)
		}
		w.checkpoint()
		from := w.source()
		p := receive(t, disk, from)
		if _, fresh, err := Receive(context.Background(), disk, "backup", w.source(), nil); err != nil || fresh {
			t.Fatalf("the same state again: %v, new: %t", err, fresh)
		}
		if most := int64(24 << 10); round > 0 && from.sent > most {
			t.Errorf("backup %d has fetched %d bytes", round, from.sent)
		}
		if p.Revision != w.m.Revision() || p.Hash != w.m.Hash() {
			t.Errorf("a point at revision %d", p.Revision)
		}
		if all := p.New == p.Bytes; all != (round == 0) {
			t.Errorf("backup %d has %d bytes, and %d that are new", round, p.Bytes, p.New)
		}
		if round%3 == 1 {
			w.compact(60)
			receive(t, disk, w.source())
		}
	}
	d := open(t, disk)
	if got, want := d.Covered(), fmt.Sprintf("revisions 1 to %d", w.m.Revision()); got != want {
		t.Errorf("covers %q, want %q", got, want)
	}
	if damage := verify(t, disk); damage != nil {
		t.Error(damage)
	}
	for revision, want := range w.at {
		if !reflect.DeepEqual(restore(t, d, revision), want) {
			t.Errorf("restored other keys at %d", revision)
		}
	}
	if _, err := d.Covering(w.m.Revision() + 1); !errors.Is(err, ErrNotCovered) || !strings.Contains(err.Error(), d.Covered()) {
		t.Error(err)
	}
}

// TestABackupThatBreaksOffIsGoneOnWith, at any byte, and fetches nothing twice but records that were not whole.
func TestABackupThatBreaksOffIsGoneOnWith(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(100)
	w.checkpoint()
	receive(t, disk, w.source())
	w.write(400)
	w.checkpoint()
	whole := w.source()
	receive(t, disk.CrashClone(crashfs.Crash{}), whole)
	sent, breaks := int64(0), 0
	for {
		from := w.source()
		from.limit = 3000 // the index of a run has to come at once
		_, _, err := Receive(context.Background(), disk, "backup", from, nil)
		sent += from.sent
		if err == nil {
			break
		}
		if !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		breaks++
	}
	if sent > 2*whole.sent || breaks < 5 {
		t.Errorf("%d bytes in %d pieces, and %d at once", sent, breaks, whole.sent)
	}
	if damage := verify(t, disk); damage != nil {
		t.Error(damage)
	}
	if !reflect.DeepEqual(restore(t, open(t, disk), w.m.Revision()), entries(t, w.m)) {
		t.Error("restored other keys")
	}
}

// TestABackupSurvivesCrashes: whenever power is lost, all points of before are whole, and the next
// backup adds one.
func TestABackupSurvivesCrashes(t *testing.T) {
	w, mem := newWorld(t), crashfs.NewCrashableMem()
	w.write(100)
	w.checkpoint()
	receive(t, mem, w.source())
	w.write(300)
	w.checkpoint()
	crashes := 0
	fs := crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt {
			return nil
		}
		crashes++
		lost := mem.CrashClone(crashfs.Crash{})
		if damage := verify(t, lost); damage != nil {
			t.Fatalf("crash %d: %v", crashes, damage)
		}
		if _, _, err := Receive(context.Background(), lost, "backup", w.source(), nil); err != nil {
			t.Fatalf("crash %d: %v", crashes, err)
		}
		if damage, points := verify(t, lost), open(t, lost).Points(); damage != nil || len(points) != 2 {
			t.Fatalf("crash %d: %d points, %v", crashes, len(points), damage)
		}
		return nil
	}))
	receive(t, fs, w.source())
	if crashes < 40 {
		t.Errorf("%d crashes", crashes)
	}
}

// TestABackupAfterAKillIsDurable: wherever a process was killed, and whichever sync failed before, the next
// one goes on, and a power loss then takes nothing. What it finds may not be durable.
func TestABackupAfterAKillIsDurable(t *testing.T) {
	w := newWorld(t)
	w.write(200)
	w.checkpoint()
	for kill := 0; ; kill++ {
		disk, ops := crashfs.NewCrashableMem(), 0
		fs := crashfs.Inject(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if ops++; ops > kill {
				return errorfs.ErrInjected
			}
			return nil
		}))
		_, fresh, err := Receive(context.Background(), fs, "backup", w.source(), nil)
		if err == nil {
			if kill < 30 || !fresh {
				t.Errorf("%d operations, new: %t", kill, fresh)
			}
			return
		}
		if _, _, err := Receive(context.Background(), disk, "backup", w.source(), nil); err != nil {
			t.Fatalf("killed at operation %d: %v", kill, err)
		}
		lost := disk.CrashClone(crashfs.Crash{})
		if damage, points := verify(t, lost), open(t, lost).Points(); damage != nil || len(points) != 1 {
			t.Fatalf("killed at operation %d: %d points, %v", kill, len(points), damage)
		}
	}
}

func TestOtherDirectoriesAreLeftAlone(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(10)
	w.checkpoint()
	if err := errors.Join(disk.MkdirAll("backup", 0o700), vfs.WriteFile(disk, "backup/letter", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Receive(context.Background(), disk, "backup", w.source(), nil); !errors.Is(err, ErrNoBackup) || !strings.Contains(err.Error(), "letter") {
		t.Errorf("a directory with letters: %v", err)
	}
	if _, err := Open(disk, "backup"); !errors.Is(err, ErrNoBackup) {
		t.Errorf("opened: %v", err)
	}
	disk = crashfs.NewCrashableMem()
	receive(t, disk, w.source())
	before := disk.String()
	other := state.New(state.Config{FS: crashfs.NewMem(), Dir: "state", Cluster: 8, ID: 1})
	if _, _, err := other.Open(); err != nil {
		t.Fatal(err)
	}
	w.m = other
	w.write(20)
	w.checkpoint()
	from := w.source()
	from.cluster = 8
	if _, _, err := Receive(context.Background(), disk, "backup", from, nil); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("another cluster: %v", err)
	}
	if disk.String() != before {
		t.Error("it was written to")
	}
}

// TestAnOlderStateIsRefused: a server that is behind the newest point has lost something.
func TestAnOlderStateIsRefused(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(10)
	w.checkpoint()
	older := *w.source()
	image, _, _, err := older.Image(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.write(10)
	w.checkpoint()
	receive(t, disk, w.source())
	if _, _, err := Receive(context.Background(), disk, "backup", fixed{older.world.source(), image}, nil); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Error(err)
	}
}

type fixed struct {
	*source
	image []byte
}

func (f fixed) Image(context.Context) ([]byte, uint64, time.Time, error) {
	return f.image, cluster, f.now, nil
}

// TestDamageIsFound: each byte counts.
func TestDamageIsFound(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(60)
	w.checkpoint()
	receive(t, disk, w.source())
	w.write(60)
	w.checkpoint()
	receive(t, disk, w.source())
	names, err := disk.List("backup")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, name := range names {
		path := filepath.Join("backup", name)
		good, err := vfs.ReadFile(disk, path)
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			if len(good) == 0 {
				break
			}
			bad := bytes.Clone(good)
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			if err := vfs.WriteFile(disk, path, bad); err != nil {
				t.Fatal(err)
			}
			if !damaged(disk) {
				t.Errorf("a flipped bit in %s was not found", name)
			}
		}
		if len(good) > 0 {
			if err := disk.Remove(path); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(name, pointPrefix) && !damaged(disk) {
				t.Errorf("nobody misses %s", name)
			}
		}
		if err := vfs.WriteFile(disk, path, good); err != nil {
			t.Fatal(err)
		}
	}
	if damaged(disk) {
		t.Error("damage is found where there is none")
	}
}

func damaged(fsys vfs.FS) bool {
	d, err := Open(fsys, "backup")
	if err != nil {
		return true
	}
	found := false
	return d.Verify(context.Background(), nil, func(error) { found = true }) != nil || found
}

// TestATimeIsARevision finds each second of the history, by points that were compacted meanwhile too.
func TestATimeIsARevision(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	begin := w.now
	revisionAt := map[int64]uint64{}
	for range 4 {
		for range 100 {
			w.write(1)
			revisionAt[w.now.Unix()] = w.m.Revision()
		}
		w.compact(120)
		receive(t, disk, w.source())
	}
	d := open(t, disk)
	for second, want := range revisionAt {
		for _, later := range []time.Duration{0, 999 * time.Millisecond} {
			at := time.Unix(second, 0).Add(later)
			if later > 0 && second == w.now.Unix() {
				continue
			}
			p, found, err := d.AtTime(context.Background(), at)
			if err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			if found.Revision != want || !found.Reached.Equal(time.Unix(second, 0)) || p.Compacted > want || p.Revision < want {
				t.Fatalf("%s is revision %d of %d to %d, changed %s; want %d", at, found.Revision, p.Compacted, p.Revision, found.Reached, want)
			}
		}
	}
	if _, found, err := d.AtTime(context.Background(), begin.Add(-time.Hour)); err != nil || found.Revision != 1 {
		t.Errorf("before all: revision %d, %v", found.Revision, err)
	}
	if _, _, err := d.AtTime(context.Background(), w.now.Add(time.Second)); !errors.Is(err, ErrNotCovered) {
		t.Errorf("after all: %v", err)
	}
	if err := errors.Join(disk.Remove("backup/"+d.points[0].name), disk.Remove("backup/"+d.points[1].name)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t, disk).AtTime(context.Background(), begin.Add(time.Minute)); !errors.Is(err, ErrNotCovered) || !strings.Contains(err.Error(), "compacted") {
		t.Errorf("compacted: %v", err)
	}
}

// TestATimeShortlyBeforeAPoint: what was changed while a server wrote the state is only in the next point. And the
// clock of the server that gave a point may be behind that of the leader.
func TestATimeShortlyBeforeAPoint(t *testing.T) {
	for _, behind := range []time.Duration{0, time.Hour} {
		w, disk := newWorld(t), crashfs.NewCrashableMem()
		revisionAt := map[int64]uint64{}
		write := func(n int) {
			for range n {
				w.write(1)
				revisionAt[w.now.Unix()] = w.m.Revision()
			}
		}
		for range 3 {
			write(20)
			w.checkpoint()
			write(20)
			from := w.source()
			from.behind = behind
			receive(t, disk, from)
		}
		d := open(t, disk)
		newest := time.UnixMilli(d.newest().wall)
		for second, want := range revisionAt {
			at := time.Unix(second, 0)
			if !at.Before(newest) {
				continue // the state is not known to have had what came by then
			}
			p, found, err := d.AtTime(context.Background(), at)
			if err != nil || found.Revision != want || p.Revision < want || !found.Reached.Equal(at) {
				t.Errorf("clock behind by %s: %s is revision %d, reached %s, want %d: %v", behind, at, found.Revision, found.Reached, want, err)
			}
		}
	}
}

func TestOneBackupAtATime(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(10)
	w.checkpoint()
	receive(t, disk, w.source())
	_, lock, err := begin(disk, "backup", cluster, cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	w.write(10)
	w.checkpoint()
	if _, _, err := Receive(context.Background(), disk, "backup", w.source(), nil); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
}

// TestTwoClustersMakeOneDirectory at the same time: the second one has it, and the first writes nothing to it.
func TestTwoClustersMakeOneDirectory(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(10)
	w.checkpoint()
	overtaken := beforeLock{disk, func() {
		if err := vfs.WriteFile(disk, filepath.Join("backup", headName), encodeHead(cluster+1, cluster+1)); err != nil {
			t.Fatal(err)
		}
	}}
	if _, _, err := Receive(context.Background(), overtaken, "backup", w.source(), nil); !errors.Is(err, ErrOtherCluster) {
		t.Error(err)
	}
	if d := open(t, disk); len(d.Damage()) > 0 || len(d.Points()) > 0 {
		t.Errorf("it has %d points, and damage: %v", len(d.Points()), d.Damage())
	}
}

// beforeLock does something before a lock is taken.
type beforeLock struct {
	vfs.FS
	do func()
}

func (b beforeLock) Lock(name string) (io.Closer, error) {
	b.do()
	return b.FS.Lock(name)
}

// TestTwoClustersWantOneNewDirectory: none takes it from the other, that makes a backup meanwhile.
func TestTwoClustersWantOneNewDirectory(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(10)
	w.checkpoint()
	var lock io.Closer
	overtaken := afterList{disk, func() {
		var err error
		if _, lock, err = begin(disk, "backup", cluster+1, cluster+1); err != nil {
			t.Fatal(err)
		}
	}}
	if _, _, err := Receive(context.Background(), overtaken, "backup", w.source(), nil); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	if d := open(t, disk); d.Cluster != cluster+1 {
		t.Errorf("the directory of cluster %d became one of %d", cluster+1, d.Cluster)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Receive(context.Background(), disk, "backup", w.source(), nil); !errors.Is(err, ErrOtherCluster) {
		t.Error(err)
	}
}

// afterList does something after a directory is listed.
type afterList struct {
	vfs.FS
	do func()
}

func (a afterList) List(name string) ([]string, error) {
	names, err := a.FS.List(name)
	a.do()
	return names, err
}

// failingReads is a file system that fails the reads of a file.
func failingReads(fs vfs.FS, name string, err error) vfs.FS {
	return crashfs.Inject(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if (op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt) && strings.HasSuffix(op.Path, name) {
			return err
		}
		return nil
	}))
}

// TestAPointThatCannotBeRead is left out: what the disk gives back of the others may be all that there is. It is not
// called damaged, since the next read may find it.
func TestAPointThatCannotBeRead(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(10)
	w.checkpoint()
	first := receive(t, disk, w.source())
	w.write(10)
	w.checkpoint()
	second := receive(t, disk, w.source())
	d := open(t, failingReads(disk, second.name, syscall.EIO))
	if points := d.Points(); len(points) != 1 || points[0].name != first.name || len(d.Damage()) != 1 || !errors.Is(d.Damage()[0], ErrUnreadable) || errors.Is(d.Damage()[0], ErrDamaged) {
		t.Errorf("%d points, and damage: %v", len(points), d.Damage())
	}
	if p, err := d.Covering(first.Revision); err != nil || p.Revision != first.Revision {
		t.Error(err)
	}
	if _, err := Open(failingReads(disk, second.name, syscall.EMFILE), "backup"); !errors.Is(err, syscall.EMFILE) || errors.Is(err, ErrUnreadable) {
		t.Errorf("without descriptors: %v", err)
	}
}

// TestNoBackupBesideAPointThatCannotBeRead: which files that needs is not known for now, and they would look like those that a
// backup has left which broke off. The next backup finds all as it was.
func TestNoBackupBesideAPointThatCannotBeRead(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	for range 2 {
		w.write(100)
		w.checkpoint()
		receive(t, disk, w.source())
	}
	newest := open(t, disk).newest()
	w.compact(20)
	w.write(100)
	w.checkpoint()
	before := disk.String()
	for failure, want := range map[error]error{syscall.EIO: ErrUnreadable, syscall.EMFILE: syscall.EMFILE} {
		_, _, err := Receive(t.Context(), failingReads(disk, newest.name, failure), "backup", w.source(), nil)
		if !errors.Is(err, want) || errors.Is(err, ErrDamaged) {
			t.Errorf("%v: %v", failure, err)
		}
		if disk.String() != before {
			t.Errorf("%v: something was written", failure)
		}
	}
	receive(t, disk, w.source())
	if damage, points := verify(t, disk), open(t, disk).Points(); damage != nil || len(points) != 3 {
		t.Errorf("%d points, %v", len(points), damage)
	}
}

// TestAReadThatFailsIsNoDamage where a backup is verified, and where one is made and what was sent is read again.
func TestAReadThatFailsIsNoDamage(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(100)
	w.checkpoint()
	for failure, want := range map[error]error{syscall.EIO: ErrUnreadable, syscall.EMFILE: syscall.EMFILE} {
		_, _, err := Receive(t.Context(), failingReads(crashfs.NewMem(), "run-1", failure), "backup", w.source(), nil)
		if !errors.Is(err, want) || errors.Is(err, ErrDamaged) || strings.Contains(err.Error(), "what was sent") {
			t.Errorf("received, %v: %v", failure, err)
		}
	}
	receive(t, disk, w.source())
	var bad []error
	note := func(err error) { bad = append(bad, err) }
	if err := open(t, failingReads(disk, "run-1", syscall.EIO)).Verify(t.Context(), nil, note); err != nil || len(bad) == 0 || errors.Is(errors.Join(bad...), ErrDamaged) || !errors.Is(bad[0], ErrUnreadable) {
		t.Errorf("verified: %v, %v", err, bad)
	}
	bad = nil
	if err := open(t, failingReads(disk, "run-1", syscall.EMFILE)).Verify(t.Context(), nil, note); !errors.Is(err, syscall.EMFILE) || bad != nil {
		t.Errorf("verified without descriptors: %v, %v", err, bad)
	}
}

// TestADamagedPointIsMadeAnew where the servers still have that state.
func TestADamagedPointIsMadeAnew(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(100)
	w.checkpoint()
	path := filepath.Join("backup", receive(t, disk, w.source()).name)
	good, err := vfs.ReadFile(disk, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 8, 12, pointBefore, len(good) - 1} { // 8 and 12: format and cluster
		bad := bytes.Clone(good)
		bad[at]++
		if err := vfs.WriteFile(disk, path, bad); err != nil {
			t.Fatal(err)
		}
		receive(t, disk, w.source())
		if damage, points := verify(t, disk), open(t, disk).Points(); damage != nil || len(points) != 1 {
			t.Errorf("damaged at %d: %d points, %v", at, len(points), damage)
		}
	}
}

// TestAFileThatOnlyADamagedPointNeedsMayBeMissing: that point is of no use, and nothing new rests on it.
func TestAFileThatOnlyADamagedPointNeedsMayBeMissing(t *testing.T) {
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	w.write(200)
	w.checkpoint()
	first := receive(t, disk, w.source())
	w.compact(20)
	w.write(100)
	w.checkpoint()
	second := receive(t, disk, w.source())
	for _, info := range first.runs {
		if !slices.ContainsFunc(second.runs, func(other run.Info) bool { return other.File == info.File }) {
			if err := open(t, disk).Files().Remove(info.File); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.write(100)
	w.checkpoint()
	if _, _, err := Receive(t.Context(), disk, "backup", w.source(), nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "is missing") {
		t.Fatalf("of a point that is whole: %v", err)
	}
	path := filepath.Join("backup", first.name)
	b, err := vfs.ReadFile(disk, path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1]++
	if err := vfs.WriteFile(disk, path, b); err != nil {
		t.Fatal(err)
	}
	third := receive(t, disk, w.source())
	if d, bad := open(t, disk), verify(t, disk); len(d.Points()) != 2 || len(bad) != 1 || !reflect.DeepEqual(restore(t, d, third.Revision), w.at[third.Revision]) {
		t.Errorf("%d points, damage: %v", len(d.Points()), bad)
	}
}

// TestAPointOfANewerProgram is left out, whichever part of it is newer, and the others are of use. No backup is made beside it:
// which files it needs is not known.
func TestAPointOfANewerProgram(t *testing.T) {
	number := func(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
	sum := func(b []byte) { binary.LittleEndian.PutUint64(b[len(b)-8:], xxhash.Sum64(b[:len(b)-8])) }
	for part, change := range map[string]func(point []byte){
		"point": func(b []byte) { number(b, 8, format+1) },
		"manifest": func(b []byte) {
			length := binary.LittleEndian.Uint64(b[pointBefore+8:])
			manifest := b[pointBefore+16:][:length]
			number(manifest, 8, 99)
			sum(manifest)
		},
	} {
		w, disk := newWorld(t), crashfs.NewCrashableMem()
		var points []*Point
		for range 2 {
			w.write(100)
			w.checkpoint()
			points = append(points, receive(t, disk, w.source()))
		}
		path := filepath.Join("backup", points[1].name)
		b, err := vfs.ReadFile(disk, path)
		if err != nil {
			t.Fatal(err)
		}
		change(b)
		sum(b)
		if err := vfs.WriteFile(disk, path, b); err != nil {
			t.Fatal(err)
		}
		d := open(t, disk)
		if damage := d.Damage(); len(damage) != 1 || !errors.Is(damage[0], ErrNewer) || errors.Is(damage[0], ErrDamaged) || !strings.Contains(damage[0].Error(), path) {
			t.Errorf("%s: %v", part, damage)
		}
		if got := restore(t, d, points[0].Revision); !reflect.DeepEqual(got, w.at[points[0].Revision]) {
			t.Errorf("%s: another state was restored", part)
		}
		if bad := verify(t, disk); len(bad) != 1 || !errors.Is(bad[0], ErrNewer) {
			t.Errorf("%s: verified: %v", part, bad)
		}
		w.write(100)
		w.checkpoint()
		before := disk.String()
		if _, _, err := Receive(t.Context(), disk, "backup", w.source(), nil); !errors.Is(err, ErrNewer) || disk.String() != before {
			t.Errorf("%s: a backup beside it: %v, written: %t", part, err, disk.String() != before)
		}
	}
}

// counting counts the bytes that are read of points.
type counting struct {
	vfs.FS
	points *int
}

func (c counting) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	if err != nil || !strings.HasPrefix(filepath.Base(name), pointPrefix) {
		return f, err
	}
	return countingFile{f, c.points}, nil
}

type countingFile struct {
	vfs.File
	n *int
}

func (f countingFile) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	*f.n += n
	return n, err
}

// TestABackupReadsLittleOfEarlierPoints: each of them has all leases and users, and there may be thousands of points.
func TestABackupReadsLittleOfEarlierPoints(t *testing.T) {
	const points = 10
	w, disk := newWorld(t), crashfs.NewCrashableMem()
	for i := range 5000 {
		w.do(state.Command{More: &state.More{Kind: state.KindGrant, Lease: int64(i + 1), TTL: int64(time.Hour)}})
	}
	read := 0
	for range points {
		w.write(5)
		w.checkpoint()
		read = 0
		receive(t, counting{disk, &read}, w.source())
	}
	whole := open(t, disk).newest()
	stat, err := disk.Stat(filepath.Join("backup", whole.name))
	if err != nil {
		t.Fatal(err)
	}
	if size := int(stat.Size()); size < 20<<10 || read > size+points*(1<<10) {
		t.Errorf("%d bytes of points of %d bytes were read, want those of the new one, and a KiB of each other", read, size)
	}
	p, fresh, err := Receive(t.Context(), disk, "backup", w.source(), nil)
	if err != nil || fresh || p.Revision != whole.Revision || p.New != whole.New || p.Bytes != whole.Bytes || !p.Taken.Equal(whole.Taken) {
		t.Errorf("nothing is new: %+v, want %+v: %v", p, whole, err)
	}
}
