package translate_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// What requests look like.

func put(key, value string) *api.Request {
	return &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte(key), Value: []byte(value)}
}

func single(key string) *api.Span { return &api.Span{From: []byte(key), To: []byte(key + "\x00")} }

func everything() *api.Span { return &api.Span{Open: true} }

func rangeRequest(r *api.Range) *api.Request {
	return &api.Request{Kind: api.Request_RANGE, Call: &api.Request_Range{Range: r}}
}

func txnRequest(t *api.Txn) *api.Request {
	return &api.Request{Kind: api.Request_TXN, Call: &api.Request_Txn{Txn: t}}
}

func leaseRequest(kind api.Request_Kind, l *api.Lease) *api.Request {
	return &api.Request{Kind: kind, Call: &api.Request_Lease{Lease: l}}
}

func putIn(p *api.Put) *api.TxnOp     { return &api.TxnOp{Op: &api.TxnOp_Put{Put: p}} }
func rangeIn(r *api.Range) *api.TxnOp { return &api.TxnOp{Op: &api.TxnOp_Range{Range: r}} }
func nestedIn(t *api.Txn) *api.TxnOp  { return &api.TxnOp{Op: &api.TxnOp_Txn{Txn: t}} }
func deleteIn(d *api.DeleteRange) *api.TxnOp {
	return &api.TxnOp{Op: &api.TxnOp_DeleteRange{DeleteRange: d}}
}

// inSession is a request as a write of a session.
func inSession(req *api.Request, seq uint64) *api.Request {
	req.Session = &api.Session{Id: 5, Seq: seq}
	return req
}

// want asks for something and compares the whole reply.
func want(t *testing.T, h translate.Handler, req *api.Request, reply *api.Reply) {
	t.Helper()
	reply.Id = 7
	if got := ask(t, h, req); !proto.Equal(got, reply) {
		t.Errorf("%v\n got %v\nwant %v", req, got, reply)
	}
}

// keysOf are the keys of a range, with a comma behind each.
func keysOf(r *api.RangeReply) (keys string) {
	for _, e := range r.GetEntries() {
		keys += string(e.Key) + ","
	}
	return keys
}

func TestRanges(t *testing.T) {
	h, _ := nodetest.New()
	for _, key := range []string{"a", "b", "c"} { // revisions 2 to 4
		ask(t, h, put(key, "value of "+key))
	}
	ask(t, h, put("a", "again")) // revision 5
	want(t, h, rangeRequest(&api.Range{Span: single("a")}), &api.Reply{Revision: 5, Result: &api.Reply_Range{Range: &api.RangeReply{
		Count: 1, Entries: []*api.Entry{{Key: []byte("a"), Value: []byte("again"), Version: 2, CreateRevision: 2, ModRevision: 5}},
	}}})
	for _, test := range []struct {
		r    *api.Range
		keys string
		more bool
	}{
		{&api.Range{Span: everything()}, "a,b,c,", false},
		{&api.Range{Span: &api.Span{From: []byte("b"), Open: true}}, "b,c,", false},
		{&api.Range{Span: &api.Span{To: []byte("c")}}, "a,b,", false},
		{&api.Range{Span: everything(), Limit: 2}, "a,b,", true},
		{&api.Range{Span: everything(), Limit: 3}, "a,b,c,", false},
		{&api.Range{Span: everything(), MaxBytes: 1}, "a,", true},
		{&api.Range{Span: everything(), Descend: true}, "c,b,a,", false},
		{&api.Range{Span: everything(), Sort: api.Range_MOD_REVISION}, "b,c,a,", false},
		{&api.Range{Span: everything(), Sort: api.Range_VERSION, Descend: true, Limit: 1}, "a,", true},
		{&api.Range{Span: everything(), Revision: 3}, "a,b,", false},
		{&api.Range{Span: everything(), MinModRevision: 4}, "a,c,", false},
		{&api.Range{Span: everything(), MaxCreateRevision: 3, KeysOnly: true}, "a,b,", false},
		{&api.Range{Span: everything(), CountOnly: true}, "", false},
	} {
		reply := ask(t, h, rangeRequest(test.r))
		got := reply.GetRange()
		if reply.Code != api.Reply_OK || keysOf(got) != test.keys || got.More != test.more || reply.Revision != 5 {
			t.Errorf("%v\ngot %v", test.r, reply)
		}
		if test.r.KeysOnly && len(got.Entries[0].Value) > 0 || test.r.CountOnly && got.Count != 3 {
			t.Errorf("%v\ngot %v", test.r, reply)
		}
	}
	want(t, h, rangeRequest(&api.Range{Span: everything(), Revision: 6}), &api.Reply{Code: api.Reply_FUTURE_REVISION, Revision: 5})
	want(t, h, &api.Request{Kind: api.Request_COMPACT, Call: &api.Request_Compact{Compact: &api.Compact{Revision: 4}}}, &api.Reply{Revision: 5})
	want(t, h, rangeRequest(&api.Range{Span: everything(), Revision: 3}), &api.Reply{Code: api.Reply_COMPACTED, Revision: 5})
}

// A range of any size is read in pages, each of which takes bounded memory.
func TestPagesAreBounded(t *testing.T) {
	h, node := nodetest.New()
	const large, small = 5, 20_000
	for i := range large {
		node.Do(kv.Op{Kind: kv.Put, Key: fmt.Sprintf("a%05d", i), Value: make([]byte, 400<<10), Unconditional: true})
	}
	for i := range small {
		node.Do(kv.Op{Kind: kv.Put, Key: fmt.Sprintf("b%05d", i), Unconditional: true})
	}
	for _, asked := range []*api.Range{{}, {Limit: 1 << 63, MaxBytes: 1 << 63}} {
		keys, pages, from := 0, 0, []byte(nil)
		for more := true; more; pages++ {
			page := proto.Clone(asked).(*api.Range)
			page.Span = &api.Span{From: from, Open: true}
			reply := ask(t, h, rangeRequest(page))
			r := reply.GetRange()
			if len(r.GetEntries()) > 16<<10 || proto.Size(reply) > 2<<20 {
				t.Fatalf("a page of %d keys and %d bytes", len(r.GetEntries()), proto.Size(reply))
			}
			keys, more = keys+len(r.Entries), r.More
			from = append(r.Entries[len(r.Entries)-1].Key, 0)
		}
		if keys != large+small || pages != 3 {
			t.Errorf("%d keys on %d pages", keys, pages)
		}
	}
}

