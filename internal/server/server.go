package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"balsa.example/api"
	"balsa.example/internal/birth"
	"balsa.example/internal/certs"
	"balsa.example/internal/metrics"
	"balsa.example/internal/ratelog"
	"balsa.example/internal/wake"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/transport"
)

const (
	// admissionLogInterval is how often a waiting server says whom it waits for.
	admissionLogInterval = 10 * time.Second
	// handoverTimeout, drainTimeout and flushTimeout bound the steps of Shutdown.
	handoverTimeout = time.Second
	drainTimeout    = time.Second
	flushTimeout    = time.Second
	// defaultStopTimeout bounds all of Shutdown, whatever hangs.
	defaultStopTimeout = 6 * time.Second
)

// Server is one running member of a cluster.
type Server struct {
	cfg       Config
	shares    descriptors
	self      Member
	log       *slog.Logger
	started   time.Time
	home      *home
	transport *transport.Transport
	front     *front
	// clientTLS and peerTLS are the certificates of the two sides; nil without TLS.
	clientTLS, peerTLS *certs.Source
	turnedAway         *ratelog.Logger // clients, by TLS
	grpc               *grpc.Server
	metrics            *metrics.Server // nil if nobody is to listen
	syncs              *metrics.Syncs

	ctx    context.Context // ends when Shutdown begins
	cancel context.CancelFunc
	work   sync.WaitGroup // of serve
	ran    chan struct{}  // closed when run has returned

	met      wake.Signal             // set when another member was heard
	refusals chan *transport.Refusal // by members that do not talk to this one

	born     chan struct{} // closed when the cluster has begun
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
	self, _ := cfg.Cluster.Named(cfg.Name)
	s := &Server{
		cfg:      cfg,
		shares:   shares,
		self:     self,
		log:      slog.New(naming{cfg.Logger.Handler(), cfg.Cluster, self.ID}).With("member", self.Name),
		started:  time.Now(),
		syncs:    metrics.NewSyncs(),
		met:      wake.New(),
		refusals: make(chan *transport.Refusal, 16),
		born:     make(chan struct{}),
		ran:      make(chan struct{}),
		ready:    make(chan struct{}),
		stopped:  make(chan struct{}),
		failed:   make(chan struct{}),
	}
	s.cfg.Logger = s.log
	s.turnedAway = ratelog.New(s.log, refusalLines, refusalPeriod)
	s.cfg.onSync = s.syncs.Observe
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.log.Info("server starts", "version", s.cfg.Version, "data_dir", s.cfg.DataDir, "members", s.cfg.Cluster,
		slog.Group("settings", s.cfg.Settings...))
	if err := s.assemble(); err != nil {
		s.cancel()
		return nil, s.cfg.Cluster.errorWithNames(err)
	}
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
		s.Abort()
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
		s.err = s.cfg.Cluster.errorWithNames(err)
		close(s.failed)
	})
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
	if s.home, err = openHome(s.cfg, s.self); err != nil {
		return err
	}
	limits := s.cfg.Clients.withDefaults()
	if limits.Connections > s.shares.clients {
		s.log.Info("fewer client connections than wanted, for want of open files (ulimit -n)",
			"most", s.shares.clients, "wanted", limits.Connections, "files", s.cfg.Descriptors)
		limits.Connections = s.shares.clients
	}
	s.front = newFront(&api.Hello{
		ClusterId: s.home.ledger.Identity().ClusterID,
		NodeId:    uint64(s.self.ID), Name: s.self.Name, ServerVersion: s.cfg.Version,
	}, newClients(limits, s.log))
	s.front.status, s.front.names = s.status, s.cfg.Cluster.WithNames
	if s.transport, err = s.newTransport(); err != nil {
		return errors.Join(err, s.home.close())
	}
	s.grpc = s.front.newGRPCServer(s.clientCredentials())
	s.watchTLS()
	s.serveMetrics()
	for _, l := range s.cfg.ClientListeners {
		s.work.Go(func() { s.serve(s.front.clients.listener(l)) })
	}
	s.work.Go(func() { s.front.clients.watch(s.ctx) })
	return nil
}

