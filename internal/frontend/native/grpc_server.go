package native

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
	"balsa.example/internal/tracing"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// Config says how to serve the native API. Port, Hello and Status are required.
type Config struct {
	Port   *clients.Port // on which the API is registered
	Hello  *api.Hello    // but for the revision; the cluster is 0 until it has begun
	Status func() *api.StatusReply
	// Names puts the names of members into a text that has their ids; may be nil.
	Names func(text string) string
	// Membership knows who the members are; may be nil.
	Membership Membership
	// Waiting says what the server waits for before it can start its replica; empty if for
	// nothing. nil: it waits for nothing.
	Waiting func() string
	// Requests counts and times requests; nil: they are not counted.
	Requests *metrics.Requests
	// Recorder takes requests that were slow; nil: nobody asks.
	Recorder *tracing.Recorder
	// LogLevel is what clients may change of the log.
	LogLevel LogLevel
	// OnBackup is told of a backup that begins, and what it returns is called with how that ended; nil:
	// nobody is told.
	OnBackup func() (end func(error))
}

// Server is the native API. It runs before the replica does: until Start,
// and after Drain, it answers that it cannot serve.
type Server struct {
	api.UnimplementedKVServer
	cfg Config

	cluster   atomic.Uint64 // 0 until it has begun
	node      atomic.Uint64 // 0 until the server is a member
	begun     chan struct{} // closed when cluster is set, or never will be
	beginOnce sync.Once
	replica   atomic.Pointer[replica.Replica] // nil until the server takes part
	members   news                            // the members have changed
	draining  chan struct{}                   // closed when no new requests are taken
	drainOnce sync.Once
	receivers sync.WaitGroup
	backups   chan struct{} // a token for each that is made
}

// New registers the native API on the Port.
func New(cfg Config) *Server {
	if cfg.OnBackup == nil {
		cfg.OnBackup = func() func(error) { return func(error) {} }
	}
	if cfg.Names == nil {
		cfg.Names = func(text string) string { return text }
	}
	s := &Server{
		cfg:      cfg,
		begun:    make(chan struct{}),
		draining: make(chan struct{}),
		backups:  make(chan struct{}, maxBackups),
	}
	if cfg.Hello.ClusterId != 0 {
		s.Begin(cfg.Hello.ClusterId, cfg.Hello.NodeId)
	}
	s.setServing(false)
	api.RegisterKVServer(cfg.Port, s)
	return s
}

// AwaitStreams returns when no goroutine of a stream is left. The Port must have stopped.
func (s *Server) AwaitStreams() { s.receivers.Wait() }

// Waiting is why there is no replica before Start.
func (s *Server) Waiting() string {
	if s.cfg.Waiting != nil {
		if text := s.cfg.Waiting(); text != "" {
			return text
		}
	}
	return "the server is starting"
}

// Begin tells clients from now on of which cluster the server is, and which member.
func (s *Server) Begin(cluster, node uint64) {
	s.node.Store(node)
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
	s.cfg.Port.SetServing(yes, "", api.KV_ServiceDesc.ServiceName)
}

