package offline

import (
	"bytes"
	"context"
	"reflect"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
)

// content returns all files below a directory.
func content(t *testing.T, fs vfs.FS, dirs ...string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, dir := range dirs {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if stat, err := fs.Stat(dir + "/" + name); err == nil && !stat.IsDir() {
				if all[dir+"/"+name], err = vfs.ReadFile(fs, dir+"/"+name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return all
}

func keys(t *testing.T, m *state.Machine) []kv.Entry {
	t.Helper()
	r, err := m.Range(kv.RangeOp{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Entries
}

// TestRecoverTakesTheWholeTail of the log, and leaves the old directory as it is.
func TestRecoverTakesTheWholeTail(t *testing.T) {
	for _, checkpoints := range []int{0, 1, 4} {
		fs := crashfs.NewMem()
		m := newMember(t, fs)
		for range checkpoints {
			m.write(60, 60)
			m.checkpoint()
		}
		m.write(100, 100)
		want, revision, hash := keys(t, m.m), m.m.Revision(), m.m.Hash()
		m.close()
		before := content(t, fs, "data", "data/wal", "data/state")

		s, err := Survey(context.Background(), fs, "data", "new/scratch")
		if err != nil {
			t.Fatal(err)
		}
		if s.Index != m.index || s.Term != 1 || s.Replayed != 100 || s.Revision != revision || s.state.Hash() != hash {
			t.Errorf("%+v", s)
		}
		if _, err := s.Write(context.Background(), "new", s.Revision+1000, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if names, err := fs.List("new"); err != nil || len(names) != 1 {
			t.Errorf("the new directory has %q: %v", names, err)
		}
		after := content(t, fs, "data", "data/wal", "data/state")
		for name, b := range before {
			if !bytes.Equal(after[name], b) {
				t.Errorf("%s was changed", name)
			}
		}
		if len(before) != len(after) {
			t.Errorf("%d files, and %d before", len(after), len(before))
		}
		origin, err := state.OriginOf(fs, "new/state")
		if err != nil {
			t.Fatal(err)
		}
		born := state.New(state.Config{FS: fs, Dir: "new/state", Cluster: 99, ID: 2, Origin: origin, Configuration: raft.NewConfiguration(2)})
		position, _, err := born.Open()
		if err != nil {
			t.Fatal(err)
		}
		if c := position.Configuration; !c.Equal(raft.NewConfiguration(2)) {
			t.Errorf("it has members of the old cluster: %s", c)
		}
		if got := keys(t, born); !reflect.DeepEqual(got, want) || born.Revision() != revision+1000 {
			t.Errorf("%d checkpoints: %d keys at %d, want %d", checkpoints, len(got), born.Revision(), len(want))
		}
	}
}
