package native

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/metrics"
	"balsa.example/internal/ratelog"
	"balsa.example/internal/replica"
	"balsa.example/raft"
	"balsa.example/rsm"
)

const (
	// maxMessageBytes bounds one message from a client: a largest request, and room
	// for others in its batch.
	maxMessageBytes = 4 << 20
	// streamWindow is how many bytes gRPC receives on a stream ahead of its reader. While
	// the reader waits for a larger message gRPC receives the rest. connWindow is the same
	// for a connection, whose streams do not wait for each other.
	streamWindow = 64 << 10
	connWindow   = 1 << 20
	// maxHeaderBytes bounds the headers of a stream. connectTimeout bounds the handshakes of
	// TLS and HTTP/2.
	maxHeaderBytes = 16 << 10
	connectTimeout = 5 * time.Second
	// minPingInterval is how often clients may ping. grpc-go's own default of five
	// minutes would cut off clients that watch their connections.
	minPingInterval = 5 * time.Second
	// After idlePing of silence the server pings, and after pingTimeout without an answer it
	// closes the connection: a client that vanished must not hold streams for ever.
	idlePing    = 30 * time.Second
	pingTimeout = 10 * time.Second
)

// Config says how to serve the native API. Hello, Status and Logger are required.
type Config struct {
	Hello  *api.Hello // but for the revision; the cluster is 0 until it has begun
	Limits ClientLimits
	TLS    *tls.Config // nil: plain TCP
	Status func() *api.StatusReply
	// Names puts the names of members into a text that has their ids; may be nil.
	Names func(text string) string
	// Waiting says what the server waits for before it can start its replica; empty if for
	// nothing. nil: it waits for nothing.
	Waiting func() string
	// Requests counts and times requests; nil: they are not counted.
	Requests *metrics.Requests
	Logger   *slog.Logger
}

// Server is the gRPC server of the native API. It runs before the replica does: until Start,
// and after Drain, it answers that it cannot serve.
type Server struct {
	api.UnimplementedKVServer
	cfg     Config
	clients *clients
	grpc    *grpc.Server
	health  *health.Server
	refused *ratelog.Logger // clients, by TLS

	cluster   atomic.Uint64 // 0 until it has begun
	begun     chan struct{} // closed when cluster is set, or never will be
	beginOnce sync.Once
	replica   atomic.Pointer[replica.Replica] // nil until the server takes part
	draining  chan struct{}                   // closed when no new requests are taken
	drainOnce sync.Once
	receivers sync.WaitGroup
}

// New makes a server. It answers on the listeners that Serve is called with.
func New(cfg Config) *Server {
	if cfg.Names == nil {
		cfg.Names = func(text string) string { return text }
	}
	s := &Server{
		cfg:      cfg,
		clients:  newClients(cfg.Limits, cfg.Logger),
		health:   health.NewServer(),
		refused:  ratelog.New(cfg.Logger, RefusalLines, refusalPeriod),
		begun:    make(chan struct{}),
		draining: make(chan struct{}),
	}
	if cfg.Hello.ClusterId != 0 {
		s.Begin(cfg.Hello.ClusterId)
	}
	s.setServing(false)
	s.grpc = s.newGRPCServer()
	return s
}

// newGRPCServer serves s and the standard health service.
func (s *Server) newGRPCServer() *grpc.Server {
	g := grpc.NewServer(
		grpc.Creds(clientCredentials{s.credentials(), s.clients}),
		grpc.ConnectionTimeout(connectTimeout),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.ForceServerCodecV2(api.Codec()),
		grpc.MaxConcurrentStreams(uint32(s.clients.limits.Streams)),
		grpc.UnaryInterceptor(s.clients.unary),
		grpc.StreamInterceptor(s.clients.stream),
		// Windows of a fixed size save pings: to adapt a window gRPC sends one with each
		// message that comes while none is under way.
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: idlePing, Timeout: pingTimeout}),
		grpc.WaitForHandlers(true),
	)
	api.RegisterKVServer(g, s)
	healthpb.RegisterHealthServer(g, s.health)
	return g
}

// Serve answers clients on l until the server stops. The clients of all listeners share
// the limits.
func (s *Server) Serve(l net.Listener) error { return s.grpc.Serve(s.clients.listener(l)) }

// WatchClients closes the connections of clients that have stalled, until ctx ends.
func (s *Server) WatchClients(ctx context.Context) { s.clients.watch(ctx) }

// GracefulStop takes no new streams, and returns when those that there are have ended.
func (s *Server) GracefulStop() { s.grpc.GracefulStop() }

// Stop ends all streams, and returns when no goroutine of one is left.
func (s *Server) Stop() {
	s.grpc.Stop()
	s.receivers.Wait()
}

// Health is the standard health service.
func (s *Server) Health() healthpb.HealthServer { return s.health }

// Waiting is why there is no replica before Start.
func (s *Server) Waiting() string {
	if s.cfg.Waiting != nil {
		if text := s.cfg.Waiting(); text != "" {
			return text
		}
	}
	return "the server is starting"
}

// Begin tells clients from now on of which cluster the server is.
func (s *Server) Begin(cluster uint64) {
	s.cluster.Store(cluster)
	s.beginOnce.Do(func() { close(s.begun) })
}

// Replica is what answers requests; nil until Start.
func (s *Server) Replica() *replica.Replica { return s.replica.Load() }

// Start lets requests through to r.
func (s *Server) Start(r *replica.Replica) {
	s.replica.Store(r)
	s.setServing(true)
}

