package etcd_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/frontend/etcd/v3electionpb"
	"balsa.example/internal/frontend/etcd/v3lockpb"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// guarded is a world with authentication on, where passwords cost little, if there are any. User reader may read the
// keys from a up to b, writer may write them, both may do both, and loner has no role. The lease 1
// has key a1, lease 2 has keys a2 and z.
func guarded(t testing.TB, passwords bool) *world {
	w := newWorld(t)
	w.Face = etcd.New(etcd.Config{
		Node: w.node, Member: w.node, ClusterID: 7, MemberID: 8, ElectionTimeout: 1e9,
		Access: access.New(member{w.node}, access.Config{BcryptCost: 4}),
	})
	for _, name := range []string{"root", "reader", "writer", "both", "loner"} {
		do(t, w, w.UserAdd, &pb.AuthUserAddRequest{
			Name: name, Password: name + " password", Options: &authpb.UserAddOptions{NoPassword: !passwords},
		})
	}
	do(t, w, w.UserGrantRole, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
	for name, kind := range map[string]authpb.Permission_Type{
		"reader": authpb.Permission_READ, "writer": authpb.Permission_WRITE, "both": authpb.Permission_READWRITE,
	} {
		do(t, w, w.RoleAdd, &pb.AuthRoleAddRequest{Name: name})
		do(t, w, w.UserGrantRole, &pb.AuthUserGrantRoleRequest{User: name, Role: name})
		do(t, w, w.RoleGrantPermission, &pb.AuthRoleGrantPermissionRequest{
			Name: name, Perm: &authpb.Permission{PermType: kind, Key: []byte("a"), RangeEnd: []byte("b")},
		})
	}
	for id, keys := range map[int64][]string{1: {"a1"}, 2: {"a2", "z"}} {
		do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: id, TTL: 1000})
		for _, key := range keys {
			do(t, w, w.Put, &pb.PutRequest{Key: []byte(key), Value: []byte("v"), Lease: id})
		}
	}
	do(t, w, w.AuthEnable, &pb.AuthEnableRequest{})
	return w
}

type member struct{ *node }

func (m member) Read(ctx context.Context) error       { return m.node.Read(ctx, nil) }
func (m member) Auth() (*auth.Table, <-chan struct{}) { return m.machine.Auth() }
func (m member) NextLeaseKey(id int64, from string) (string, bool) {
	return m.machine.NextLeaseKey(id, from)
}

// as is a caller with a token.
func (w *world) as(t testing.TB, name string) *etcd.Caller {
	t.Helper()
	r, err := w.Authenticate(t.Context(), &etcd.Caller{}, &pb.AuthenticateRequest{Name: name, Password: name + " password"})
	if err != nil {
		t.Fatal(err)
	}
	return &etcd.Caller{Token: r.Token}
}

// one is a stream with one request, which keeps nothing.
type one struct {
	ctx  context.Context
	req  proto.Message
	done bool
}

func (s *one) Context() context.Context  { return s.ctx }
func (s *one) Stopping() <-chan struct{} { return s.ctx.Done() }
func (s *one) Send(proto.Message) error  { return nil }

func (s *one) Receive(m proto.Message) error {
	if s.done {
		return io.EOF
	}
	s.done = true
	proto.Merge(m, s.req)
	return nil
}

// invoke calls a method as a transport does.
func (w *world) invoke(t testing.TB, name string, c *etcd.Caller, req proto.Message) error {
	t.Helper()
	i := slices.IndexFunc(etcd.Methods, func(m etcd.Method) bool { return strings.HasSuffix(m.Name, "/"+name) })
	if i < 0 {
		t.Fatalf("no method %s", name)
	}
	caller := *c
	if m := etcd.Methods[i]; m.Serve != nil {
		return m.Serve(w.Face, &caller, &one{ctx: t.Context(), req: req})
	} else {
		_, err := m.Call(w.Face, t.Context(), &caller, proto.Clone(req))
		return err
	}
}