func TestTransactions(t *testing.T) {
	h, _ := nodetest.New()
	compare := &api.Compare{Span: single("a"), Target: api.Compare_VERSION, Relation: api.Compare_EQUAL}
	txn := &api.Txn{
		Compares: []*api.Compare{compare},
		Then: []*api.TxnOp{
			putIn(&api.Put{Key: []byte("a"), Value: []byte("1"), Prev: true}),
			putIn(&api.Put{Key: []byte("b"), Value: []byte("2")}),
			rangeIn(&api.Range{Span: everything(), Descend: true}),
		},
		Else: []*api.TxnOp{
			nestedIn(&api.Txn{Then: []*api.TxnOp{deleteIn(&api.DeleteRange{Span: everything(), Prev: true})}}),
			rangeIn(&api.Range{Span: everything()}),
		},
	}
	a := &api.Entry{Key: []byte("a"), Value: []byte("1"), Version: 1, CreateRevision: 2, ModRevision: 2}
	b := &api.Entry{Key: []byte("b"), Value: []byte("2"), Version: 1, CreateRevision: 2, ModRevision: 2}
	want(t, h, txnRequest(txn), &api.Reply{Revision: 2, Result: &api.Reply_Txn{Txn: &api.TxnReply{
		Succeeded: true,
		Replies: []*api.OpReply{
			{Op: &api.OpReply_Put{Put: &api.PutReply{}}},
			{Op: &api.OpReply_Put{Put: &api.PutReply{}}},
			{Op: &api.OpReply_Range{Range: &api.RangeReply{Entries: []*api.Entry{b, a}, Count: 2}}},
		},
	}}})
	deleted := &api.TxnReply{Succeeded: true, Replies: []*api.OpReply{
		{Op: &api.OpReply_DeleteRange{DeleteRange: &api.DeleteRangeReply{Deleted: 2, Prev: []*api.Entry{a, b}}}},
	}}
	want(t, h, txnRequest(txn), &api.Reply{Revision: 3, Result: &api.Reply_Txn{Txn: &api.TxnReply{Replies: []*api.OpReply{
		{Op: &api.OpReply_Txn{Txn: deleted}},
		{Op: &api.OpReply_Range{Range: &api.RangeReply{}}},
	}}}})
	duplicate := putIn(&api.Put{Key: []byte("a")})
	if r := ask(t, h, txnRequest(&api.Txn{Then: []*api.TxnOp{duplicate, duplicate}})); r.Code != api.Reply_DUPLICATE_KEY {
		t.Errorf("two puts of one key get %v", r)
	}
}

// The reply to a transaction is bounded, although its values were written and read already.
func TestRepliesToTransactionsAreBounded(t *testing.T) {
	h, node := nodetest.New()
	txn := new(api.Txn)
	for i := range 100 {
		key := fmt.Sprintf("%02d", i)
		node.Do(kv.Op{Kind: kv.Put, Key: key, Value: make([]byte, 1<<20), Unconditional: true})
		txn.Then = append(txn.Then, rangeIn(&api.Range{Span: single(key)}))
	}
	reply := ask(t, h, txnRequest(txn))
	if size := proto.Size(reply); size < 8<<20 || size > 10<<20 {
		t.Errorf("the reply has %d bytes", size)
	}
	if !reply.Incomplete || reply.Code != api.Reply_OK || len(reply.GetTxn().Replies) != 100 {
		t.Errorf("the reply is %s, incomplete %t, with %d replies", reply.Code, reply.Incomplete, len(reply.GetTxn().Replies))
	}
	if last := reply.GetTxn().Replies[99].GetRange(); !last.More || len(last.Entries) > 0 {
		t.Errorf("the last range has %d keys, more %t", len(last.Entries), last.More)
	}
	for i := range 2 { // of deletes too
		txn.Then[i] = deleteIn(&api.DeleteRange{Span: &api.Span{From: []byte{'0' + byte(5*i)}, To: []byte{'0' + byte(5*i+5)}}, Prev: true})
	}
	txn.Then = txn.Then[:2]
	if reply = ask(t, h, txnRequest(txn)); proto.Size(reply) > 10<<20 || !reply.Incomplete {
		t.Errorf("the reply has %d bytes, incomplete %t", proto.Size(reply), reply.Incomplete)
	}
}

func TestRangesInTransactionsArePages(t *testing.T) {
	h, node := nodetest.New()
	r := &api.Range{Span: everything()}
	ask(t, h, txnRequest(&api.Txn{Then: []*api.TxnOp{nestedIn(&api.Txn{Else: []*api.TxnOp{rangeIn(r)}})}, Else: []*api.TxnOp{rangeIn(r)}}))
	txn := node.Last.More.Txn
	for _, op := range []*kv.RangeOp{txn.Then[0].Txn.Else[0].Range, txn.Else[0].Range} {
		if op.Limit == 0 || op.MaxBytes == 0 {
			t.Errorf("a range without bounds is in the log: %+v", op)
		}
	}
}

