package server

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// etcdConn connects to a server as clients of etcd do.
func (c *testCluster) etcdConn(i int) *grpc.ClientConn {
	c.t.Helper()
	conn, err := grpc.NewClient(c.configs[i].ListenClient[0].Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// etcdContext bounds the calls of a test.
func etcdContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestEtcdServicesOfAServer calls at least one method of each service over a real connection.
func TestEtcdServicesOfAServer(t *testing.T) {
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	ctx := etcdContext(t)
	follower := (c.leader() + 1) % 3
	conn := c.etcdConn(follower)
	list, err := pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
	if err != nil || len(list.Members) != 3 || list.Header.Revision != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	for i, m := range list.Members {
		if i > 0 && m.ID <= list.Members[i-1].ID || m.Name == "" || len(m.PeerURLs) != 1 || len(m.ClientURLs) != 1 {
			t.Errorf("member %v", m)
		}
	}
	status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	if err != nil || status.Leader == 0 || status.Header.MemberId == status.Leader || status.RaftTerm == 0 || len(status.Errors) != 0 {
		t.Errorf("%v, %v", status, err)
	}
	if _, err := pb.NewMaintenanceClient(conn).MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: 1}); rpctypes.Error(err) != rpctypes.ErrNotLeader {
		t.Errorf("a follower moves the leader: %v", err)
	}
	grant, err := pb.NewLeaseClient(conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	alive, err := pb.NewLeaseClient(conn).LeaseKeepAlive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := alive.Send(&pb.LeaseKeepAliveRequest{ID: grant.ID}); err != nil {
		t.Fatal(err)
	}
	if r, err := alive.Recv(); err != nil || r.TTL != 60 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := pb.NewAuthClient(conn).AuthStatus(ctx, &pb.AuthStatusRequest{}); err != nil {
		t.Error(err)
	}
	watch, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 2}
	if err := watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		t.Fatal(err)
	}
	if r, err := watch.Recv(); err != nil || !r.Created {
		t.Fatalf("%v, %v", r, err)
	}
	if _, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte("k"), Lease: grant.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := pb.NewLeaseClient(conn).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: grant.ID}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []mvccpb.Event_EventType{mvccpb.Event_PUT, mvccpb.Event_DELETE} {
		if r, err := watch.Recv(); err != nil || len(r.Events) != 1 || r.Events[0].Type != want {
			t.Errorf("%v, %v", r, err)
		}
	}
	// A server that stops lets streams end at once, with an error that clients know.
	c.stop(follower)
	if _, err := alive.Recv(); rpctypes.Error(err) != rpctypes.ErrStopped {
		t.Errorf("the stream ended with %v", err)
	}
}