// The outcomes of a row, one letter for each caller: . allowed, d permission denied.
//
//	reader writer both loner root
var callers = []string{"reader", "writer", "both", "loner", "root"}

func putOp(key string, prev bool, lease int64) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), PrevKv: prev, Lease: lease}}}
}

func rangeOp(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func deleteOp(key, end string, prev bool) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
		RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end), PrevKv: prev},
	}}
}

func txnOp(t *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: t}}
}

func ops(all ...*pb.RequestOp) *pb.TxnRequest { return &pb.TxnRequest{Success: all} }

func compares(key, end string) *pb.TxnRequest {
	return &pb.TxnRequest{Compare: []*pb.Compare{{
		Key: []byte(key), RangeEnd: []byte(end), Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: 77},
	}}}
}

var rightsMatrix = []struct {
	method  string
	req     proto.Message
	allowed string
}{
	{"Range", &pb.RangeRequest{Key: []byte("a")}, ".d.d."},
	{"Range", &pb.RangeRequest{Key: []byte("z")}, "dddd."},
	{"Range", &pb.RangeRequest{Key: []byte("a"), Serializable: true}, ".d.d."},
	{"Range", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("b")}, ".d.d."},
	{"Range", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("c")}, "dddd."},
	{"Range", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte{0}}, "dddd."},
	{"Range", &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}, "dddd."},
	{"Range", &pb.RangeRequest{Key: []byte("z"), CountOnly: true}, "dddd."},
	{"RangeStream", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("b")}, ".d.d."},
	{"RangeStream", &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte{0}}, "dddd."},

	{"Put", &pb.PutRequest{Key: []byte("a")}, "d..d."},
	{"Put", &pb.PutRequest{Key: []byte("z")}, "dddd."},
	{"Put", &pb.PutRequest{Key: []byte("a"), PrevKv: true}, "dd.d."},
	{"Put", &pb.PutRequest{Key: []byte("a"), Lease: 1}, "d..d."},
	{"Put", &pb.PutRequest{Key: []byte("a"), Lease: 2}, "dddd."},
	{"DeleteRange", &pb.DeleteRangeRequest{Key: []byte("a")}, "d..d."},
	{"DeleteRange", &pb.DeleteRangeRequest{Key: []byte("a"), PrevKv: true}, "dd.d."},
	{"DeleteRange", &pb.DeleteRangeRequest{Key: []byte("a9"), RangeEnd: []byte{0}}, "dddd."},

	{"Txn", &pb.TxnRequest{}, "....."},
	{"Txn", ops(putOp("a", false, 0)), "d..d."},
	{"Txn", ops(putOp("a", true, 0)), "dd.d."},
	{"Txn", ops(putOp("a", false, 2)), "dddd."},
	{"Txn", ops(rangeOp("a", "")), ".d.d."},
	{"Txn", ops(rangeOp("a", "\x00")), "dddd."},
	{"Txn", ops(deleteOp("a9", "a99", false)), "d..d."},
	{"Txn", ops(deleteOp("a9", "a99", true)), "dd.d."},
	{"Txn", compares("a", ""), ".d.d."},
	{"Txn", compares("z", ""), "dddd."},
	{"Txn", compares("a", "\x00"), "dddd."},
	// Of the list that is not executed, too.
	{"Txn", &pb.TxnRequest{Failure: []*pb.RequestOp{putOp("z", false, 0)}}, "dddd."},
	{"Txn", ops(txnOp(ops(putOp("z", false, 0)))), "dddd."},
	{"Txn", ops(txnOp(ops(putOp("a", true, 0)))), "dd.d."},
	{"Txn", ops(txnOp(ops(txnOp(ops(rangeOp("z", "")))))), "dddd."},
	{"Txn", ops(txnOp(compares("z", ""))), "dddd."},
	{"Txn", ops(txnOp(ops(putOp("a", false, 2)))), "dddd."},
	{"Compact", &pb.CompactionRequest{Revision: 1}, "dddd."},

	{"LeaseGrant", &pb.LeaseGrantRequest{TTL: 1000}, "....."},
	{"LeaseKeepAlive", &pb.LeaseKeepAliveRequest{ID: 1}, "d..d."},
	{"LeaseKeepAlive", &pb.LeaseKeepAliveRequest{ID: 2}, "dddd."},
	{"LeaseTimeToLive", &pb.LeaseTimeToLiveRequest{ID: 2}, "....."},
	{"LeaseTimeToLive", &pb.LeaseTimeToLiveRequest{ID: 1, Keys: true}, ".d.d."},
	{"LeaseTimeToLive", &pb.LeaseTimeToLiveRequest{ID: 2, Keys: true}, "dddd."},
	{"LeaseLeases", &pb.LeaseLeasesRequest{}, "dddd."},
	{"LeaseRevoke", &pb.LeaseRevokeRequest{ID: 2}, "dddd."},
	{"LeaseRevoke", &pb.LeaseRevokeRequest{ID: 1}, "d..d."},

	{"MemberList", &pb.MemberListRequest{}, "....."},
	{"Alarm", &pb.AlarmRequest{}, "....."},
	{"Alarm", &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE}, "dddd."},
	{"Status", &pb.StatusRequest{}, "....."},
	{"Hash", &pb.HashRequest{}, "dddd."},
	{"HashKV", &pb.HashKVRequest{}, "dddd."},
	{"Defragment", &pb.DefragmentRequest{}, "dddd."},

	{"Lock", &v3lockpb.LockRequest{Name: []byte("a")}, "dd.d."},
	{"Lock", &v3lockpb.LockRequest{Name: []byte("a"), Lease: 2}, "dddd."},
	{"Lock", &v3lockpb.LockRequest{Name: []byte("z")}, "dddd."},
	{"Unlock", &v3lockpb.UnlockRequest{Key: []byte("a1")}, "d..d."},
	{"Unlock", &v3lockpb.UnlockRequest{Key: []byte("z")}, "dddd."},
	{"Campaign", &v3electionpb.CampaignRequest{Name: []byte("a"), Lease: 1}, "dd.d."},
	{"Campaign", &v3electionpb.CampaignRequest{Name: []byte("z")}, "dddd."},
	// Of a key that there is none of, its creation is at 0.
	{"Proclaim", &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Key: []byte("a7")}}, "dd.d."},
	{"Proclaim", &v3electionpb.ProclaimRequest{Leader: &v3electionpb.LeaderKey{Key: []byte("z7")}}, "dddd."},
	{"Resign", &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{Key: []byte("a7")}}, "dd.d."},

	{"AuthEnable", &pb.AuthEnableRequest{}, "dddd."},
	{"AuthDisable", &pb.AuthDisableRequest{}, "dddd."},
	{"UserAdd", &pb.AuthUserAddRequest{Name: "new", Password: "p"}, "dddd."},
	{"UserGet", &pb.AuthUserGetRequest{Name: "reader"}, ".ddd."},
	{"UserGet", &pb.AuthUserGetRequest{Name: "loner"}, "ddd.."},
	{"UserList", &pb.AuthUserListRequest{}, "dddd."},
	{"UserDelete", &pb.AuthUserDeleteRequest{Name: "loner"}, "dddd."},
	{"UserChangePassword", &pb.AuthUserChangePasswordRequest{Name: "loner", Password: "p"}, "dddd."},
	{"UserGrantRole", &pb.AuthUserGrantRoleRequest{User: "loner", Role: "root"}, "dddd."},
	{"UserRevokeRole", &pb.AuthUserRevokeRoleRequest{Name: "reader", Role: "reader"}, "dddd."},
	{"RoleAdd", &pb.AuthRoleAddRequest{Name: "new"}, "dddd."},
	{"RoleGet", &pb.AuthRoleGetRequest{Role: "reader"}, ".ddd."},
	{"RoleList", &pb.AuthRoleListRequest{}, "dddd."},
	{"RoleDelete", &pb.AuthRoleDeleteRequest{Role: "reader"}, "dddd."},
	{"RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: "reader", Perm: &authpb.Permission{Key: []byte("z")}}, "dddd."},
	{"RoleRevokePermission", &pb.AuthRoleRevokePermissionRequest{Role: "reader", Key: []byte("a"), RangeEnd: []byte("b")}, "dddd."},
}

