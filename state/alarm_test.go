package state_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/auth"
	"balsa.example/state/logtime"
)

func alarm(kind state.AlarmKind, member uint64, lift bool) state.Command {
	return state.Command{More: &state.More{Kind: state.KindAlarm, Alarm: state.AlarmChange{Alarm: state.Alarm{Member: member, Kind: kind}, Lift: lift}}}
}

// alarming is a machine of a cluster that uses alarms.
func alarming(t *testing.T) *state.Machine {
	m, _ := openMachine(t, crashfs.NewCrashableMem())
	m.DoOp(raise(3))
	return m
}

func txnOf(ops ...kv.TxnOp) state.Command {
	return state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: ops}}}
}

// TestWhatAlarmsRefuse has every kind of command under each alarm.
func TestWhatAlarmsRefuse(t *testing.T) {
	put := kv.TxnOp{Put: &kv.PutOp{Key: "a"}}
	get := kv.TxnOp{Range: &kv.RangeOp{Span: kv.Single("a")}}
	del := kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Single("z")}}
	nested := kv.TxnOp{Txn: &kv.Txn{Else: []kv.TxnOp{put}}}
	more := func(m state.More) state.Command { return state.Command{More: &m} }
	ok, full, corrupt := kv.CodeOK, kv.CodeNoSpace, kv.CodeCorrupt
	for _, tt := range []struct {
		name                  string
		command               state.Command
		at, noSpace, corrupt_ kv.Code // without an alarm, and under each
	}{
		{"put", set("a", "1"), ok, full, corrupt},
		{"get", state.Command{Op: kv.Op{Kind: kv.Get, Key: "b"}}, ok, ok, ok},
		{"delete", state.Command{Op: kv.Op{Kind: kv.Delete, Key: "z", Unconditional: true}}, kv.CodeNoKey, kv.CodeNoKey, corrupt},
		{"txn with a put", txnOf(get, put), ok, full, corrupt},
		{"txn with a put in a nested one", txnOf(nested), ok, full, corrupt},
		{"txn with a delete", txnOf(del), ok, ok, corrupt},
		{"txn with a range", txnOf(get), ok, ok, ok},
		{"compact", compact(1 << 40), kv.CodeFutureRevision, kv.CodeFutureRevision, corrupt},
		{"grant", more(state.More{Kind: state.KindGrant, Lease: 1, TTL: 1e9}), ok, full, corrupt},
		{"revoke", more(state.More{Kind: state.KindRevoke, Lease: 3}), kv.CodeNoLease, kv.CodeNoLease, corrupt},
		{"tick", more(state.More{Kind: state.KindTick}), ok, ok, ok},
		{"quota", more(state.More{Kind: state.KindQuota}), ok, ok, ok},
		{"an unknown alarm", alarm(7, 1, false), ok, ok, ok},
	} {
		m := alarming(t)
		m.DoOp(set("b", "1"))
		for _, under := range []struct {
			kind state.AlarmKind
			want kv.Code
		}{{0, tt.at}, {state.AlarmNoSpace, tt.noSpace}, {state.AlarmCorrupt, tt.corrupt_}} {
			if under.kind != 0 {
				m.DoOp(alarm(under.kind, 5, false))
			}
			if r := m.DoOp(tt.command); r.Code != under.want {
				t.Errorf("%s under %d: %v, want %v", tt.name, under.kind, r.Code, under.want)
			}
		}
	}
}

