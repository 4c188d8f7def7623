package main

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
)

// login returns a token of a user.
func (t *T) login(name, password string) string {
	resp, err := t.sendTo(0, &pb.AuthenticateRequest{Name: name, Password: password})
	if err != nil {
		return ""
	}
	return resp.(*pb.AuthenticateResponse).Token
}

// as sends a request with a token.
func (t *T) as(token string, req proto.Message) (proto.Message, error) {
	return t.sendWith(t.withToken(token), 0, req)
}

// authOff makes the next check find the cluster without users.
func (t *T) authOff(token string) {
	t.as(token, &pb.AuthDisableRequest{})
	users, err := t.sendTo(0, &pb.AuthUserListRequest{})
	if err == nil {
		for _, u := range users.(*pb.AuthUserListResponse).Users {
			t.sendTo(0, &pb.AuthUserDeleteRequest{Name: u})
		}
	}
	roles, err := t.sendTo(0, &pb.AuthRoleListRequest{})
	if err == nil {
		for _, r := range roles.(*pb.AuthRoleListResponse).Roles {
			t.sendTo(0, &pb.AuthRoleDeleteRequest{Role: r})
		}
	}
}

func permission(kind authpb.Permission_Type, key, end []byte) *authpb.Permission {
	return &authpb.Permission{PermType: kind, Key: key, RangeEnd: end}
}