// A put with more than an operation on one key has is answered as any put.
func TestPutsWithMore(t *testing.T) {
	h, node := nodetest.New()
	ask(t, h, leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: 9, TtlMs: 1000}))
	with := func(version uint64, unconditional bool, p *api.Put) *api.Request {
		return &api.Request{
			Kind: api.Request_PUT, Key: []byte("k"), Value: []byte("v"), Version: version, Unconditional: unconditional,
			Call: &api.Request_Put{Put: p},
		}
	}
	prev := &api.Entry{Key: []byte("k"), Value: []byte("v"), Version: 1, CreateRevision: 2, ModRevision: 2, Lease: 9}
	for _, step := range []struct {
		req   *api.Request
		reply *api.Reply
	}{
		{with(1, false, &api.Put{Lease: 9}), &api.Reply{Code: api.Reply_NO_KEY, Revision: 1}},
		{with(0, false, &api.Put{Lease: 8}), &api.Reply{Code: api.Reply_NO_LEASE, Revision: 1}},
		{with(0, true, &api.Put{IgnoreLease: true}), &api.Reply{Code: api.Reply_NO_KEY, Revision: 1}},
		{with(0, false, &api.Put{Lease: 9, Prev: true}), &api.Reply{Version: 1, CreateRevision: 2, ModRevision: 2, Revision: 2, KeyLease: 9}},
		{with(0, false, &api.Put{Lease: 9}), &api.Reply{Code: api.Reply_VERSION_MISMATCH, Version: 1, CreateRevision: 2, ModRevision: 2, Revision: 2, KeyLease: 9}},
		{with(1, false, &api.Put{IgnoreLease: true, Prev: true}), &api.Reply{
			Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3, KeyLease: 9, Result: &api.Reply_Prev{Prev: prev},
		}},
		{&api.Request{Kind: api.Request_GET, Key: []byte("k")}, &api.Reply{Value: []byte("v"), Version: 2, CreateRevision: 2, ModRevision: 3, Revision: 3, KeyLease: 9}},
	} {
		want(t, h, step.req, step.reply)
	}
	if got, _ := node.Machine.Range(kv.RangeOp{Span: kv.Single("k")}); got.Entries[0].Lease != 9 {
		t.Errorf("the lease was not kept: %+v", got.Entries[0])
	}
}

func TestDeleteRange(t *testing.T) {
	h, _ := nodetest.New()
	ask(t, h, put("a", "1"))
	req := &api.Request{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: everything(), Prev: true}}}
	want(t, h, req, &api.Reply{Revision: 3, Result: &api.Reply_DeleteRange{DeleteRange: &api.DeleteRangeReply{
		Deleted: 1, Prev: []*api.Entry{{Key: []byte("a"), Value: []byte("1"), Version: 1, CreateRevision: 2, ModRevision: 2}},
	}}})
	want(t, h, req, &api.Reply{Revision: 3, Result: &api.Reply_DeleteRange{DeleteRange: &api.DeleteRangeReply{}}})
}

func TestLeases(t *testing.T) {
	h, node := nodetest.New()
	h.MinTTL = 2e9
	node.Now.Log = 1e9
	granted := func(id int64, ttl uint64) *api.Reply {
		return &api.Reply{Revision: 1, Result: &api.Reply_Lease{Lease: &api.LeaseReply{Id: id, TtlMs: ttl, GrantedMs: ttl}}}
	}
	grant := func(id int64, ttl uint64) *api.Request {
		return leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: id, TtlMs: ttl})
	}
	want(t, h, grant(5, 5000), granted(5, 5000))
	if node.Last.More.Stamp.Log != 1e9 {
		t.Errorf("a grant is at %v, not at the leader's clock", node.Last.More.Stamp)
	}
	want(t, h, grant(5, 5000), &api.Reply{Code: api.Reply_LEASE_EXISTS, Revision: 1})
	want(t, h, grant(0, 1), granted(1001, 2000)) // drawn, and raised
	ask(t, h, &api.Request{Kind: api.Request_PUT, Key: []byte("k"), Call: &api.Request_Put{Put: &api.Put{Lease: 5}}})

	node.Now.Log = 2e9
	node.SubmitFunc(state.Command{More: &state.More{Kind: state.KindTick, Stamp: node.Now}}, func(state.Result, error) {})
	ttl := leaseRequest(api.Request_LEASE_TIME_TO_LIVE, &api.Lease{Id: 5, Keys: true})
	if got := ask(t, h, ttl).GetLease(); got.GetTtlMs() != 4000 || got.GrantedMs != 5000 || string(bytes.Join(got.Keys, nil)) != "k" {
		t.Errorf("the lease is %v", got)
	}
	want(t, h, leaseRequest(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: 5}),
		&api.Reply{Result: &api.Reply_Lease{Lease: &api.LeaseReply{Id: 5, TtlMs: 5000, GrantedMs: 5000}}})
	if got := ask(t, h, ttl).GetLease(); got.GetTtlMs() != 5000 {
		t.Errorf("after a keep-alive the lease is %v", got)
	}
	want(t, h, &api.Request{Kind: api.Request_LEASES}, &api.Reply{Result: &api.Reply_Leases{Leases: &api.LeasesReply{Ids: []int64{5, 1001}}}})
	want(t, h, leaseRequest(api.Request_LEASES, &api.Lease{Id: 5}), &api.Reply{Result: &api.Reply_Leases{Leases: &api.LeasesReply{Ids: []int64{1001}}}})

	want(t, h, leaseRequest(api.Request_LEASE_REVOKE, &api.Lease{Id: 5}), &api.Reply{Revision: 3})
	if node.Last.More.Stamp.Log != 2e9 {
		t.Errorf("a revocation is at %v, not at the leader's clock", node.Last.More.Stamp)
	}
	for _, kind := range []api.Request_Kind{api.Request_LEASE_REVOKE, api.Request_LEASE_KEEP_ALIVE, api.Request_LEASE_TIME_TO_LIVE} {
		if r := ask(t, h, leaseRequest(kind, &api.Lease{Id: 5})); r.Code != api.Reply_NO_LEASE {
			t.Errorf("%s of a lease that is gone gets %v", kind, r)
		}
	}
	want(t, h, &api.Request{Kind: api.Request_GET, Key: []byte("k")}, &api.Reply{Code: api.Reply_NO_KEY, Revision: 3})
}

