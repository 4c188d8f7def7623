package naive

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// script runs commands and compares their answers.
type script struct {
	*testing.T
	m *Machine
}

func newScript(t *testing.T, limits Limits) script { return script{t, New(limits)} }

func (s script) do(more state.More) state.Result {
	return s.m.DoOp(state.Command{More: &more})
}

func (s script) put(key, value string) state.Result {
	return s.m.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: key, Value: []byte(value), Unconditional: true}})
}

func (s script) txn(t kv.Txn) state.Result { return s.do(state.More{Kind: state.KindTxn, Txn: &t}) }

func (s script) want(r state.Result, code kv.Code, revision uint64) {
	s.Helper()
	if r.Code != code || r.Revision != revision {
		s.Errorf("%v at %d, want %v at %d", r.Code, r.Revision, code, revision)
	}
}

// keys are those of the whole store at a revision, with their values.
func (s script) keys(revision uint64) string {
	r, code := s.m.Range(kv.RangeOp{Revision: revision})
	if code != kv.CodeOK {
		return code.String()
	}
	var all []string
	for _, e := range r.Entries {
		all = append(all, fmt.Sprintf("%s=%s", e.Key, e.Value))
	}
	return strings.Join(all, " ")
}

func (s script) hasKeys(revision uint64, want string) {
	s.Helper()
	if got := s.keys(revision); got != want {
		s.Errorf("at %d there is %q, want %q", revision, got, want)
	}
}

func put(key, value string) kv.TxnOp {
	return kv.TxnOp{Put: &kv.PutOp{Key: key, Value: []byte(value)}}
}
func remove(span kv.Span) kv.TxnOp { return kv.TxnOp{Delete: &kv.DeleteOp{Span: span, Prev: true}} }
func read(op kv.RangeOp) kv.TxnOp  { return kv.TxnOp{Range: &op} }

func TestTransactionIsOneRevision(t *testing.T) {
	s := newScript(t, Limits{})
	s.want(s.put("a", "1"), kv.CodeOK, 2)
	r := s.txn(kv.Txn{
		If: []kv.Compare{{Span: kv.Single("a"), Target: kv.TargetValue, Value: []byte("1")}},
		Then: []kv.TxnOp{
			read(kv.RangeOp{}),
			put("b", "2"),
			{Txn: &kv.Txn{
				// b is there by now, but compares see the store before the transaction.
				If:   []kv.Compare{{Span: kv.Single("b"), Target: kv.TargetVersion}},
				Then: []kv.TxnOp{put("c", "3"), read(kv.RangeOp{}), read(kv.RangeOp{Revision: 2})},
				Else: []kv.TxnOp{put("d", "4")},
			}},
			remove(kv.Single("a")),
			remove(kv.FromKey("x")),
		},
	})
	s.want(r, kv.CodeOK, 3)
	s.hasKeys(2, "a=1")
	s.hasKeys(3, "b=2 c=3")
	x := r.Txn.Responses
	inner := x[2].Txn.Responses
	if n := len(x[0].Range.Entries); n != 1 || x[0].Range.Revision != 2 {
		t.Errorf("before its writes it sees %d keys at %d", n, x[0].Range.Revision)
	}
	if n := len(inner[1].Range.Entries); n != 3 || inner[1].Range.Revision != 3 {
		t.Errorf("after its writes it sees %d keys at %d", n, inner[1].Range.Revision)
	}
	if n := len(inner[2].Range.Entries); n != 1 {
		t.Errorf("at the revision before it sees %d keys", n)
	}
	if x[3].Delete.Deleted != 1 || string(x[3].Delete.Prev[0].Value) != "1" || x[4].Delete.Deleted != 0 {
		t.Errorf("deleted %s and %s", Text(x[3]), Text(x[4]))
	}
	if got := Text(s.m.Events(3)); !strings.Contains(got, `Key:"b"`) || strings.Index(got, `Key:"c"`) > strings.Index(got, `Key:"a"`) {
		t.Errorf("events are %s, not in the order of the operations", got)
	}
	s.want(s.txn(kv.Txn{Then: []kv.TxnOp{remove(kv.Single("zz")), read(kv.RangeOp{})}}), kv.CodeOK, 3)
}

