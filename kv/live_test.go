package kv

import (
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv/run"
	"balsa.example/vfs"
)

// However many runs there were, the store knows only those to which its index refers.
func TestRunsThatAreNotLiveAreForgotten(t *testing.T) {
	fs := crashfs.NewMem()
	if err := vfs.MakeDir(fs, "history"); err != nil {
		t.Fatal(err)
	}
	history, err := run.Open(run.Options{FS: fs, Dir: "history", RunBytes: 1000}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := NewStore(history, nil)
	for range 10 {
		for range 100 {
			s.DoOp(Op{Kind: Put, Key: "key", Value: make([]byte, 100), Unconditional: true}, 0)
		}
		if n := len(s.live); n < 5 {
			t.Fatalf("%d runs", n)
		}
		s.Compact(s.Revision())
		s.Durable(s.Compacted())
		for s.Purge(1000) {
		}
		if n := len(s.live); n > 8 { // the versions of a key are purged some together
			t.Errorf("%d runs are known", n)
		}
	}
}
