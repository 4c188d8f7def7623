package state_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
)

// Without its manifest a machine begins anew, and its log refuses that if it was cut. The files of the history stay until the
// next checkpoint: a server that was alone has no others.
func TestFilesStayWhereTheManifestIsLost(t *testing.T) {
	s := newScrubbed(t)
	if err := s.fs.Remove("state/MANIFEST"); err != nil {
		t.Fatal(err)
	}
	m, position := openMachine(t, s.fs)
	if position.Index != 0 || m.Revision() != 1 {
		t.Fatalf("opened at %s, revision %d", position, m.Revision())
	}
	for name, want := range s.whole {
		if got := s.read(name); string(got) != string(want) {
			t.Errorf("%s is another", name)
		}
	}
	m.DoOp(set("a", "b")) // the log was not cut
	if _, err := m.Checkpoint(raft.SnapshotMeta{Index: 1, Term: 1, Configuration: raft.NewConfiguration(1)})(context.Background()); err != nil {
		t.Fatal(err)
	}
	names, err := s.fs.List("state")
	if err != nil {
		t.Fatal(err)
	}
	if runs := slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "run-") }); len(runs) != 1 {
		t.Errorf("files are left: %s", runs)
	}
	again, _ := openMachine(t, s.fs.CrashClone(crashfs.Crash{}))
	if again.Hash() != m.Hash() {
		t.Error("it is another state")
	}
}

// A start with a damaged manifest says which file it is, and that another start is of no use.
func TestADamagedManifestIsNamed(t *testing.T) {
	s := newScrubbed(t)
	for at := range s.read("MANIFEST") {
		s.whole["MANIFEST"] = s.read("MANIFEST")
		s.damage("MANIFEST", at)
		m := state.New(state.Config{FS: s.fs, Dir: "state", Cluster: 7, ID: 1})
		if _, _, err := m.Open(); !errors.Is(err, state.ErrDamaged) || !strings.Contains(err.Error(), "state/MANIFEST: ") {
			t.Fatalf("byte %d: %v", at, err)
		}
		if err := vfs.WriteFile(s.fs, "state/MANIFEST", s.whole["MANIFEST"]); err != nil {
			t.Fatal(err)
		}
	}
}