func TestOneRequestKeepsManyLeasesAlive(t *testing.T) {
	h, node := nodetest.New()
	for id := int64(1); id <= 3; id++ {
		ask(t, h, leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: id, TtlMs: uint64(id) * 1000}))
	}
	got := ask(t, h, leaseRequest(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: 9, Others: []int64{2, 8, 3, 2}}))
	if l := got.GetLease(); got.Code != api.Reply_OK || l.GetTtlMs() != 0 || !slices.Equal(l.GetOthersTtlMs(), []uint64{2000, 0, 3000, 2000}) {
		t.Errorf("got %v", got)
	}
	others := make([]int64, translate.MaxKeepAlives)
	for i := range others {
		others[i] = 1
	}
	if got := ask(t, h, leaseRequest(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: 1, Others: others[1:]})); got.Code != api.Reply_OK {
		t.Errorf("as many as may be: %v", got)
	}
	for _, l := range []*api.Lease{{Id: 1, Others: others}, {Others: others[:1]}, {Id: 1, Others: []int64{2, -1}}} {
		if got := ask(t, h, leaseRequest(api.Request_LEASE_KEEP_ALIVE, l)); got.Code != api.Reply_INVALID {
			t.Errorf("%d others: %v", len(l.Others), got)
		}
	}
	node.SubmitErr = rsm.ErrBusy
	if got := ask(t, h, leaseRequest(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: 1, Others: others[:2]})); got.Code != api.Reply_BUSY {
		t.Errorf("got %v", got)
	}
}

func TestListsOfLeasesAreBounded(t *testing.T) {
	h, node := nodetest.New()
	const leases = 40_000
	for id := range int64(leases) {
		node.Machine.DoOp(state.Command{More: &state.More{Kind: state.KindGrant, Lease: id + 1, TTL: 1e9}})
	}
	var all []int64
	for more := true; more; {
		above := int64(0)
		if len(all) > 0 {
			above = all[len(all)-1]
		}
		page := ask(t, h, leaseRequest(api.Request_LEASES, &api.Lease{Id: above})).GetLeases()
		if len(page.Ids) > 16<<10 {
			t.Fatalf("%d leases in a reply", len(page.Ids))
		}
		all, more = append(all, page.Ids...), page.More
	}
	if len(all) != leases || !slices.IsSorted(all) {
		t.Errorf("%d leases are listed", len(all))
	}
}

func TestKeysOfALeaseAreBounded(t *testing.T) {
	h, node := nodetest.New()
	ask(t, h, leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: 5, TtlMs: 1000, Session: true}))
	for i := range 20 {
		p := &kv.PutOp{Key: string(rune('a'+i)) + strings.Repeat("k", 60<<10), Lease: 5}
		node.Machine.DoOp(state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{{Put: p}}}}})
	}
	r := ask(t, h, leaseRequest(api.Request_LEASE_TIME_TO_LIVE, &api.Lease{Id: 5, Keys: true}))
	if l := r.GetLease(); !l.More || len(l.Keys) != 18 || !l.Session {
		t.Errorf("%d keys, more %t, session %t", len(l.Keys), l.More, l.Session)
	}
}

// A write of a session that comes again is not executed again, and gets its own outcome.
func TestSessions(t *testing.T) {
	h, node := nodetest.New()
	ask(t, h, leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: 5, TtlMs: 1000, Session: true}))
	create := &api.Txn{Compares: []*api.Compare{{Span: single("t")}}, Then: []*api.TxnOp{putIn(&api.Put{Key: []byte("t")})}}
	for i, req := range []*api.Request{
		put("a", "1"),
		{Kind: api.Request_DELETE, Key: []byte("a"), Unconditional: true},
		{Kind: api.Request_PUT, Key: []byte("a"), Call: &api.Request_Put{Put: &api.Put{Prev: true}}},
		txnRequest(create),
		{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: everything()}}},
		{Kind: api.Request_COMPACT, Call: &api.Request_Compact{Compact: &api.Compact{Revision: 4}}},
		leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: 6, TtlMs: 1000}),
		leaseRequest(api.Request_LEASE_REVOKE, &api.Lease{Id: 6}),
	} {
		first := ask(t, h, inSession(req, uint64(i+1)))
		if first.Code != api.Reply_OK || first.DoneAt != 0 {
			t.Errorf("%v gets %v", req, first)
		}
		revision := node.Machine.Revision()
		again := ask(t, h, req)
		if again.DoneAt != first.Revision || node.Machine.Revision() != revision {
			t.Errorf("%v, again, gets %v, and the revision became %d", req, again, node.Machine.Revision())
		}
		again.DoneAt = 0
		if !proto.Equal(again, first) {
			t.Errorf("%v\n      got %v\nthe first %v", req, again, first)
		}
	}
	req := put("a", "late")
	req.Session = &api.Session{Id: 4, Seq: 1}
	if r := ask(t, h, req); r.Code != api.Reply_SESSION_ENDED {
		t.Errorf("a write of a session that is none gets %v", r)
	}
}

// forgetful is a machine whose sessions have kept little of all outcomes.
type forgetful struct {
	translate.Replica
	kept state.Result
}

func (f *forgetful) SubmitEntryFunc(_ state.Command, done func(state.Result, rsm.EntryID, error)) {
	f.kept.Replayed, f.kept.DoneAt = true, 3
	done(f.kept, rsm.EntryID{}, nil)
}

// Without its outcome a write that was executed may have been refused.
func TestForgottenOutcomesAreUnknown(t *testing.T) {
	h, node := nodetest.New()
	h.Replica = &forgetful{Replica: node}
	for _, req := range []*api.Request{put("k", "v"), txnRequest(&api.Txn{})} {
		if r := ask(t, h, inSession(req, 1)); r.Code != api.Reply_UNKNOWN || r.DoneAt != 3 {
			t.Errorf("%s gets %v", req.Kind, r)
		}
	}
}

