package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native"
	"balsa.example/internal/machine"
	"balsa.example/internal/replica"
	"balsa.example/kv"
	"balsa.example/member"
	"balsa.example/state"
	"balsa.example/state/logtime"
	"balsa.example/vfs"
)

// The defaults of the fields of Config.
const (
	DefaultHeartbeatInterval = 50 * time.Millisecond
	DefaultElectionTimeout   = 500 * time.Millisecond
	DefaultSlowRequest       = 500 * time.Millisecond
)

// DefaultRetention is for those who configure servers. A Config without Retention keeps all history.
var DefaultRetention = state.Retention{Age: logtime.Time(time.Hour), Revisions: 5_000_000}

// Config says how to run one server. Name, DataDir, Cluster, ListenClient and
// ListenPeer are required.
type Config struct {
	Name    string
	DataDir string
	Cluster *Cluster
	// Join says that the cluster exists already: with a new data directory this server asks the
	// others of Cluster for the place that was made for it there (etcd's "existing").
	Join bool
	// MaxLearners bounds the learners when a client adds one by way of this server; 0: any number, below 0: none.
	MaxLearners int
	// JoinAt are where members of a running cluster are found, host and port, each maybe as
	// name=host:port: with a new data directory this server asks them to become a member. Learner
	// says that it is never to vote. Cluster may be nil then.
	JoinAt  []string
	Learner bool
	// Witness says that this server, which joins, is a witness: it votes, keeps the tail of the log and
	// no state, and answers no requests of clients. A directory is that of a witness for good.
	Witness bool

	// ListenClient and ListenPeer are the addresses to listen on. http means plain
	// TCP, https TLS; for clients, unix and unixs are sockets in the file system, plain and TLS.
	ListenClient []*url.URL
	ListenPeer   []*url.URL
	// AdvertisePeer is where the other members find this server. Default: the addresses in Cluster
	// or, without, ListenPeer.
	AdvertisePeer []*url.URL
	// AdvertiseClient is where clients are told to find this server. Default:
	// ListenClient.
	AdvertiseClient []*url.URL
	// AdvertiseAnything lets AdvertiseClient be addresses that nobody can connect to, such as
	// http://0.0.0.0:1: clients that know another one do not care.
	AdvertiseAnything bool
	ClientTLS         TLS
	PeerTLS           TLS
	// ClusterSecretFile, if not empty, protects the connections between servers in place
	// of certificates: it holds what all members know, and nobody else.
	ClusterSecretFile string
	// PlainClients lets addresses of ListenClient be http although there is a certificate for
	// clients: those have no TLS then, as in etcd.
	PlainClients bool
	// ListenMetrics is where operators get figures and the server's health (package
	// frontend/http) besides the client port; https has the TLS of clients. Pprof adds profiles of
	// the process there, PprofClients at the client port.
	ListenMetrics       []*url.URL
	Pprof, PprofClients bool

	// UI says whether the dashboard is shown at /ui of the client port. The zero value: it is not.
	UI UI

	// NoGateway leaves out the etcd API as JSON. Origins are those of web pages that may use it;
	// nil: all. Hosts are those by which clients that speak HTTP without TLS may call this server;
	// nil: all.
	NoGateway      bool
	Origins, Hosts []string
	// Keepalive is clients.Config's.
	Keepalive clients.Keepalive
	// WatchProgress is how often those who watch by the etcd API and ask for it are told how far
	// they are, if nothing happens. 0: etcd.Watches' default.
	WatchProgress time.Duration

	// MaxRaftState is rsm.Config's: bytes of log that make a checkpoint of the state due; 0:
	// 64 MiB, or a 32nd of the memory that the process may use; -1: never.
	MaxRaftState      int64
	HeartbeatInterval time.Duration
	ElectionTimeout   time.Duration
	// LeaseReads is rsm.Config's: it lets the leader answer LEASE reads without asking the
	// others. Members need not agree on it.
	LeaseReads bool
	Limits     kv.Limits
	// MaxIndexBytes is how much memory the index of all keys may take: beyond it nothing is taken
	// that would add to it. Default: half of the memory that the process may use, and less where that leaves less than
	// 128 MiB for the rest. Below 0: any.
	MaxIndexBytes int64
	// Retention says how much history the leader lets the cluster keep. Members should agree on it.
	Retention state.Retention
	// Quota is proposed by a leader where the cluster has no quota: bytes of keys and values beyond
	// which none are added. 0: none.
	Quota   int64
	Clients clients.Limits
	// Access says how users are proved, while authentication is on.
	Access access.Config
	// Descriptors is how many the server may have open. Default: as many as the process.
	Descriptors int

	FS      vfs.FS // default: the operating system's
	Version string // what Hello and Status say
	Logger  *slog.Logger
	// LogLevel is what decides what Logger shows; clients may change it. nil: they may not.
	LogLevel *slog.LevelVar
	// SlowRequest is how long a request takes that is logged as slow, with where its time went. 0: none is.
	SlowRequest time.Duration
	// TracerProvider makes spans of requests: of those whose client says so, and of a share TraceSample of
	// the others, from 0 to 1. nil: there are none.
	TracerProvider trace.TracerProvider
	TraceSample    float64
	// Settings are told in the log when the server starts: as slog.Group takes them.
	Settings []any
	// LogStats tells how many lines of the log were dropped, and how many wait to be
	// written. Default: none and none.
	LogStats func() (dropped uint64, waiting int)
	// OnReady, if not nil, is called when the server begins to answer requests.
	OnReady func()

	// ClientListeners, PeerListener and MetricsListeners, if set, are used in place of
	// listening on ListenClient, ListenPeer and ListenMetrics. The server closes them.
	ClientListeners  []net.Listener
	PeerListener     net.Listener
	MetricsListeners []net.Listener
	// InProcess, if not nil, serves clients too, besides those on ListenClient, of which
	// there may be none then. The server closes it.
	InProcess net.Listener

	stopTimeout time.Duration // of Shutdown, whatever hangs; 0: defaultStopTimeout
	segmentSize int64         // of the log, in bytes; 0: package wal's default
	runBytes    int64         // of the history's files; 0: package kv/run's default
	onSync      func(took time.Duration, bytes int)
}

