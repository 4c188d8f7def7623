package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// service is a service that is right: a naive machine that executes each call at an instant
// between its beginning and its end.
type service struct {
	r     *rand.Rand
	m     *naive.Machine
	calls []Call
	now   int64
	value int
	lease int64 // the last one that was granted
}

func newService(seed uint64) *service {
	return &service{r: rand.New(rand.NewPCG(seed, 5)), m: naive.New(naive.Limits{}), now: 1000}
}

func (s *service) key() string { return fmt.Sprint("key", s.r.IntN(6)) }

// aLease is one of the last few.
func (s *service) aLease() int64 { return max(1, s.lease-s.r.Int64N(3)) }

func (s *service) put() kv.TxnOp {
	s.value++
	return kv.TxnOp{Put: &kv.PutOp{Key: s.key(), Value: fmt.Append(nil, s.value), Lease: s.aLease() * s.r.Int64N(2), Prev: true}}
}

func (s *service) more(m state.More) state.Command { return state.Command{More: &m} }

func (s *service) command() state.Command {
	switch s.r.IntN(12) {
	case 0:
		s.lease++
		return s.more(state.More{Kind: state.KindGrant, Lease: s.lease, TTL: 100})
	case 1:
		return s.more(state.More{Kind: state.KindRevoke, Lease: s.aLease()})
	case 2:
		if s.r.IntN(4) > 0 {
			break
		}
		return s.more(state.More{Kind: state.KindCompact, Revision: 1 + s.r.Uint64N(s.m.Revision()+1)})
	case 3, 4, 5:
		t := &kv.Txn{
			If:   []kv.Compare{{Span: kv.Single(s.key()), Target: kv.TargetVersion, Number: s.r.Uint64N(2)}},
			Then: []kv.TxnOp{s.put(), {Range: &kv.RangeOp{}}},
			Else: []kv.TxnOp{{Delete: &kv.DeleteOp{Span: kv.FromKey(s.key()), Prev: true}}},
		}
		return s.more(state.More{Kind: state.KindTxn, Txn: t})
	case 6:
		return state.Command{Op: kv.Op{Kind: kv.Delete, Key: s.key(), Unconditional: true}}
	case 7:
		return state.Command{Op: kv.Op{Kind: kv.Get, Key: s.key()}}
	}
	s.value++
	return state.Command{Op: kv.Op{Kind: kv.Put, Key: s.key(), Value: fmt.Append(nil, s.value), Version: s.r.Uint64N(3), Unconditional: s.r.IntN(2) == 0}}
}

// call makes one call, whose answer may be lost, and which may then not be executed at all.
func (s *service) call() {
	s.now += 10
	c := Call{Called: s.now - s.r.Int64N(40), Returned: s.now + s.r.Int64N(40), Known: s.r.IntN(12) > 0}
	switch s.r.IntN(6) {
	case 0, 1:
		c.Range = &kv.RangeOp{Span: kv.FromKey(s.key()), Limit: s.r.Int64N(3)}
		if s.r.IntN(3) == 0 {
			c.Range.Revision = s.r.Uint64N(s.m.Revision() + 2)
		}
		c.Found, c.Result.Code = s.m.Range(*c.Range)
		c.Result.Revision = c.Found.Revision
	case 2:
		// A lease expires, in a Tick that is nobody's call.
		s.m.DoOp(s.more(state.More{Kind: state.KindRevoke, Lease: s.aLease()}))
		return
	default:
		c.Command = s.command()
		if c.Known || s.r.IntN(2) == 0 {
			c.Result = s.m.DoOp(c.Command)
		}
		if c.kind() == state.KindTxn && c.Known && c.Result.Code == kv.CodeOK && s.r.IntN(5) == 0 {
			c.Result = state.Result{
				Result: kv.Result{Code: c.Result.Code}, Txn: &kv.TxnResult{Succeeded: c.Result.Txn.Succeeded},
				Replayed: true, DoneAt: c.Result.Revision, Kept: state.KeptCode,
			}
		}
	}
	if !c.Known {
		c.Result, c.Found, c.Returned = state.Result{}, kv.RangeResult{}, never
	}
	s.calls = append(s.calls, c)
}

