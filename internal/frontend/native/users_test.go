package native

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/frontend/access"
	"balsa.example/kv/watch"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// withUsers runs a test against three servers with authentication on. User reader may read the keys
// from a up to b, writer may write them, both may do both; all have their name for a password. The
// lease 1 has key a1, lease 2 keys a2 and z.
func withUsers(t *testing.T, test func(ctx context.Context, c *network, root *clerk.Clerk)) {
	synctest.Test(t, func(t *testing.T) {
		c := newNetwork(t)
		defer c.close()
		c.leader()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ck := c.clerk(clerk.WithUser("root", "root"))
		defer ck.Close()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(ck.AddUser(ctx, "root", "root"))
		must(ck.GrantRole(ctx, "root", "root"))
		for name, a := range map[string]clerk.Access{"reader": clerk.ReadAccess, "writer": clerk.WriteAccess, "both": clerk.ReadWriteAccess} {
			must(ck.AddUser(ctx, name, name))
			must(ck.AddRole(ctx, name))
			must(ck.GrantRole(ctx, name, name))
			must(ck.Allow(ctx, name, clerk.Permission{Access: a, Span: clerk.Span{From: "a", To: "b"}}))
		}
		for _, key := range []string{"a1", "a2", "z"} {
			_, err := ck.Set(ctx, key, []byte(key))
			must(err)
		}
		leader := c.leader()
		for id, keys := range map[int64][]string{1: {"a1"}, 2: {"a2", "z"}} {
			leader.reply(&api.Request{Kind: api.Request_LEASE_GRANT, Call: lease(id, false)})
			for _, key := range keys {
				leader.reply(&api.Request{Kind: api.Request_TXN, Call: txn(put(key, id, false))})
			}
		}
		must(ck.EnableAuth(ctx))
		test(ctx, c, ck)
	})
}

// reply answers a request of nobody, and replyTo one of a user.
func (s *Server) reply(req *api.Request) *api.Reply { return s.replyTo(access.User{}, req) }

func (s *Server) replyTo(u access.User, req *api.Request) *api.Reply {
	replies := make(chan *api.Reply, 1)
	s.handlerFor(u).Follow(req, nil, func(r *api.Reply) { replies <- r })
	return <-replies
}

func lease(id int64, keys bool) *api.Request_Lease {
	return &api.Request_Lease{Lease: &api.Lease{Id: id, TtlMs: 600_000, Keys: keys}}
}

func put(key string, lease int64, prev bool) *api.TxnOp {
	return &api.TxnOp{Op: &api.TxnOp_Put{Put: &api.Put{Key: []byte(key), Lease: lease, Prev: prev}}}
}

func txn(ops ...*api.TxnOp) *api.Request_Txn { return &api.Request_Txn{Txn: &api.Txn{Then: ops}} }

func span(from, to string) *api.Span {
	return &api.Span{From: []byte(from), To: []byte(to), Open: to == ""}
}

func rangeCall(from, to string) *api.Request_Range {
	return &api.Request_Range{Range: &api.Range{Span: span(from, to)}}
}

func nested(t *api.Txn) *api.TxnOp { return &api.TxnOp{Op: &api.TxnOp_Txn{Txn: t}} }