// open are the methods that need no user. Watch decides of each watcher: TestRightsOfWatchers.
var open = []string{"AuthStatus", "Authenticate", "Watch"}

// adminOnly are methods that the matrix has no row for: they take no keys, and the list of methods
// says that they are for the role root.
//
// Leader and Observe are not for that role alone: TestQueuesAreReadByTheRightsOfTheirKeys.
var adminOnly = []string{"Leader", "Observe", "Snapshot", "MoveLeader", "Downgrade", "MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote"}

// TestRightsOfEveryMethod calls each method as each kind of user, and as nobody, with a wrong token
// and with that of a password that has changed. It fails for a method that has no row.
func TestRightsOfEveryMethod(t *testing.T) {
	rows := map[string]bool{}
	for _, row := range rightsMatrix {
		rows[row.method] = true
		for i, name := range callers {
			w := guarded(t, false)
			err := w.invoke(t, row.method, &etcd.Caller{CommonName: name}, row.req)
			if denied := err != nil && err.Error() == translate.ErrPermissionDenied.Text; denied != (row.allowed[i] == 'd') || !denied && err != nil {
				t.Errorf("%s %v as %s: %v, want %c", row.method, row.req, name, err, row.allowed[i])
			}
		}
	}
	w := guarded(t, true)
	changed := w.as(t, "both")
	if err := w.invoke(t, "UserChangePassword", w.as(t, "root"), &pb.AuthUserChangePasswordRequest{Name: "both", Password: "x"}); err != nil {
		t.Fatal(err)
	}
	revision := w.node.machine.Revision()
	for _, m := range etcd.Methods {
		name := m.Name[strings.LastIndex(m.Name, "/")+1:]
		if slices.Contains(open, name) {
			continue
		}
		if !rows[name] && !slices.Contains(adminOnly, name) {
			t.Errorf("%s has no row in the matrix", m.Name)
		}
		req := m.NewRequest()
		for _, row := range rightsMatrix {
			if row.method == name {
				req = row.req
			}
		}
		for what, tt := range map[string]struct {
			caller *etcd.Caller
			want   *translate.Error
		}{
			"nobody":              {&etcd.Caller{}, translate.ErrUserEmpty},
			"a wrong token":       {&etcd.Caller{Token: "abc.5", CommonName: "root"}, translate.ErrInvalidAuthToken},
			"an old password":     {changed, translate.ErrInvalidAuthToken},
			"an unknown CN":       {&etcd.Caller{CommonName: "stranger"}, translate.ErrPermissionDenied},
			"a token with Bearer": {&etcd.Caller{Token: "Bearer x"}, translate.ErrInvalidAuthToken},
		} {
			if err := w.invoke(t, name, tt.caller, req); err == nil || err.Error() != tt.want.Text { // of locks and elections without its code
				t.Errorf("%s as %s: %v, want %v", m.Name, what, err, tt.want)
			}
		}
	}
	if now := w.node.machine.Revision(); now != revision {
		t.Errorf("the store went from revision %d to %d", revision, now)
	}
}

