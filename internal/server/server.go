package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/api"
	"balsa.example/internal/certs"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/native"
	"balsa.example/internal/machine"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
	"balsa.example/internal/tracing"
	"balsa.example/member"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
	"balsa.example/wal"
)

const (
	// handoverTimeout bounds a yield; drainTimeout and flushTimeout are for steps of Shutdown.
	handoverTimeout = time.Second
	drainTimeout    = time.Second
	flushTimeout    = time.Second
	// defaultStopTimeout bounds all of Shutdown, whatever hangs.
	defaultStopTimeout = 6 * time.Second
)

// Server is one running member of a cluster.
type Server struct {
	cfg     Config
	shares  descriptors
	log     *slog.Logger
	started time.Time
	member  *member.Member
	// assembled is closed when all parts are there. Other members are connected before.
	assembled chan struct{}
	// port is where clients connect, native, etcd what they talk to there.
	port      *clients.Port
	native    *native.Server
	etcd      *etcd.Entrance
	running   atomic.Pointer[replica.Replica] // nil before there is one; it may not answer clients yet
	witness   atomic.Pointer[node]            // in its place, of a witness
	clientTLS *certs.Source                   // nil without TLS
	requests  *metrics.Requests
	calls     *metrics.Calls
	files     *vfs.Gradual          // for the state
	asked     *metrics.EtcdRequests // by etcd's API
	// healthy and unhealthy count answers of /health.
	healthy, unhealthy atomic.Uint64
	failures           *metrics.Failures
	syncs              *metrics.Syncs
	commits            *metrics.Commits
	applies            *metrics.Applies
	health             *metrics.HealthChecks
	transfers          *metrics.Transfers
	trips              *metrics.RoundTrips
	works              *metrics.Work
	slow               *metrics.Slow
	recorder           *tracing.Recorder
	figures            http.Handler
	recent             *metrics.Recent
	dashboard          *dashboard // nil if there is none

	// metrics is the port of the addresses for metrics, nil without any.
	metrics     *clients.Port
	metricsCtx  context.Context
	metricsEnd  context.CancelFunc
	metricsWork sync.WaitGroup

	ctx    context.Context // ends when Shutdown begins
	cancel context.CancelFunc
	work   sync.WaitGroup // of serve
	ran    chan struct{}  // closed when run has returned

	ready    chan struct{} // closed when requests are served
	stopOnce sync.Once     // of Shutdown
	stopped  chan struct{} // closed when nothing of the server runs any more

	failed chan struct{} // closed when this server cannot go on
	once   sync.Once     // guards failed and err
	err    error
}

// Start runs a server. When it returns, the server listens; it serves requests when
// Ready is closed, which takes all members once when the data directory is new. On error nothing runs, and unless the directory was new or in order, nothing
// on disk has changed. Shutdown must be called in the end.
func Start(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		cfg.closeListeners() // those that came with it
		return nil, err
	}
	shares, err := cfg.shareDescriptors(cfg.Descriptors)
	if err != nil {
		cfg.closeListeners()
		return nil, err
	}
	s := &Server{
		cfg:       cfg,
		shares:    shares,
		log:       cfg.Cluster.Logger(cfg.Logger, cfg.Name),
		started:   time.Now(),
		syncs:     metrics.NewSyncs(),
		commits:   metrics.NewCommits(),
		applies:   metrics.NewApplies(state.CommandNames),
		health:    metrics.NewHealthChecks(),
		transfers: metrics.NewTransfers(),
		trips:     metrics.NewRoundTrips(),
		works:     newWorks(),
		asked:     newEtcdRequests(),
		slow:      metrics.NewSlow(),
		calls:     metrics.NewCalls(),
		failures:  metrics.NewFailures(),
		ran:       make(chan struct{}),
		ready:     make(chan struct{}),
		stopped:   make(chan struct{}),
		failed:    make(chan struct{}),
		assembled: make(chan struct{}),
	}
	s.files = vfs.NewGradual(cfg.FS, func(err error) { s.log.Warn("cannot remove a file", "error", err) })
	s.cfg.Logger = s.log
	s.recorder = tracing.NewRecorder(tracing.Config{
		Slow: s.cfg.SlowRequest, Log: s.log, Count: s.slow, Tracer: s.cfg.TracerProvider, Sample: s.cfg.TraceSample, Member: s.cfg.Name,
	})
	s.cfg.onSync = s.syncs.Observe
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.metricsCtx, s.metricsEnd = context.WithCancel(context.Background())
	s.log.Info("server starts", "version", s.cfg.Version, "data_dir", s.cfg.DataDir, "members", s.cfg.Cluster,
		slog.Group("settings", s.cfg.Settings...))
	if err := s.assemble(); err != nil {
		s.cancel()
		return nil, s.cfg.Cluster.ErrorWithNames(err)
	}
	close(s.assembled)
	go s.run()
	return s, nil
}