// nativeRights has for each kind of request what reader, writer, both and root get: d is permission
// denied.
var nativeRights = []struct {
	req    *api.Request
	rights string
}{
	{&api.Request{Kind: api.Request_GET, Key: []byte("a1")}, ".d.."},
	{&api.Request{Kind: api.Request_GET, Key: []byte("z")}, "ddd."},
	{&api.Request{Kind: api.Request_GET, Key: []byte("z"), Consistency: api.Request_LOCAL}, "ddd."},
	{&api.Request{Kind: api.Request_PUT, Key: []byte("a3"), Unconditional: true}, "d..."},
	{&api.Request{Kind: api.Request_PUT, Key: []byte("y"), Unconditional: true}, "ddd."},
	{&api.Request{Kind: api.Request_PUT, Key: []byte("a3"), Unconditional: true, Call: &api.Request_Put{Put: &api.Put{Prev: true}}}, "dd.."},
	{&api.Request{Kind: api.Request_PUT, Key: []byte("a3"), Unconditional: true, Call: &api.Request_Put{Put: &api.Put{Lease: 2}}}, "ddd."},
	{&api.Request{Kind: api.Request_DELETE, Key: []byte("a9"), Unconditional: true}, "d..."},
	{&api.Request{Kind: api.Request_DELETE, Key: []byte("y"), Unconditional: true}, "ddd."},
	{&api.Request{Kind: api.Request_RANGE, Call: rangeCall("a", "b")}, ".d.."},
	{&api.Request{Kind: api.Request_RANGE, Call: rangeCall("a", "")}, "ddd."},
	{&api.Request{Kind: api.Request_RANGE, Call: rangeCall("", "")}, "ddd."},
	{&api.Request{Kind: api.Request_TXN, Call: txn(put("a3", 0, false))}, "d..."},
	{&api.Request{Kind: api.Request_TXN, Call: txn(put("a3", 0, true))}, "dd.."},
	{&api.Request{Kind: api.Request_TXN, Call: txn(put("a3", 2, false))}, "ddd."},
	{&api.Request{Kind: api.Request_TXN, Call: txn(nested(&api.Txn{Then: []*api.TxnOp{put("y", 0, false)}}))}, "ddd."},
	{&api.Request{Kind: api.Request_TXN, Call: txn(nested(&api.Txn{Compares: []*api.Compare{{Span: span("z", "z\x00")}}}))}, "ddd."},
	{&api.Request{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: span("a8", "a9")}}}, "d..."},
	{&api.Request{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: span("a8", "a9"), Prev: true}}}, "dd.."},
	{&api.Request{Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: span("zz", "")}}}, "ddd."},
	{&api.Request{Kind: api.Request_COMPACT, Call: &api.Request_Compact{Compact: &api.Compact{Revision: 1}}}, "ddd."},
	{&api.Request{Kind: api.Request_SET_QUOTA, Call: &api.Request_Quota{Quota: &api.Quota{}}}, "ddd."},
	{&api.Request{Kind: api.Request_LEASE_GRANT, Call: lease(0, false)}, "...."},
	{&api.Request{Kind: api.Request_LEASE_KEEP_ALIVE, Call: lease(1, false)}, "d..."},
	{&api.Request{Kind: api.Request_LEASE_KEEP_ALIVE, Call: lease(2, false)}, "ddd."},
	{&api.Request{Kind: api.Request_LEASE_TIME_TO_LIVE, Call: lease(2, false)}, "...."},
	{&api.Request{Kind: api.Request_LEASE_TIME_TO_LIVE, Call: lease(1, true)}, ".d.."},
	{&api.Request{Kind: api.Request_LEASE_TIME_TO_LIVE, Call: lease(2, true)}, "ddd."},
	{&api.Request{Kind: api.Request_LEASES}, "...."}, // each sees its own
	{&api.Request{Kind: api.Request_LEASE_REVOKE, Call: lease(2, false)}, "ddd."},
	{&api.Request{Kind: api.Request_LEASE_REVOKE, Call: lease(7, false)}, "...."}, // there is none
}

// TestRightsOfEveryRequest fails for a kind of request that has no row.
func TestRightsOfEveryRequest(t *testing.T) {
	withUsers(t, func(_ context.Context, c *network, _ *clerk.Clerk) {
		s := c.leader()
		named := map[api.Request_Kind]bool{api.Request_KIND_UNSPECIFIED: true}
		for _, row := range nativeRights {
			named[row.req.Kind] = true
			for i, name := range []string{"reader", "writer", "both", "root"} {
				r := s.replyTo(access.User{Name: name, Stamp: auth.ByCertificate}, row.req.Copy())
				if (r.Code == api.Reply_PERMISSION_DENIED) != (row.rights[i] == 'd') || r.Code == api.Reply_INVALID {
					t.Errorf("%v as %s: %v %s, want %c", row.req, name, r.Code, r.Message, row.rights[i])
				}
				if denied := r.Code == api.Reply_PERMISSION_DENIED; denied && (len(r.Value) > 0 || r.Version > 0 || r.Result != nil) {
					t.Errorf("%v as %s tells %v", row.req, name, r)
				}
			}
			for _, u := range []access.User{{}, {Name: "root", Stamp: 1}, {Name: "stranger", Stamp: 100}} {
				if r := s.replyTo(u, row.req.Copy()); r.Code != api.Reply_UNAUTHENTICATED {
					t.Errorf("%v as %v: %v", row.req, u, r.Code)
				}
			}
		}
		for kind, name := range api.Request_Kind_name {
			if !named[api.Request_Kind(kind)] {
				t.Errorf("%s has no row", name)
			}
		}
	})
}