func (s *Server) newTransport() (*transport.Transport, error) {
	attributes, err := s.attributes()
	if err != nil {
		return nil, fmt.Errorf("encode attributes: %w", err)
	}
	cfg := transport.Config{
		ID:         s.self.ID,
		Name:       s.self.Name,
		Group:      s.cfg.Cluster.Group,
		Members:    s.cfg.Cluster.Names(),
		Attributes: attributes,
		Card:       func() []byte { return birth.AppendRecord(nil, s.home.ledger.Record()) },
		Listener:   s.cfg.PeerListener,
		Peers:      s.peerAddresses(),
		Admit:      s.admit,
		OnRefused:  s.refused,
		OnPeerDown: s.peerDown,
		Logger:     s.log,
		Limits:     transport.Limits{Silence: s.cfg.ElectionTimeout + peerSilence, Strangers: s.shares.handshakes},
	}
	s.securePeers(&cfg)
	return transport.New(cfg)
}

// peerSilence is how much longer than an election timeout a peer may be silent. It is so
// that peers that can reach each other are connected within an election timeout and a
// second (see transport.Limits.Silence), and that a short timeout leaves a connection
// enough time to be made.
const peerSilence = 500 * time.Millisecond

func (s *Server) peerAddresses() map[raft.NodeID]string {
	addresses := make(map[raft.NodeID]string)
	for _, m := range s.cfg.Cluster.Others(s.self.ID) {
		addresses[m.ID] = m.PeerURL.Host
	}
	return addresses
}

// serve answers clients on l until the gRPC server stops.
func (s *Server) serve(l net.Listener) {
	if err := s.grpc.Serve(l); err != nil && s.ctx.Err() == nil {
		s.fail(fmt.Errorf("serve clients on %s: %w", l.Addr(), err))
	}
}

// peerDown is transport.Config.OnPeerDown.
func (s *Server) peerDown(id raft.NodeID) {
	if r := s.front.replica.Load(); r != nil {
		r.Node.Unreachable(id)
	}
}

// run brings the replica up, and watches it.
func (s *Server) run() {
	defer close(s.ran)
	if err := s.begin(); err != nil {
		if s.ctx.Err() == nil {
			s.fail(err)
		}
		return
	}
	log := s.home.log.Load()
	replica, err := NewReplica(ReplicaConfig{
		ID:                s.self.ID,
		Storage:           log,
		Transport:         s.transport,
		MaxRaftState:      s.cfg.MaxRaftState,
		HeartbeatInterval: s.cfg.HeartbeatInterval,
		ElectionTimeout:   s.cfg.ElectionTimeout,
		LeaseReads:        s.cfg.LeaseReads,
		Limits:            s.cfg.Limits,
		Logger:            s.log,
		Leader:            s.leader,
		LowSpace:          log.LowSpace,
	})
	if err != nil {
		s.fail(fmt.Errorf("start replica: %w", s.explainLostLog(err)))
		return
	}
	s.transport.Start(replica.Node)
	s.front.serve(replica)
	s.work.Go(func() { s.yieldWhenFull(replica) })
	close(s.ready)
	s.log.Info("ready to serve client requests", "endpoints", urlList(s.cfg.AdvertiseClient))
	select {
	case <-replica.Node.Done():
		err := replica.Node.Err()
		if errors.Is(err, rsm.ErrDiverged) {
			err = errors.Join(err, s.home.condemn(err))
		}
		err = s.explainLostLog(err)
		if err != nil {
			s.fail(fmt.Errorf("replica stopped: %w", err))
		}
	case <-s.ctx.Done():
	}
}

// explainLostLog adds to raft.ErrLostLog what is to be done.
func (s *Server) explainLostLog(err error) error {
	if !errors.Is(err, raft.ErrLostLog) {
		return err
	}
	return fmt.Errorf("%w This server takes no part any more: do not start it from %s, or another copy of it, again. The others go on without it, as if its disk were lost", err, s.cfg.DataDir)
}

// begin returns when this server is of a cluster and has a log.
func (s *Server) begin() error {
	if s.home.log.Load() == nil {
		if err := s.awaitBirth(); err != nil {
			return err
		}
		cluster := s.home.ledger.Identity().ClusterID
		s.log.Info("the cluster has begun", "cluster", fmt.Sprintf("%016x", cluster))
		if err := s.home.openLog(); err != nil {
			return err
		}
		s.front.begin(cluster)
	}
	close(s.born)
	return nil
}

func urlList(urls []*url.URL) string {
	var all []string
	for _, u := range urls {
		all = append(all, u.String())
	}
	return strings.Join(all, ",")
}
