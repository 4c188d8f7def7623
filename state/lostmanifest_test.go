package state_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
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
