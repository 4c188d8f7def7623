package state_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/vfs"
)

func versioned(t *testing.T, fs vfs.FS, version uint64) (*state.Machine, error) {
	t.Helper()
	m := state.New(state.Config{FS: fs, Dir: "state", Cluster: 7, ID: 1, Version: version})
	_, _, err := m.Open()
	return m, err
}

func raise(version uint64) state.Command {
	return state.Command{More: &state.More{Kind: state.KindVersion, Version: version, Internal: true}}
}

// TestAnOlderProgramStopsAtWhatItDoesNotKnow: it decodes what it knows, and tells what it does not, rather
// than to guess.
func TestAnOlderProgramStopsAtWhatItDoesNotKnow(t *testing.T) {
	older, newer := state.Codec{Version: 1}, state.Codec{}
	if _, err := older.Decode(newer.Append(nil, compact(3))); err != nil {
		t.Error(err)
	}
	b := newer.Append(nil, raise(2))
	if _, err := older.Decode(b); err == nil || !strings.Contains(err.Error(), "a newer one has proposed it") {
		t.Error(err)
	}
	if c, err := newer.Decode(b); err != nil || c.More.Version != 2 {
		t.Errorf("%+v: %v", c, err)
	}
	b[1] = 99
	if _, err := newer.Decode(b); err == nil || !strings.Contains(err.Error(), "kind 99") {
		t.Error(err)
	}
}