func TestACertificateNamesAUser(t *testing.T) {
	w := guarded(t, false)
	reader := &etcd.Caller{CommonName: "reader"}
	if err := w.invoke(t, "Range", reader, &pb.RangeRequest{Key: []byte("a")}); err != nil {
		t.Error(err)
	}
	if err := w.invoke(t, "Put", reader, &pb.PutRequest{Key: []byte("a")}); !errors.Is(err, translate.ErrPermissionDenied) {
		t.Error(err)
	}
	// A new password is nothing to a certificate.
	root := &etcd.Caller{CommonName: "root"}
	if err := w.invoke(t, "UserChangePassword", root, &pb.AuthUserChangePasswordRequest{Name: "reader", Password: "x"}); err != nil {
		t.Error(err)
	}
	if err := w.invoke(t, "Range", reader, &pb.RangeRequest{Key: []byte("a")}); err != nil {
		t.Error(err)
	}
}

func TestPasswordsAreNoPartOfTheLog(t *testing.T) {
	w := newWorld(t)
	var log []byte
	w.node.submitted = func(c state.Command) { log = state.Codec{}.Append(log, c) }
	do(t, w, w.UserAdd, &pb.AuthUserAddRequest{Name: "a", Password: "topsecret"})
	do(t, w, w.UserChangePassword, &pb.AuthUserChangePasswordRequest{Name: "a", Password: "topsecret2"})
	if len(log) == 0 || strings.Contains(string(log), "topsecret") {
		t.Errorf("the log has %q", log)
	}
}

