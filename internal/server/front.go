package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/metrics"
	"balsa.example/internal/service"
	"balsa.example/raft"
	"balsa.example/rsm"
)

const (
	// maxMessageBytes bounds one message from a client: a largest request, and room
	// for others in its batch.
	maxMessageBytes = 4 << 20
	// streamWindow is how much gRPC may receive on a stream before it is read; for the rest
	// of a larger message it makes room when that is waited for. connWindow is the same for
	// a connection, whose streams do not wait for each other.
	streamWindow = 64 << 10
	connWindow   = 1 << 20
	// maxHeaderBytes bounds the headers of a stream, and connectTimeout how long it may take
	// until a connection speaks TLS and HTTP/2.
	maxHeaderBytes = 16 << 10
	connectTimeout = 5 * time.Second
	// minPingInterval is how often clients may ping. grpc-go's own default of five
	// minutes would cut off clients that watch their connections.
	minPingInterval = 5 * time.Second
	// idlePing is after which silence the server pings, and pingTimeout how long it
	// waits, so that vanished clients do not hold streams for ever.
	idlePing    = 30 * time.Second
	pingTimeout = 10 * time.Second
)

// front is the gRPC face of a server. It is up before the replica is: until then,
// and after drain, it answers that it cannot serve.
type front struct {
	api.UnimplementedKVServer
	hello   *api.Hello // but for the cluster and the revision
	clients *clients
	health  *health.Server
	status  func() *api.StatusReply
	names   func(text string) string // Cluster.WithNames
	// requests counts and times requests; nil if nobody is to see it.
	requests *metrics.Requests

	cluster   atomic.Uint64 // 0 until it has begun
	begun     chan struct{} // closed when cluster is set, or never will be
	beginOnce sync.Once
	replica   atomic.Pointer[Replica] // nil until the server takes part
	waiting   atomic.Pointer[string]  // what for, while replica is nil
	draining  chan struct{}           // closed when no new requests are taken
	drainOnce sync.Once
	receivers sync.WaitGroup
}

func newFront(hello *api.Hello, clients *clients) *front {
	f := &front{
		hello:    hello,
		names:    func(text string) string { return text },
		clients:  clients,
		health:   health.NewServer(),
		begun:    make(chan struct{}),
		draining: make(chan struct{}),
	}
	if hello.ClusterId != 0 {
		f.begin(hello.ClusterId)
	}
	f.setWaiting("the server is starting")
	f.setServing(false)
	return f
}

// newGRPCServer serves f and the standard health service.
func (f *front) newGRPCServer(creds credentials.TransportCredentials) *grpc.Server {
	g := grpc.NewServer(
		grpc.Creds(introducer{creds, f.clients}),
		grpc.ConnectionTimeout(connectTimeout),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.ForceServerCodecV2(api.Codec()),
		grpc.MaxConcurrentStreams(uint32(f.clients.limits.Streams)),
		grpc.UnaryInterceptor(f.clients.unary),
		grpc.StreamInterceptor(f.clients.stream),
		// Windows of a fixed size: to find one out, gRPC sends a ping with each message that
		// comes when no ping is under way, and the other side answers it.
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: idlePing, Timeout: pingTimeout}),
		grpc.WaitForHandlers(true),
	)
	api.RegisterKVServer(g, f)
	healthpb.RegisterHealthServer(g, f.health)
	return g
}

// setWaiting says why there is no replica yet.
func (f *front) setWaiting(reason string) { f.waiting.Store(&reason) }

// begin tells clients from now on of which cluster the server is.
func (f *front) begin(cluster uint64) {
	f.cluster.Store(cluster)
	f.beginOnce.Do(func() { close(f.begun) })
}

// serve lets requests through to r.
func (f *front) serve(r *Replica) {
	f.replica.Store(r)
	f.setServing(true)
}

func (f *front) setServing(yes bool) {
	state := healthpb.HealthCheckResponse_NOT_SERVING
	if yes {
		state = healthpb.HealthCheckResponse_SERVING
	}
	f.health.SetServingStatus("", state)
	f.health.SetServingStatus(api.KV_ServiceDesc.ServiceName, state)
}