// TestFilesOfBothVersions: files are those of an older program until the version is raised, and are refused by it
// from then on.
func TestFilesOfBothVersions(t *testing.T) {
	fs := crashfs.NewMem()
	m, err := versioned(t, fs, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.DoOp(set("a", "1"))
	if err := checkpoint(m, 1); err != nil {
		t.Fatal(err)
	}
	older, err := versioned(t, fs, 1)
	if err != nil || older.Hash() != m.Hash() || older.ClusterVersion() != 1 {
		t.Fatalf("an older program: %v", err)
	}
	older.DoOp(set("a", "2"))
	if err := checkpoint(older, 2); err != nil {
		t.Fatal(err)
	}
	if m, err = versioned(t, fs, 0); err != nil || m.Hash() != older.Hash() {
		t.Fatalf("and back: %v", err)
	}
	before := m.Hash()
	if r := m.DoOp(raise(2)); r.Code != kv.CodeOK || m.ClusterVersion() != 2 || m.Hash() == before {
		t.Errorf("raised: %v, version %d", r.Code, m.ClusterVersion())
	}
	if r := m.DoOp(raise(1)); r.Code != kv.CodeOK || m.ClusterVersion() != 2 {
		t.Errorf("it fell to %d", m.ClusterVersion())
	}
	if err := checkpoint(m, 4); err != nil {
		t.Fatal(err)
	}
	if again, err := versioned(t, fs, 0); err != nil || again.Hash() != m.Hash() || again.ClusterVersion() != 2 {
		t.Errorf("opened again: %v", err)
	}
	if _, err := versioned(t, fs, 1); err == nil || !strings.Contains(err.Error(), "use a newer one") {
		t.Errorf("an older program: %v", err)
	}
}

// TestCommandsBeyondTheClustersVersionAreRefused, until it was raised.
func TestCommandsBeyondTheClustersVersionAreRefused(t *testing.T) {
	defer state.InventKind(200, 2)()
	m, err := versioned(t, crashfs.NewMem(), 0)
	if err != nil {
		t.Fatal(err)
	}
	invented := state.Command{More: &state.More{Kind: 200}}
	if err := m.Refuse(invented); !errors.Is(err, state.ErrVersion) {
		t.Errorf("at version %d: %v", m.ClusterVersion(), err)
	}
	for _, c := range []state.Command{set("a", "1"), compact(1), raise(2)} {
		if err := m.Refuse(c); err != nil {
			t.Error(err)
		}
	}
	m.DoOp(raise(2))
	if err := m.Refuse(invented); err != nil {
		t.Error(err)
	}
}

// A transaction that would keep all members busy for minutes is not proposed, however short it is.
func TestATransactionThatLooksAtTooMuchIsRefused(t *testing.T) {
	m, err := versioned(t, crashfs.NewMem(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1024 {
		m.DoOp(set(keyOf(i), ""))
	}
	keys := int(m.Figures().Keys)
	for looks, want := range map[int]error{kv.MaxLooks - keys: nil, kv.MaxLooks + keys: kv.ErrTooManyLooks} {
		txn := &kv.Txn{If: make([]kv.Compare, looks/keys)}
		if err := m.Refuse(state.Command{More: &state.More{Kind: state.KindTxn, Txn: txn}}); !errors.Is(err, want) || want != nil && !errors.Is(err, rsm.ErrTooLarge) {
			t.Errorf("%d compares of %d keys: %v, want %v", len(txn.If), keys, err, want)
		}
	}
}

// TestARestoredClusterHasItsVersion: its members know it.
func TestARestoredClusterHasItsVersion(t *testing.T) {
	fs := crashfs.NewMem()
	m, err := versioned(t, fs, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.DoOp(set("a", "1"))
	m.DoOp(raise(2))
	if err := checkpoint(m, 2); err != nil {
		t.Fatal(err)
	}
	im := imageOf(t, m)
	if err := im.Check(context.Background(), filesOf(fs)); err != nil {
		t.Error(err)
	}
	to := crashfs.NewMem()
	_, err = im.Restore(context.Background(), filesOf(fs), state.Restoration{FS: to, Dir: "state", Revision: 2})
	if err != nil {
		t.Fatal(err)
	}
	if m := born(t, to); m.ClusterVersion() != 2 {
		t.Errorf("version %d", m.ClusterVersion())
	}
}

// TestAStateOfANewerProgramIsNotTaken: the next start would refuse it, and what this member had would be gone.
func TestAStateOfANewerProgramIsNotTaken(t *testing.T) {
	leader, err := versioned(t, crashfs.NewMem(), 0)
	if err != nil {
		t.Fatal(err)
	}
	leader.DoOp(set("a", "1"))
	leader.DoOp(raise(2))
	if err := checkpoint(leader, 5); err != nil {
		t.Fatal(err)
	}
	fs := crashfs.NewMem()
	older, err := versioned(t, fs, 1)
	if err != nil {
		t.Fatal(err)
	}
	older.UseFetcher(from{leader})
	older.DoOp(set("own", "1"))
	if err := checkpoint(older, 1); err != nil {
		t.Fatal(err)
	}
	hash := older.Hash()
	stream, err := leader.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Data.Close()
	if err := older.ReceiveState(t.Context(), stream.Position, 0, 0, stream.Data); !errors.Is(err, state.ErrNewer) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("received: %v", err)
	}
	if again, err := versioned(t, fs, 1); err != nil || again.Hash() != hash {
		t.Errorf("its own state: %v", err)
	}
}

// TestABackupOfANewerProgramIsNotRestored: no start would take what is made of it.
func TestABackupOfANewerProgramIsNotRestored(t *testing.T) {
	fs := crashfs.NewMem()
	m, err := versioned(t, fs, state.Version+1)
	if err != nil {
		t.Fatal(err)
	}
	m.DoOp(set("a", "1"))
	m.DoOp(raise(state.Version + 1))
	if err := checkpoint(m, 2); err != nil {
		t.Fatal(err)
	}
	to := crashfs.NewMem()
	_, err = imageOf(t, m).Restore(t.Context(), filesOf(fs), state.Restoration{FS: to, Dir: "state", Revision: 2})
	if names, _ := to.List("state"); !errors.Is(err, state.ErrNewer) || len(names) > 0 {
		t.Errorf("restored to %v: %v", names, err)
	}
}
