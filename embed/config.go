package embed

import (
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/trace"

	"balsa.example/internal/inproc"
	"balsa.example/internal/server"
	"balsa.example/member"
	"balsa.example/state/logtime"
)

// ErrConfig is every error about a Config. It is found before anything on disk is touched.
var ErrConfig = member.ErrConfig

// Config says how to run a server. Only Dir is required: then it is a cluster of one that
// opens no port, and only Server.Clerk reaches it. Addresses are URLs: http means plain TCP,
// https TLS.
type Config struct {
	// Name is the server's in InitialCluster. Default: "default".
	Name string
	// Dir is the data directory, made if it does not exist.
	Dir string
	// InitialCluster has all servers of the cluster, with the addresses where they find each
	// other, as name=url,name=url. All servers must be given the same one. Empty: this
	// server alone.
	InitialCluster string
	// InitialClusterToken tells clusters apart whose servers have the same names. Default:
	// "balsa-cluster", as that of "balsa serve".
	InitialClusterToken string
	// MustExist says that the cluster runs already: with an empty Dir this server takes the place
	// that was made for it there, or is refused.
	MustExist bool
	// Join makes this a member of a cluster that runs: peer addresses of some of its servers,
	// host:port or name=host:port. With an empty Dir the server asks them to be let in, gets the state, and
	// then votes, unless Learner says that it never does. It needs ListenPeerURL and
	// ListenClientURLs, and no InitialCluster.
	Join    []string
	Learner bool

	// ListenClientURLs are the addresses to serve clients on. A cluster of one may have none.
	ListenClientURLs []string
	// AdvertiseClientURLs are what clients are told. Default: ListenClientURLs.
	AdvertiseClientURLs []string
	// ListenPeerURL is the address to hear other servers on. Default: that in InitialCluster.
	ListenPeerURL string
	// ListenMetricsURLs are the addresses to serve /metrics and /health on, over plain HTTP, or
	// https with the TLS of clients.
	ListenMetricsURLs []string

	// ClientTLS protects the connections of clients, and PeerTLS those between servers.
	ClientTLS, PeerTLS member.TLS
	// ClusterSecretFile protects the connections between servers in place of PeerTLS: see
	// member.Config.SecretFile.
	ClusterSecretFile string

	// HeartbeatInterval and ElectionTimeout default to 50 ms and 500 ms.
	HeartbeatInterval, ElectionTimeout time.Duration
	// MaxRaftState is how many bytes of log make a checkpoint of the state due. 0: 64 MiB, or a 32nd
	// of the memory that the process may use; -1: never.
	MaxRaftState int64
	// LeaseReads lets the leader answer reads of consistency LEASE alone, trusting the rates
	// of clocks.
	LeaseReads bool
	// HistoryAge and HistoryRevisions say how much history is kept for watchers and for reads at
	// a revision; whichever keeps less decides. 0: 1 hour and 5,000,000 revisions. -1: any.
	HistoryAge       time.Duration
	HistoryRevisions int64

	// SlowRequest is how long a request takes that is logged, with where its time went. 0: 500 ms. Below 0:
	// none is.
	SlowRequest time.Duration

	// TracerProvider makes spans of requests, with those of their parts: of the requests whose client says so
	// (clerk.WithTracerProvider), and of a share TraceSample of the others, from 0 to 1. Default: no spans.
	TracerProvider trace.TracerProvider
	TraceSample    float64

	// Logger gets what "balsa serve" writes to its log. Default: none.
	Logger *slog.Logger
}

const (
	defaultName  = "default"
	defaultToken = "balsa-cluster"
	// memoryHost stands in an address for a port that is not opened.
	memoryHost = "embedded.invalid:1"
)