// Drain refuses requests from now on, and lets each stream end when its requests
// are answered.
func (s *Server) Drain() {
	s.drainOnce.Do(func() {
		s.cfg.Port.Drain()
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

// Handle is Follow for those who do not ask what became of a request.
func (s *Server) Handle(req *api.Request, reply func(*api.Reply)) { s.Follow(req, nil, reply) }

// Follow passes a request on to the replica, if there is one.
func (s *Server) Follow(req *api.Request, trail *translate.Trail, reply func(*api.Reply)) {
	reply = s.counted(req.Kind, metrics.Now(), reply)
	if why := s.refusing(); why != "" {
		reply(translate.Unavailable(req.Id, why))
		return
	}
	s.replica.Load().Follow(req, trail, reply)
}

// HandleGets is Handle for GETs that came together.
func (s *Server) HandleGets(gets []translate.Get) {
	if s.countGets(gets) {
		s.replica.Load().HandleGets(gets)
	}
}

// countGets counts GETs, and answers them if they are refused now. Else it returns true.
func (s *Server) countGets(gets []translate.Get) bool {
	why, now := s.refusing(), metrics.Now()
	for i := range gets {
		g := &gets[i]
		if g.Reply = s.counted(api.Request_GET, now, g.Reply); why != "" {
			g.Reply(translate.Unavailable(g.Request.Id, why))
		}
	}
	return why == ""
}

// counted returns a function that counts a request which has begun then, and calls reply.
func (s *Server) counted(kind api.Request_Kind, then time.Duration, reply func(*api.Reply)) func(*api.Reply) {
	if s.cfg.Requests == nil {
		return reply
	}
	return measured(s.cfg.Requests, kind, then, reply)
}

// refusing tells why no request is answered now; empty: they are answered.
func (s *Server) refusing() string {
	switch {
	case s.isDraining():
		return "server is stopping"
	case s.replica.Load() == nil:
		return s.Waiting()
	}
	return ""
}

// Exchange implements api.KVServer. It sends replies in this goroutine and receives requests
// in another, which ends after Exchange has returned. Stop waits for it.
func (s *Server) Exchange(stream api.KV_ExchangeServer) error {
	changed := s.members.next()
	hello := s.greeting()
	u, err := s.user(stream.Context())
	if err != nil {
		return err
	}
	h, end := s.handlerFor(u), s.draining
	if hello.ClusterId == 0 {
		h, end, changed = withoutCluster{s}, s.begun, nil
	}
	cl, done := s.cfg.Port.ClientOf(stream.Context())
	defer done()
	cs := newClientStream(h, &cl.Requests)
	cs.refused = s.refused
	cs.watch = s.observe(cl.Address, u.Name)
	if err := stream.Send(&api.ReplyBatch{Hello: hello}); err != nil {
		return err
	}
	s.receivers.Go(func() {
		if cs.receive(stream.Context(), stream.Recv) == errStreamBusy {
			cl.CloseStalled() // send may hang, and what gRPC buffers for the client counts nowhere
		}
	})
	greet := func() (<-chan struct{}, error) {
		next := s.members.next()
		return next, stream.Send(&api.ReplyBatch{Hello: s.greeting()})
	}
	err = cs.send(stream.Context(), end, heralds{changed, greet}, stream.Send)
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
	u, err := s.user(stream.Context())
	if err != nil {
		return err
	}
	cl, done := s.cfg.Port.ClientOf(stream.Context())
	defer done()
	ws := newWatchStream(r.Watches.Hub, cl, newRights(r.Access, u))
	greet := func() (<-chan struct{}, error) {
		next := s.members.next()
		return next, stream.Send(&api.WatchReply{Hello: s.greeting()})
	}
	changed, err := greet()
	if err != nil {
		ws.Close()
		return err
	}
	s.receivers.Go(func() {
		if ws.receive(stream.Context(), stream.Recv) == errAnswersUnread {
			cl.CloseStalled() // send may hang
		}
	})
	around := surroundings{draining: s.draining, leaderless: r.Watches.Leaderless, members: heralds{changed, greet}}
	return ws.send(stream.Context(), around, func(m *api.WatchMessage) error { return stream.SendMsg(m) })
}

// withoutCluster refuses the requests of a stream that was opened before the cluster began.
// Its Hello named no cluster, so the client may belong to another one. The stream ends when
// the cluster begins, and the client must connect again.
type withoutCluster struct{ *Server }

// Follow implements handler.
func (u withoutCluster) Follow(req *api.Request, _ *translate.Trail, reply func(*api.Reply)) {
	u.counted(req.Kind, metrics.Now(), reply)(translate.Unavailable(req.Id, u.Waiting()))
}

// HandleGets implements handler.
func (u withoutCluster) HandleGets(gets []translate.Get) {
	for _, g := range gets {
		u.Follow(g.Request, g.Trail, g.Reply)
	}
}

// greeting is the Hello of a stream that is opened now.
func (s *Server) greeting() *api.Hello {
	hello := proto.Clone(s.cfg.Hello).(*api.Hello)
	hello.MaxMessageBytes = uint64(s.cfg.Port.MessageBytes())
	if hello.ClusterId = s.cluster.Load(); hello.ClusterId != 0 {
		hello.NodeId = s.node.Load()
	}
	if r := s.replica.Load(); r != nil {
		hello.Revision = r.Store.Revision()
	}
	if s.cfg.Membership != nil && hello.ClusterId != 0 {
		hello.Members = s.cfg.Membership.Known()
	}
	return hello
}

// Status implements api.KVServer.
func (s *Server) Status(ctx context.Context, _ *api.StatusRequest) (*api.StatusReply, error) {
	if s.replica.Load() != nil { // else it only tells what it waits for
		if _, _, err := s.require(ctx, false); err != nil {
			return nil, err
		}
	}
	reply := s.cfg.Status()
	reply.Watchers = uint64(s.cfg.Port.Watchers())
	return reply, nil
}

// TransferLeadership implements api.KVServer.
func (s *Server) TransferLeadership(ctx context.Context, req *api.TransferLeadershipRequest) (*api.TransferLeadershipReply, error) {
	r, _, err := s.require(ctx, true)
	if err != nil {
		return nil, err
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
