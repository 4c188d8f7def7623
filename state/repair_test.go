package state_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
)

// newUnlike is newScrubbed with a peer whose files are others: its runs have another length, or it has
// gone on.
func newUnlike(t *testing.T, peerRuns int64, peerLog func(m *state.Machine)) *scrubbed {
	t.Helper()
	s := newScrubbed(t)
	s.peer = state.New(state.Config{FS: crashfs.NewCrashableMem(), Dir: "state", Cluster: 7, ID: 2, RunBytes: peerRuns, CacheBytes: -1})
	if _, _, err := s.peer.Open(); err != nil {
		t.Fatal(err)
	}
	for i := range scrubbedKeys {
		s.peer.DoOp(set(keyOf(i), valueOf(i)))
	}
	if peerLog != nil {
		peerLog(s.peer)
	}
	if err := s.checkpointPeer(scrubbedKeys + 10); err != nil {
		t.Fatal(err)
	}
	s.m.UseFetcher(from{s.peer})
	return s
}

func (s *scrubbed) checkpointPeer(index raft.Index) error {
	_, err := s.peer.Checkpoint(raft.SnapshotMeta{Index: index, Term: 1, Configuration: raft.NewConfiguration(1, 2)})(context.Background())
	return err
}

// wantValues compares what can be read.
func (s *scrubbed) wantValues() {
	s.t.Helper()
	for i := range scrubbedKeys {
		if r := s.m.Get(keyOf(i)); r.Code != kv.CodeOK || string(r.Value) != valueOf(i) {
			s.t.Fatalf("%s: %v", keyOf(i), r.Err())
		}
	}
	revisions := 0
	if err := s.m.Scan(2, func(uint64, []kv.Event) bool { revisions++; return true }); err != nil || revisions != scrubbedKeys {
		s.t.Fatalf("%d revisions in the history: %v", revisions, err)
	}
}

// No other member has the same file, but one has the records.
func TestARunIsRebuiltFromOtherFiles(t *testing.T) {
	for _, peerRuns := range []int64{5 << 10, 20 << 10, 1 << 20} {
		s := newUnlike(t, peerRuns, nil)
		s.damage("run-2", 100)
		s.damage("run-3", -1)
		if err := s.fs.Remove("state/run-1"); err != nil {
			t.Fatal(err)
		}
		if err := s.scrub(); err != nil {
			t.Fatal(err)
		}
		if f := s.m.Figures(); f.Repaired != 3 || f.Damaged != 0 {
			t.Errorf("repaired %d, damaged %d, want 3 and 0", f.Repaired, f.Damaged)
		}
		s.wantValues()
		s.m, _ = openMachine(t, s.fs.CrashClone(crashfs.Crash{}))
		s.wantValues()
		if err := s.scrub(); err != nil || s.m.Figures().Repaired != 0 {
			t.Errorf("afterwards %d files were damaged: %v", s.m.Figures().Repaired, err)
		}
	}
}

// hangingState is a fetcher whose member has no files, and hangs where it is asked for its state.
type hangingState struct{ hanging }

func (h hangingState) Fetch(ctx context.Context, id raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	if string(name) != "state" {
		return nil, fs.ErrNotExist
	}
	return h.hanging.Fetch(ctx, id, name, offset)
}

// The member that is asked for a damaged run hangs. A checkpoint does not wait for it for long, and the run is repaired
// later.
func TestARepairGivesWay(t *testing.T) {
	for _, phase := range []string{"the same file", "its records"} {
		synctest.Test(t, func(t *testing.T) {
			s := newScrubbed(t)
			line := hanging{make(chan struct{}, 1)}
			s.m.UseFetcher(line)
			if phase == "its records" {
				s.m.UseFetcher(hangingState{line})
			}
			s.damage("run-1", 100)
			ended := make(chan error)
			go func() {
				_, err := s.m.Scrub()
				ended <- err
			}()
			<-line.asked
			begin, position := time.Now(), raft.SnapshotMeta{Index: scrubbedKeys + 1, Term: 1, Configuration: raft.NewConfiguration(1, 2)}
			if _, err := s.m.Checkpoint(position)(t.Context()); err != nil || time.Since(begin) > 2*time.Second {
				t.Errorf("%s: a checkpoint took %v: %v", phase, time.Since(begin), err)
			}
			if err := <-ended; err == nil || !strings.Contains(err.Error(), "gave way") || s.m.Figures().Damaged != 1 {
				t.Errorf("%s: the repair: %v, damaged %d", phase, err, s.m.Figures().Damaged)
			}
			s.m.UseFetcher(from{s.peer})
			if err := s.scrub(); err != nil || s.m.Figures().Damaged != 0 {
				t.Errorf("%s: afterwards: %v, damaged %d", phase, err, s.m.Figures().Damaged)
			}
			s.wantWhole()
		})
	}
}