// server makes of c what a server takes.
func (c Config) server() (cfg server.Config, err error) {
	if c.Name == "" {
		c.Name = defaultName
	}
	if c.InitialClusterToken == "" {
		c.InitialClusterToken = defaultToken
	}
	cfg = server.Config{
		Name: c.Name, DataDir: c.Dir, Join: c.MustExist,
		ClientTLS: server.TLS(c.ClientTLS), PeerTLS: server.TLS(c.PeerTLS), ClusterSecretFile: c.ClusterSecretFile,
		HeartbeatInterval: c.HeartbeatInterval, ElectionTimeout: c.ElectionTimeout,
		MaxRaftState: c.MaxRaftState, LeaseReads: c.LeaseReads, Retention: server.DefaultRetention,
		Version: version(), Logger: c.Logger, TracerProvider: c.TracerProvider, TraceSample: c.TraceSample,
	}
	if c.HistoryAge != 0 {
		cfg.Retention.Age = max(logtime.Time(c.HistoryAge), 0)
	}
	if cfg.SlowRequest = max(c.SlowRequest, 0); c.SlowRequest == 0 {
		cfg.SlowRequest = server.DefaultSlowRequest
	}
	if c.HistoryRevisions != 0 {
		cfg.Retention.Revisions = uint64(max(c.HistoryRevisions, 0))
	}
	if len(c.Join) > 0 {
		return cfg, c.joining(&cfg)
	}
	if c.InitialCluster == "" {
		c.InitialCluster = c.Name + "=http://" + memoryHost
		// Nobody connects, so there is nothing to protect.
		cfg.PeerListener, cfg.PeerTLS, cfg.ClusterSecretFile = inproc.Listen(), server.TLS{}, ""
		c.ListenPeerURL = ""
	}
	if len(c.ListenClientURLs) == 0 && cfg.ClientTLS.Enabled() {
		return cfg, fmt.Errorf("%w: there is ClientTLS, but ListenClientURLs is empty", ErrConfig)
	}
	if cfg.Cluster, err = server.ParseCluster(c.InitialClusterToken, c.InitialCluster); err != nil {
		return cfg, err
	}
	if len(cfg.Cluster.Members) > 1 && len(c.ListenClientURLs) == 0 {
		return cfg, fmt.Errorf("%w: a server of a cluster of several needs ListenClientURLs: the others send clients there", ErrConfig)
	}
	return cfg, c.addresses(&cfg)
}

// joining is for a server that becomes a member of a running cluster.
func (c Config) joining(cfg *server.Config) (err error) {
	if c.InitialCluster != "" || c.ListenPeerURL == "" || len(c.ListenClientURLs) == 0 {
		return fmt.Errorf("%w: with Join a server needs ListenPeerURL and ListenClientURLs, and no InitialCluster", ErrConfig)
	}
	cfg.JoinAt, cfg.Learner = c.Join, c.Learner
	if cfg.ListenPeer, err = parseURLs("ListenPeerURL", []string{c.ListenPeerURL}, server.ParseURLs); err != nil {
		return err
	}
	return c.clientAddresses(cfg)
}

func (c Config) addresses(cfg *server.Config) (err error) {
	if cfg.ListenPeer = cfg.Cluster.PeerURLs(c.Name); cfg.ListenPeer == nil {
		return fmt.Errorf("%w: name %q is not in the initial cluster (%v)", ErrConfig, c.Name, cfg.Cluster.Names())
	}
	if c.ListenPeerURL != "" {
		if cfg.ListenPeer, err = parseURLs("ListenPeerURL", []string{c.ListenPeerURL}, server.ParseURLs); err != nil {
			return err
		}
	}
	return c.clientAddresses(cfg)
}

func (c Config) clientAddresses(cfg *server.Config) (err error) {
	if cfg.ListenClient, err = parseURLs("ListenClientURLs", c.ListenClientURLs, server.ParseClientURLs); err != nil {
		return err
	}
	if cfg.AdvertiseClient, err = parseURLs("AdvertiseClientURLs", c.AdvertiseClientURLs, server.ParseClientURLs); err != nil {
		return err
	}
	cfg.ListenMetrics, err = parseURLs("ListenMetricsURLs", c.ListenMetricsURLs, server.ParseURLs)
	return err
}

func parseURLs(field string, raw []string, parse func(string) ([]*url.URL, error)) (urls []*url.URL, err error) {
	for _, r := range raw {
		u, err := parse(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
		urls = append(urls, u...)
	}
	return urls, nil
}

// version is that of this module in the program it is built into.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == "balsa.example" {
				return m.Version
			}
		}
	}
	return ""
}
