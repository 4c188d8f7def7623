package clerk_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

func commit(t *testing.T, txn *clerk.Txn) *clerk.TxnResult {
	t.Helper()
	r, err := txn.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConditions(t *testing.T) {
	service(t, 1, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		lease, err := ck.Grant(t.Context(), 1e9*60)
		if err != nil {
			t.Fatal(err)
		}
		set(t, ck, "a", "v") // created 2
		set(t, ck, "a", "w", clerk.WithLease(lease.ID()))
		set(t, ck, "b/1", "x") // 4
		set(t, ck, "b/2", "x")
		b := clerk.Prefix("b/")
		for name, tc := range map[string]struct {
			yes, no []clerk.Compare
		}{
			"version": {
				[]clerk.Compare{clerk.Version("a").Equals(2), clerk.Version("a").Above(1), clerk.Version("a").Below(3), clerk.Version("a").NotEquals(1), clerk.Version(b).Equals(1)},
				[]clerk.Compare{clerk.Version("a").Equals(1), clerk.Version("a").Above(2), clerk.Version("a").Below(2), clerk.Version("a").NotEquals(2), clerk.Version(b).Above(1)},
			},
			"revisions": {
				[]clerk.Compare{clerk.CreateRevision("a").Equals(2), clerk.ModRevision("a").Equals(3), clerk.ModRevision(b).Above(3), clerk.ModRevision("none").Equals(0)},
				[]clerk.Compare{clerk.CreateRevision("a").Equals(3), clerk.ModRevision("a").Equals(2), clerk.ModRevision(b).Above(4), clerk.CreateRevision("none").Above(0)},
			},
			"value": {
				[]clerk.Compare{clerk.Value("a").Equals([]byte("w")), clerk.Value("a").Above([]byte("v")), clerk.Value("a").Below([]byte("x")), clerk.Value(b).NotEquals([]byte("w"))},
				[]clerk.Compare{clerk.Value("a").Equals([]byte("v")), clerk.Value("none").NotEquals([]byte("v")), clerk.Value("none").Equals(nil)},
			},
			"lease": {
				[]clerk.Compare{clerk.LeaseOf("a").Equals(uint64(lease.ID())), clerk.LeaseOf("b/1").Equals(0)},
				[]clerk.Compare{clerk.LeaseOf("a").Equals(0)},
			},
			"presence": {
				[]clerk.Compare{clerk.Missing("none"), clerk.Missing(clerk.Prefix("c/")), clerk.Exists("a")},
				[]clerk.Compare{clerk.Missing("a"), clerk.Missing(b), clerk.Exists("none")},
			},
		} {
			for want, compares := range map[bool][]clerk.Compare{true: tc.yes, false: tc.no} {
				for _, c := range compares {
					if r := commit(t, ck.Txn(t.Context()).If(c)); r.Succeeded != want {
						t.Errorf("%s: %+v is %v", name, c, r.Succeeded)
					}
				}
			}
		}
	})
}

func TestTxnResults(t *testing.T) {
	service(t, 2, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		set(t, ck, "a", "old")
		set(t, ck, "d/1", "x")
		set(t, ck, "d/2", "y") // revision 4
		r := commit(t, ck.Txn(t.Context()).
			If(clerk.Exists("a"), clerk.Missing("b")).
			Then(
				clerk.OpPut("a", []byte("new"), clerk.WithPrev()),
				clerk.OpPut("b", nil, clerk.WithPrev()),
				clerk.OpDelete(clerk.Prefix("d/"), clerk.WithPrev()),
				clerk.OpGet("a"),
				clerk.OpTxn([]clerk.Compare{clerk.Exists("b")}, nil, []clerk.TxnOp{clerk.OpRange(clerk.Span{}, clerk.KeysOnly(), clerk.Limit(1))}),
			).
			Else(clerk.OpDelete("a")))
		if !r.Succeeded || r.Revision != 5 || len(r.Results) != 5 || r.Incomplete {
			t.Fatalf("%+v", r)
		}
		describe := func(kvs []clerk.KV) string {
			var all []string
			for _, kv := range kvs {
				all = append(all, kv.Key+"="+string(kv.Value))
			}
			return strings.Join(all, " ")
		}
		for i, want := range []string{"a=old", "", "d/1=x d/2=y", "a=new"} {
			if got := describe(r.Results[i].KVs); got != want {
				t.Errorf("result %d: %q, want %q", i, got, want)
			}
		}
		if n := r.Results[2].Deleted; n != 2 {
			t.Errorf("deleted %d", n)
		}
		inner := r.Results[4].Txn // compares see the store as it was before
		if inner == nil || inner.Succeeded || describe(inner.Results[0].KVs) != "a=" || inner.Results[0].Count != 2 || !inner.Results[0].More {
			t.Errorf("nested: %+v", inner)
		}
		if r := commit(t, ck.Txn(t.Context()).If(clerk.Missing("a")).Else(clerk.OpDelete("a"))); r.Succeeded || r.Results[0].Deleted != 1 {
			t.Errorf("else: %+v", r)
		}
	})
}

