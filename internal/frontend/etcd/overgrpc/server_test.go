package overgrpc_test

import (
	"context"
	"net"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/overgrpc"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// node is a member that has nothing but what each test says.
type node struct {
	etcd.Node
	store  store
	leader raft.NodeID
	block  chan struct{} // Submit waits for it, or for its context
}

type store struct {
	etcd.Store
	machine *naive.Machine
}

func (s store) Range(op kv.RangeOp) (kv.RangeResult, error) {
	r, code := s.machine.Range(op)
	return r, code.Err()
}

// EncodeRange is part of etcd.Store.
func (s store) EncodeRange(op kv.RangeOp, b []byte, add func([]byte, *kv.Entry) []byte) ([]byte, kv.RangeResult, error) {
	r, err := s.Range(op)
	for i := range r.Entries {
		b = add(b, &r.Entries[i])
	}
	return b, r, err
}

func (s store) Revision() uint64 { return s.machine.Revision() }

func (n *node) Submit(ctx context.Context, late <-chan struct{}, c state.Command) (state.Result, rsm.EntryID, error) {
	if n.block != nil {
		select {
		case <-n.block:
		case <-ctx.Done():
			return state.Result{}, rsm.EntryID{}, ctx.Err()
		case <-late:
			return state.Result{}, rsm.EntryID{}, context.DeadlineExceeded
		}
	}
	return n.store.machine.DoOp(c), rsm.EntryID{}, nil
}

func (n *node) Read(context.Context, <-chan struct{}) error { return nil }
func (n *node) KeepAlive(_ int64, done func(int64, error))  { done(3e9, nil) }
func (n *node) Term() raft.Term                             { return 9 }
func (n *node) Leader() raft.NodeID                         { return n.leader }
func (n *node) Store() etcd.Store                           { return n.store }

// Auth is part of etcd.Store: authentication is off.
func (store) Auth() (*auth.Table, <-chan struct{}) { return auth.New(), nil }

// listen returns the address of a server.
func listen(t *testing.T, g *grpc.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return l.Addr().String()
}

// serve returns a connection to a server, and its node.
func serve(t *testing.T) (*grpc.ClientConn, *etcd.Entrance, *etcd.Face, *node) {
	n := &node{store: store{machine: naive.New(naive.Limits{})}, leader: 1}
	entrance := etcd.NewEntrance(nil)
	g := grpc.NewServer()
	overgrpc.New(entrance).Register(g, etcd.Methods)
	conn, err := grpc.NewClient(listen(t, g), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	face := etcd.New(etcd.Config{Node: n, ClusterID: 7, MemberID: 8, ElectionTimeout: time.Second})
	return conn, entrance, face, n
}

func TestGeneratedClientsAreAnswered(t *testing.T) {
	conn, s, face, _ := serve(t)
	client := pb.NewKVClient(conn)
	time.AfterFunc(10*time.Millisecond, func() { s.Open(face) }) // before it the call waits
	put, err := client.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
	if err != nil || put.Header.Revision != 2 || put.Header.ClusterId != 7 {
		t.Fatalf("%v, %v", put, err)
	}
	stream, err := client.RangeStream(t.Context(), &pb.RangeRequest{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	page, err := stream.Recv()
	if err != nil || string(page.RangeResponse.Kvs[0].Value) != "v" {
		t.Fatalf("%v, %v", page, err)
	}
	alive, err := pb.NewLeaseClient(conn).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id := range int64(5) {
		if err := alive.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
		if r, err := alive.Recv(); err != nil || r.ID != id || r.TTL != 3 {
			t.Fatalf("%v, %v", r, err)
		}
	}
	_, err = client.Range(t.Context(), &pb.RangeRequest{Key: []byte("k"), Revision: 9})
	if rpctypes.Error(err) != rpctypes.ErrFutureRev {
		t.Errorf("a client takes the error as %v", err)
	}
}

func TestMetadataIsRead(t *testing.T) {
	conn, s, face, n := serve(t)
	s.Open(face)
	n.leader = raft.None
	client := pb.NewKVClient(conn)
	with := func(pairs ...string) error {
		_, err := client.Put(metadata.AppendToOutgoingContext(t.Context(), pairs...), &pb.PutRequest{Key: []byte("k")})
		return rpctypes.Error(err)
	}
	if err := with(rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader); err != rpctypes.ErrNoLeader {
		t.Errorf("without a leader: %v", err)
	}
	if err := with(rpctypes.MetadataRequireLeaderKey, "false", rpctypes.MetadataClientAPIVersionKey, "3.7"); err != nil {
		t.Error(err)
	}
	alive, err := pb.NewLeaseClient(conn).LeaseKeepAlive(metadata.AppendToOutgoingContext(t.Context(), rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alive.Recv(); rpctypes.Error(err) != rpctypes.ErrNoLeader {
		t.Errorf("a stream without a leader: %v", err)
	}
}

func TestCancellationReachesTheNode(t *testing.T) {
	conn, s, face, n := serve(t)
	s.Open(face)
	n.block = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte("k")})
		ended <- err
	}()
	cancel()
	if err := <-ended; status.Code(err) != codes.Canceled {
		t.Error(err)
	}
}

func TestDrainEndsStreamsAndRefusesCalls(t *testing.T) {
	conn, s, face, _ := serve(t)
	s.Open(face)
	alive, err := pb.NewLeaseClient(conn).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := alive.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := alive.Recv(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := alive.Recv(); rpctypes.Error(err) != rpctypes.ErrStopped {
		t.Errorf("the stream ended with %v", err)
	}
	if _, err := pb.NewKVClient(conn).Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); rpctypes.Error(err) != rpctypes.ErrStopped {
		t.Errorf("a call ended with %v", err)
	}
}