// TestRightsOfEveryCall has the calls of the service, for nobody, reader and root. It fails for one
// that it does not name.
func TestRightsOfEveryCall(t *testing.T) {
	const no = codes.Unauthenticated
	rights := map[string][3]codes.Code{
		"Exchange":           {codes.OK, codes.OK, codes.OK}, // each request is checked
		"Call":               {codes.OK, codes.OK, codes.OK}, // the request is: TestRightsOfCalls
		"Watch":              {codes.OK, codes.OK, codes.OK}, // each watcher is checked
		"Authenticate":       {no, no, no},                   // of a wrong password
		"Status":             {no, codes.OK, codes.OK},
		"TransferLeadership": {no, codes.PermissionDenied, codes.OK},
		"ChangeUsers":        {no, codes.PermissionDenied, codes.OK},
		"Users":              {no, codes.PermissionDenied, codes.OK},
		"Members":            {no, codes.OK, codes.OK},
		"ChangeMembers":      {no, codes.PermissionDenied, codes.OK},
		"Backup":             {no, codes.PermissionDenied, codes.OK},
		"LogLevel":           {no, codes.PermissionDenied, codes.OK},
		"Alarms":             {no, codes.PermissionDenied, codes.OK}, // to lift one
	}
	for _, m := range api.KV_ServiceDesc.Methods {
		if _, named := rights[m.MethodName]; !named {
			t.Errorf("%s has no row", m.MethodName)
		}
	}
	for _, m := range api.KV_ServiceDesc.Streams {
		if _, named := rights[m.StreamName]; !named {
			t.Errorf("%s has no row", m.StreamName)
		}
	}
	withUsers(t, func(ctx context.Context, c *network, _ *clerk.Clerk) {
		for i, name := range []string{"", "reader", "root"} {
			for method, want := range rights {
				if got := c.call(ctx, name, method); got != want[i] {
					t.Errorf("%s as %q: %v, want %v", method, name, got, want[i])
				}
			}
		}
	})
}

// call makes a call as a user.
func (c *network) call(ctx context.Context, user, method string) codes.Code {
	conn, err := grpc.NewClient("passthrough:///"+addressOf(int(c.leader().cfg.Hello.NodeId)), grpc.WithContextDialer(c.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	kv := api.NewKVClient(conn)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if user != "" {
		r, err := kv.Authenticate(ctx, &api.AuthenticateRequest{User: user, Password: user})
		if err != nil {
			c.t.Fatal(err)
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "token", r.Token)
	}
	switch method {
	case "Call":
		_, err = kv.Call(ctx, &api.Request{Kind: api.Request_LEASES})
	case "Exchange":
		stream, e := kv.Exchange(ctx)
		if err = e; err == nil {
			_, err = stream.Recv()
		}
	case "Watch":
		stream, e := kv.Watch(ctx)
		if err = e; err == nil {
			_, err = stream.Recv()
		}
	case "Backup":
		stream, e := kv.Backup(ctx)
		if err = e; err == nil {
			err = stream.Send(&api.BackupRequest{})
		}
		if err == nil {
			_, err = stream.Recv()
		}
	case "Authenticate":
		_, err = kv.Authenticate(ctx, &api.AuthenticateRequest{User: "root", Password: "wrong"})
	case "Status":
		_, err = kv.Status(ctx, &api.StatusRequest{})
	case "Members", "ChangeMembers":
		if method == "Members" {
			_, err = kv.Members(ctx, &api.MembersRequest{})
		} else {
			_, err = kv.ChangeMembers(ctx, &api.MembersChange{})
		}
		if status.Code(err) == codes.Unimplemented { // since these servers have no Membership
			err = nil
		}
	case "TransferLeadership":
		if _, err = kv.TransferLeadership(ctx, &api.TransferLeadershipRequest{TargetId: 99}); status.Code(err) == codes.InvalidArgument || status.Code(err) == codes.FailedPrecondition {
			return codes.OK // it came to that
		}
	case "LogLevel":
		if _, err = kv.LogLevel(ctx, &api.LogLevelRequest{Level: "debug"}); status.Code(err) == codes.FailedPrecondition { // since the log is the test's
			return codes.OK
		}
	case "Alarms":
		if _, err = kv.Alarms(ctx, &api.AlarmsRequest{Lift: &api.RaisedAlarm{Kind: 1}}); status.Code(err) == codes.FailedPrecondition { // since the cluster uses version 1
			return codes.OK
		}
	case "ChangeUsers":
		_, err = kv.ChangeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_ROLE_ADD, Role: "of " + user})
	case "Users":
		_, err = kv.Users(ctx, &api.UsersRequest{User: "writer"})
	}
	return status.Code(err)
}