// slow is a fetcher that gives a few bytes at a time.
type slow struct {
	from
	each  time.Duration
	bytes int
}

func (s slow) Fetch(ctx context.Context, id raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	data, err := s.from.Fetch(ctx, id, name, offset)
	return slowly{data, ctx, s}, err
}

type slowly struct {
	io.ReadCloser
	ctx context.Context
	slow
}

func (s slowly) Read(b []byte) (int, error) {
	select {
	case <-time.After(s.each):
		return s.ReadCloser.Read(b[:min(len(b), s.bytes)])
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

// A checkpoint waits for a repair that gets on, or it would be broken off again and again on a slow line; but not for ever.
func TestARepairThatGetsOnIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		name     string
		pieces   int // that a run takes
		repaired bool
		waits    time.Duration // for the checkpoint, at most
	}{{"it gets on", 8, true, 8 * time.Second}, {"it hardly gets on", 1000, false, 11 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			s := newScrubbed(t)
			info, err := s.fs.Stat("state/run-1")
			if err != nil {
				t.Fatal(err)
			}
			s.m.UseFetcher(slow{from{s.peer}, 900 * time.Millisecond, int(info.Size())/tt.pieces + 1})
			s.damage("run-1", 100)
			ended := make(chan error)
			go func() {
				_, err := s.m.Scrub()
				ended <- err
			}()
			synctest.Wait()
			begin, position := time.Now(), raft.SnapshotMeta{Index: scrubbedKeys + 1, Term: 1, Configuration: raft.NewConfiguration(1, 2)}
			if _, err := s.m.Checkpoint(position)(t.Context()); err != nil || time.Since(begin) > tt.waits {
				t.Errorf("%s: a checkpoint took %v: %v", tt.name, time.Since(begin), err)
			}
			if err := <-ended; (err == nil) != tt.repaired {
				t.Errorf("%s: the repair: %v", tt.name, err)
			}
		})
	}
}

// slowOpen is a disk that takes long to open a file for reading.
type slowOpen struct{ vfs.FS }

func (s slowOpen) Open(name string) (vfs.File, error) {
	time.Sleep(maxRepairWait + time.Second)
	return s.FS.Open(name)
}

const maxRepairWait = 10 * time.Second // that of package state

// It takes longer to find the damage than a repair is waited for. The repair is made all the same.
func TestARepairIsNotBrokenOffBeforeItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScrubbed(t)
		s.damage("run-1", 100)
		s.ruined.FS = slowOpen{s.fs}
		ended := make(chan error)
		go func() {
			_, err := s.m.Scrub()
			ended <- err
		}()
		synctest.Wait()
		position := raft.SnapshotMeta{Index: scrubbedKeys + 1, Term: 1, Configuration: raft.NewConfiguration(1, 2)}
		if _, err := s.m.Checkpoint(position)(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the repair: %v", err)
		}
		s.wantWhole()
	})
}

