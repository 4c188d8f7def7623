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

// Time runs while there are leases, and until what was written has a time.
func TestTimeViewTellsWhetherTimeHasToRun(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	for _, step := range []struct {
		name    string
		c       state.Command
		want    logtime.View
		written bool
	}{
		{"a tick", tick(second), logtime.View{Now: second}, false},
		{"a put", set("k", "v"), logtime.View{Now: second}, true},
		{"a tick after the put", tick(2 * second), logtime.View{Now: 2 * second}, false},
		{"a lease", grant(1, 2*second, false), logtime.View{Now: 2 * second, Running: true}, false},
		{"another one", grant(2, 3*second, false), logtime.View{Now: 3 * second, Due: true, Running: true}, false},
		{"a tick that ends the first", tick(3 * second), logtime.View{Now: 3 * second, Running: true}, false},
		{"a tick that ends the second", tick(4 * second), logtime.View{Now: 4 * second}, false},
	} {
		m.DoOp(step.c)
		if got, written := m.TimeView(); got != step.want || written != step.written {
			t.Errorf("after %s: %+v, written %t, want %+v, %t", step.name, got, written, step.want, step.written)
		}
	}
	if _, written := func() (logtime.View, bool) { m, _ := openMachine(t, crashfs.NewMem()); return m.TimeView() }(); written {
		t.Error("a new store wants a time")
	}
}

// A lease that is due and kept alive by the same Tick lives on.
func TestTicksProlongBeforeTheyExpire(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	m.DoOp(grant(1, second, false))
	r := m.DoOp(state.Command{More: &state.More{Kind: state.KindTick, Stamp: logtime.Stamp{Log: 2 * second}, Leases: []int64{1, 2}}})
	if len(r.TTL) != 2 || r.TTL[0] != int64(second) || r.TTL[1] != 0 {
		t.Errorf("lives on for %v", r.TTL)
	}
	if _, _, ok := m.Lease(1, false); !ok {
		t.Error("the lease is gone")
	}
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
	for _, key := range []string{"a", "k"} {
		m.DoOp(state.Command{Op: kv.Op{Kind: kv.Delete, Key: key, Unconditional: true}})
	}
	if f := m.Figures(); f.AtQuota() || m.DoOp(set("b", "")).Code != kv.CodeOK {
		t.Errorf("after a delete puts are said to be refused at %+v", f)
	}
}

// The quota is at its end only where a put is refused.
func TestAtQuotaIsExact(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	m.DoOp(state.Command{More: &state.More{Kind: state.KindQuota, Quota: 10_000}})
	m.DoOp(set("large", string(make([]byte, 9_900))))
	if f := m.Figures(); f.AtQuota() {
		t.Errorf("nothing was refused, and a small put fits: %+v", f)
	}
	if r := m.DoOp(set("second", string(make([]byte, 200)))); r.Code != kv.CodeQuota || !m.Figures().AtQuota() {
		t.Errorf("a put gets %v: %+v", r.Code, m.Figures())
	}
	m.DoOp(state.Command{More: &state.More{Kind: state.KindQuota, Quota: 20_000}})
	if f := m.Figures(); f.AtQuota() {
		t.Errorf("with a larger quota: %+v", f)
	}
	m.DoOp(state.Command{More: &state.More{Kind: state.KindQuota, Quota: 1_000}})
	if f := m.Figures(); !f.AtQuota() {
		t.Errorf("with a quota below what is there: %+v", f)
	}
}

// tryGet is TryGets for one key.
func tryGet(m *state.Machine, key string) (r kv.Result, ok bool) {
	m.TryGets([]string{key}, func(_ int, got kv.Result, inMemory bool) { r, ok = got, inMemory })
	return r, ok
}

// What is in memory is read without the disk.
func TestTryGetNeedsNoDisk(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	m.DoOp(set("k", "v"))
	if r, ok := tryGet(m, "k"); !ok || string(r.Value) != "v" || r.Version != 1 {
		t.Errorf("%v, in memory %t", r, ok)
	}
	if r, ok := tryGet(m, "absent"); !ok || r.Code != kv.CodeNoKey {
		t.Errorf("an absent key: %v, in memory %t", r, ok)
	}
	large := string(make([]byte, 4<<10))
	for range 4 { // fills the run, of which no memory is kept when it is on disk
		m.DoOp(set("large", large))
	}
	if _, err := m.Checkpoint(raft.SnapshotMeta{Index: 5, Term: 1})(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r, ok := tryGet(m, "k"); ok {
		t.Errorf("%v, although it is on disk", r)
	}
	if r := m.Get("k"); string(r.Value) != "v" {
		t.Errorf("from disk: %v", r)
	}
}

// The counters for people are of what was executed, whatever became of the keys and leases since.
func TestFiguresCountWhatWasExecuted(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	m.DoOp(set("a", "12345"))
	m.DoOp(set("a", "1"))
	m.DoOp(state.Command{Op: kv.Op{Kind: kv.Delete, Key: "a", Unconditional: true}})
	m.DoOp(state.Command{Op: kv.Op{Kind: kv.Delete, Key: "a", Unconditional: true}}) // there is none any more
	m.DoOp(state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{
		{Put: &kv.PutOp{Key: "b"}}, {Put: &kv.PutOp{Key: "c"}}, {Delete: &kv.DeleteOp{Span: kv.Span{From: "x"}}},
		{Range: &kv.RangeOp{Span: kv.Span{From: "b"}}},
		{Txn: &kv.Txn{Then: []kv.TxnOp{{Range: &kv.RangeOp{Span: kv.Span{From: "b"}}}}}},
	}}}})
	m.DoOp(state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: "b"}}}}}})
	m.DoOp(grant(1, second, false))
	m.DoOp(grant(2, second, false))
	m.DoOp(grant(2, second, false)) // refused
	for i, ttl := range []int64{1_000_000_001, 3_000_000_000, 4_000_000_000, 9_000_000_000_000_000_000} {
		longer := grant(int64(4+i), second, false)
		longer.More.TTL = ttl
		m.DoOp(longer)
	}
	m.DoOp(state.Command{More: &state.More{Kind: state.KindRevoke, Lease: 1}})
	keepAlive := tick(second)
	keepAlive.More.Leases = []int64{2, 3}
	m.DoOp(keepAlive)
	m.DoOp(tick(9 * second))
	got := m.Figures()
	if got.Puts != 5 || got.PutBytes != 6+2+2+1 || got.Deletes != 3 || got.Ranges != 2 || got.Txns != 1 {
		t.Errorf("%d puts of %d bytes, %d deletes, %d ranges, %d transactions", got.Puts, got.PutBytes, got.Deletes, got.Ranges, got.Txns)
	}
	ttls := state.TTLCounts{Seconds: 2 + 1.000000001 + 3 + 4 + 9_000_000_000}
	ttls.UpTo[0], ttls.UpTo[1], ttls.UpTo[2], ttls.UpTo[24] = 2, 1, 2, 1
	if want := (state.LeaseCounts{Granted: 6, Renewed: 1, Revoked: 1, Expired: 4, TTLs: ttls}); got.LeasesEver != want {
		t.Errorf("leases %+v, want %+v", got.LeasesEver, want)
	}
}