func (s *service) committed() (all [][]kv.Event) {
	for r := uint64(2); r <= s.m.Revision(); r++ {
		all = append(all, s.m.Events(r))
	}
	return all
}

func TestTrueHistoriesPass(t *testing.T) {
	for seed := range uint64(300) {
		s := newService(seed)
		for range 150 {
			s.call()
		}
		s.r.Shuffle(len(s.calls), func(i, j int) { s.calls[i], s.calls[j] = s.calls[j], s.calls[i] })
		if err := CheckCalls(s.calls, s.committed()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestBentHistoriesFail bends one thing in each of many true histories. Most of these must fail,
// in all the ways in which they can.
func TestBentHistoriesFail(t *testing.T) {
	for name, test := range map[string]struct {
		bend  func(*rand.Rand, []Call, [][]kv.Event) bool // false: nothing to bend
		least int                                         // of 100 that must be found
	}{
		"a value in the history": {func(r *rand.Rand, _ []Call, all [][]kv.Event) bool {
			i := r.IntN(len(all))
			e := all[i][0]
			e.Value = []byte("bent")
			all[i] = slices.Concat([]kv.Event{e}, all[i][1:])
			return !e.Deleted
		}, 100},
		"an event that is missing": {func(r *rand.Rand, _ []Call, all [][]kv.Event) bool {
			i := r.IntN(len(all))
			if len(all[i]) < 2 {
				return false
			}
			all[i] = all[i][1:]
			return true
		}, 95},
		"an answer at an earlier revision": {func(r *rand.Rand, calls []Call, _ [][]kv.Event) bool {
			c := &calls[r.IntN(len(calls))]
			if !c.made() || c.bare() || c.Result.Revision < 4 {
				return false
			}
			c.Result.Revision -= 1 + r.Uint64N(2)
			return true
		}, 100},
		"a call that ends before it can have happened": {func(r *rand.Rand, calls []Call, _ [][]kv.Event) bool {
			c := &calls[r.IntN(len(calls))]
			c.Called, c.Returned = c.Called-400, c.Returned-400
			return c.Known && c.made()
		}, 90},
		"a read that begins when all has changed": {func(r *rand.Rand, calls []Call, _ [][]kv.Event) bool {
			c := &calls[r.IntN(len(calls))]
			c.Called, c.Returned = c.Called+400, c.Returned+400
			return c.Known && c.Range != nil
		}, 90},
		"a success that was a refusal": {func(r *rand.Rand, calls []Call, _ [][]kv.Event) bool {
			c := &calls[r.IntN(len(calls))]
			if c.Known && c.Range == nil && c.kind() == state.KindOp && c.Result.Code == kv.CodeVersion {
				c.Result.Code = kv.CodeOK
				return true
			}
			return false
		}, 100},
		"a refusal that was a success": {func(r *rand.Rand, calls []Call, _ [][]kv.Event) bool {
			c := &calls[r.IntN(len(calls))]
			if c.Known && c.Range == nil && c.kind() == state.KindOp && c.made() {
				c.Result.Code = kv.CodeVersion
				return true
			}
			return false
		}, 100},
		"an entry that is missing in a range": {func(r *rand.Rand, calls []Call, _ [][]kv.Event) bool {
			c := &calls[r.IntN(len(calls))]
			if c.Range == nil || len(c.Found.Entries) == 0 {
				return false
			}
			c.Found.Entries = c.Found.Entries[1:]
			return true
		}, 100},
		"a write that nobody asked for": {func(r *rand.Rand, calls []Call, all [][]kv.Event) bool {
			c := &calls[r.IntN(len(calls))]
			if !c.made() || c.Command.Op.Kind != kv.Put || c.Command.More != nil {
				return false
			}
			c.Command.Op.Key = "another"
			return true
		}, 100},
		"a compaction that was not asked for": {func(r *rand.Rand, calls []Call, _ [][]kv.Event) bool {
			c := &calls[r.IntN(len(calls))]
			if !c.Known || c.Range == nil || c.Range.Revision == 0 || c.Result.Code != kv.CodeOK {
				return false
			}
			c.Result.Code, c.Called, c.Returned = kv.CodeCompacted, 0, 0
			return true
		}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			found := 0
			for n, seed := 0, uint64(0); n < 100; seed++ {
				s := newService(seed)
				for range 100 {
					s.call()
				}
				all := s.committed()
				if len(all) == 0 || !test.bend(s.r, s.calls, all) {
					continue
				}
				n++
				if CheckCalls(s.calls, all) != nil {
					found++
				}
			}
			if found < test.least {
				t.Errorf("%d of 100 found, want %d", found, test.least)
			}
		})
	}
}

// TestLostCommandsAreFound: a command of unknown outcome explains a revision only once, only if it
// was called in time, and only as a whole.
func TestLostCommandsAreFound(t *testing.T) {
	put := func(key string) state.Command {
		return state.Command{Op: kv.Op{Kind: kv.Put, Key: key, Unconditional: true}}
	}
	m := naive.New(naive.Limits{})
	read := func(at int64) Call {
		c := Call{Range: &kv.RangeOp{}, Known: true, Called: at, Returned: at + 1}
		c.Found, _ = m.Range(*c.Range)
		c.Result.Revision = m.Revision()
		return c
	}
	lost := func(c state.Command, at int64) Call { return Call{Command: c, Called: at, Returned: never} }
	m.DoOp(put("a"))
	first := read(10)
	m.DoOp(put("a"))
	second := read(20)
	all := [][]kv.Event{m.Events(2), m.Events(3)}
	for _, test := range []struct {
		calls []Call
		want  string
	}{
		{[]Call{first, second, lost(put("a"), 1), lost(put("a"), 12)}, ""},
		{[]Call{first, second, lost(put("a"), 12), lost(put("a"), 1)}, ""},
		{[]Call{first, second, lost(put("a"), 1)}, "in time makes revision 3"},
		{[]Call{first, second, lost(put("a"), 12), lost(put("a"), 13)}, "in time makes revision 2"},
		{[]Call{first, second, lost(put("a"), 1), lost(put("a"), 22)}, "in time makes revision 3"},
		{[]Call{first, second, lost(put("a"), 1), lost(put("b"), 2)}, "in time makes revision 3"},
	} {
		err := CheckCalls(test.calls, all)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

// TestEndsOfLeasesAreWhole: the end of a lease deletes all its keys, in one revision.
func TestEndsOfLeasesAreWhole(t *testing.T) {
	m := naive.New(naive.Limits{})
	do := func(more state.More) Call {
		c := Call{Command: state.Command{More: &more}, Known: true}
		c.Result = m.DoOp(c.Command)
		return c
	}
	leased := func(key string) kv.TxnOp { return kv.TxnOp{Put: &kv.PutOp{Key: key, Lease: 7}} }
	calls := []Call{
		do(state.More{Kind: state.KindGrant, Lease: 7, TTL: 1, Stamp: logtime.Stamp{Wall: 1}}),
		do(state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{leased("a"), leased("b")}}}),
	}
	m.DoOp(state.Command{More: &state.More{Kind: state.KindTick, Stamp: logtime.Stamp{Log: 1}}})
	all := [][]kv.Event{m.Events(2), m.Events(3)}
	if err := CheckCalls(calls, all); err != nil {
		t.Error(err)
	}
	split := [][]kv.Event{all[0], all[1][:1], all[1][1:]}
	if err := CheckCalls(calls, split); err == nil {
		t.Error("half a lease has ended, and nobody minds")
	}
	again := append(slices.Clone(calls), Call{
		Command: state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{leased("a")}}}},
		Known:   true,
		Result:  state.Result{Result: kv.Result{Revision: 4}, Txn: &kv.TxnResult{Succeeded: true, Revision: 4, Responses: []kv.OpResult{{Put: &kv.PutResult{Revision: 4}}}}},
	})
	revived := append(all[:2:2], []kv.Event{{Entry: kv.Entry{Key: "a", Version: 1, CreateRevision: 4, ModRevision: 4, Lease: 7}}})
	if err := CheckCalls(again, revived); err == nil {
		t.Error("a put hangs on a lease that has ended, and nobody minds")
	}
}

func BenchmarkCheckCalls(b *testing.B) {
	s := newService(1)
	for range b.N {
		s.call()
	}
	all := s.committed()
	b.ResetTimer()
	if err := CheckCalls(s.calls, all); err != nil {
		b.Fatal(err)
	}
}