func TestAlarmsAreRaisedAndLifted(t *testing.T) {
	m := alarming(t)
	for i, step := range []struct {
		command state.Command
		want    kv.Code
		raised  []state.Alarm
	}{
		{alarm(0, 5, false), kv.CodeInvalid, nil},
		{alarm(state.AlarmNoSpace, 5, true), kv.CodeNoAlarm, nil},
		{alarm(state.AlarmCorrupt, 5, false), kv.CodeOK, []state.Alarm{{5, 2}}},
		{alarm(state.AlarmNoSpace, 7, false), kv.CodeOK, []state.Alarm{{7, 1}, {5, 2}}},
		{alarm(state.AlarmNoSpace, 7, false), kv.CodeOK, []state.Alarm{{7, 1}, {5, 2}}},
		{alarm(state.AlarmCorrupt, 7, true), kv.CodeNoAlarm, []state.Alarm{{7, 1}, {5, 2}}},
		{set("a", "1"), kv.CodeCorrupt, []state.Alarm{{7, 1}, {5, 2}}},
		{alarm(state.AlarmCorrupt, 5, true), kv.CodeOK, []state.Alarm{{7, 1}}},
		{set("a", "1"), kv.CodeNoSpace, []state.Alarm{{7, 1}}},
		{alarm(state.AlarmNoSpace, 7, true), kv.CodeOK, nil},
		{set("a", "1"), kv.CodeOK, nil},
	} {
		if r := m.DoOp(step.command); r.Code != step.want || !slices.Equal(m.Alarms(), step.raised) {
			t.Errorf("step %d: %v and alarms %v, want %v and %v", i, r.Code, m.Alarms(), step.want, step.raised)
		}
	}
	for i := range state.MaxAlarms {
		m.DoOp(alarm(3, uint64(i), false))
	}
	if r := m.DoOp(alarm(3, state.MaxAlarms, false)); r.Code != kv.CodeTooManyAlarms || len(m.Alarms()) != state.MaxAlarms {
		t.Errorf("one more than %d: %v, and there are %d", state.MaxAlarms, r.Code, len(m.Alarms()))
	}
}

// TestNoLeaseEndsUnderTheAlarmCorrupt: when that is lifted leases that are due end.
func TestNoLeaseEndsUnderTheAlarmCorrupt(t *testing.T) {
	m := alarming(t)
	tick := func(at logtime.Time) {
		m.DoOp(state.Command{More: &state.More{Kind: state.KindTick, Stamp: logtime.Stamp{Log: at}}})
	}
	m.DoOp(state.Command{More: &state.More{Kind: state.KindGrant, Lease: 1, TTL: 10, Stamp: logtime.Stamp{Log: 1}}})
	m.DoOp(alarm(state.AlarmCorrupt, 0, false))
	tick(50)
	if v, _ := m.TimeView(); len(m.Leases()) != 1 || v.Due {
		t.Errorf("leases %v, due: %t", m.Leases(), v.Due)
	}
	m.DoOp(alarm(state.AlarmCorrupt, 0, true))
	if v, _ := m.TimeView(); !v.Due {
		t.Error("nothing is due")
	}
	if tick(51); len(m.Leases()) != 0 {
		t.Errorf("leases %v", m.Leases())
	}
}

// TestTheAlarmOfTheQuotaIsThatOfTheState from version 3 on: it survives restarts, and ends by itself or when it is
// lifted.
func TestTheAlarmOfTheQuotaIsThatOfTheState(t *testing.T) {
	fs := crashfs.NewMem()
	m, err := versioned(t, fs, 0)
	if err != nil {
		t.Fatal(err)
	}
	large := set("large", string(make([]byte, 900)))
	m.DoOp(state.Command{More: &state.More{Kind: state.KindQuota, Quota: 1000}})
	m.DoOp(set("small", string(make([]byte, 100))))
	m.DoOp(large)
	m.DoOp(raise(3))
	if m.Figures().AtQuota() {
		t.Error("what was refused before the version was raised is not forgotten")
	}
	if r := m.DoOp(large); r.Code != kv.CodeQuota || !m.Figures().AtQuota() {
		t.Errorf("%v, at its quota: %t", r.Code, m.Figures().AtQuota())
	}
	m.DoOp(alarm(state.AlarmCorrupt, 9, false))
	if err := checkpoint(m, 6); err != nil {
		t.Fatal(err)
	}
	again, err := versioned(t, fs, 0)
	if err != nil || !again.Figures().AtQuota() || again.Hash() != m.Hash() || !slices.Equal(again.Alarms(), m.Alarms()) {
		t.Fatalf("opened again: %v", err)
	}
	if r := m.DoOp(alarm(state.AlarmNoSpace, 0, true)); r.Code != kv.CodeOK || m.Figures().AtQuota() {
		t.Errorf("lifted: %v, at its quota: %t", r.Code, m.Figures().AtQuota())
	}
	if r := m.DoOp(alarm(state.AlarmNoSpace, 0, true)); r.Code != kv.CodeNoAlarm {
		t.Errorf("lifted twice: %v", r.Code)
	}
	again.DoOp(alarm(state.AlarmCorrupt, 9, true))
	again.DoOp(state.Command{Op: kv.Op{Kind: kv.Delete, Key: "small", Unconditional: true}})
	if again.Figures().AtQuota() {
		t.Error("it does not end when there is room")
	}
	im := imageOf(t, again)
	if _, err := im.Restore(context.Background(), filesOf(fs), state.Restoration{FS: crashfs.NewMem(), Dir: "state", Revision: 2}); err != nil {
		t.Error(err)
	}
}

