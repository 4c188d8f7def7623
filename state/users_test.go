package state_test

import (
	"context"
	"encoding/binary"
	"reflect"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/check/naive"
	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/auth"
)

func change(c auth.Change) state.Command {
	return state.Command{More: &state.More{Kind: state.KindAuth, Auth: &c, User: "root", UserStamp: auth.ByCertificate}}
}

func TestCommandsWithAUserComeBackFromTheirByteForm(t *testing.T) {
	full := &auth.Change{
		Kind: auth.RoleGrant, User: "u", Role: "r", Hash: []byte("h"), NoPassword: true,
		Permission: auth.Permission{Access: auth.ReadWrite, Key: "a", End: "b"}, Secret: []byte("s"),
	}
	for _, more := range []state.More{
		{Kind: state.KindAuth, Auth: full, User: "root", UserStamp: 7},
		{Kind: state.KindAuth, Auth: &auth.Change{Kind: auth.Disable}},
		{Kind: state.KindCompact, Revision: 3, Internal: true},
		{Kind: state.KindRevoke, Lease: 3, User: "a", UserStamp: auth.ByCertificate, Session: state.SessionSeq{ID: 1, Seq: 2, Acked: 1}},
		{Kind: state.KindQuota, Quota: 5, UserStamp: 1},
		{Kind: state.KindAlarm, Alarm: state.AlarmChange{Alarm: state.Alarm{Member: 1 << 60, Kind: state.AlarmCorrupt}, Lift: true}},
	} {
		c := state.Command{More: &more}
		b := state.Codec{}.Append([]byte("before"), c)
		back, err := state.Codec{}.Decode(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, c) {
			t.Errorf("%s came back as %s", naive.Text(c), naive.Text(back))
		}
		for n := range b[len("before"):] {
			if _, err := (state.Codec{}).Decode(b[len("before"):][:n]); err == nil {
				t.Errorf("%s: %d bytes of %d are a command", naive.Text(c), n, len(b))
			}
		}
	}
}

// enabled is a machine with authentication on, where user a may write keys that begin with a.
func enabled(t *testing.T, m *state.Machine) {
	t.Helper()
	for _, c := range []auth.Change{
		{Kind: auth.UserAdd, User: "root"}, {Kind: auth.UserGrant, User: "root", Role: "root"},
		{Kind: auth.UserAdd, User: "a"}, {Kind: auth.RoleAdd, Role: "a"}, {Kind: auth.UserGrant, User: "a", Role: "a"},
		{Kind: auth.RoleGrant, Role: "a", Permission: auth.Permission{Access: auth.Write, Key: "a", End: "b"}},
		{Kind: auth.Enable, Secret: []byte("secret")},
	} {
		if r := m.DoOp(change(c)); r.Code != kv.CodeOK {
			t.Fatalf("%+v: %v", c, r.Code)
		}
	}
}

// TestEveryKindNeedsARight has each kind of command as nobody, as a user and as root sends it.
// It fails for a kind that it does not name.
func TestEveryKindNeedsARight(t *testing.T) {
	nobody, denied, ok := kv.CodeNoUser, kv.CodePermissionDenied, kv.CodeOK
	txn := func(key string) state.More {
		return state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: []kv.TxnOp{{Put: &kv.PutOp{Key: key}}}}}
	}
	rights := map[state.Kind]struct {
		more         state.More
		user, as, by kv.Code // as nobody, as a, as root
	}{
		state.KindTxn:     {txn("b"), nobody, denied, ok},
		state.KindCompact: {state.More{Revision: 1}, nobody, denied, ok},
		state.KindGrant:   {state.More{Lease: 1, TTL: 1e9}, nobody, ok, kv.CodeLeaseExists},
		state.KindRevoke:  {state.More{Lease: 2}, nobody, kv.CodeNoLease, kv.CodeNoLease},
		state.KindTick:    {state.More{}, ok, ok, ok},
		state.KindQuota:   {state.More{}, nobody, denied, ok},
		state.KindAuth:    {state.More{Auth: &auth.Change{Kind: auth.RoleAdd, Role: "new"}}, nobody, denied, ok},
		state.KindVersion: {state.More{Version: 2}, nobody, denied, ok},
		state.KindAlarm:   {state.More{Alarm: state.AlarmChange{Alarm: state.Alarm{Kind: 7}}}, nobody, denied, ok},
	}
	m, _ := openMachine(t, crashfs.NewCrashableMem())
	enabled(t, m)
	if r := m.DoOp(set("a", "")); r.Code != nobody {
		t.Errorf("an operation without more: %v", r.Code)
	}
	for kind := state.KindOp; ; kind++ {
		c := state.Command{More: &state.More{Kind: kind, User: "a", UserStamp: auth.ByCertificate, Txn: &kv.Txn{}}}
		if _, err := (state.Codec{}).Decode(state.Codec{}.Append(nil, c)); kind > state.KindOp && err != nil {
			return // no such kind
		}
		if kind == state.KindOp {
			c.Op = set("a1", "").Op
			if r := m.DoOp(c); r.Code != ok {
				t.Errorf("a put of an own key: %v", r.Code)
			}
			c.Op = set("b", "").Op
			if r := m.DoOp(c); r.Code != denied {
				t.Errorf("a put of another key: %v", r.Code)
			}
			continue
		}
		right, named := rights[kind]
		if !named {
			t.Errorf("kind %d has no row", kind)
			continue
		}
		for i, user := range []string{"", "a", "root"} {
			more := right.more
			more.Kind, more.User, more.UserStamp = kind, user, auth.ByCertificate
			want := []kv.Code{right.user, right.as, right.by}[i]
			if r := m.DoOp(state.Command{More: &more}); r.Code != want {
				t.Errorf("kind %d as %q: %v, want %v", kind, user, r.Code, want)
			}
		}
	}
}