// Run runs a server until ctx ends, and then stops it gracefully, or until it fails.
func Run(ctx context.Context, cfg Config) error {
	s, err := Start(cfg)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
		s.Shutdown(context.Background())
	case <-s.Failed():
		s.log.Error("cannot go on", "error", s.Err())
		if errors.Is(s.Err(), member.ErrRemoved) {
			s.Shutdown(context.Background()) // its clients get the answers that they wait for
		} else {
			s.Abort()
		}
	}
	return s.Err()
}

// Ready is closed when the server answers requests.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Failed is closed when the server cannot go on: its disk has failed, or the cluster
// does not admit it. Err tells why.
func (s *Server) Failed() <-chan struct{} { return s.failed }

// Err is why the server failed, nil if it did not.
func (s *Server) Err() error {
	select {
	case <-s.failed:
		return s.err
	default:
		return nil
	}
}

func (s *Server) fail(err error) {
	s.once.Do(func() {
		s.err = s.cfg.Cluster.ErrorWithNames(err)
		close(s.failed)
	})
}

// ended notes why a replica that has stopped failed, if it did.
func (s *Server) ended(n *node) {
	if err := n.Err(); err != nil && s.Err() == nil {
		s.fail(fmt.Errorf("replica stopped: %w", s.member.Explain(err)))
	}
}

func (s *Server) uptime() time.Duration { return time.Since(s.started) }

// assemble opens sockets, then the data directory, then puts the parts together.
// Sockets come first: a port in use must not leave a new directory behind.
func (s *Server) assemble() (err error) {
	defer func() {
		if err != nil {
			s.cfg.closeListeners()
		}
	}()
	if err := s.openTLS(); err != nil {
		return err
	}
	if err := s.cfg.listen(); err != nil {
		return err
	}
	if err := s.join(); err != nil {
		return err
	}
	s.requests = native.NewRequests()
	s.requests.Failures, s.calls.Failures, s.calls.Reason = s.failures, s.failures, failedBecause
	s.etcd = etcd.NewEntrance(s.waiting)
	if s.cfg.Witness {
		s.etcd.Refuse(errWitness)
	}
	s.showFigures()
	s.recent = metrics.NewRecent(s.requests, s.calls, s.syncs)
	s.port = s.newPort()
	s.native = native.New(native.Config{
		Port: s.port,
		Hello: &api.Hello{
			ClusterId: s.member.ClusterID(),
			NodeId:    uint64(s.id()), Name: s.cfg.Name, ServerVersion: s.cfg.Version,
		},
		Requests: s.requests, Recorder: s.recorder, Status: s.status, Waiting: s.unanswered, Names: s.cfg.Cluster.WithNames,
		Membership: membership{s}, LogLevel: native.LogLevel{Level: s.cfg.LogLevel, Log: s.log},
		OnBackup: s.beginBackup,
	})
	s.openEtcd()
	if s.clientTLS != nil {
		s.work.Go(func() { s.clientTLS.Watch(s.ctx) })
	}
	s.openMetrics()
	for i, l := range s.cfg.ClientListeners {
		s.work.Go(func() { s.serve(l, i) })
	}
	s.work.Go(func() { s.port.WatchClients(s.ctx) })
	s.work.Go(s.measureRoundTrips)
	s.work.Go(s.keepRecent)
	return nil
}

// newPort makes the port for clients.
func (s *Server) newPort() *clients.Port {
	limits := s.cfg.Clients.WithDefaults()
	if limits.Connections > s.shares.clients {
		s.log.Info("fewer client connections than wanted, for want of open files (ulimit -n)",
			"most", s.shares.clients, "wanted", limits.Connections, "files", s.cfg.Descriptors)
		limits.Connections = s.shares.clients
	}
	var gateway http.Handler
	if !s.cfg.NoGateway {
		gateway = s.newGateway()
	}
	return clients.New(clients.Config{
		Name: clientSide, Limits: limits, TLS: s.clientTLSConfig(), Keepalive: s.cfg.Keepalive, Codec: clientCodec(), Calls: s.calls, Logger: s.log,
		HTTP: s.httpHandler(func() *clients.Port { return s.port }, s.cfg.PprofClients, s.withDashboard(gateway)),
	})
}

// join opens the data directory, and connects to the other members.
func (s *Server) join() error {
	attributes, err := s.attributes()
	if err != nil {
		return fmt.Errorf("encode attributes: %w", err)
	}
	origin, err := state.OriginOf(s.cfg.FS, s.stateDir())
	if err != nil {
		return fmt.Errorf("read the data directory: %w", err)
	}
	cfg := member.Config{
		Name: s.cfg.Name, Cluster: s.cfg.Cluster.Cluster, Dir: s.cfg.DataDir, Join: s.cfg.JoinAt, Learner: s.cfg.Learner, Witness: s.cfg.Witness,
		Origin: origin,
		Peers:  texts(s.cfg.AdvertisePeer), Clients: texts(s.cfg.AdvertiseClient),
		Listener: s.cfg.PeerListener, TLS: member.TLS(s.cfg.PeerTLS), SecretFile: s.cfg.ClusterSecretFile,
		ElectionTimeout: s.cfg.ElectionTimeout, MaxHandshakes: s.shares.handshakes, Attributes: attributes,
		Answer:     s.answerMember,
		OnSnapshot: func(peer raft.NodeID, sent bool) func(error) { return s.transfers.Begin(uint64(peer), sent) },
		Log:        wal.Options{FS: s.cfg.FS, Logger: s.log, SegmentSize: s.cfg.segmentSize, OnSync: s.cfg.onSync, NoSnapshots: !s.cfg.Witness},
		Logger:     s.log,
	}
	if s.cfg.Join { // the cluster was told of this server before, or knows it
		for _, other := range s.cfg.Cluster.Members {
			if other.Name != s.cfg.Name {
				cfg.Join = append(cfg.Join, other.Name+"="+other.Address)
			}
		}
		cfg.Expected, cfg.MustExist = true, len(cfg.Join) == 0
	}
	s.member, err = member.Open(cfg)
	if errors.Is(err, member.ErrEmpty) {
		return fmt.Errorf("%w: initial cluster state is \"existing\", but %s is empty, and --initial-cluster names no other member to ask",
			ErrConfig, s.cfg.DataDir)
	}
	return err
}