func (s *Server) setServing(yes bool) {
	state := healthpb.HealthCheckResponse_NOT_SERVING
	if yes {
		state = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", state)
	s.health.SetServingStatus(api.KV_ServiceDesc.ServiceName, state)
}

// Drain refuses requests from now on, and lets each stream end when its requests
// are answered.
func (s *Server) Drain() {
	s.drainOnce.Do(func() {
		s.health.Shutdown()
		close(s.draining)
		s.beginOnce.Do(func() { close(s.begun) })
	})
}

func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// Handle passes a request on to the replica, if there is one.
func (s *Server) Handle(req *api.Request, reply func(*api.Reply)) {
	if s.cfg.Requests != nil {
		reply = measured(s.cfg.Requests, req.Kind, reply)
	}
	r := s.replica.Load()
	switch {
	case s.isDraining():
		reply(translate.Unavailable(req.Id, "server is stopping"))
	case r == nil:
		reply(translate.Unavailable(req.Id, s.Waiting()))
	default:
		r.Handle(req, reply)
	}
}

// Exchange implements api.KVServer. It sends replies in this goroutine and receives requests
// in another, which ends after Exchange has returned. Stop waits for it.
func (s *Server) Exchange(stream api.KV_ExchangeServer) error {
	hello := s.greeting()
	h, end := handler(s), s.draining
	if hello.ClusterId == 0 {
		h, end = withoutCluster{s}, s.begun
	}
	cl, done := s.clients.clientOf(stream.Context())
	defer done()
	cs := newClientStream(h, &cl.requests)
	cl.addStream(&cs.sendingSince)
	defer cl.removeStream(&cs.sendingSince)
	if err := stream.Send(&api.ReplyBatch{Hello: hello}); err != nil {
		return err
	}
	s.receivers.Go(func() {
		if cs.receive(stream.Context(), stream.Recv) == errStreamBusy {
			cl.closeStalled() // send may hang, and what gRPC buffers for the client counts nowhere
		}
	})
	err := cs.send(stream.Context(), end, stream.Send)
	if hello.ClusterId == 0 && err != nil && !s.isDraining() {
		return status.Error(codes.Unavailable, "the cluster has begun, connect again")
	}
	return err
}

// Watch implements api.KVServer. Its goroutines are as those of Exchange.
func (s *Server) Watch(stream api.KV_WatchServer) error {
	r := s.replica.Load()
	switch {
	case s.isDraining():
		return status.Error(codes.Unavailable, errStopping.Error())
	case r == nil || r.Watches == nil:
		return status.Error(codes.Unavailable, s.Waiting())
	}
	cl, done := s.clients.clientOf(stream.Context())
	defer done()
	ws := newWatchStream(r.Watches.Hub, &cl.requests, &cl.watchers)
	cl.addStream(&ws.sendingSince)
	defer cl.removeStream(&ws.sendingSince)
	if err := stream.Send(&api.WatchReply{Hello: s.greeting()}); err != nil {
		ws.close()
		return err
	}
	s.receivers.Go(func() {
		if ws.receive(stream.Recv) == errAnswersUnread {
			cl.closeStalled() // send may hang
		}
	})
	around := surroundings{draining: s.draining, leaderless: r.Watches.Leaderless}
	return ws.send(stream.Context(), around, func(m *api.WatchMessage) error { return stream.SendMsg(m) })
}

// withoutCluster refuses the requests of a stream that was opened before the cluster began.
// Its Hello named no cluster, so the client may belong to another one. The stream ends when
// the cluster begins, and the client must connect again.
type withoutCluster struct{ *Server }

// Handle implements handler.
func (u withoutCluster) Handle(req *api.Request, reply func(*api.Reply)) {
	if u.cfg.Requests != nil {
		reply = measured(u.cfg.Requests, req.Kind, reply)
	}
	reply(translate.Unavailable(req.Id, u.Waiting()))
}

// greeting is the Hello of a stream that is opened now.
func (s *Server) greeting() *api.Hello {
	hello := proto.Clone(s.cfg.Hello).(*api.Hello)
	hello.ClusterId = s.cluster.Load()
	if r := s.replica.Load(); r != nil {
		hello.Revision = r.Store.Revision()
	}
	return hello
}

// Status implements api.KVServer.
func (s *Server) Status(context.Context, *api.StatusRequest) (*api.StatusReply, error) {
	reply := s.cfg.Status()
	reply.Watchers = uint64(s.clients.watchers.items.Load())
	return reply, nil
}

// TransferLeadership implements api.KVServer.
func (s *Server) TransferLeadership(ctx context.Context, req *api.TransferLeadershipRequest) (*api.TransferLeadershipReply, error) {
	r := s.replica.Load()
	if r == nil {
		return nil, status.Error(codes.Unavailable, s.Waiting())
	}
	switch err := r.Node.TransferLeadership(ctx, raft.NodeID(req.TargetId)); {
	case errors.Is(err, rsm.ErrWrongLeader), errors.Is(err, raft.ErrNotLeader):
		return nil, status.Error(codes.FailedPrecondition, s.cfg.Names(err.Error()))
	case errors.Is(err, raft.ErrNotVoter):
		return nil, status.Error(codes.InvalidArgument, "target_id: "+s.cfg.Names(err.Error()))
	case err != nil && ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case err != nil:
		return nil, status.Error(codes.Unavailable, s.cfg.Names(err.Error()))
	}
	st := r.Node.Status()
	return &api.TransferLeadershipReply{LeaderId: uint64(st.Leader), Term: uint64(st.Term)}, nil
}