func TestRefusedTransactionChangesNothing(t *testing.T) {
	s := newScript(t, Limits{LeaseKeys: 2})
	s.put("a", "1")
	s.put("a", "2")
	s.want(s.do(state.More{Kind: state.KindCompact, Revision: 3}), kv.CodeOK, 3)
	s.want(s.do(state.More{Kind: state.KindGrant, Lease: 7, TTL: 10}), kv.CodeOK, 3)
	leased := func(key string, lease int64) kv.TxnOp { return kv.TxnOp{Put: &kv.PutOp{Key: key, Lease: lease}} }
	for code, op := range map[kv.Code]kv.TxnOp{
		kv.CodeCompacted:      read(kv.RangeOp{Revision: 2}),
		kv.CodeFutureRevision: read(kv.RangeOp{Revision: 4}),
		kv.CodeNoLease:        leased("c", 8),
		kv.CodeNoKey:          {Put: &kv.PutOp{Key: "c", IgnoreValue: true}},
		kv.CodeDuplicateKey:   put("b", "4"),
		kv.CodeEmptyKey:       put("", ""),
		kv.CodeInvalid:        {},
		kv.CodeLeaseFull:      {Txn: &kv.Txn{Then: []kv.TxnOp{leased("x", 7), leased("y", 7), leased("z", 7)}}},
	} {
		s.want(s.txn(kv.Txn{Then: []kv.TxnOp{put("b", "3"), op}}), code, 3)
	}
	// What is not executed does not refuse, unless it makes no sense.
	s.want(s.txn(kv.Txn{Else: []kv.TxnOp{read(kv.RangeOp{Revision: 2})}}), kv.CodeOK, 3)
	s.hasKeys(3, "a=2")
}

func TestVersionsAndRevisions(t *testing.T) {
	s := newScript(t, Limits{})
	s.put("a", "1")
	s.put("a", "2")
	s.m.DoOp(state.Command{Op: kv.Op{Kind: kv.Delete, Key: "a", Unconditional: true}})
	s.put("a", "3")
	if r := s.m.Get("a"); r.Version != 1 || r.CreateRevision != 5 || r.ModRevision != 5 || string(r.Value) != "3" {
		t.Errorf("%+v", r)
	}
	s.hasKeys(3, "a=2")
	s.hasKeys(4, "")
	s.hasKeys(6, kv.CodeFutureRevision.String())
	for _, c := range []struct {
		at   uint64
		code kv.Code
	}{{0, kv.CodeCompacted}, {6, kv.CodeFutureRevision}, {4, kv.CodeOK}, {4, kv.CodeCompacted}, {3, kv.CodeCompacted}, {5, kv.CodeOK}} {
		s.want(s.do(state.More{Kind: state.KindCompact, Revision: c.at}), c.code, 5)
	}
	s.hasKeys(4, kv.CodeCompacted.String())
	s.hasKeys(5, "a=3")
}

func TestRangesCountWhatTheyLeaveOut(t *testing.T) {
	s := newScript(t, Limits{})
	for _, key := range []string{"c", "a", "b", "a"} {
		s.put(key, "v"+key)
	}
	for text, op := range map[string]kv.RangeOp{
		"3 false: a b c": {},
		"3 true: a b":    {Limit: 2},
		"3 false: a":     {MinMod: 4, MinCreate: 2, MaxCreate: 3},
		"3 true: c":      {Limit: 1, Descend: true},
		"3 false: c b a": {Sort: kv.SortByMod},
		"3 false: a c b": {Sort: kv.SortByVersion, Descend: true, Limit: 3, MinMod: 2, MaxMod: 9, MinCreate: 1},
		"3 false:":       {CountOnly: true, Limit: 1},
		"3 true: a":      {MaxBytes: 3},
		"3 true: c b":    {MaxBytes: 4, Sort: kv.SortByMod},
		"1 false: b":     {Span: kv.Span{From: "b", To: "c"}},
	} {
		if op.Sort == kv.SortByVersion { // b and c have version 1
			text = "3 false: a b c"
		}
		r, _ := s.m.Range(op)
		got := fmt.Sprintf("%d %t:", r.Count, r.More)
		for _, e := range r.Entries {
			got += " " + e.Key
		}
		if got != text {
			t.Errorf("%+v: %s, want %s", op, got, text)
		}
	}
}