// A resent command is answered with its code where the session has kept no more.
func TestOutcomesOfWhichOnlyTheCodeIsKept(t *testing.T) {
	code := func(code kv.Code) state.Result {
		return state.Result{Result: kv.Result{Code: code}, Kept: state.KeptCode}
	}
	txn := func(succeeded bool) state.Result {
		r := code(kv.CodeOK)
		r.Txn = &kv.TxnResult{Succeeded: succeeded}
		return r
	}
	withPrev := &api.Request{Kind: api.Request_PUT, Key: []byte("a"), Call: &api.Request_Put{Put: &api.Put{Prev: true}}}
	deleteAll := &api.Request{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: everything()}}}
	compact := &api.Request{Kind: api.Request_COMPACT, Call: &api.Request_Compact{Compact: &api.Compact{Revision: 4}}}
	grant := leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: 6, TtlMs: 1000})
	for i, test := range []struct {
		req  *api.Request
		kept state.Result
		want *api.Reply
	}{
		{put("k", "v"), code(kv.CodeOK), &api.Reply{}},
		{put("k", "v"), code(kv.CodeVersion), &api.Reply{Code: api.Reply_VERSION_MISMATCH}},
		{put("k", "v"), code(kv.CodeQuota), &api.Reply{Code: api.Reply_QUOTA}},
		{txnRequest(&api.Txn{}), txn(true), &api.Reply{Result: &api.Reply_Txn{Txn: &api.TxnReply{Succeeded: true}}}},
		{txnRequest(&api.Txn{}), txn(false), &api.Reply{Result: &api.Reply_Txn{Txn: &api.TxnReply{}}}},
		{txnRequest(&api.Txn{}), code(kv.CodeNoLease), &api.Reply{Code: api.Reply_NO_LEASE}},
		{withPrev, txn(true), &api.Reply{}},
		{withPrev, txn(false), &api.Reply{Code: api.Reply_UNKNOWN, Message: "executed before, and the session has not kept the outcome"}},
		{deleteAll, txn(true), &api.Reply{}},
		{compact, code(kv.CodeCompacted), &api.Reply{Code: api.Reply_COMPACTED}},
		{grant, code(kv.CodeOK), &api.Reply{Result: &api.Reply_Lease{Lease: &api.LeaseReply{Id: 6}}}},
	} {
		h, node := nodetest.New()
		h.Replica = &forgetful{Replica: node, kept: test.kept}
		test.want.Id, test.want.Revision, test.want.DoneAt, test.want.Incomplete = 7, 3, 3, true
		if got := ask(t, h, inSession(test.req, 1)); !proto.Equal(got, test.want) {
			t.Errorf("%d: %v\n got %v\nwant %v", i, test.req, got, test.want)
		}
	}
}

func TestQuota(t *testing.T) {
	h, node := nodetest.New()
	want(t, h, &api.Request{Kind: api.Request_SET_QUOTA, Call: &api.Request_Quota{Quota: &api.Quota{Bytes: 1 << 30}}}, &api.Reply{Revision: 1})
	if node.Last.More.Quota != 1<<30 {
		t.Errorf("the quota is %d", node.Last.More.Quota)
	}
}