// TestAuthAnswersAsEtcd has what etcd answers to a life of users and roles.
func TestAuthAnswersAsEtcd(t *testing.T) {
	w := newWorld(t)
	w.Face = etcd.New(etcd.Config{Node: w.node, ElectionTimeout: 1e9, Access: access.New(member{w.node}, access.Config{BcryptCost: 4})})
	auth := func() string {
		s := do(t, w, w.AuthStatus, &pb.AuthStatusRequest{})
		return map[bool]string{true: "on", false: "off"}[s.Enabled] + string(rune('0'+s.AuthRevision))
	}
	if got := auth(); got != "off1" {
		t.Errorf("at first %s", got)
	}
	steps := []struct {
		method string
		req    proto.Message
		want   error
	}{
		{"AuthEnable", &pb.AuthEnableRequest{}, translate.ErrRootUserNotExist},
		{"Authenticate", &pb.AuthenticateRequest{Name: "root", Password: "x"}, translate.ErrAuthNotEnabled},
		{"UserAdd", &pb.AuthUserAddRequest{}, translate.ErrUserEmpty},
		{"UserAdd", &pb.AuthUserAddRequest{Name: "root", Password: "x"}, nil},
		{"UserAdd", &pb.AuthUserAddRequest{Name: "root", Password: "x"}, translate.ErrUserAlreadyExist},
		{"UserAdd", &pb.AuthUserAddRequest{Name: "long", Password: strings.Repeat("x", 73)}, translate.ErrLongPassword},
		{"AuthEnable", &pb.AuthEnableRequest{}, translate.ErrRootRoleNotExist},
		{"UserGrantRole", &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}, nil},
		{"UserGrantRole", &pb.AuthUserGrantRoleRequest{User: "nobody", Role: "root"}, translate.ErrUserNotFound},
		{"UserGrantRole", &pb.AuthUserGrantRoleRequest{User: "root", Role: "r"}, translate.ErrRoleNotFound},
		{"UserRevokeRole", &pb.AuthUserRevokeRoleRequest{Name: "root", Role: "r"}, translate.ErrRoleNotGranted},
		{"UserChangePassword", &pb.AuthUserChangePasswordRequest{Name: "nobody", Password: "x"}, translate.ErrUserNotFound},
		{"UserChangePassword", &pb.AuthUserChangePasswordRequest{Name: "root", HashedPassword: "no base64"}, translate.ErrNoPasswordUser},
		{"UserDelete", &pb.AuthUserDeleteRequest{Name: "nobody"}, translate.ErrUserNotFound},
		{"UserGet", &pb.AuthUserGetRequest{Name: "nobody"}, translate.ErrUserNotFound},
		{"RoleAdd", &pb.AuthRoleAddRequest{}, translate.ErrRoleEmpty},
		{"RoleAdd", &pb.AuthRoleAddRequest{Name: "r"}, nil},
		{"RoleAdd", &pb.AuthRoleAddRequest{Name: "r"}, translate.ErrRoleAlreadyExist},
		{"RoleGet", &pb.AuthRoleGetRequest{Role: "nothing"}, translate.ErrRoleNotFound},
		{"RoleDelete", &pb.AuthRoleDeleteRequest{Role: "nothing"}, translate.ErrRoleNotFound},
		{"RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: "r"}, translate.ErrPermissionNotGiven},
		{"RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: &authpb.Permission{}}, translate.ErrInvalidAuthMgmt},
		{"RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: &authpb.Permission{Key: []byte("a"), PermType: 9}}, translate.ErrInvalidAuthMgmt},
		{"RoleRevokePermission", &pb.AuthRoleRevokePermissionRequest{Role: "r", Key: []byte("a")}, translate.ErrPermissionNotGranted},
		{"AuthEnable", &pb.AuthEnableRequest{}, nil},
	}
	for i, s := range steps {
		if err := w.invoke(t, s.method, &etcd.Caller{}, s.req); !errors.Is(err, s.want) {
			t.Fatalf("step %d, %s: %v, want %v", i, s.method, err, s.want)
		}
	}
	if got := auth(); got != "on4" {
		t.Errorf("at the end %s", got)
	}
	root := &etcd.Caller{CommonName: "root"}
	for _, s := range []struct {
		method string
		req    proto.Message
	}{
		{"UserDelete", &pb.AuthUserDeleteRequest{Name: "root"}},
		{"UserRevokeRole", &pb.AuthUserRevokeRoleRequest{Name: "root", Role: "root"}},
		{"RoleDelete", &pb.AuthRoleDeleteRequest{Role: "root"}},
	} {
		if err := w.invoke(t, s.method, root, s.req); !errors.Is(err, translate.ErrInvalidAuthMgmt) {
			t.Errorf("%s: %v", s.method, err)
		}
	}
	for _, name := range []string{"root", "nobody", ""} {
		if _, err := w.Authenticate(t.Context(), &etcd.Caller{}, &pb.AuthenticateRequest{Name: name, Password: "wrong"}); !errors.Is(err, translate.ErrAuthFailed) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestRolesAreToldAsTheyWereGiven(t *testing.T) {
	w := newWorld(t)
	do(t, w, w.RoleAdd, &pb.AuthRoleAddRequest{Name: "root"})
	do(t, w, w.RoleAdd, &pb.AuthRoleAddRequest{Name: "r"})
	given := []*authpb.Permission{
		{PermType: authpb.Permission_WRITE, Key: []byte("b"), RangeEnd: []byte{0}},
		{PermType: authpb.Permission_READ, Key: []byte("a")},
		{PermType: authpb.Permission_READWRITE, Key: []byte("a"), RangeEnd: []byte("a\x00")},
	}
	for _, p := range given {
		do(t, w, w.RoleGrantPermission, &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: p})
	}
	got := do(t, w, w.RoleGet, &pb.AuthRoleGetRequest{Role: "r"}).Perm
	for i, want := range []*authpb.Permission{given[1], given[2], given[0]} {
		if i >= len(got) || got[i].PermType != want.PermType || string(got[i].Key) != string(want.Key) || string(got[i].RangeEnd) != string(want.RangeEnd) {
			t.Errorf("permission %d of %v, want %v", i, got, want)
		}
	}
	root := do(t, w, w.RoleGet, &pb.AuthRoleGetRequest{Role: "root"}).Perm
	if len(root) != 1 || root[0].PermType != authpb.Permission_READWRITE || len(root[0].Key) != 0 || string(root[0].RangeEnd) != "\x00" {
		t.Errorf("the role root has %v", root)
	}
	if names := do(t, w, w.RoleList, &pb.AuthRoleListRequest{}).Roles; !slices.Equal(names, []string{"r", "root"}) {
		t.Errorf("the roles are %q", names)
	}
}

// A transaction of nothing is answered whoever asks, as in etcd, but for a token that is not valid. One with anything in
// it needs a user.
func TestATransactionOfNothingIsForEverybody(t *testing.T) {
	w := guarded(t, false)
	compare := []*pb.Compare{{Key: []byte("a")}}
	for _, tt := range []struct {
		caller *etcd.Caller
		req    *pb.TxnRequest
		want   error
	}{
		{&etcd.Caller{}, &pb.TxnRequest{}, nil},
		{&etcd.Caller{CommonName: "reader"}, &pb.TxnRequest{}, nil},
		{&etcd.Caller{Token: "abc.5"}, &pb.TxnRequest{}, translate.ErrInvalidAuthToken},
		{&etcd.Caller{}, &pb.TxnRequest{Compare: compare}, translate.ErrUserEmpty},
		{&etcd.Caller{}, &pb.TxnRequest{Success: []*pb.RequestOp{opGet("a", "")}}, translate.ErrUserEmpty},
		{&etcd.Caller{}, &pb.TxnRequest{Failure: []*pb.RequestOp{opTxn(&pb.TxnRequest{})}}, translate.ErrUserEmpty},
	} {
		if err := w.invoke(t, "Txn", tt.caller, tt.req); !errors.Is(err, tt.want) {
			t.Errorf("%v as %+v: %v, want %v", tt.req, tt.caller, err, tt.want)
		}
	}
}

// TestSessionsAreNotListed: whoever knows the id of a session of the native API could spoil it.
func TestSessionsAreNotListed(t *testing.T) {
	w := guarded(t, false)
	w.node.machine.DoOp(state.Command{More: &state.More{Kind: state.KindGrant, Lease: 99, TTL: 1e12, IsSession: true, Internal: true}})
	w.node.machine.DoOp(state.Command{More: &state.More{Kind: state.KindRevoke, Lease: 2, Internal: true}})
	for name, want := range map[string]int{"reader": 1, "root": 2} {
		c := &etcd.Caller{CommonName: name}
		etcd.Admit(w.Face, c)
		r, err := w.LeaseLeases(t.Context(), c, &pb.LeaseLeasesRequest{})
		if err != nil || len(r.Leases) != want {
			t.Errorf("%s sees %v, %v", name, r.GetLeases(), err)
		}
	}
}

// TestMethodsAreForRootIfNothingElseIsSaid: the zero Right is that of the role root.
func TestMethodsAreForRootIfNothingElseIsSaid(t *testing.T) {
	w := guarded(t, false)
	for name, want := range map[string]error{"root": nil, "both": translate.ErrPermissionDenied, "": translate.ErrUserEmpty} {
		if err := etcd.AdmitRoot(w.Face, &etcd.Caller{CommonName: name}); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}

// TestAKeepAliveIsRefusedByNoLateNews: this member has not executed yet what gave the user the right.
func TestAKeepAliveIsRefusedByNoLateNews(t *testing.T) {
	w := guarded(t, false)
	writer := &etcd.Caller{CommonName: "writer"}
	w.node.read = func() {
		w.node.read = nil
		w.node.machine.DoOp(state.Command{More: &state.More{Kind: state.KindAuth, User: "root", UserStamp: auth.ByCertificate, Auth: &auth.Change{
			Kind: auth.RoleGrant, Role: "writer", Permission: auth.Permission{Access: auth.Write, Key: "z"},
		}}})
	}
	if err := w.invoke(t, "LeaseKeepAlive", writer, &pb.LeaseKeepAliveRequest{ID: 2}); err != nil {
		t.Error(err)
	}
	w.node.readErr = rsm.ErrWrongLeader
	refused(t, w.invoke(t, "LeaseKeepAlive", &etcd.Caller{CommonName: "reader"}, &pb.LeaseKeepAliveRequest{ID: 2}), translate.ErrNoLeader)
}
