package kv_test

import (
	"context"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/vfs"
)

// noLeases are no leases at all.
type noLeases struct{}

func (noLeases) Room(int64) (int, error)    { return 0, kv.ErrNoLease }
func (noLeases) Attach(int64, string) error { return nil }
func (noLeases) Detach(int64, string)       {}

// fataler is a testing.TB or a rapid.T.
type fataler interface{ Fatal(args ...any) }

// world is a store over a history, and what a checkpoint has of both.
type world struct {
	*kv.Store
	t       fataler
	options run.Options
	history *run.History
}

// newWorld returns an empty store. Its runs are short, and no file stays in memory, so that tests
// read from files as well.
func newWorld(t fataler) *world {
	w := &world{t: t, options: run.Options{FS: crashfs.NewMem(), Dir: "history", RunBytes: 2 << 10, CacheBytes: -1}}
	if err := w.options.FS.MkdirAll(w.options.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.open(nil, 0)
	w.Store = kv.NewStore(w.history, noLeases{})
	return w
}

func (w *world) open(infos []run.Info, nextFile uint32) {
	var err error
	if w.history, err = run.Open(w.options, infos, nextFile); err != nil {
		w.t.Fatal(err)
	}
}

// do executes an operation at no time.
func (w *world) do(op kv.Op) kv.Result { return w.DoOp(op, 0) }

// flush writes all records to files.
func (w *world) flush() []run.Info { return w.flushTo(w.history.Mark()) }

func (w *world) flushTo(mark run.Mark) []run.Info {
	infos, _, err := w.history.Flush(context.Background(), mark, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return infos
}

// restart opens the store anew from what is durable.
func (w *world) restart() {
	infos, totals := w.flush(), w.Totals()
	back, rest, err := kv.DecodeTotals(totals.Append(nil))
	if err != nil || len(rest) > 0 {
		w.t.Fatal(err, len(rest))
	}
	next := w.history.NextFile()
	if err := w.history.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open(infos, next)
	if w.Store, err = kv.OpenStore(w.history, back, noLeases{}, func() error { return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// onDisk returns an empty store with files of the operating system, and the usual runs.
func onDisk(tb testing.TB) *world {
	w := &world{t: tb, options: run.Options{FS: vfs.OS, Dir: tb.TempDir()}}
	w.open(nil, 0)
	w.Store = kv.NewStore(w.history, noLeases{})
	return w
}
