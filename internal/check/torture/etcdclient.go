package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"balsa.example/clerk"
)

const (
	// etcdPatience is how long a client of the etcd API waits for one answer, before it goes to another server.
	etcdPatience = 2 * time.Second
	// etcdSyncEvery is how often such clients ask who the members are.
	etcdSyncEvery = time.Second
)

// Errors of a client of the etcd API that faults explain.
var (
	// errAway: no answer, to a request that changes nothing or was not sent.
	errAway = errors.New("no answer by the API of etcd")
	// errRefused: the server says that it has not executed the request, and never will.
	errRefused = errors.New("refused by the API of etcd")
)

// etcdRefusals are the errors after which a write was certainly not executed.
var etcdRefusals = []error{rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCRequestTooManyRequests, rpctypes.ErrGRPCNoSpace}

// etcdServers are the addresses that clients of the etcd API know.
type etcdServers struct {
	mu     sync.Mutex
	known  []string
	next   int
	synced time.Time
}

// pick returns an address, each time another one.
func (s *etcdServers) pick() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return s.known[s.next%len(s.known)]
}

// sync asks a server who the members are, if nobody has of late.
func (s *etcdServers) sync(ctx context.Context, conn *grpc.ClientConn) {
	s.mu.Lock()
	due := time.Since(s.synced) > etcdSyncEvery
	if due {
		s.synced = time.Now()
	}
	s.mu.Unlock()
	if !due {
		return
	}
	r, err := pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
	if err != nil {
		return
	}
	var known []string
	for _, m := range r.Members {
		for _, url := range m.ClientURLs {
			if !m.IsLearner {
				known = append(known, strings.TrimPrefix(url, "http://"))
			}
		}
	}
	if len(known) > 0 {
		s.set(known)
	}
}

func (s *etcdServers) set(known []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = known
}

// etcdClient gets and puts by the etcd API what others get and put by the native one, at one server
// until that does not answer. It sends nothing twice.
type etcdClient struct {
	servers *etcdServers
	conn    *grpc.ClientConn
	address string // of the server
	// revision is the highest that a server has told. An answer that is as new as the latest write
	// may not be older.
	revision int64
}

func (c *etcdClient) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// connection connects the client with the next server, if it has no connection.
func (c *etcdClient) connection(ctx context.Context) (*grpc.ClientConn, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdPatience)
	defer cancel()
	if c.conn == nil {
		c.address = c.servers.pick()
		conn, err := grpc.NewClient("passthrough:///"+c.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	for state := c.conn.GetState(); state != connectivity.Ready; state = c.conn.GetState() {
		if state == connectivity.Idle {
			c.conn.Connect()
		}
		if state == connectivity.TransientFailure || !c.conn.WaitForStateChange(ctx, state) {
			c.close()
			return nil, fmt.Errorf("%w: %s cannot be reached", errAway, c.address)
		}
	}
	c.servers.sync(ctx, c.conn)
	return c.conn, nil
}

// Get implements history.Client. It has no options.
func (c *etcdClient) Get(ctx context.Context, key string, _ ...clerk.ReadOption) (clerk.KV, error) {
	conn, err := c.connection(ctx)
	if err != nil {
		return clerk.KV{Key: key}, err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdPatience)
	defer cancel()
	r, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte(key)})
	if err != nil {
		return clerk.KV{Key: key}, c.failed(err, errAway)
	}
	return c.found(key, r, r.Header)
}

// Put implements history.Client: it writes the key if it is at a version, in a transaction. It has no options.
func (c *etcdClient) Put(ctx context.Context, key string, value []byte, version uint64, _ ...clerk.PutOption) (clerk.KV, error) {
	conn, err := c.connection(ctx)
	if err != nil {
		return clerk.KV{Key: key}, err
	}
	r, err := c.txn(ctx, conn, version, &pb.PutRequest{Key: []byte(key), Value: value})
	switch {
	case err != nil:
		return clerk.KV{Key: key}, c.failed(err, clerk.ErrMaybe)
	case r.Succeeded:
		kv := clerk.KV{Key: key, Value: value, Version: version + 1, ModRevision: uint64(r.Header.Revision)}
		return kv, c.goesOn(r.Header)
	}
	kv, err := c.found(key, r.Responses[0].GetResponseRange(), r.Header)
	switch {
	case err == nil && kv.Version == version, errors.Is(err, clerk.ErrNoKey) && version == 0:
		return kv, fmt.Errorf("a put of %q at version %d was refused, and that is its version", key, version)
	case err == nil:
		return kv, &clerk.VersionError{Expected: version, Current: kv.Version, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision}
	}
	return kv, err
}

// txn is the put if its key is at a version, else a get.
func (c *etcdClient) txn(ctx context.Context, conn *grpc.ClientConn, version uint64, put *pb.PutRequest) (*pb.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdPatience)
	defer cancel()
	return pb.NewKVClient(conn).Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: put.Key, Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: int64(version)}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: put.Key}}}},
	})
}

// found is what a range of one key has found.
func (c *etcdClient) found(key string, r *pb.RangeResponse, h *pb.ResponseHeader) (clerk.KV, error) {
	if err := c.goesOn(h); err != nil {
		return clerk.KV{Key: key}, err
	}
	if len(r.Kvs) == 0 {
		return clerk.KV{Key: key}, clerk.ErrNoKey
	}
	e := etcdEntry(r.Kvs[0])
	return clerk.KV{
		Key: e.Key, Value: e.Value, Version: e.Version, CreateRevision: e.CreateRevision, ModRevision: e.ModRevision,
		Revision: uint64(h.Revision), Lease: e.Lease,
	}, nil
}

// goesOn returns an error if a header is older than one that the client had before.
func (c *etcdClient) goesOn(h *pb.ResponseHeader) error {
	if h.Revision < c.revision {
		return fmt.Errorf("an answer of member %x has revision %d, and the client has seen %d", h.MemberId, h.Revision, c.revision)
	}
	c.revision = h.Revision
	return nil
}

// failed is what an error means: that the request was not executed, or otherwise unknown. The next
// request goes to another server.
func (c *etcdClient) failed(err, unknown error) error {
	c.close()
	if etcdRefused(err) {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return fmt.Errorf("%w: %w", unknown, err)
	}
	return err // no fault explains it
}

func etcdRefused(err error) bool {
	for _, refusal := range etcdRefusals {
		if status.Convert(err).Message() == status.Convert(refusal).Message() {
			return true
		}
	}
	return false
}