// withDefaults fills in what was left out, and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if c.FS == nil {
		c.FS = vfs.OS
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.LogStats == nil {
		c.LogStats = func() (uint64, int) { return 0, 0 }
	}
	if c.HeartbeatInterval == 0 {
		c.HeartbeatInterval = DefaultHeartbeatInterval
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = DefaultElectionTimeout
	}
	if c.stopTimeout == 0 {
		c.stopTimeout = defaultStopTimeout
	}
	if c.MaxIndexBytes == 0 {
		// All replicas have the same index: if it outgrew the memory, all of them would be killed, and again
		// at each start.
		c.MaxIndexBytes = replica.MostIndexBytes(machine.MemoryLimit("/"))
	}
	if c.Clients.MessageBytes == 0 {
		c.Clients.MessageBytes = native.MessageBytes(c.Limits)
	}
	if c.Descriptors == 0 {
		c.Descriptors = machine.DescriptorLimit()
	}
	if len(c.AdvertiseClient) == 0 {
		c.AdvertiseClient = c.ListenClient
	}
	if c.Cluster == nil && len(c.JoinAt) > 0 {
		c.Cluster = &Cluster{Cluster: member.Running()}
	}
	if c.Cluster != nil && len(c.AdvertisePeer) == 0 {
		if c.AdvertisePeer = c.Cluster.PeerURLs(c.Name); len(c.AdvertisePeer) == 0 {
			c.AdvertisePeer = c.ListenPeer
		}
	}
	return c, c.check()
}

func (c Config) check() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("%w: name is empty", ErrConfig)
	case c.DataDir == "":
		return fmt.Errorf("%w: data directory is empty", ErrConfig)
	case c.Cluster == nil || len(c.Cluster.Members) == 0 && len(c.JoinAt) == 0:
		return fmt.Errorf("%w: initial cluster is empty", ErrConfig)
	case len(c.ListenClient) == 0 && c.InProcess == nil || len(c.ListenPeer) == 0:
		return fmt.Errorf("%w: no address to listen on", ErrConfig)
	case c.MaxRaftState < -1:
		return fmt.Errorf("%w: max raft state is %d bytes; it must be positive, 0 for a limit that grows with the snapshots, or -1 for none", ErrConfig, c.MaxRaftState)
	case c.Retention.Age < 0:
		return fmt.Errorf("%w: history age is %s; it must be positive, or 0 for any", ErrConfig, time.Duration(c.Retention.Age))
	case c.HeartbeatInterval < time.Millisecond:
		return fmt.Errorf("%w: heartbeat interval is %s; it must be at least 1ms", ErrConfig, c.HeartbeatInterval)
	case c.ElectionTimeout < 5*c.HeartbeatInterval:
		return fmt.Errorf("%w: election timeout %s must be at least 5 times the heartbeat interval %s",
			ErrConfig, c.ElectionTimeout, c.HeartbeatInterval)
	}
	if err := errors.Join(c.Clients.WithDefaults().Check(), native.CheckLimits(c.Limits)); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if _, ok := c.Cluster.Named(c.Name); !ok && len(c.Cluster.Members) > 0 {
		return fmt.Errorf("%w: name %q is not in the initial cluster (%v)", ErrConfig, c.Name, c.Cluster.Names())
	}
	return c.checkAddresses()
}

func (c Config) checkAddresses() error {
	tlsClients := c.ListenClient
	if c.PlainClients && c.ClientTLS.Enabled() {
		tlsClients = slices.DeleteFunc(slices.Clone(tlsClients), func(u *url.URL) bool { return !secure(u) })
	}
	if err := checkTLS(c.ClientTLS, clientSide, tlsClients...); err != nil {
		return err
	}
	peers := slices.Clone(c.ListenPeer)
	peers = append(peers, c.AdvertisePeer...)
	for _, m := range c.Cluster.Members {
		peers = append(peers, c.Cluster.PeerURLs(m.Name)...)
	}
	if err := checkTLS(c.PeerTLS, peerSide, peers...); err != nil {
		return err
	}
	if c.ClusterSecretFile != "" && c.PeerTLS.Enabled() {
		return fmt.Errorf("%w: there are a cluster secret and certificates of peers: one of the two protects the peer port", ErrConfig)
	}
	for _, u := range c.ListenMetrics {
		if secure(u) && !c.ClientTLS.Enabled() {
			return fmt.Errorf("%w: metrics address %s needs the certificate and the key of the client port", ErrConfig, u)
		}
	}
	if c.Pprof && len(c.ListenMetrics) == 0 {
		return fmt.Errorf("%w: profiles are served where metrics are, and there is no address for metrics (--listen-metrics-urls)", ErrConfig)
	}
	for _, u := range c.AdvertisePeer {
		if err := CheckDialable(u); err != nil {
			return fmt.Errorf("%w; say how other servers reach this one (--initial-advertise-peer-urls)", err)
		}
	}
	for _, u := range c.AdvertiseClient {
		if c.AdvertiseAnything {
			break
		}
		if err := CheckDialable(u); err != nil {
			return fmt.Errorf("%w; say how clients reach this server (--advertise-client-urls)", err)
		}
	}
	return nil
}