// Each error names the field, and changes nothing.
func TestHandlerRefusesCallsThatMakeNoSense(t *testing.T) {
	many := make([]*api.TxnOp, 129)
	for i := range many {
		many[i] = putIn(&api.Put{Key: fmt.Append(nil, i)})
	}
	deep := &api.Txn{}
	for range 9 {
		deep = &api.Txn{Then: []*api.TxnOp{nestedIn(deep)}}
	}
	wide, compares := &api.Txn{}, make([]*api.Compare, 128)
	for i := range compares {
		compares[i] = &api.Compare{Span: single("k")}
	}
	for range 40 {
		wide.Then = append(wide.Then, nestedIn(&api.Txn{Compares: compares}))
	}
	keeping := &api.Txn{}
	for n := range 2 {
		half := &api.Txn{}
		for i := range 100 {
			half.Then = append(half.Then, putIn(&api.Put{Key: fmt.Append(nil, n, i), IgnoreValue: true}))
		}
		keeping.Then = append(keeping.Then, nestedIn(half))
	}
	withPut := func(p *api.Put, edit func(*api.Request)) *api.Request {
		req := put("k", "v")
		req.Call = &api.Request_Put{Put: p}
		edit(req)
		return req
	}
	same := func(*api.Request) {}
	for _, test := range []struct {
		req  *api.Request
		code api.Reply_Code
		says string
	}{
		{&api.Request{Kind: api.Request_RANGE}, api.Reply_INVALID, "range is missing"},
		{&api.Request{Kind: api.Request_TXN}, api.Reply_INVALID, "call is not one of a TXN"},
		{&api.Request{Kind: api.Request_COMPACT, Call: &api.Request_Range{}}, api.Reply_INVALID, "call is not one of a COMPACT"},
		{&api.Request{Kind: api.Request_GET, Key: []byte("k"), Call: &api.Request_Put{}}, api.Reply_INVALID, "call is set"},
		{&api.Request{Kind: api.Request_LEASES, Call: &api.Request_Put{}}, api.Reply_INVALID, "lease is missing"},
		{&api.Request{Kind: api.Request_LEASE_TIME_TO_LIVE}, api.Reply_INVALID, "lease is missing"},
		{&api.Request{Kind: api.Request_LEASE_KEEP_ALIVE}, api.Reply_INVALID, "lease is missing"},
		{rangeRequest(&api.Range{}), api.Reply_INVALID, "span is missing"},
		{rangeRequest(&api.Range{Span: &api.Span{From: []byte("a")}}), api.Reply_INVALID, "span has neither to nor open"},
		{rangeRequest(&api.Range{Span: &api.Span{To: []byte("a"), Open: true}}), api.Reply_INVALID, "span is open, and has a to"},
		{rangeRequest(&api.Range{Span: everything(), Sort: 9}), api.Reply_INVALID, "sort is unknown: 9"},
		{rangeRequest(&api.Range{Span: single(strings.Repeat("k", 65<<10))}), api.Reply_TOO_LARGE, "limit is 65537"},
		{inSession(rangeRequest(&api.Range{Span: everything()}), 1), api.Reply_INVALID, "session is set"},
		{&api.Request{Kind: api.Request_RANGE, Consistency: 9, Call: &api.Request_Range{Range: &api.Range{Span: everything()}}}, api.Reply_INVALID, "consistency is unknown: 9"},
		{txnRequest(&api.Txn{Then: []*api.TxnOp{{}}}), api.Reply_INVALID, "then[0]: op is missing"},
		{txnRequest(&api.Txn{Else: []*api.TxnOp{deleteIn(&api.DeleteRange{})}}), api.Reply_INVALID, "else[0]: span is missing"},
		{txnRequest(&api.Txn{Compares: []*api.Compare{{Span: single("a"), Target: 9}}}), api.Reply_INVALID, "compares[0]: target is unknown: 9"},
		{txnRequest(&api.Txn{Compares: []*api.Compare{{Span: single("a"), Relation: -1}}}), api.Reply_INVALID, "compares[0]: relation is unknown: -1"},
		{txnRequest(&api.Txn{Compares: []*api.Compare{{Span: single("a"), Value: []byte("v")}}}), api.Reply_INVALID, "value is set, but target is VERSION"},
		{txnRequest(&api.Txn{Compares: []*api.Compare{{Span: single("a"), Target: api.Compare_VALUE, Number: 1}}}), api.Reply_INVALID, "number is set, but target is VALUE"},
		{txnRequest(&api.Txn{Then: many}), api.Reply_TOO_MANY_OPS, "then has 129 operations, the limit is 128"},
		{txnRequest(wide), api.Reply_TOO_MANY_OPS, "5160 compares and operations, those of nested ones included, the limit is 4096"},
		{txnRequest(keeping), api.Reply_TOO_LARGE, "200 puts keep the value of their key, those of nested transactions included, the limit is 170"},
		{txnRequest(deep), api.Reply_INVALID, "nested more than 8 deep"},
		{txnRequest(&api.Txn{Then: []*api.TxnOp{putIn(&api.Put{Key: []byte("k"), Lease: -1})}}), api.Reply_INVALID, "then[0]: lease is -1"},
		{txnRequest(&api.Txn{Then: []*api.TxnOp{
			putIn(&api.Put{Key: []byte("a"), Value: make([]byte, 1<<20)}), putIn(&api.Put{Key: []byte("b"), Value: make([]byte, 1<<20)}),
		}}), api.Reply_TOO_LARGE, "the transaction has 2097154 bytes of keys and values, the limit is 1638400"},
		{withPut(&api.Put{Key: []byte("x")}, same), api.Reply_INVALID, "put has a key"},
		{withPut(&api.Put{}, func(r *api.Request) { r.UnchangedSince = 1 }), api.Reply_INVALID, "unchanged_since"},
		{withPut(&api.Put{}, func(r *api.Request) { r.Attempt = api.Request_FIRST }), api.Reply_INVALID, "attempt"},
		{withPut(nil, func(r *api.Request) { r.Kind = api.Request_DELETE }), api.Reply_INVALID, "call is set"},
		{withPut(&api.Put{Lease: 1, IgnoreLease: true}, same), api.Reply_INVALID, "ignore lease"},
		{leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: -1, TtlMs: 1}), api.Reply_INVALID, "id of lease is -1"},
		{leaseRequest(api.Request_LEASE_GRANT, &api.Lease{}), api.Reply_LEASE_TTL, "ttl_ms of lease is 0"},
		{leaseRequest(api.Request_LEASE_GRANT, &api.Lease{TtlMs: 1 << 63}), api.Reply_LEASE_TTL, "ttl_ms of lease is 9223372036854775808"},
		{inSession(leaseRequest(api.Request_LEASE_GRANT, &api.Lease{TtlMs: 1}), 1), api.Reply_INVALID, "id of lease is 0, and session is set"},
		{leaseRequest(api.Request_LEASE_REVOKE, nil), api.Reply_INVALID, "id of lease is 0"},
		{leaseRequest(api.Request_LEASE_TIME_TO_LIVE, &api.Lease{}), api.Reply_INVALID, "id of lease is 0"},
		{leaseRequest(api.Request_LEASE_KEEP_ALIVE, &api.Lease{}), api.Reply_INVALID, "id of lease is 0"},
		{inSession(leaseRequest(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: 1}), 1), api.Reply_INVALID, "session is set"},
		{inSession(put("k", "v"), 0), api.Reply_INVALID, "seq of session is 0"},
		{&api.Request{Kind: api.Request_DELETE, Key: []byte("k"), Session: &api.Session{Id: -1, Seq: 1}}, api.Reply_INVALID, "id of session is -1"},
		{&api.Request{Kind: api.Request_DELETE, Key: []byte("k"), Session: &api.Session{Id: 1, Seq: 2, Acked: 2}}, api.Reply_INVALID, "acked of session is 2"},
		{inSession(txnRequest(&api.Txn{}), 0), api.Reply_INVALID, "seq of session is 0"},
		{&api.Request{Kind: api.Request_SET_QUOTA, Call: &api.Request_Quota{Quota: &api.Quota{Bytes: 1 << 63}}}, api.Reply_INVALID, "bytes of quota"},
	} {
		h, node := nodetest.New()
		reply := ask(t, h, test.req)
		if reply.Code != test.code || !strings.Contains(reply.Message, test.says) {
			t.Errorf("%s gets %s %q, want %s that says %q", test.req.Kind, reply.Code, reply.Message, test.code, test.says)
		}
		if node.Submitted != 0 || len(node.Modes) != 0 {
			t.Errorf("%s: the replica was asked", test.req.Kind)
		}
	}
}

// A request may say nothing where it should say something.
func TestHandlerAnswersEmptyCalls(t *testing.T) {
	for kind := range api.Request_Kind_name {
		for _, call := range []*api.Request{
			{}, {Call: &api.Request_Put{}}, {Call: &api.Request_Range{}}, {Call: &api.Request_Txn{}}, {Call: &api.Request_DeleteRange{}},
			{Call: &api.Request_Compact{}}, {Call: &api.Request_Lease{}}, {Call: &api.Request_Quota{}},
		} {
			h, _ := nodetest.New()
			call.Kind, call.Key = api.Request_Kind(kind), []byte("k")
			ask(t, h, call)
		}
	}
}