// TestAnOlderClusterHasNoAlarms: they are refused before they come into the log.
func TestAnOlderClusterHasNoAlarms(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewCrashableMem())
	m.DoOp(raise(2))
	if err := m.Refuse(alarm(state.AlarmCorrupt, 1, false)); !errors.Is(err, state.ErrVersion) {
		t.Error(err)
	}
	m.DoOp(raise(3))
	if err := m.Refuse(alarm(state.AlarmCorrupt, 1, false)); err != nil {
		t.Error(err)
	}
	if _, err := (state.Codec{Version: 2}).Decode(state.Codec{}.Append(nil, alarm(1, 1, false))); err == nil {
		t.Error("an older program decodes it")
	}
}

// TestAlarmsLeaveRightsAsTheyAre: what a user may not do is refused for that reason, whatever else refuses it, and
// what an alarm or the quota lets through has still to be allowed.
func TestAlarmsLeaveRightsAsTheyAre(t *testing.T) {
	as := func(user string, c state.Command) state.Command {
		more := state.More{Kind: state.KindOp}
		if c.More != nil {
			more = *c.More
		}
		more.User, more.UserStamp = user, auth.ByCertificate
		c.More = &more
		return c
	}
	remove := func(key string) state.Command {
		return state.Command{Op: kv.Op{Kind: kv.Delete, Key: key, Unconditional: true}}
	}
	under := map[string]struct {
		begin state.Command
		put   kv.Code // of a key that user a may write
		del   kv.Code
	}{
		"nothing": {state.Command{Op: kv.Op{Kind: kv.Get, Key: "a"}}, kv.CodeOK, kv.CodeOK},
		"nospace": {alarm(state.AlarmNoSpace, 5, false), kv.CodeNoSpace, kv.CodeOK},
		"corrupt": {alarm(state.AlarmCorrupt, 5, false), kv.CodeCorrupt, kv.CodeCorrupt},
		"quota":   {state.Command{More: &state.More{Kind: state.KindQuota, Quota: 1}}, kv.CodeQuota, kv.CodeOK},
	}
	for name, tt := range under {
		m := alarming(t)
		enabled(t, m)
		for _, key := range []string{"a", "b"} {
			m.DoOp(as("root", set(key, "1")))
		}
		if r := m.DoOp(as("root", tt.begin)); r.Code != kv.CodeOK {
			t.Fatalf("%s: %v", name, r.Code)
		}
		for _, step := range []struct {
			what    string
			command state.Command
			want    kv.Code
		}{
			{"nobody's put", set("b", "2"), kv.CodeNoUser},
			{"a put of another's key", as("a", set("b", "2")), kv.CodePermissionDenied},
			{"a delete of another's key", as("a", remove("b")), kv.CodePermissionDenied},
			{"a transaction that deletes it", as("a", txnOf(kv.TxnOp{Delete: &kv.DeleteOp{Span: kv.Single("b")}})), kv.CodePermissionDenied},
			{"a transaction that reads it", as("a", txnOf(kv.TxnOp{Range: &kv.RangeOp{Span: kv.Single("b")}})), kv.CodePermissionDenied},
			{"a compaction", as("a", compact(2)), kv.CodePermissionDenied},
			{"the end of the alarm", as("a", alarm(state.AlarmNoSpace, 5, true)), kv.CodePermissionDenied},
			{"a put", as("a", set("a", "2")), tt.put},
			{"a delete", as("a", remove("a")), tt.del},
		} {
			if r := m.DoOp(step.command); r.Code != step.want {
				t.Errorf("%s, %s: %v, want %v", name, step.what, r.Code, step.want)
			}
		}
	}
}