var authChecks = []check{
	{name: "auth/users-and-roles", run: func(t *T) {
		for _, req := range []proto.Message{
			&pb.AuthStatusRequest{}, &pb.AuthEnableRequest{}, &pb.AuthDisableRequest{},
			&pb.AuthenticateRequest{Name: "root", Password: "x"},
			&pb.AuthUserAddRequest{Name: "u", Password: "pw"}, &pb.AuthUserAddRequest{Name: "u", Password: "pw"}, &pb.AuthUserAddRequest{Password: "pw"},
			&pb.AuthUserAddRequest{Name: "nopw"}, &pb.AuthUserAddRequest{Name: "cert", Options: &authpb.UserAddOptions{NoPassword: true}},
			&pb.AuthUserGetRequest{Name: "u"}, &pb.AuthUserGetRequest{Name: "none"}, &pb.AuthUserListRequest{},
			&pb.AuthRoleAddRequest{Name: "r"}, &pb.AuthRoleAddRequest{Name: "r"}, &pb.AuthRoleAddRequest{}, &pb.AuthRoleGetRequest{Role: "r"}, &pb.AuthRoleGetRequest{Role: "none"}, &pb.AuthRoleListRequest{},
			&pb.AuthUserGrantRoleRequest{User: "u", Role: "r"}, &pb.AuthUserGrantRoleRequest{User: "u", Role: "r"}, &pb.AuthUserGrantRoleRequest{User: "u", Role: "none"}, &pb.AuthUserGrantRoleRequest{User: "none", Role: "r"},
			&pb.AuthUserGetRequest{Name: "u"},
			&pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: permission(authpb.Permission_READ, []byte("a"), nil)},
			&pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: permission(authpb.Permission_WRITE, []byte("a"), nil)},
			&pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: permission(authpb.Permission_READWRITE, []byte("b"), []byte("d"))},
			&pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: permission(authpb.Permission_READ, []byte("d"), []byte("b"))},
			&pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: permission(authpb.Permission_READ, []byte("k"), []byte{0})},
			&pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: permission(authpb.Permission_READ, nil, nil)},
			&pb.AuthRoleGrantPermissionRequest{Name: "r"},
			&pb.AuthRoleGrantPermissionRequest{Name: "none", Perm: permission(authpb.Permission_READ, []byte("a"), nil)},
			&pb.AuthRoleGetRequest{Role: "r"},
			&pb.AuthRoleRevokePermissionRequest{Role: "r", Key: []byte("a")}, &pb.AuthRoleRevokePermissionRequest{Role: "r", Key: []byte("a")},
			&pb.AuthRoleRevokePermissionRequest{Role: "none", Key: []byte("a")}, &pb.AuthRoleRevokePermissionRequest{Role: "r", Key: []byte("b"), RangeEnd: []byte("d")},
			&pb.AuthRoleGetRequest{Role: "r"},
			&pb.AuthUserChangePasswordRequest{Name: "u", Password: "new"}, &pb.AuthUserChangePasswordRequest{Name: "none", Password: "new"}, &pb.AuthUserChangePasswordRequest{Name: "u"},
			&pb.AuthUserRevokeRoleRequest{Name: "u", Role: "r"}, &pb.AuthUserRevokeRoleRequest{Name: "u", Role: "r"}, &pb.AuthUserRevokeRoleRequest{Name: "none", Role: "r"},
			&pb.AuthEnableRequest{},
			&pb.AuthUserAddRequest{Name: "root", Password: "root"}, &pb.AuthEnableRequest{},
			&pb.AuthUserGrantRoleRequest{User: "root", Role: "root"},
			&pb.AuthRoleDeleteRequest{Role: "r"}, &pb.AuthRoleDeleteRequest{Role: "r"}, &pb.AuthUserDeleteRequest{Name: "u"}, &pb.AuthUserDeleteRequest{Name: "u"},
			&pb.AuthUserListRequest{}, &pb.AuthRoleListRequest{}, &pb.AuthStatusRequest{},
		} {
			t.send(req)
		}
		t.authOff("")
	}},
	{name: "auth/rights", loose: true, run: func(t *T) {
		t.sendTo(0, &pb.AuthUserAddRequest{Name: "root", Password: "root"})
		t.sendTo(0, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
		for _, u := range []string{"reader", "writer", "both", "nobody"} {
			t.sendTo(0, &pb.AuthUserAddRequest{Name: u, Password: "pw"})
			t.sendTo(0, &pb.AuthRoleAddRequest{Name: u})
			t.sendTo(0, &pb.AuthUserGrantRoleRequest{User: u, Role: u})
		}
		t.sendTo(0, &pb.AuthRoleGrantPermissionRequest{Name: "reader", Perm: permission(authpb.Permission_READ, t.b("a"), t.b("c"))})
		t.sendTo(0, &pb.AuthRoleGrantPermissionRequest{Name: "writer", Perm: permission(authpb.Permission_WRITE, t.b("a"), t.b("c"))})
		t.sendTo(0, &pb.AuthRoleGrantPermissionRequest{Name: "both", Perm: permission(authpb.Permission_READWRITE, t.b("a"), t.b("c"))})
		t.put("a", "1")
		t.put("d", "1")
		t.grant(600, 5001)
		t.sendTo(0, &pb.PutRequest{Key: t.b("d2"), Lease: 5001})
		t.sendTo(0, &pb.AuthEnableRequest{})
		root := t.login("root", "root")
		defer t.authOff(root)
		t.say("no such password", "%t", t.login("root", "wrong") == "")
		put := func(key string, prev bool, lease int64) *pb.PutRequest {
			return &pb.PutRequest{Key: t.b(key), Value: []byte("x"), PrevKv: prev, Lease: lease}
		}
		requests := []struct {
			name string
			req  proto.Message
		}{
			{"get a", &pb.RangeRequest{Key: t.b("a")}}, {"get d", &pb.RangeRequest{Key: t.b("d")}}, {"range a-c", &pb.RangeRequest{Key: t.b("a"), RangeEnd: t.b("c")}},
			{"range a-d", &pb.RangeRequest{Key: t.b("a"), RangeEnd: t.b("d")}}, {"range from a", &pb.RangeRequest{Key: t.b("a"), RangeEnd: []byte{0}}}, {"serializable", &pb.RangeRequest{Key: t.b("d"), Serializable: true}},
			{"put a", put("a", false, 0)}, {"put d", put("d", false, 0)}, {"put a with prev", put("a", true, 0)}, {"put a on another's lease", put("a", false, 5001)},
			{"delete b", &pb.DeleteRangeRequest{Key: t.b("b")}}, {"delete b with prev", &pb.DeleteRangeRequest{Key: t.b("b"), PrevKv: true}}, {"delete a-d", &pb.DeleteRangeRequest{Key: t.b("a"), RangeEnd: t.b("d")}},
			{"txn get a", &pb.TxnRequest{Success: ops(opGet(t.b("a")))}}, {"txn get d", &pb.TxnRequest{Success: ops(opGet(t.b("d")))}}, {"txn else get d", &pb.TxnRequest{Failure: ops(opGet(t.b("d")))}},
			{"txn compare d", &pb.TxnRequest{Compare: []*pb.Compare{ifVersion(t.b("d"), gt, 0)}}}, {"txn put a", &pb.TxnRequest{Success: ops(opPut(t.b("a"), "2"))}}, {"txn put d", &pb.TxnRequest{Success: ops(opPut(t.b("d"), "2"))}},
			{"nested put d", &pb.TxnRequest{Success: ops(opTxn(&pb.TxnRequest{Success: ops(opPut(t.b("d"), "2"))}))}}, {"nested get d", &pb.TxnRequest{Success: ops(opTxn(&pb.TxnRequest{Failure: ops(opGet(t.b("d")))}))}},
			{"txn", &pb.TxnRequest{}}, {"compact", &pb.CompactionRequest{Revision: 1}},
			{"grant", &pb.LeaseGrantRequest{TTL: 60}}, {"revoke none", &pb.LeaseRevokeRequest{ID: 5999}}, {"ttl", &pb.LeaseTimeToLiveRequest{ID: 5001}}, {"ttl with keys", &pb.LeaseTimeToLiveRequest{ID: 5001, Keys: true}}, {"leases", &pb.LeaseLeasesRequest{}},
			{"members", &pb.MemberListRequest{}}, {"remove member", &pb.MemberRemoveRequest{ID: 5}}, {"status", &pb.StatusRequest{}}, {"alarm", &pb.AlarmRequest{}}, {"defragment", &pb.DefragmentRequest{}}, {"hash", &pb.HashRequest{}}, {"hashkv", &pb.HashKVRequest{}},
			{"move leader", &pb.MoveLeaderRequest{TargetID: 5}}, {"downgrade", &pb.DowngradeRequest{Action: pb.DowngradeRequest_VALIDATE, Version: "3.6.0"}},
			{"auth status", &pb.AuthStatusRequest{}}, {"enable", &pb.AuthEnableRequest{}}, {"user list", &pb.AuthUserListRequest{}}, {"own user", &pb.AuthUserGetRequest{Name: "reader"}}, {"another user", &pb.AuthUserGetRequest{Name: "root"}},
			{"own role", &pb.AuthRoleGetRequest{Role: "reader"}}, {"another role", &pb.AuthRoleGetRequest{Role: "writer"}}, {"role list", &pb.AuthRoleListRequest{}}, {"add user", &pb.AuthUserAddRequest{Name: "x", Password: "x"}}, {"own password", &pb.AuthUserChangePasswordRequest{Name: "reader", Password: "pw"}},
		}
		for _, u := range []string{"", "nobody", "reader", "writer", "both", "root"} {
			token := ""
			if u != "" {
				token = t.login(u, map[bool]string{true: "root", false: "pw"}[u == "root"])
			}
			for _, r := range requests {
				if u == "root" && (r.name == "add user" || r.name == "move leader") {
					continue // which would change what follows, or depends on who leads
				}
				_, err := t.as(token, r.req)
				t.say(fmt.Sprintf("%s as %q", r.name, u), "%s", errorText(err))
			}
		}
		_, err := t.as("nonsense.5", &pb.RangeRequest{Key: t.b("a")})
		t.say("wrong token", "%s", errorText(err))
	}},
	{name: "auth/client", loose: true, run: func(t *T) {
		t.sendTo(0, &pb.AuthUserAddRequest{Name: "root", Password: "root"})
		t.sendTo(0, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
		t.sendTo(0, &pb.AuthUserAddRequest{Name: "u", Password: "pw"})
		t.sendTo(0, &pb.AuthRoleAddRequest{Name: "r"})
		t.sendTo(0, &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: permission(authpb.Permission_READWRITE, t.b(""), t.end())})
		t.sendTo(0, &pb.AuthUserGrantRoleRequest{User: "u", Role: "r"})
		t.sendTo(0, &pb.AuthEnableRequest{})
		root := t.login("root", "root")
		defer t.authOff(root)
		t.settleAs(root)
		_, err := clientv3.New(clientv3.Config{Endpoints: t.cluster.endpoints(), Username: "u", Password: "wrong"})
		t.say("wrong password", "%v", err)
		// Of one member: a token that one of etcd has given, another one does not always know.
		c := t.newClient(clientv3.Config{Endpoints: t.cluster.endpoints()[:1], Username: "u", Password: "pw"})
		_, err = c.Put(t.ctx, t.k("a"), "1")
		t.say("put", "%v", err)
		_, err = c.Put(t.ctx, "elsewhere", "1")
		t.say("put elsewhere", "%v", err)
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		w := c.Watch(ctx, t.k("a"), clientv3.WithCreatedNotify())
		begun := <-w
		t.say("watch", "created %t, %v", begun.Created, begun.Err())
		_, err = c.Put(t.ctx, t.k("a"), "2")
		t.fail("put", err)
		t.say("event", "%s", firstEvent(w))
		for r := range c.Watch(ctx, "elsewhere") {
			t.say("watch elsewhere", "%v", r.Err())
		}
		_, err = t.as(root, &pb.AuthUserChangePasswordRequest{Name: "u", Password: "new"})
		t.fail("new password", err)
		t.settleAs(root)
		_, err = c.Get(t.ctx, t.k("a"))
		t.say("with the old password", "%v", err)
		t.ctl("get", t.k("a"))
		t.ctl("get", t.k("a"), "--user=u:new")
		t.ctl("get", "elsewhere", "--user=u:new")
		t.ctl("get", "elsewhere", "--user=u:wrong")
		t.ctl("user", "list", "--user=root:root")
		t.ctl("user", "get", "u", "--user=root:root", "--detail")
		t.ctl("role", "get", "r", "--user=root:root")
		t.ctl("auth", "status", "--user=root:root")
		t.ctl("auth", "disable", "--user=root:root")
	}},
}

// firstEvent is the value of the first event of a watch, or how the watch ended before one. A client's watch may
// have responses without events.
func firstEvent(w clientv3.WatchChan) string {
	for r := range w {
		switch {
		case r.Err() != nil:
			return r.Err().Error()
		case len(r.Events) > 0:
			return string(r.Events[0].Kv.Value)
		}
	}
	return "the watch has ended"
}