func TestFatesOfCalls(t *testing.T) {
	lease := &api.Lease{Id: 1, TtlMs: 1}
	for _, test := range []struct {
		err         error
		write, read api.Reply_Code
	}{
		{rsm.ErrWrongLeader, api.Reply_WRONG_LEADER, api.Reply_WRONG_LEADER},
		{rsm.ErrBusy, api.Reply_BUSY, api.Reply_BUSY},
		{rsm.ErrTooLarge, api.Reply_TOO_LARGE, api.Reply_UNAVAILABLE},
		{rsm.ErrUnknown, api.Reply_UNKNOWN, api.Reply_UNAVAILABLE},
	} {
		h, node := nodetest.New()
		node.SubmitErr, node.ReadErr = test.err, test.err
		for _, req := range []*api.Request{
			txnRequest(&api.Txn{}), leaseRequest(api.Request_LEASE_GRANT, lease), leaseRequest(api.Request_LEASE_KEEP_ALIVE, lease),
		} {
			if r := ask(t, h, req); r.Code != test.write {
				t.Errorf("%v: %s gets %v", test.err, req.Kind, r)
			}
		}
		for _, req := range []*api.Request{
			rangeRequest(&api.Range{Span: everything()}), leaseRequest(api.Request_LEASE_TIME_TO_LIVE, lease), {Kind: api.Request_LEASES},
		} {
			if r := ask(t, h, req); r.Code != test.read {
				t.Errorf("%v: %s gets %v", test.err, req.Kind, r)
			}
			req.Consistency = api.Request_LOCAL
			if r := ask(t, h, req); r.Code == test.read {
				t.Errorf("%v: a local %s gets %v", test.err, req.Kind, r)
			}
		}
	}
}

// Other goroutines than those of the replica read ranges.
func TestQueriesRunInTheBackground(t *testing.T) {
	h, node := nodetest.New()
	var later []func()
	h.Background = func(read func()) { later = append(later, read) }
	replies := 0
	for _, consistency := range []api.Request_Consistency{api.Request_LINEARIZABLE, api.Request_LEASE, api.Request_LOCAL} {
		req := rangeRequest(&api.Range{Span: everything()})
		req.Consistency = consistency
		h.Handle(req, func(*api.Reply) { replies++ })
	}
	if replies != 0 || len(later) != 3 || !slices.Equal(node.Modes, []raft.ReadMode{raft.ReadByIndex, raft.ReadByLease}) {
		t.Fatalf("%d replies, %d reads wait, modes %v", replies, len(later), node.Modes)
	}
	for _, read := range later {
		read()
	}
	if replies != 3 {
		t.Errorf("%d replies", replies)
	}
}

// A read whose client has gone before its turn comes is not begun.
func TestLateQueriesAreNotBegun(t *testing.T) {
	h, _ := nodetest.New()
	var later []func()
	now, ms := int64(7), int64(1e6)
	h.Background = func(read func()) { later = append(later, read) }
	h.Now = func() int64 { return now }
	reads := 0
	h.Store = countedReads{h.Store, &reads}
	codes := map[uint64]api.Reply_Code{}
	for id, timeout := range []uint32{0, 100, 101} {
		req := rangeRequest(&api.Range{Span: everything()})
		req.Id, req.TimeoutMs = uint64(id), timeout
		h.Handle(req, func(r *api.Reply) { codes[r.Id] = r.Code })
	}
	now += 100 * ms
	for _, read := range later {
		read()
	}
	if codes[0] != api.Reply_OK || codes[1] != api.Reply_BUSY || codes[2] != api.Reply_OK || reads != 2 {
		t.Errorf("replies %v, %d reads", codes, reads)
	}
}

// countedReads counts the ranges that are read.
type countedReads struct {
	translate.Store
	n *int
}

func (c countedReads) EncodeRange(op kv.RangeOp, b []byte, add func(b []byte, e *kv.Entry) []byte) ([]byte, kv.RangeResult, error) {
	*c.n++
	return c.Store.EncodeRange(op, b, add)
}

// While little space is left, what deletes goes on; while none is left, only what must.
func TestDeletesGoOnWhenTheDiskIsAlmostFull(t *testing.T) {
	h, _ := nodetest.New()
	low, none := true, false
	h.Shortage = func() translate.Shortage { return translate.Shortage{LowSpace: low, NoSpace: none} }
	span := &api.TxnOp{Op: &api.TxnOp_DeleteRange{DeleteRange: &api.DeleteRange{Span: everything()}}}
	putting := &api.TxnOp{Op: &api.TxnOp_Put{Put: &api.Put{Key: []byte("k")}}}
	nested := func(op *api.TxnOp) *api.TxnOp {
		return &api.TxnOp{Op: &api.TxnOp_Txn{Txn: &api.Txn{Else: []*api.TxnOp{op}}}}
	}
	for _, c := range []struct {
		name  string
		req   *api.Request
		frees bool
	}{
		{"delete", &api.Request{Kind: api.Request_DELETE, Key: []byte("k"), Unconditional: true}, true},
		{"delete of a span", &api.Request{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: everything()}}}, true},
		{"transaction that deletes", txnRequest(&api.Txn{Then: []*api.TxnOp{nested(span)}}), true},
		{"transaction that deletes and puts", txnRequest(&api.Txn{Then: []*api.TxnOp{span}, Else: []*api.TxnOp{nested(putting)}}), false},
		{"put", put("k", "v"), false},
		{"grant", leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: 6, TtlMs: 1000}), true}, // a Clerk may need a session to delete
	} {
		low, none = true, false
		if r := ask(t, h, c.req); (r.Code == api.Reply_BUSY) == c.frees {
			t.Errorf("%s while little space is left: %v", c.name, r)
		}
		none = true
		if r := ask(t, h, c.req); r.Code != api.Reply_BUSY {
			t.Errorf("%s while no space is left: %v", c.name, r)
		}
	}
}