// A member that has compacted more lacks records that are needed here, until as much is compacted here.
func TestARunIsNotRebuiltFromLess(t *testing.T) {
	var after []state.Command
	for i := range scrubbedKeys { // of the first runs only every fourth key is left
		if i < 200 && i%4 != 0 {
			after = append(after, set(keyOf(i), "new"))
		}
	}
	after = append(after, compact(uint64(scrubbedKeys+1+len(after))))
	do := func(m *state.Machine) {
		for _, c := range after {
			m.DoOp(c)
		}
		position := raft.SnapshotMeta{Index: raft.Index(scrubbedKeys + len(after)), Term: 1, Configuration: raft.NewConfiguration(1, 2)}
		if _, err := m.Checkpoint(position)(context.Background()); err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			var err error
			if more, err = m.Maintain(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := newUnlike(t, 8<<10, do)
	file, at := s.find(valueOf(101))
	s.damage(file, at)
	if err := s.scrub(); err == nil || !strings.Contains(err.Error(), "not all of its records") || s.m.Figures().Damaged != 1 {
		t.Fatalf("scrub: %v, damaged %d", err, s.m.Figures().Damaged)
	}
	if r := s.m.Get(keyOf(101)); r.Err() == nil {
		t.Errorf("read %q", r.Value)
	}
	do(s.m) // the damaged run may be written anew meanwhile, of what is not damaged
	if err := s.scrub(); err != nil || s.m.Figures().Damaged != 0 || s.m.Hash() != s.peer.Hash() {
		t.Errorf("scrub: %v, damaged %d", err, s.m.Figures().Damaged)
	}
	for i := range scrubbedKeys {
		if got, want := s.m.Get(keyOf(i)), s.peer.Get(keyOf(i)); got.Err() != nil || string(got.Value) != string(want.Value) {
			t.Fatalf("%s: %v, %q, want %q", keyOf(i), got.Err(), got.Value, want.Value)
		}
	}
}

// Where no runs of two members end at the same revision, both are to make a checkpoint. Then they do.
func TestHistoriesAreComparedAfterACheckpoint(t *testing.T) {
	s := newUnlike(t, 5<<10, func(m *state.Machine) { m.DoOp(set("x", "x")) })
	s.m.DoOp(set("x", "x"))
	s.m.DoOp(set("y", "y"))
	s.peer.DoOp(set("y", "y"))
	s.damage("run-2", 100)
	if s.m.CheckpointWanted() || s.peer.CheckpointWanted() {
		t.Error("a checkpoint is wanted, and nobody has compared anything")
	}
	if err := s.scrub(); err == nil || !strings.Contains(err.Error(), "chain hash") {
		t.Fatalf("scrub: %v", err)
	}
	if !s.m.CheckpointWanted() || !s.peer.CheckpointWanted() {
		t.Fatalf("checkpoints are wanted: %t, %t", s.m.CheckpointWanted(), s.peer.CheckpointWanted())
	}
	position := raft.SnapshotMeta{Index: scrubbedKeys + 12, Term: 1, Configuration: raft.NewConfiguration(1, 2)}
	if _, err := s.m.Checkpoint(position)(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.checkpointPeer(scrubbedKeys + 12); err != nil {
		t.Fatal(err)
	}
	if err := s.scrub(); err != nil || s.m.Figures().Repaired != 1 {
		t.Errorf("scrub: %v, repaired %d", err, s.m.Figures().Repaired)
	}
	if s.m.CheckpointWanted() || s.peer.CheckpointWanted() {
		t.Error("a checkpoint is wanted still")
	}
}

// The records of a member with another history are of no use, though they have the same keys.
func TestARunIsNotRebuiltFromAnotherHistory(t *testing.T) {
	s := newScrubbed(t)
	s.peer, _ = openMachine(t, crashfs.NewCrashableMem())
	for i := range scrubbedKeys {
		s.peer.DoOp(set(keyOf(i), strings.ToUpper(valueOf(i))))
	}
	if err := s.checkpointPeer(scrubbedKeys); err != nil {
		t.Fatal(err)
	}
	s.m.UseFetcher(from{s.peer})
	s.damage("run-2", 100)
	if err := s.scrub(); err == nil || !strings.Contains(err.Error(), "chain hash") {
		t.Fatalf("scrub: %v", err)
	}
}

// At a start what is damaged and cannot be replaced by an equal file is taken from another member, with
// its whole state: any file but the manifest.
func TestOpenTakesTheStateOfAnother(t *testing.T) {
	for name, damage := range map[string]func(s *scrubbed){
		"an index":           func(s *scrubbed) { s.damage("run-1", -1) },
		"a file is missing":  func(s *scrubbed) { _ = s.fs.Remove("state/run-3") },
		"the file in use":    func(s *scrubbed) { s.damage(fmt.Sprint("run-", len(s.whole)), 300) },
		"the small file":     func(s *scrubbed) { s.damageSmall() },
		"two of these kinds": func(s *scrubbed) { s.damage("run-2", -1); s.damageSmall() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newUnlike(t, 20<<10, func(m *state.Machine) { m.DoOp(set("later", "value")) })
			damage(s)
			m := state.New(state.Config{FS: s.fs, Dir: "state", Cluster: 7, ID: 1, RunBytes: 8 << 10, CacheBytes: -1})
			if _, _, err := m.Open(); err == nil {
				t.Fatal("it was opened without other members")
			}
			m.UseFetcher(from{s.peer})
			position, _, err := m.Open()
			if err != nil || position.Index != scrubbedKeys+10 {
				t.Fatalf("opened at %s: %v", position, err)
			}
			if m.Hash() != s.peer.Hash() || m.Figures().Repaired == 0 {
				t.Errorf("hash %x, want %x; repaired %d", m.Hash(), s.peer.Hash(), m.Figures().Repaired)
			}
			m, _ = openMachine(t, s.fs.CrashClone(crashfs.Crash{}))
			if m.Hash() != s.peer.Hash() {
				t.Error("it was not durable")
			}
		})
	}
}

// A member that is behind is of no use at a start: what was acknowledged here may be missing there. It is asked for a
// checkpoint, without which it might stay behind where nobody writes.
func TestOpenTakesNoStateThatIsBehind(t *testing.T) {
	s := newUnlike(t, 20<<10, nil)
	for i := range 10 {
		s.m.DoOp(set(keyOf(i), "new"))
	}
	if _, err := s.m.Checkpoint(raft.SnapshotMeta{Index: scrubbedKeys + 20, Term: 1, Configuration: raft.NewConfiguration(1, 2)})(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.damage("run-1", -1)
	m := state.New(state.Config{FS: s.fs, Dir: "state", Cluster: 7, ID: 1, RunBytes: 8 << 10, CacheBytes: -1})
	m.UseFetcher(from{s.peer})
	if s.peer.CheckpointWanted() {
		t.Error("a checkpoint is wanted, and nobody has asked")
	}
	if _, _, err := m.Open(); !errors.As(err, new(*run.CorruptError)) || !strings.Contains(err.Error(), "behind") {
		t.Fatalf("opened: %v", err)
	}
	if !s.peer.CheckpointWanted() {
		t.Error("no checkpoint is wanted")
	}
	for i := range 10 {
		s.peer.DoOp(set(keyOf(i), "new"))
	}
	if err := s.checkpointPeer(scrubbedKeys + 20); err != nil || s.peer.CheckpointWanted() {
		t.Errorf("a checkpoint is wanted still, %v", err)
	}
	if _, _, err := m.Open(); err != nil || m.Hash() != s.peer.Hash() {
		t.Errorf("opened: %v", err)
	}
}

// A member may ask for any index: for one that this member gets to later, or never. What it asks for is worth one
// checkpoint. Else there would be one after the other, for as long as there are writes.
func TestAnIndexThatIsAskedForIsWorthOneCheckpoint(t *testing.T) {
	s := newUnlike(t, 20<<10, nil)
	for _, index := range []uint64{scrubbedKeys + 100, 1<<64 - 1} {
		r, err := s.peer.OpenFile(binary.LittleEndian.AppendUint64([]byte("state"), index), 0)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if !s.peer.CheckpointWanted() {
			t.Errorf("asked for %d: no checkpoint is wanted", index)
		}
		if err := s.checkpointPeer(scrubbedKeys + 20); err != nil || s.peer.CheckpointWanted() {
			t.Errorf("asked for %d: a checkpoint is wanted still, %v", index, err)
		}
	}
}

func (s *scrubbed) damageSmall() {
	s.t.Helper()
	names, err := s.fs.List("state")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "small-") {
			s.whole[name] = s.read(name)
			s.damage(name, 30)
			delete(s.whole, name)
		}
	}
}