func TestCompares(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(state.More{Kind: state.KindGrant, Lease: 7, TTL: 10})
	s.txn(kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: "a", Value: []byte("5"), Lease: 7}}}})
	s.put("b", "6")
	for _, c := range []struct {
		kv.Compare
		want bool
	}{
		{kv.Compare{Span: kv.Single("a"), Target: kv.TargetLease, Number: 7}, true},
		{kv.Compare{Span: kv.Single("a"), Target: kv.TargetCreate, Relation: kv.Less, Number: 3}, true},
		{kv.Compare{Span: kv.Prefix(""), Target: kv.TargetMod, Relation: kv.Greater, Number: 2}, false},
		{kv.Compare{Span: kv.Prefix(""), Target: kv.TargetValue, Relation: kv.NotEqual, Value: []byte("7")}, true},
		{kv.Compare{Span: kv.Single("c"), Target: kv.TargetMod}, true},
		{kv.Compare{Span: kv.Single("c"), Target: kv.TargetVersion, Relation: kv.Greater}, false},
		{kv.Compare{Span: kv.Single("c"), Target: kv.TargetValue}, false},
		{kv.Compare{Span: kv.Single("c"), Target: kv.TargetValue, Relation: kv.NotEqual, Value: []byte("7")}, false},
		{kv.Compare{Span: kv.Prefix("c"), Target: kv.TargetVersion, Relation: kv.Greater}, false},
		{kv.Compare{Span: kv.Prefix("c"), Target: kv.TargetMod}, true},
		{kv.Compare{Span: kv.Prefix("c"), Target: kv.TargetValue, Relation: kv.NotEqual, Value: []byte("7")}, false},
	} {
		if r := s.txn(kv.Txn{If: []kv.Compare{c.Compare}}); r.Txn.Succeeded != c.want {
			t.Errorf("%s is %t", Text(c.Compare), !c.want)
		}
	}
}

// at stamps a command with a log time.
func at(log int64, m state.More) state.More {
	m.Stamp = logtime.Stamp{Log: logtime.Time(log), Wall: log}
	return m
}

func TestLeasesEndInLogTime(t *testing.T) {
	s := newScript(t, Limits{TickBudget: 3})
	leased := func(key string, lease int64) state.Result {
		return s.txn(kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: key, Value: []byte("1"), Lease: lease}}}})
	}
	for id := range int64(3) {
		s.want(s.do(at(5, state.More{Kind: state.KindGrant, Lease: id + 1, TTL: 10})), kv.CodeOK, 1)
	}
	s.want(s.do(at(6, state.More{Kind: state.KindGrant, Lease: 1, TTL: 10})), kv.CodeLeaseExists, 1)
	s.want(s.do(state.More{Kind: state.KindGrant, Lease: 9}), kv.CodeLeaseTTL, 1)
	for i, key := range []string{"d", "c", "b", "a"} {
		s.want(leased(key, 1+int64(i%2)), kv.CodeOK, uint64(i+2)) // 1: d b, 2: c a
	}
	s.want(s.put("b", "2"), kv.CodeOK, 6) // without a lease from then on
	s.want(s.do(at(14, state.More{Kind: state.KindTick})), kv.CodeOK, 6)
	if r := s.do(at(14, state.More{Kind: state.KindTick, Leases: []int64{3, 8}})); Text(r.TTL) != "[10 0 ]" {
		t.Errorf("kept alive for %v", r.TTL)
	}
	// The clock of the machine is at 20 by another command, but this Tick is of 14.
	s.do(at(20, state.More{Kind: state.KindRevoke, Lease: 8}))
	s.want(s.do(at(14, state.More{Kind: state.KindTick})), kv.CodeOK, 6)
	s.want(s.do(at(20, state.More{Kind: state.KindTick})), kv.CodeOK, 8)
	s.hasKeys(8, "b=2")
	if got := Text(s.m.Events(8)); strings.Index(got, `Key:"a"`) > strings.Index(got, `Key:"c"`) {
		t.Errorf("lease 2 ended with %s", got)
	}
	if _, expiry, _, ok := s.m.Lease(3); !ok || expiry != 24 {
		t.Errorf("lease 3 is there: %t, until %d", ok, expiry)
	}
	s.want(leased("a", 1), kv.CodeNoLease, 8)
	s.want(leased("a", 3), kv.CodeOK, 9)
	s.want(s.do(state.More{Kind: state.KindRevoke, Lease: 3}), kv.CodeOK, 10)
	s.want(s.do(state.More{Kind: state.KindRevoke, Lease: 3}), kv.CodeNoLease, 10)
}