func TestKeepAlivesAndCompactionGoOnWhenTheDiskIsAlmostFull(t *testing.T) {
	h, _ := nodetest.New()
	ask(t, h, leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: 5, TtlMs: 1000}))
	ask(t, h, put("k", "v"))
	h.Shortage = func() translate.Shortage { return translate.Shortage{LowSpace: true} }
	for _, req := range []*api.Request{
		leaseRequest(api.Request_LEASE_KEEP_ALIVE, &api.Lease{Id: 5}),
		{Kind: api.Request_COMPACT, Call: &api.Request_Compact{Compact: &api.Compact{Revision: 2}}},
	} {
		if r := ask(t, h, req); r.Code != api.Reply_OK {
			t.Errorf("%s gets %v", req.Kind, r)
		}
	}
	if r := ask(t, h, txnRequest(&api.Txn{})); r.Code != api.Reply_BUSY {
		t.Errorf("a transaction gets %v", r)
	}
}

// GETs that came together share a read, if they want the same freshness. Each has its own reply.
func TestGetsTogetherShareARead(t *testing.T) {
	h, node := nodetest.New()
	ask(t, h, put("k", "v"))
	var gets []translate.Get
	got := map[uint64]*api.Reply{}
	add := func(id uint64, key string, c api.Request_Consistency) {
		gets = append(gets, translate.Get{
			Request: &api.Request{Id: id, Kind: api.Request_GET, Key: []byte(key), Consistency: c},
			Reply:   func(r *api.Reply) { got[id] = r },
		})
	}
	for i := range uint64(3) {
		add(10*i+1, "k", api.Request_LINEARIZABLE)
		add(10*i+2, "absent", api.Request_LEASE)
		add(10*i+3, "", api.Request_LINEARIZABLE)
		add(10*i+4, "k", api.Request_LOCAL)
		add(10*i+5, "k", api.Request_LEASE)
	}
	h.HandleGets(gets)
	if !slices.Equal(node.Modes, []raft.ReadMode{raft.ReadByIndex, raft.ReadByLease}) {
		t.Errorf("reads %v", node.Modes)
	}
	for id, code := range []api.Reply_Code{1: api.Reply_OK, 2: api.Reply_NO_KEY, 3: api.Reply_INVALID, 4: api.Reply_OK, 5: api.Reply_OK} {
		for i := 0; i < 30 && id > 0; i += 10 {
			id := uint64(i + id)
			if r := got[id]; r.GetId() != id || r.GetCode() != code || code == api.Reply_OK && string(r.Value) != "v" {
				t.Errorf("request %d gets %v, want %s", id, r, code)
			}
		}
	}
	clear(got)
	node.ReadErr = rsm.ErrStopped
	h.HandleGets(gets)
	if len(got) != len(gets) || got[1].Code == api.Reply_OK || got[4].Code != api.Reply_OK {
		t.Errorf("without a read: %v", got)
	}
}

// onDisk is a store that has nothing in memory.
type onDisk struct{ translate.Store }

func (onDisk) TryGets(keys []string, each func(int, kv.Result, bool)) {
	for i := range keys {
		each(i, kv.Result{}, false)
	}
}

// The replica's goroutines never wait for the disk.
func TestGetsFromTheDiskRunInTheBackground(t *testing.T) {
	h, _ := nodetest.New()
	ask(t, h, put("k", "v"))
	h.Store = onDisk{h.Store}
	want(t, h, &api.Request{Kind: api.Request_GET, Key: []byte("k")}, &api.Reply{Value: []byte("v"), Version: 1, CreateRevision: 2, ModRevision: 2, Revision: 2})
	var later []func()
	h.Background = func(read func()) { later = append(later, read) }
	var replies []*api.Reply
	for _, consistency := range []api.Request_Consistency{api.Request_LINEARIZABLE, api.Request_LEASE, api.Request_LOCAL} {
		h.Handle(&api.Request{Kind: api.Request_GET, Key: []byte("k"), Consistency: consistency}, func(r *api.Reply) { replies = append(replies, r) })
	}
	if len(replies) != 0 || len(later) != 3 {
		t.Fatalf("%d replies, %d reads wait", len(replies), len(later))
	}
	for _, read := range later {
		read()
	}
	if len(replies) != 3 || string(replies[2].Value) != "v" {
		t.Errorf("replies %v", replies)
	}
}

func TestKeysAreDeletedAndNoneAddedWhenThereIsNoRoom(t *testing.T) {
	for text, shortage := range map[string]translate.Shortage{
		translate.TextLowMemory: {LowMemory: true}, translate.TextLowPlaces: {LowPlaces: true}, translate.TextLowSpace: {LowSpace: true},
	} {
		h, _ := nodetest.New()
		ask(t, h, put("k", "v"))
		h.Shortage = func() translate.Shortage { return shortage }
		for _, req := range []*api.Request{
			put("k2", "v"), txnRequest(&api.Txn{}),
		} {
			if r := ask(t, h, req); r.Code != api.Reply_BUSY || !strings.Contains(r.Message, text) {
				t.Errorf("%s gets %v", req.Kind, r)
			}
		}
		// A Clerk may have to open a session before it deletes.
		remove := func() *api.Request {
			return &api.Request{Kind: api.Request_DELETE, Key: []byte("k"), Unconditional: true}
		}
		for _, req := range []*api.Request{
			remove(), leaseRequest(api.Request_LEASE_GRANT, &api.Lease{Id: 5, TtlMs: 1000, Session: true}), inSession(remove(), 1),
		} {
			if r := ask(t, h, req); r.Code != api.Reply_OK && r.Code != api.Reply_NO_KEY {
				t.Errorf("%s: %s gets %v", text, req.Kind, r)
			}
		}
	}
}
