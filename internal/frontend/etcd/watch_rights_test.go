package etcd_test

import (
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/kv/watch"
)

// guard turns authentication on. User reader may read the keys from a up to b, and has a password; root
// has none.
func (w *watched) guard() *world {
	t := w.TB // in the bubble
	n := &node{machine: w.machine, leader: 1, now: 1}
	w.Face = etcd.New(etcd.Config{
		Node: n, ElectionTimeout: 1e9, Access: access.New(member{n}, access.Config{BcryptCost: 4}),
		Watches: etcd.Watches{Hub: w.hub, Stopping: w.stopping},
	})
	world := &world{Face: w.Face, node: n, any: &etcd.Caller{}}
	do(t, world, world.UserAdd, &pb.AuthUserAddRequest{Name: "root", Options: &authpb.UserAddOptions{NoPassword: true}})
	do(t, world, world.UserAdd, &pb.AuthUserAddRequest{Name: "reader", Password: "reader password"})
	do(t, world, world.RoleAdd, &pb.AuthRoleAddRequest{Name: "reader"})
	do(t, world, world.RoleGrantPermission, &pb.AuthRoleGrantPermissionRequest{
		Name: "reader", Perm: &authpb.Permission{PermType: authpb.Permission_READ, Key: []byte("a"), RangeEnd: []byte("b")},
	})
	do(t, world, world.UserGrantRole, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
	do(t, world, world.UserGrantRole, &pb.AuthUserGrantRoleRequest{User: "reader", Role: "reader"})
	do(t, world, world.AuthEnable, &pb.AuthEnableRequest{})
	return world
}

func TestRightsOfWatchers(t *testing.T) {
	const denied, noUser, badToken = "-1@1 created canceled: rpc error: code = PermissionDenied desc = etcdserver: permission denied",
		"-1@1 created canceled: rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
		"-1@1 created canceled: rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"
	watching(t, watch.Limits{}, func(w *watched, first *watchClient) {
		first.cancel()
		first.over("etcdserver: watch canceled")
		world := w.guard()
		for name, test := range map[string]struct {
			caller *etcd.Caller
			want   [4]string
		}{
			"root":          {&etcd.Caller{CommonName: "root"}, [4]string{"0@1 created", "1@1 created", "2@1 created", "3@1 created"}},
			"reader":        {&etcd.Caller{CommonName: "reader"}, [4]string{"0@1 created", "1@1 created", denied, denied}},
			"its token":     {world.as(w, "reader"), [4]string{"0@1 created", "1@1 created", denied, denied}},
			"nobody":        {&etcd.Caller{}, [4]string{noUser, noUser, noUser, noUser}},
			"a wrong token": {&etcd.Caller{Token: "x.1", CommonName: "root"}, [4]string{badToken, badToken, badToken, badToken}},
			"a stranger":    {&etcd.Caller{CommonName: "stranger"}, [4]string{denied, denied, denied, denied}},
		} {
			c := w.open(*test.caller)
			c.create(&pb.WatchCreateRequest{Key: key("a")})
			c.create(&pb.WatchCreateRequest{Key: key("a"), RangeEnd: key("b")})
			c.create(&pb.WatchCreateRequest{Key: key("a"), RangeEnd: []byte{0}})
			c.create(&pb.WatchCreateRequest{Key: key("z")})
			if got := c.told(); len(got) != 4 || [4]string(got) != test.want {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
			c.cancel()
		}
		w.Wait()
	})
}

func TestWatchersEndWithThePermissionOrThePassword(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, first *watchClient) {
		first.cancel()
		first.over("etcdserver: watch canceled")
		world := w.guard()
		world.any = &etcd.Caller{CommonName: "root"}
		byToken, byName, root := w.open(*world.as(w, "reader")), w.open(etcd.Caller{CommonName: "reader"}), w.open(*world.any)
		for _, c := range []*watchClient{byToken, byName, root} {
			c.create(&pb.WatchCreateRequest{Key: key("a")})
			c.expect("0@1 created")
		}
		if err := world.invoke(w, "UserChangePassword", world.any, &pb.AuthUserChangePasswordRequest{Name: "reader", Password: "x"}); err != nil {
			t.Fatal(err)
		}
		byToken.expect("0@1 canceled: rpc error: code = Unauthenticated desc = etcdserver: invalid auth token")
		w.put("1", "a")
		byName.expect("0@2 a=1")
		if err := world.invoke(w, "RoleRevokePermission", world.any, &pb.AuthRoleRevokePermissionRequest{Role: "reader", Key: key("a"), RangeEnd: key("b")}); err != nil {
			t.Fatal(err)
		}
		byName.expect("0@2 canceled: rpc error: code = PermissionDenied desc = etcdserver: permission denied")
		w.put("2", "a")
		root.expect("0@2 a=1", "0@3 a=2")
		for _, c := range []*watchClient{byToken, byName, root} {
			c.cancel()
		}
		w.Wait()
	})
}