// TestATickHasABudget: of three leases with two keys each, two end with a budget of four.
func TestATickHasABudget(t *testing.T) {
	s := newScript(t, Limits{TickBudget: 4})
	for id := range int64(3) {
		s.do(at(1, state.More{Kind: state.KindGrant, Lease: id + 1, TTL: 1}))
		for n := range 2 {
			s.txn(kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: fmt.Sprint(id, n), Lease: id + 1}}}})
		}
	}
	s.want(s.do(at(2, state.More{Kind: state.KindTick})), kv.CodeOK, 9)
	s.want(s.do(at(2, state.More{Kind: state.KindTick})), kv.CodeOK, 10)
	s.want(s.do(at(2, state.More{Kind: state.KindTick})), kv.CodeOK, 10)
}

// TestALeaseWithoutAStampFloats: it ends its time to live after the second Tick that follows.
func TestALeaseWithoutAStampFloats(t *testing.T) {
	s := newScript(t, Limits{})
	s.want(s.do(state.More{Kind: state.KindGrant, Lease: 1, TTL: 10}), kv.CodeOK, 1)
	s.txn(kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: "a", Lease: 1}}}})
	s.do(at(30, state.More{Kind: state.KindRevoke, Lease: 8}))
	s.do(at(50, state.More{Kind: state.KindTick}))
	s.do(at(60, state.More{Kind: state.KindTick}))
	s.want(s.do(at(69, state.More{Kind: state.KindTick})), kv.CodeOK, 2)
	s.do(state.More{Kind: state.KindTick, Leases: []int64{1}}) // kept alive
	s.want(s.do(at(70, state.More{Kind: state.KindTick})), kv.CodeOK, 2)
	s.want(s.do(at(71, state.More{Kind: state.KindTick})), kv.CodeOK, 2)
	s.want(s.do(at(80, state.More{Kind: state.KindTick})), kv.CodeOK, 2)
	s.want(s.do(at(81, state.More{Kind: state.KindTick})), kv.CodeOK, 3)
}

func TestSessionsExecuteOnce(t *testing.T) {
	s := newScript(t, Limits{Window: 4})
	s.do(state.More{Kind: state.KindGrant, Lease: 7, TTL: 10, IsSession: true})
	s.do(state.More{Kind: state.KindGrant, Lease: 8, TTL: 10})
	send := func(id int64, seq, acked uint64) state.Result {
		return s.m.DoOp(state.Command{
			Op:   kv.Op{Kind: kv.Put, Key: fmt.Sprint("k", seq), Unconditional: true},
			More: &state.More{Kind: state.KindOp, Session: state.SessionSeq{ID: id, Seq: seq, Acked: acked}},
		})
	}
	s.want(send(7, 2, 0), kv.CodeOK, 2)
	s.want(send(7, 1, 0), kv.CodeOK, 3)
	if r := send(7, 2, 0); !r.Replayed || r.DoneAt != 2 || r.Version != 1 || r.Revision != 2 {
		t.Errorf("sent again: %+v", r)
	}
	s.want(send(7, 3, 2), kv.CodeOK, 4)
	s.want(send(7, 2, 0), kv.CodeForgotten, 4) // confirmed
	s.want(send(7, 9, 2), kv.CodeOK, 5)
	s.want(send(7, 5, 2), kv.CodeForgotten, 5) // beyond the window
	s.want(send(7, 6, 2), kv.CodeOK, 6)
	s.want(send(8, 1, 0), kv.CodeForgotten, 6) // no session
	s.want(send(9, 1, 0), kv.CodeForgotten, 6) // no lease
	s.want(s.do(state.More{Kind: state.KindRevoke, Lease: 7}), kv.CodeOK, 6)
	s.want(send(7, 9, 2), kv.CodeForgotten, 6) // ended
}

func TestUnknownCommandsAreRefused(t *testing.T) {
	s := newScript(t, Limits{})
	s.want(s.do(state.More{}), kv.CodeUnknownKind, 1)
	s.want(s.do(state.More{Kind: state.KindTxn}), kv.CodeInvalid, 1)
	s.want(s.m.DoOp(state.Command{}), kv.CodeUnknownKind, 1)
	s.want(s.m.DoOp(state.Command{Op: kv.Op{Kind: kv.Put}}), kv.CodeEmptyKey, 1)
}

