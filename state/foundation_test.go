package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/state"
	"balsa.example/state/auth"
	"balsa.example/vfs"
)

func foundation(records []run.Record, leases ...state.GrantedLease) *state.Foundation {
	return &state.Foundation{ID: 3, Revision: 100, Leases: leases, Users: auth.New(), Each: func(yield func(*run.Record) error) error {
		for i := range records {
			if err := yield(&records[i]); err != nil {
				return err
			}
		}
		return nil
	}}
}

func founded(f *state.Foundation, moveTo uint64) (vfs.FS, error) {
	fs := crashfs.NewCrashableMem()
	_, err := f.Restore(context.Background(), state.Restoration{FS: fs, Dir: "state", MoveTo: moveTo})
	return fs, err
}

// TestFoundation: a machine begins with keys of another program, several of one revision, and more than are
// in memory at once.
func TestFoundation(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 3<<20)
	records := []run.Record{
		{Key: []byte("b"), Value: []byte("1"), Mod: 4, Create: 2, Version: 3, Lease: 7},
		{Key: []byte("a"), Value: []byte("2"), Mod: 4, Create: 4, Version: 1, Lease: 8}, // which is not there
	}
	for i := range 20 {
		records = append(records, run.Record{Key: fmt.Append(nil, "large ", i), Value: large, Mod: uint64(10 + i/2), Create: 9, Version: 2})
	}
	for _, moveTo := range []uint64{0, 5000} {
		fs, err := founded(foundation(records, state.GrantedLease{ID: 7, TTL: 60e9}, state.GrantedLease{ID: 9, TTL: 1e9}), moveTo)
		if err != nil {
			t.Fatal(err)
		}
		m := born(t, fs)
		revision := max(moveTo, 100)
		if got, compacted := m.Revision(), m.Compacted(); got != revision || compacted != revision {
			t.Errorf("at %d, compacted at %d", got, compacted)
		}
		entries := entriesAt(t, m, 0)
		if len(entries) != 22 {
			t.Fatalf("%d keys", len(entries))
		}
		for i, want := range []struct {
			key                  string
			mod, create, version uint64
			lease                int64
		}{{"a", 4, 4, 1, 0}, {"b", 4, 2, 3, 7}, {"large 0", 10, 9, 2, 0}} {
			if e := entries[i]; e.Key != want.key || e.ModRevision != want.mod || e.CreateRevision != want.create || e.Version != want.version || e.Lease != want.lease {
				t.Errorf("%+v, want %+v", e, want)
			}
		}
		if _, keys, ok := m.Lease(7, true); !ok || fmt.Sprint(keys) != "[b]" {
			t.Errorf("lease 7: %v %v", keys, ok)
		}
		if _, keys, ok := m.Lease(9, true); !ok || len(keys) != 0 {
			t.Errorf("lease 9: %v %v", keys, ok)
		}
	}
}

// TestFoundationIsWrittenWhileItIsRead: what is in memory alone is bounded, whatever the size of all.
func TestFoundationIsWrittenWhileItIsRead(t *testing.T) {
	f, written, most := foundation(nil), 0, 0
	value := make([]byte, 1<<20)
	f.Each = func(yield func(*run.Record) error) error {
		for i := range 80 {
			if err := yield(&run.Record{Key: fmt.Append(nil, i), Value: value, Mod: uint64(i + 1), Create: 1, Version: 1}); err != nil {
				return err
			}
			most = max(most, i<<20-written)
		}
		return nil
	}
	_, err := f.Restore(context.Background(), state.Restoration{
		FS: crashfs.NewCrashableMem(), Dir: "state", Pace: func(n int) { written += n },
	})
	if err != nil || most > 36<<20 {
		t.Errorf("%d MiB were in memory alone, %v", most>>20, err)
	}
}

// TestFoundationsThatMakeNoSense are refused, and nobody begins with what was written.
func TestFoundationsThatMakeNoSense(t *testing.T) {
	rec := func(mod, create, version uint64) run.Record {
		return run.Record{Key: []byte("k"), Mod: mod, Create: create, Version: version}
	}
	long := rec(1, 1, 1)
	long.Key = make([]byte, kv.DefaultLimits.MaxKeyBytes+1)
	for name, f := range map[string]*state.Foundation{
		"a revision that goes back":       foundation([]run.Record{rec(5, 5, 1), rec(4, 4, 1)}),
		"a revision above the last":       foundation([]run.Record{rec(101, 5, 1)}),
		"a negative revision":             foundation([]run.Record{rec(^uint64(0), 5, 1)}),
		"no revision":                     foundation([]run.Record{rec(0, 0, 1)}),
		"a key of later than its change":  foundation([]run.Record{rec(5, 6, 1)}),
		"a key without a version":         foundation([]run.Record{rec(5, 5, 0)}),
		"a key that is too long":          foundation([]run.Record{long}),
		"a lease without an id":           foundation(nil, state.GrantedLease{TTL: 1}),
		"a lease with an id of no number": foundation(nil, state.GrantedLease{ID: -1, TTL: 1}),
	} {
		fs, err := founded(f, 0)
		if !errors.Is(err, state.ErrFoundation) {
			t.Errorf("%s: %v", name, err)
		}
		if origin, err := state.OriginOf(fs, "state"); err != nil || origin != (state.Origin{}) {
			t.Errorf("%s: %x %v", name, origin, err)
		}
	}
}

// TestFoundationWithoutKeys is an empty store.
func TestFoundationWithoutKeys(t *testing.T) {
	f := foundation(nil)
	f.Revision = 0
	fs, err := founded(f, 0)
	if err != nil {
		t.Fatal(err)
	}
	if m := born(t, fs); m.Revision() != 1 {
		t.Error(m.Revision())
	}
}