func TestReplacedUsersAreSignalled(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewCrashableMem())
	_, replaced := m.Auth()
	m.DoOp(change(auth.Change{Kind: auth.UserDelete, User: "nobody"}))
	m.DoOp(set("a", ""))
	if wake.Closed(replaced) {
		t.Error("signalled, and nothing has changed")
	}
	m.DoOp(change(auth.Change{Kind: auth.UserAdd, User: "a"}))
	if !wake.Closed(replaced) {
		t.Error("a new user is not signalled")
	}
}

// resets is a publisher that calls when another state is there.
type resets struct {
	kv.Publisher
	call func()
}

func (r *resets) Active() bool                   { return false }
func (r *resets) Publish(uint64, []kv.Event)     {}
func (r *resets) Compacted(uint64)               {}
func (r *resets) Reset(revision, compact uint64) { r.call() }

// A state that is received brings its users and roles. Who watches by the rights of before is told so, and
// is so before any event of it.
func TestUsersOfAReceivedStateAreSignalled(t *testing.T) {
	leader, _ := openMachine(t, crashfs.NewCrashableMem())
	enabled(t, leader)
	if err := checkpoint(leader, 10); err != nil {
		t.Fatal(err)
	}
	stream, err := leader.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Data.Close()
	told := &resets{call: func() {}}
	m := state.New(state.Config{FS: crashfs.NewCrashableMem(), Dir: "state", Cluster: 7, ID: 1, Publisher: told})
	if _, _, err := m.Open(); err != nil {
		t.Fatal(err)
	}
	m.UseFetcher(from{leader})
	if err := m.ReceiveState(context.Background(), stream.Position, 0, 0, stream.Data); err != nil {
		t.Fatal(err)
	}
	_, replaced := m.Auth()
	resets := 0
	told.call = func() {
		resets++
		if users, _ := m.Auth(); !wake.Closed(replaced) || !users.Enabled() {
			t.Errorf("watchers are told of another state before they are of its users: %t", users.Enabled())
		}
	}
	if _, err := m.InstallState(stream.Position); err != nil || resets != 1 {
		t.Errorf("told %d times: %v", resets, err)
	}
}

// TestFileWithoutUsersIsRead turns a small file into one of format 1.
func TestFileWithoutUsersIsRead(t *testing.T) {
	fs := crashfs.NewCrashableMem()
	m, _ := openMachine(t, fs)
	m.DoOp(set("a", "1"))
	if _, err := m.Checkpoint(raft.SnapshotMeta{Index: 1, Term: 1})(context.Background()); err != nil {
		t.Fatal(err)
	}
	b := state.SmallFile(m)
	users := auth.New().Append(nil)
	length := binary.LittleEndian.Uint32(b[12:])
	cut := int(length) - len(users) - 1 // 1: its length
	old := append(b[:16:16], b[16:16+cut]...)
	old = append(old, b[16+length:]...)
	binary.LittleEndian.PutUint32(old[8:], 1)
	binary.LittleEndian.PutUint32(old[12:], uint32(cut))
	revision, err := state.DecodeSmallFile(old)
	if err != nil || revision != 1 {
		t.Errorf("auth revision %d: %v", revision, err)
	}
	binary.LittleEndian.PutUint32(b[8:], 3)
	if _, err := state.DecodeSmallFile(b); err == nil {
		t.Error("a format of the future is read")
	}
}