// onConfiguration is rsm.Config.OnConfiguration.
func (s *Server) onConfiguration(latest, committed raft.Configuration) {
	s.member.OnConfiguration(latest, committed)
	s.native.MembersChanged()
}

// id is this member's; 0 while it waits to become one.
func (s *Server) id() raft.NodeID {
	if s.member == nil {
		return raft.None
	}
	return s.member.ID()
}

func (s *Server) stateDir() string { return filepath.Join(s.cfg.DataDir, "state") }

// serve answers clients on l until the port stops.
func (s *Server) serve(l net.Listener, i int) {
	if err := serveOn(s.port, l, s.cfg.ListenClient, i); err != nil && s.ctx.Err() == nil {
		s.fail(fmt.Errorf("serve clients on %s: %w", l.Addr(), err))
	}
}

// serveOn serves a port on one of its listeners. Those of the addresses come first; others, in the
// process, have TLS if any has.
func serveOn(p *clients.Port, l net.Listener, addresses []*url.URL, i int) error {
	if i < len(addresses) && !secure(addresses[i]) {
		return p.ServePlain(l)
	}
	return p.Serve(l)
}

// run brings the replica up, and watches it.
func (s *Server) run() {
	defer close(s.ran)
	if err := s.member.AwaitAdmission(s.ctx); err != nil {
		if s.ctx.Err() == nil {
			s.fail(err)
		}
		return
	}
	s.native.Begin(s.member.ClusterID(), uint64(s.id()))
	if s.cfg.Witness {
		s.runWitness()
		return
	}
	log := s.member.Log()
	replica, err := replica.New(s.ctx, replica.Config{
		ID:  s.id(),
		Log: log,
		State: state.Config{
			FS: timedFS{s.files, s.commits.Observe}, Dir: s.stateDir(), Cluster: s.member.ClusterID(), RunBytes: s.cfg.runBytes,
			Origin: s.member.Origin(), Configuration: s.member.Beginning(),
			OnWork:     func(w state.Work) func(error) { return s.beginWork(string(w)) },
			OnExecuted: s.applies.Executed,
			Gently:     machine.Gently,
		},
		Transport:         s.member.Transport(),
		Memory:            machine.MemoryLimit("/"),
		MaxRaftState:      s.cfg.MaxRaftState,
		HeartbeatInterval: s.cfg.HeartbeatInterval,
		ElectionTimeout:   s.cfg.ElectionTimeout,
		LeaseReads:        s.cfg.LeaseReads,
		Limits:            s.cfg.Limits,
		Retention:         s.cfg.Retention,
		Quota:             s.cfg.Quota,
		Logger:            s.log,
		Leader:            s.leader,
		LowSpace:          log.LowSpace,
		MaxIndexBytes:     s.cfg.MaxIndexBytes,
		Access:            s.cfg.Access,
		KnownVersion:      s.knownVersion,
		OnConfiguration:   s.onConfiguration,
	})
	if err != nil {
		if s.ctx.Err() == nil {
			s.fail(fmt.Errorf("start replica: %w", s.member.Explain(err)))
		}
		return
	}
	s.member.Start(replica.Node)
	s.running.Store(replica)
	if err := s.member.CatchUp(s.ctx); err != nil {
		s.await(replica.Node)
		return
	}
	s.native.Start(replica)
	s.startEtcd(replica)
	s.work.Go(func() { s.yieldWhenFull(replica) })
	close(s.ready)
	s.log.Info("ready to serve client requests", "endpoints", urlList(s.cfg.AdvertiseClient))
	if s.cfg.OnReady != nil {
		s.cfg.OnReady()
	}
	s.await(replica.Node)
}

// await returns when the replica has ended, this member has failed, or the server stops.
func (s *Server) await(n *node) {
	select {
	case <-n.Done():
		s.ended(n)
	case <-s.member.Failed():
		s.fail(s.member.Err())
	case <-s.ctx.Done():
	}
}

func urlList(urls []*url.URL) string { return strings.Join(texts(urls), ",") }

func texts(urls []*url.URL) (all []string) {
	for _, u := range urls {
		all = append(all, u.String())
	}
	return all
}
