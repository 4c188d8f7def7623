package clients

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"balsa.example/internal/fair"
	"balsa.example/internal/grpcserver"
	"balsa.example/internal/metrics"
	"balsa.example/internal/ratelog"
)

const (
	// StreamWindow is how many bytes are received on a stream ahead of its handler. While that
	// waits for a larger message, the rest is received. connWindow is the same for a
	// connection, whose streams do not wait for each other.
	StreamWindow = 64 << 10
	connWindow   = 1 << 20
	// maxHeaderBytes bounds the headers of a stream. connectTimeout bounds the handshakes of
	// TLS and HTTP/2.
	maxHeaderBytes = 16 << 10
	connectTimeout = 5 * time.Second
)

// Keepalive says how connections are found to be dead. Zeros stand for the defaults.
type Keepalive struct {
	// MinInterval is how often clients may ping. grpc-go's own default of five minutes would
	// cut off clients that watch their connections. Default: 5 s.
	MinInterval time.Duration
	// After Idle of silence the server pings, and after Timeout without an answer it closes the
	// connection: a client that vanished must not hold streams for ever. Default: 30 s and 10 s.
	Idle, Timeout time.Duration
}

func (k Keepalive) withDefaults() Keepalive {
	return Keepalive{cmp.Or(k.MinInterval, 5*time.Second), cmp.Or(k.Idle, 30*time.Second), cmp.Or(k.Timeout, 10*time.Second)}
}

// Config says how to serve clients. Logger is required.
type Config struct {
	// Name tells, in the log, of which port a line is.
	Name   string
	Limits Limits
	TLS    *tls.Config // of Serve; nil: plain TCP
	// Keepalive is that of connections of gRPC.
	Keepalive Keepalive
	// Codec is that of all services.
	Codec encoding.CodecV2
	// Calls counts calls; nil: they are not counted.
	Calls *metrics.Calls
	// HTTP answers what is no gRPC; nil: nothing is found.
	HTTP   http.Handler
	Logger *slog.Logger
}

// Port is where the clients of one server connect: its connections, the limiters that they
// share, and the gRPC server on which the faces register their services before Serve.
type Port struct {
	limits   Limits
	slots    *fair.Slots
	requests Limiter
	streams  Limiter
	watchers Limiter
	// unfinished is the size in bytes of all unfinished messages, unbegun what streams without a
	// message count for.
	unfinished, unbegun atomic.Int64
	waiting             atomic.Int64  // bytes of calls that wait for room
	received, sent      atomic.Uint64 // bytes, by gRPC

	surplus surplus
	tls     *tls.Config
	alive   Keepalive
	refused *ratelog.Logger // clients, by TLS
	grpc    *grpcserver.Server
	values  []func(context.Context) context.Context
	health  *health.Server
	http    *httpServer
	calls   *metrics.Calls
	methods map[string]*method // by their names as gRPC says them
	stop    context.CancelFunc // of GracefulStop
	stopped context.Context
	// drained ends when GracefulStop begins.
	drain   context.CancelFunc
	drained context.Context
	closing atomic.Bool // new connections are closed

	mu      sync.Mutex
	sources map[string]*source
	all     map[*Client]struct{}
	// overGRPC and overHTTP count connections by what they speak.
	overGRPC, overHTTP faceCount
}

// surplus logs and counts what was refused or closed because it was over a bound.
type surplus struct {
	requests, streams, watchers      *ratelog.Logger // those refused
	unfinished, stalled, connections *ratelog.Logger // connections closed, and why
}

// surplusPeriod is the least time between two lines of the log about one kind of surplus.
const surplusPeriod = 10 * time.Second

func newSurplus(log *slog.Logger) surplus {
	kind := func() *ratelog.Logger { return ratelog.New(log, 1, surplusPeriod) }
	return surplus{requests: kind(), streams: kind(), watchers: kind(), unfinished: kind(), stalled: kind(), connections: kind()}
}

