package state_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// Each command has the same share of the time of those that were executed together, and none counts twice.
func TestExecutedCommandsAreCounted(t *testing.T) {
	var told []string
	m := state.New(state.Config{
		FS: crashfs.NewMem(), Dir: "state", Cluster: 7, ID: 1,
		OnExecuted: func(name int, taken bool, count int, each time.Duration) {
			told = append(told, fmt.Sprint(state.CommandNames[name], " ", taken, " ", count, " ", each))
		},
	})
	if _, _, err := m.Open(); err != nil {
		t.Fatal(err)
	}
	more := func(m state.More) state.Command { return state.Command{More: &m} }
	txn := func(ops ...kv.TxnOp) state.Command {
		return more(state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: ops}})
	}
	put, del := kv.TxnOp{Put: &kv.PutOp{Key: "a"}}, kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Single("a")}}
	m.Took(time.Second) // nothing was executed
	for _, c := range []state.Command{
		set("a", "1"), set("a", "2"), txn(put), txn(del), txn(put, kv.TxnOp{Range: &kv.RangeOp{Span: kv.Single("b")}}), txn(),
		{Op: kv.Op{Kind: kv.Delete, Key: "none"}}, {Op: kv.Op{Kind: kv.Get, Key: "a"}}, {Op: kv.Op{Kind: 9, Key: "a"}},
		more(state.More{Kind: state.KindCompact, Revision: 1 << 40}), more(state.More{Kind: state.KindCompact}),
		grant(5, 1, false), more(state.More{Kind: state.KindRevoke, Lease: 6}), tick(1), more(state.More{Kind: state.KindQuota}),
		more(state.More{Kind: state.KindAuth, Auth: &auth.Change{Kind: auth.RoleAdd, Role: "r"}}), more(state.More{Kind: state.KindAuth}),
		more(state.More{Kind: 99}),
	} {
		m.DoOp(c)
	}
	m.Took(36 * time.Millisecond)
	m.Took(time.Second)
	slices.Sort(told)
	want := []string{
		"AuthRoleAdd true 1 2ms", "Compaction false 1 2ms", "Compaction true 1 2ms", "DeleteRange true 2 2ms", "LeaseGrant true 1 2ms",
		"LeaseRevoke false 1 2ms", "Put true 3 2ms", "Quota true 1 2ms", "Range true 1 2ms", "Tick true 1 2ms", "Txn true 2 2ms", "unknown false 3 2ms",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%q, want\n%q", told, want)
	}
}
