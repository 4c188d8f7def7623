package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
)

const scrubbedKeys = 400

// scrubbed is a member, and another one that has executed the same log.
type scrubbed struct {
	t       *testing.T
	fs      *crashfs.Mem
	ruined  *ruined // over fs
	m, peer *state.Machine
	whole   map[string][]byte // the files of runs
}

func newScrubbed(t *testing.T) *scrubbed {
	s := &scrubbed{t: t, fs: crashfs.NewCrashableMem(), whole: map[string][]byte{}}
	s.ruined = &ruined{FS: s.fs, files: map[string]error{}}
	s.m, _ = openMachine(t, s.ruined)
	s.peer, _ = openMachine(t, crashfs.NewCrashableMem())
	position := raft.SnapshotMeta{Index: scrubbedKeys, Term: 1, Configuration: raft.NewConfiguration(1, 2)}
	for _, m := range []*state.Machine{s.m, s.peer} {
		for i := range scrubbedKeys {
			m.DoOp(set(keyOf(i), valueOf(i)))
		}
		if _, err := m.Checkpoint(position)(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	s.m.UseFetcher(from{s.peer})
	names, err := s.fs.List("state")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "run-") {
			s.whole[name] = s.read(name)
		}
	}
	if n := s.m.Figures().Runs; n != len(s.whole) || n < 4 {
		t.Fatalf("%d runs, files %v", n, names)
	}
	return s
}

func keyOf(i int) string   { return fmt.Sprintf("key %03d", i) }
func valueOf(i int) string { return strings.Repeat(fmt.Sprintf("value %03d ", i), 10) }

func (s *scrubbed) read(name string) []byte {
	s.t.Helper()
	b, err := vfs.ReadFile(s.fs, filepath.Join("state", name))
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// damage changes a byte of a file; an offset below 0 counts from its end.
func (s *scrubbed) damage(name string, offset int) {
	s.t.Helper()
	if offset < 0 {
		offset += len(s.whole[name])
	}
	f, err := s.fs.OpenReadWrite(filepath.Join("state", name))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{^s.whole[name][offset]}, int64(offset)); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// scrub reads as many runs as there are, and returns the last error.
func (s *scrubbed) scrub() (last error) {
	for range s.whole {
		if _, err := s.m.Scrub(); err != nil {
			last = err
		}
	}
	return last
}

func (s *scrubbed) wantWhole() {
	s.t.Helper()
	for name, want := range s.whole {
		if !bytes.Equal(s.read(name), want) {
			s.t.Errorf("%s is not what it was", name)
		}
	}
	for i := range scrubbedKeys {
		if r := s.m.Get(keyOf(i)); r.Code != kv.CodeOK || string(r.Value) != valueOf(i) {
			s.t.Fatalf("%s: %v", keyOf(i), r.Err())
		}
	}
}

func TestScrubRepairsEveryRun(t *testing.T) {
	for _, offset := range []int{0, 40, 3000, -1} {
		s := newScrubbed(t)
		sealed := len(s.whole) - 1 // the last is appended to
		for i := range sealed {
			s.damage(fmt.Sprint("run-", i+1), offset)
		}
		if err := s.scrub(); err != nil {
			t.Fatal(err)
		}
		if f := s.m.Figures(); f.Repaired != uint64(sealed) || f.Scrubbed < f.Repaired || f.Damaged != 0 {
			t.Errorf("offset %d: scrubbed %d, repaired %d, damaged %d; want all %d repaired", offset, f.Scrubbed, f.Repaired, f.Damaged, sealed)
		}
		s.wantWhole()
	}
}

func TestScrubRepairsAFileThatIsMissing(t *testing.T) {
	s := newScrubbed(t)
	if err := s.fs.Remove("state/run-2"); err != nil {
		t.Fatal(err)
	}
	if err := s.scrub(); err != nil {
		t.Fatal(err)
	}
	s.wantWhole()
}

// find returns where a text is.
func (s *scrubbed) find(text string) (name string, at int) {
	for name, b := range s.whole {
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			return name, at
		}
	}
	s.t.Fatalf("%q is in no file", text)
	return "", 0
}

// A run that nobody else has stays damaged, and is tried again.
func TestScrubWithoutACopy(t *testing.T) {
	s := newScrubbed(t)
	empty, _ := openMachine(t, crashfs.NewCrashableMem())
	s.m.UseFetcher(from{empty})
	s.damage("run-2", 100)
	for range 3 {
		if err := s.scrub(); !errors.Is(err, state.ErrNoCopy) {
			t.Fatalf("scrub: %v", err)
		}
		if f := s.m.Figures(); f.Damaged != 1 || f.Repaired != 0 {
			t.Errorf("damaged %d, repaired %d, want 1 and 0", f.Damaged, f.Repaired)
		}
	}
	s.m.UseFetcher(from{s.peer})
	if err := s.scrub(); err != nil {
		t.Fatal(err)
	}
	if f := s.m.Figures(); f.Damaged != 0 || f.Repaired != 1 {
		t.Errorf("damaged %d, repaired %d, want 0 and 1", f.Damaged, f.Repaired)
	}
	s.wantWhole()
}

// Open reads the indexes. It gets a run whose index is damaged, or that is missing, from others.
func TestOpenRepairs(t *testing.T) {
	s := newScrubbed(t)
	s.damage("run-1", -1)
	if err := s.fs.Remove("state/run-3"); err != nil {
		t.Fatal(err)
	}
	m := state.New(state.Config{FS: s.fs, Dir: "state", Cluster: 7, ID: 1, RunBytes: 8 << 10, CacheBytes: -1})
	if _, _, err := m.Open(); !errors.As(err, new(*run.CorruptError)) {
		t.Fatalf("without other members: %v", err)
	}
	m.UseFetcher(from{s.peer})
	if _, _, err := m.Open(); err != nil {
		t.Fatal(err)
	}
	if n := m.Figures().Repaired; n != 2 {
		t.Errorf("repaired %d files, want 2", n)
	}
	s.m = m
	s.wantWhole()
}

// A transaction that reads damage stops the replica. The next process executes it.
func TestATransactionThatMetDamageWorksAfterARestart(t *testing.T) {
	s := newScrubbed(t)
	file, at := s.find(valueOf(100))
	s.damage(file, at)
	txn := state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{
		Then: []kv.TxnOp{{Range: &kv.RangeOp{Span: kv.Single(keyOf(100))}}},
	}}}
	s.m.DoOp(txn)
	if s.m.Failed() == nil {
		t.Fatal("it goes on")
	}
	s.m, _ = openMachine(t, s.fs)
	r := s.m.DoOp(txn)
	if err := errors.Join(s.m.Failed(), r.Err()); err != nil {
		t.Fatal(err)
	}
	if got := r.Txn.Responses[0].Range.Entries; len(got) != 1 || string(got[0].Value) != valueOf(100) {
		t.Errorf("read %v", got)
	}
}
