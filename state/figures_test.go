package state_test

import (
	"context"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

func grant(id int64, at logtime.Time, session bool) state.Command {
	return state.Command{More: &state.More{Kind: state.KindGrant, Lease: id, TTL: int64(second), IsSession: session, Stamp: logtime.Stamp{Log: at}}}
}

func TestFigures(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	m.DoOp(grant(1, 1, true))
	m.DoOp(grant(2, 1, false))
	m.DoOp(state.Command{More: &state.More{Kind: state.KindQuota, Quota: 1000}})
	for range 40 {
		m.DoOp(set("k", "value"))
	}
	if _, err := m.Checkpoint(raft.SnapshotMeta{Index: 43, Term: 1})(context.Background()); err != nil {
		t.Fatal(err)
	}
	f := m.Figures()
	if f.Leases != 2 || f.Sessions != 1 || f.Quota != 1000 || f.Keys != 1 || f.Revision != 41 || f.Runs != 1 || f.RunBytes < 1000 || f.AtQuota() {
		t.Errorf("figures %+v", f)
	}
	for i := range 1000 {
		if m.DoOp(set(string(rune('a'+i)), "")).Code == kv.CodeQuota {
			break
		}
	}
	if f := m.Figures(); !f.AtQuota() {
		t.Errorf("puts are refused at %+v", f)
	}
}

// What is in memory is read without the disk.
func TestTryGetNeedsNoDisk(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	m.DoOp(set("k", "v"))
	if r, ok := m.TryGet("k"); !ok || string(r.Value) != "v" || r.Version != 1 {
		t.Errorf("%v, in memory %t", r, ok)
	}
	if r, ok := m.TryGet("absent"); !ok || r.Code != kv.CodeNoKey {
		t.Errorf("an absent key: %v, in memory %t", r, ok)
	}
	large := string(make([]byte, 4<<10))
	for range 4 { // fills the run, of which no memory is kept when it is on disk
		m.DoOp(set("large", large))
	}
	if _, err := m.Checkpoint(raft.SnapshotMeta{Index: 5, Term: 1})(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r, ok := m.TryGet("k"); ok {
		t.Errorf("%v, although it is on disk", r)
	}
	if r := m.Get("k"); string(r.Value) != "v" {
		t.Errorf("from disk: %v", r)
	}
}