func TestRefusedTransactionsChangeNothing(t *testing.T) {
	service(t, 3, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		set(t, ck, "a", "v")
		put := clerk.OpPut("b", nil)
		for name, tc := range map[string]struct {
			ops  []clerk.TxnOp
			want error
		}{
			"twice":             {[]clerk.TxnOp{put, put}, clerk.ErrDuplicateKey},
			"put and delete":    {[]clerk.TxnOp{put, clerk.OpDelete(clerk.Prefix("b"))}, clerk.ErrDuplicateKey},
			"no lease":          {[]clerk.TxnOp{put, clerk.OpPut("c", nil, clerk.WithLease(7))}, clerk.ErrNoLease},
			"too many":          {slices.Repeat([]clerk.TxnOp{clerk.OpGet("a")}, 200), clerk.ErrTooManyOps},
			"empty key":         {[]clerk.TxnOp{put, clerk.OpPut("", nil)}, clerk.ErrInvalid},
			"at an old one":     {[]clerk.TxnOp{put, clerk.OpRange(clerk.Key("a"), clerk.AtRevision(77))}, clerk.ErrFutureRevision},
			"too large":         {[]clerk.TxnOp{put, clerk.OpPut("c", make([]byte, clerk.DefaultMaxBytes))}, clerk.ErrTooLarge},
			"keeps no lease":    {[]clerk.TxnOp{put, clerk.OpPut("none", nil, clerk.KeepLease())}, clerk.ErrNoKey},
			"nothing in one op": {[]clerk.TxnOp{put, {}}, clerk.ErrInvalid},
		} {
			_, err := ck.Txn(t.Context()).Then(tc.ops...).Commit()
			if !errors.Is(err, tc.want) || errors.Is(err, clerk.ErrMaybe) {
				t.Errorf("%s: %v, want %v", name, err, tc.want)
			}
		}
		if kv, err := ck.Get(t.Context(), "a"); err != nil || kv.Revision != 2 {
			t.Errorf("%+v, %v", kv, err)
		}
	})
}

func TestPutOptions(t *testing.T) {
	service(t, 4, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		lease, err := ck.Grant(t.Context(), 1e9*60)
		if err != nil {
			t.Fatal(err)
		}
		on := clerk.WithLease(lease.ID())
		kv, err := ck.Put(t.Context(), "k", []byte("1"), 0, on, clerk.WithPrev())
		if err != nil || kv.Version != 1 || kv.CreateRevision != 2 || kv.ModRevision != 2 || kv.Prev != nil || kv.Lease != lease.ID() {
			t.Errorf("create: %+v, %v", kv, err)
		}
		kv, err = ck.Put(t.Context(), "k", []byte("2"), 1, clerk.KeepLease(), clerk.WithPrev())
		if err != nil || kv.Version != 2 || kv.CreateRevision != 2 || kv.Prev == nil || string(kv.Prev.Value) != "1" || kv.Prev.Lease != lease.ID() || kv.Lease != lease.ID() {
			t.Errorf("replace: %+v, %v", kv, err)
		}
		if kv, err = ck.Get(t.Context(), "k"); err != nil || kv.Lease != lease.ID() {
			t.Errorf("get: %+v, %v", kv, err)
		}
		var wrong *clerk.VersionError
		if _, err = ck.Put(t.Context(), "k", nil, 1, on); !errors.As(err, &wrong) || wrong.Current != 2 || wrong.Expected != 1 {
			t.Errorf("at a wrong version: %v", err)
		}
		if _, err = ck.Put(t.Context(), "none", nil, 1, on); !errors.Is(err, clerk.ErrNoKey) {
			t.Errorf("at a version of nothing: %v", err)
		}
		if _, err = ck.Set(t.Context(), "k", nil, clerk.WithLease(99)); !errors.Is(err, clerk.ErrNoLease) {
			t.Errorf("on no lease: %v", err)
		}
		if info, err := ck.TimeToLive(t.Context(), lease.ID()); err != nil || !slices.Equal(info.Keys, []string{"k"}) {
			t.Errorf("%+v, %v", info, err)
		}
		set(t, ck, "k", "3")
		if info, err := ck.TimeToLive(t.Context(), lease.ID()); err != nil || len(info.Keys) != 0 {
			t.Errorf("a put without a lease lets the key on it: %+v, %v", info, err)
		}
	})
}