// drain refuses requests from now on, and lets each stream end when its requests
// are answered.
func (f *front) drain() {
	f.drainOnce.Do(func() {
		f.health.Shutdown()
		close(f.draining)
		f.beginOnce.Do(func() { close(f.begun) })
	})
}

func (f *front) isDraining() bool {
	select {
	case <-f.draining:
		return true
	default:
		return false
	}
}

// Handle passes a request on to the replica, if there is one.
func (f *front) Handle(req *api.Request, reply func(*api.Reply)) {
	if f.requests != nil {
		reply = measured(f.requests, req.Kind, reply)
	}
	r := f.replica.Load()
	switch {
	case f.isDraining():
		reply(service.Unavailable(req.Id, "server is stopping"))
	case r == nil:
		reply(service.Unavailable(req.Id, *f.waiting.Load()))
	default:
		r.Handle(req, reply)
	}
}

// Exchange is api.KVServer's: it sends from this goroutine and receives in another.
// That one ends when this one has returned, which ends the stream; wait waits for it.
func (f *front) Exchange(stream api.KV_ExchangeServer) error {
	hello := f.greeting()
	h, end := handler(f), f.draining
	if hello.ClusterId == 0 {
		h, end = unborn{f}, f.begun
	}
	cl, leave := f.clients.of(stream.Context())
	defer leave()
	x := newExchange(h, &cl.requests)
	cl.began(x)
	defer cl.over(x)
	if err := stream.Send(&api.ReplyBatch{Hello: hello}); err != nil {
		return err
	}
	f.receivers.Go(func() {
		if x.receive(stream.Context(), stream.Recv) == errStreamBusy {
			cl.stalled() // send may hang, and what gRPC keeps for the client counts nowhere
		}
	})
	err := x.send(stream.Context(), end, stream.Send)
	if hello.ClusterId == 0 && err != nil && !f.isDraining() {
		return status.Error(codes.Unavailable, "the cluster has begun, connect again")
	}
	return err
}

// unborn serves a stream whose client was told of no cluster: nothing, and only until
// there is one. The client may be of another cluster, so it must connect again and see.
type unborn struct{ *front }

// Handle is handler's.
func (u unborn) Handle(req *api.Request, reply func(*api.Reply)) {
	if u.requests != nil {
		reply = measured(u.requests, req.Kind, reply)
	}
	reply(service.Unavailable(req.Id, *u.waiting.Load()))
}

// greeting is the Hello of a stream that begins now.
func (f *front) greeting() *api.Hello {
	hello := &api.Hello{
		ClusterId: f.cluster.Load(), NodeId: f.hello.NodeId, Name: f.hello.Name, ServerVersion: f.hello.ServerVersion,
	}
	if r := f.replica.Load(); r != nil {
		hello.Revision = r.Store.Revision()
	}
	return hello
}

// wait returns when no stream is left. It is called after the gRPC server stopped.
func (f *front) wait() { f.receivers.Wait() }

// Status is api.KVServer's.
func (f *front) Status(context.Context, *api.StatusRequest) (*api.StatusReply, error) {
	return f.status(), nil
}

// TransferLeadership is api.KVServer's.
func (f *front) TransferLeadership(ctx context.Context, req *api.TransferLeadershipRequest) (*api.TransferLeadershipReply, error) {
	r := f.replica.Load()
	if r == nil {
		return nil, status.Error(codes.Unavailable, *f.waiting.Load())
	}
	switch err := r.Node.TransferLeadership(ctx, raft.NodeID(req.TargetId)); {
	case errors.Is(err, rsm.ErrWrongLeader), errors.Is(err, raft.ErrNotLeader):
		return nil, status.Error(codes.FailedPrecondition, f.names(err.Error()))
	case errors.Is(err, raft.ErrNotVoter):
		return nil, status.Error(codes.InvalidArgument, "target_id: "+f.names(err.Error()))
	case err != nil && ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case err != nil:
		return nil, status.Error(codes.Unavailable, f.names(err.Error()))
	}
	s := r.Node.Status()
	return &api.TransferLeadershipReply{LeaderId: uint64(s.Leader), Term: uint64(s.Term)}, nil
}