// New makes a Port. It answers on the listeners that Serve is called with, and the standard
// health service says that it does not serve until SetServing.
func New(cfg Config) *Port {
	l := cfg.Limits.WithDefaults()
	p := &Port{
		limits:   l,
		surplus:  newSurplus(cfg.Logger),
		tls:      cfg.TLS,
		alive:    cfg.Keepalive.withDefaults(),
		refused:  ratelog.New(cfg.Logger, RefusalLines, refusalPeriod),
		health:   health.NewServer(),
		slots:    fair.NewSlots(l.Connections, quietClient),
		requests: Limiter{Max: Bound{l.Requests, l.RequestBytes}},
		streams:  Limiter{Max: streamsOf(l)},
		watchers: Limiter{Max: Bound{Items: l.Watchers}},
		sources:  make(map[string]*source),
		methods:  make(map[string]*method),
		all:      make(map[*Client]struct{}),
	}
	for _, l := range []*Limiter{&p.requests, &p.streams, &p.watchers} {
		l.Even = l.Max.over(int64(p.limits.Connections))
	}
	p.slots.OnSurplus = func(newcomer string) {
		p.surplus.connections.Warn("too many connections: one was closed", "port", cfg.Name, "most", l.Connections, "newcomer", newcomer)
	}
	if p.calls = cfg.Calls; p.calls == nil {
		p.calls = metrics.NewCalls()
	}
	p.SetServing(false, "")
	p.grpc = p.newGRPCServer(cfg.Codec)
	healthpb.RegisterHealthServer(p, p.health)
	if cfg.HTTP == nil {
		cfg.HTTP = http.NotFoundHandler()
	}
	p.http = newHTTPServer(p, cfg.HTTP, cfg.Logger)
	p.stopped, p.stop = context.WithCancel(context.Background())
	p.drained, p.drain = context.WithCancel(context.Background())
	return p
}

// newGRPCServer makes what services are registered on.
func (p *Port) newGRPCServer(codec encoding.CodecV2) *grpcserver.Server {
	return grpcserver.New(grpcserver.Config{
		Codec: codec, Unary: p.unary, Stream: p.stream,
		Handshake: p.handshake, HandshakeTimeout: connectTimeout,
		Values: p.valuesOf,
		Observe: func(info credentials.AuthInfo) grpcserver.Observer {
			return info.(clientAuthInfo).client.traffic.Load()
		},
		MaxStreams: p.limits.Streams, MaxHeaderBytes: maxHeaderBytes, MaxMessageBytes: p.limits.MessageBytes,
		StreamWindow: StreamWindow, ConnWindow: connWindow,
		MinPing: p.alive.MinInterval, Idle: p.alive.Idle, PingTimeout: p.alive.Timeout,
	})
}

// AddValues adds to the context of calls what a face wants to know of their metadata. It is called once for
// headers that a client repeats. It must be set before Serve.
func (p *Port) AddValues(f func(context.Context) context.Context) { p.values = append(p.values, f) }

func (p *Port) valuesOf(ctx context.Context) context.Context {
	for _, f := range p.values {
		ctx = f(ctx)
	}
	return ctx
}

// GetServiceInfo lists the services.
func (p *Port) GetServiceInfo() map[string]grpc.ServiceInfo { return p.grpc.GetServiceInfo() }

// RegisterService implements grpc.ServiceRegistrar.
func (p *Port) RegisterService(desc *grpc.ServiceDesc, service any) {
	p.register(desc, service, p.limits.MessageBytes, nil)
}

// register registers a service to which clients send messages of at most maxMessageBytes bytes, and whose unary
// calls are within bounds; nil: there are none.
func (p *Port) register(desc *grpc.ServiceDesc, service any, maxMessageBytes int, bounds *Bounds) {
	p.grpc.RegisterBounded(desc, service, maxMessageBytes)
	add := func(name, kind string) {
		name = "/" + desc.ServiceName + "/" + name
		p.methods[name] = &method{p.calls.Add(name, kind), bounds, strings.HasPrefix(name, "/grpc.")}
	}
	for _, m := range desc.Methods {
		add(m.MethodName, metrics.Unary)
	}
	for _, s := range desc.Streams {
		add(s.StreamName, kindOf(s))
	}
}