func TestAClerkWithAUser(t *testing.T) {
	withUsers(t, func(ctx context.Context, c *network, root *clerk.Clerk) {
		nobody, wrong := c.clerk(), c.clerk(clerk.WithUser("both", "wrong"))
		defer nobody.Close()
		defer wrong.Close()
		for _, ck := range []*clerk.Clerk{nobody, wrong} {
			begun := time.Now()
			if _, err := ck.Get(ctx, "a1"); !errors.Is(err, clerk.ErrUnauthenticated) {
				t.Error(err)
			}
			if _, err := ck.Set(ctx, "a1", nil); !errors.Is(err, clerk.ErrUnauthenticated) {
				t.Error(err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		}
		ck := c.clerk(clerk.WithUser("both", "both"), clerk.WithSession(time.Minute))
		defer ck.Close()
		if _, err := ck.Set(ctx, "a1", []byte("new")); err != nil {
			t.Error(err)
		}
		if kv, err := ck.Get(ctx, "a1"); err != nil || string(kv.Value) != "new" {
			t.Error(kv, err)
		}
		if _, err := ck.Set(ctx, "z", nil); !errors.Is(err, clerk.ErrPermissionDenied) {
			t.Error(err)
		}
		if _, err := ck.Get(ctx, "z"); !errors.Is(err, clerk.ErrPermissionDenied) {
			t.Error(err)
		}
		if u, err := ck.User(ctx, "both"); err != nil || len(u.Roles) != 1 {
			t.Error(u, err)
		}
		if _, err := ck.Users(ctx); !errors.Is(err, clerk.ErrPermissionDenied) {
			t.Error(err)
		}
		if err := ck.AddRole(ctx, "mine"); !errors.Is(err, clerk.ErrPermissionDenied) {
			t.Error(err)
		}
		// Switched off and on again, its token is none any more, and it gets another.
		if err := root.DisableAuth(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := nobody.Get(ctx, "z"); err != nil {
			t.Error(err)
		}
		if err := root.EnableAuth(ctx); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := ck.Set(ctx, "a1", []byte("again")); err != nil {
				t.Error(err)
			}
		}
		// With another password it is nobody.
		if err := root.SetPassword(ctx, "both", "other"); err != nil {
			t.Fatal(err)
		}
		if _, err := ck.Set(ctx, "a1", nil); !errors.Is(err, clerk.ErrUnauthenticated) {
			t.Error(err)
		}
		all, err := root.Users(ctx)
		if err != nil || !all.Enabled || len(all.Users) != 4 || len(all.Roles) != 3 {
			t.Error(all, err)
		}
	})
}

// TestAWatchWhoseRightIsTakenAway gets nothing that came after.
func TestAWatchWhoseRightIsTakenAway(t *testing.T) {
	withUsers(t, func(ctx context.Context, c *network, root *clerk.Clerk) {
		ck := c.clerk(clerk.WithUser("reader", "reader"))
		defer ck.Close()
		for _, err := range ck.Watch(ctx, clerk.FromKey("a1")) { // although it may read a1
			if !errors.Is(err, clerk.ErrPermissionDenied) {
				t.Error(err)
			}
		}
		var seen []string
		var ended error
		go func() {
			time.Sleep(time.Second) // until there is a watcher
			root.Set(ctx, "a1", []byte("before"))
			root.RevokeRole(ctx, "reader", "reader")
			root.Set(ctx, "a1", []byte("after"))
		}()
		for changes, err := range ck.Watch(ctx, clerk.Key("a1")) {
			if ended = err; err != nil {
				break
			}
			for _, e := range changes.Events {
				seen = append(seen, string(e.Value))
			}
		}
		if strings.Join(seen, " ") != "before" || !errors.Is(ended, clerk.ErrPermissionDenied) {
			t.Errorf("it saw %q, and ended with %v", seen, ended)
		}
	})
}

// A client ends a watcher and makes another one with its id. It is told of the end later, and has the
// second watcher still, which must end with the right to it.
func TestAWatcherWithTheIDOfAnother(t *testing.T) {
	bounds := quietPort(t).Alone("")
	withUsers(t, func(ctx context.Context, c *network, root *clerk.Clerk) {
		r := c.leader().replica.Load()
		s := newWatchStream(r.Watches.Hub, bounds, newRights(r.Access, access.User{Name: "reader", Stamp: auth.ByCertificate}))
		defer s.Close()
		create := []*api.WatchCreate{{Id: 1, Span: span("a1", "a2")}}
		for _, req := range []*api.WatchRequest{{Create: create}, {Cancel: []uint64{1}}, {Create: create}} {
			if err := s.handle(ctx, req); err != nil {
				t.Fatal(err)
			}
		}
		send := func(*api.WatchMessage) error { return nil }
		tell := func(out *watch.Output) error { return s.add(out, send) }
		if err := s.SendAll(ctx, tell, func() error { return s.flush(send) }); err != nil {
			t.Fatal(err)
		}
		if err := s.rights.check(); err != nil {
			t.Error(err)
		}
		if err := root.RevokeRole(ctx, "reader", "reader"); err != nil {
			t.Fatal(err)
		}
		if err := r.Node.Read(ctx, raft.ReadByIndex); err != nil {
			t.Fatal(err)
		}
		if err := s.rights.check(); err != errRightsChanged {
			t.Errorf("after the right is gone: %v", err)
		}
	})
}

// TestNoLateNewsRefuses: what gives a user a right is acknowledged, and a server has not executed it.
func TestNoLateNewsRefuses(t *testing.T) {
	bounds := quietPort(t).Alone("")
	withUsers(t, func(ctx context.Context, c *network, _ *clerk.Clerk) {
		leader := c.leader()
		late := c.servers[leader.cfg.Hello.NodeId%3]
		c.net.Disconnect(raft.NodeID(late.cfg.Hello.NodeId))
		change := &auth.Change{Kind: auth.RoleGrant, Role: "reader", Permission: auth.Permission{Access: auth.ReadWrite, Key: "z", End: "\x00"}}
		command := state.Command{More: &state.More{Kind: state.KindAuth, Auth: change, User: "root", UserStamp: auth.ByCertificate}}
		if result, err := leader.replica.Load().Node.Submit(ctx, command); err != nil || result.Err() != nil {
			t.Fatal(err, result.Err())
		}
		reader := access.User{Name: "reader", Stamp: auth.ByCertificate}
		r := late.replica.Load()
		s := newWatchStream(r.Watches.Hub, bounds, newRights(r.Access, reader))
		defer s.Close()
		time.AfterFunc(time.Second, func() { c.net.Connect(raft.NodeID(late.cfg.Hello.NodeId)) })
		if code := late.replyTo(reader, &api.Request{Kind: api.Request_LEASE_KEEP_ALIVE, Call: lease(2, false)}).Code; code == api.Reply_PERMISSION_DENIED {
			t.Error("a keep-alive is refused, and not sent to the leader")
		}
		for id, from := range []string{"z", "y"} {
			if err := s.handle(ctx, &api.WatchRequest{Create: []*api.WatchCreate{{Id: uint64(id), Span: span(from, "")}}}); err != nil {
				t.Fatal(err)
			}
		}
		var told []watch.Kind
		tell := func(out *watch.Output) error {
			told = append(told, out.Kind)
			return nil
		}
		if err := s.SendAll(ctx, tell, func() error { return nil }); err != nil || !slices.Equal(told, []watch.Kind{watch.Created, watch.Refused}) {
			t.Errorf("%v, %v", told, err)
		}
	})
}

// TestABackupEndsWithTheRightToIt: no file is sent to who was root when the stream began.
func TestABackupEndsWithTheRightToIt(t *testing.T) {
	withUsers(t, func(ctx context.Context, c *network, root *clerk.Clerk) {
		if err := root.GrantRole(ctx, "both", "root"); err != nil {
			t.Fatal(err)
		}
		conn, err := grpc.NewClient("passthrough:///"+addressOf(int(c.leader().cfg.Hello.NodeId)), grpc.WithContextDialer(c.dial),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		kv := api.NewKVClient(conn)
		r, err := kv.Authenticate(ctx, &api.AuthenticateRequest{User: "both", Password: "both"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "token", r.Token))
		defer cancel()
		stream, err := kv.Backup(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&api.BackupRequest{}); err != nil {
			t.Fatal(err)
		}
		for end := false; !end; {
			reply, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			end = reply.End
		}
		if err := root.RevokeRole(ctx, "both", "root"); err != nil {
			t.Fatal(err)
		}
		if err := c.leader().replica.Load().Node.Read(ctx, raft.ReadByIndex); err != nil { // it may not have executed that yet
			t.Fatal(err)
		}
		if err := stream.Send(&api.BackupRequest{File: []byte("any")}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
			t.Error(err)
		}
	})
}