// newStore returns the real store, over an empty history. Its operations have no leases.
func newStore(t *testing.T) *kv.Store {
	history, err := run.Open(run.Options{FS: crashfs.NewMem()}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return kv.NewStore(history, nil)
}

// TestSingleOpsAreThoseOfTheStore compares with kv.Store, keys that share marks among them.
func TestSingleOpsAreThoseOfTheStore(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m, store := New(Limits{}), newStore(t)
	keys := []string{"a", "b", "c"}
	for i := 0; len(keys) < 5; i++ {
		if key := fmt.Sprint("twin", i); mark(key) == mark("a") {
			keys = append(keys, key)
		}
	}
	codes := map[kv.Code]int{}
	for range 20_000 {
		op := kv.Op{
			Kind: kv.OpKind(random.IntN(4)), Key: keys[random.IntN(len(keys))], Version: random.Uint64N(3),
			Value: []byte{byte(random.IntN(256))}, Unconditional: random.IntN(4) == 0, Attempt: kv.Attempt(random.IntN(3)),
		}
		if random.IntN(2) == 0 {
			op.UnchangedSince = store.Revision() - min(store.Revision(), random.Uint64N(4))
		}
		got, want := m.DoOp(state.Command{Op: op}).Result, store.DoOp(op, 0)
		if d := differ(got, want); d != "" {
			t.Fatalf("%+v:\n%s", op, d)
		}
		codes[got.Code]++
	}
	if len(codes) != 5 {
		t.Errorf("only the outcomes %v", codes)
	}
}

func TestDifferences(t *testing.T) {
	txn := func(n int) state.Result {
		return state.Result{Txn: &kv.TxnResult{Responses: make([]kv.OpResult, n)}}
	}
	whole := state.Result{Result: kv.Result{Code: kv.CodeVersion, Revision: 5, Version: 3}, Replayed: true, DoneAt: 5, Kept: state.KeptResult}
	kept := state.Result{Result: kv.Result{Code: kv.CodeVersion}, Replayed: true, DoneAt: 5, Kept: state.KeptCode}
	revision := state.Result{Replayed: true, DoneAt: 5}
	other, elsewhere := kept, kept
	other.Code, elsewhere.DoneAt = kv.CodeNoKey, 6
	done := func(kept state.Kept, succeeded bool, n int) state.Result {
		return state.Result{Txn: &kv.TxnResult{Succeeded: succeeded, Responses: make([]kv.OpResult, n)}, Replayed: true, DoneAt: 5, Kept: kept}
	}
	for _, test := range []struct {
		got, want state.Result
		same      bool
	}{
		{state.Result{Result: kv.Result{Value: []byte{}}}, state.Result{}, true},
		{txn(0), txn(0), true},
		{txn(0), txn(1), false},
		{txn(0), state.Result{}, false},
		{kept, whole, true},
		{whole, kept, false},
		{revision, whole, false},
		{other, whole, false},
		{elsewhere, whole, false},
		{done(state.KeptCode, true, 0), done(state.KeptResult, true, 3), true},
		{done(state.KeptCode, false, 0), done(state.KeptResult, true, 3), false},
		{state.Result{}, whole, false},
		{state.Result{Result: kv.Result{Value: []byte("a")}}, state.Result{Result: kv.Result{Value: []byte("b")}}, false},
		{state.Result{TTL: []int64{1}}, state.Result{TTL: []int64{2}}, false},
	} {
		if d := Differ(test.got, test.want); (d == "") != test.same {
			t.Errorf("%s and %s: %q", Text(test.got), Text(test.want), d)
		}
	}
}

// BenchmarkCommands shows what 100,000 commands of a simulation cost.
func BenchmarkCommands(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	m := New(Limits{})
	for range b.N {
		key := fmt.Sprint("key", random.IntN(50))
		switch random.IntN(4) {
		case 0:
			m.DoOp(state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{
				If:   []kv.Compare{{Span: kv.Single(key), Target: kv.TargetVersion, Number: 1}},
				Then: []kv.TxnOp{put(key, "1"), read(kv.RangeOp{Revision: 1 + random.Uint64N(m.Revision())})},
				Else: []kv.TxnOp{remove(kv.Prefix(key))},
			}}})
		default:
			m.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: key, Unconditional: true}})
		}
	}
}