func kindOf(s grpc.StreamDesc) string {
	switch {
	case s.ClientStreams && s.ServerStreams:
		return metrics.BidiStream
	case s.ClientStreams:
		return metrics.ClientStream
	}
	return metrics.ServerStream
}

// Serve answers clients on l until the Port stops. The clients of all listeners share the
// limits.
func (p *Port) Serve(l net.Listener) error { return p.serve(l, p.tls == nil) }

// ServePlain is Serve without TLS.
func (p *Port) ServePlain(l net.Listener) error { return p.serve(l, true) }

func (p *Port) serve(l net.Listener, plain bool) error {
	p.http.start()
	return p.grpc.Serve(p.listener(l, plain))
}

// GracefulStop takes no new streams and requests, and returns when those that there are have ended,
// or when Stop is called. It ends those of gRPC's own services, which do not end by themselves.
func (p *Port) GracefulStop() {
	p.closeUnready()
	p.drain()
	p.grpc.GracefulStop()
	p.http.shutdown(p.stopped)
}

// Stop ends all streams and requests, and returns when no handler of one runs any more. It must be
// called in the end.
func (p *Port) Stop() {
	p.stop()
	p.drain()
	p.closeUnready()
	p.grpc.Stop()
	p.http.close()
}

// closeUnready closes connections of which the handshake is not over: to stop is to wait for them.
func (p *Port) closeUnready() {
	p.closing.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for cl := range p.all {
		if cl.traffic.Load() == nil && !cl.left.Load() && cl.Conn != nil {
			cl.Conn.Close() // and who sees that removes the client
		}
	}
}

// MessageBytes is how many bytes one message from a client may have.
func (p *Port) MessageBytes() int { return p.limits.MessageBytes }

// Health is the standard health service.
func (p *Port) Health() healthpb.HealthServer { return p.health }

// SetServing says, in the standard health service, whether services are served. The service ""
// stands for the whole server.
func (p *Port) SetServing(yes bool, services ...string) {
	state := healthpb.HealthCheckResponse_NOT_SERVING
	if yes {
		state = healthpb.HealthCheckResponse_SERVING
	}
	for _, name := range services {
		p.health.SetServingStatus(name, state)
	}
}

// Drain says in the health service that nothing is served any more.
func (p *Port) Drain() { p.health.Shutdown() }

// Watchers is how many there are.
func (p *Port) Watchers() int64 { return p.watchers.items.Load() }

// Surplus is how many connections were refused or closed, because there were too many.
func (p *Port) Surplus() uint64 {
	connections := p.slots.Stats()
	return connections.Refused + connections.Evicted
}

// Sample adds the figures of the clients: what they have in progress, and how often they were
// over a bound.
func (p *Port) Sample(sample *metrics.Sample) {
	sample.Requests, sample.RequestBytes = p.requests.items.Load(), p.requests.bytes.Load()
	sample.Clients, sample.Streams, sample.UnfinishedBytes = int64(p.slots.Stats().Taken), p.streams.items.Load(), p.unfinished.Load()+p.unbegun.Load()
	sample.ClientBytesIn, sample.ClientBytesOut = p.received.Load(), p.sent.Load()
	sample.Connections = append(sample.Connections, p.Connections()...)
	sample.Watchers = p.watchers.items.Load()
	sample.Surplus = append(sample.Surplus,
		metrics.Surplus{Of: "connections", Count: p.Surplus()},
		metrics.Surplus{Of: "streams", Count: p.surplus.streams.Count()},
		metrics.Surplus{Of: "requests", Count: p.surplus.requests.Count()},
		metrics.Surplus{Of: "watchers", Count: p.surplus.watchers.Count()},
		metrics.Surplus{Of: "unfinished", Count: p.surplus.unfinished.Count()},
		metrics.Surplus{Of: "stalled", Count: p.surplus.stalled.Count()},
	)
}
