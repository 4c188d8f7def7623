package main

import (
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/crypto/bcrypt"

	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/server"
	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// serveOptions are the flags of serve, as given.
type serveOptions struct {
	configFile                     string
	name, dataDir                  string
	listenClient, advertiseClient  string
	listenPeer, advertisePeer      string
	listenMetrics                  string
	origins                        []string
	pprof                          bool
	ui                             uiFlags
	cluster, clusterState, token   string
	join                           []string
	learner, witness               bool
	heartbeatMillis, electionMills uint
	maxRaftState, maxIndexBytes    int64
	quota                          int64
	leaseReads                     bool
	slowRequest                    time.Duration
	client, peer                   server.TLS
	secretFile                     string
	clients                        clients.Limits
	limits                         kv.Limits
	authToken                      string
	authTokenTTL                   uint
	bcryptCost                     int
	historyAge                     time.Duration
	historyRevisions               uint64
	traces                         traceFlags
	logging                        logging
}

func (o *serveOptions) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	f.StringVar(&o.name, "name", "default", "name of this server")
	f.StringVar(&o.dataDir, "data-dir", "", "directory of this server's data (default NAME.balsa)")
	f.StringVar(&o.listenClient, "listen-client-urls", loopback(defaultBasePort), "addresses to serve clients on: http, https, or unix:// and unixs:// with a path")
	f.StringVar(&o.advertiseClient, "advertise-client-urls", "", "addresses that clients are told (default: --listen-client-urls)")
	f.StringVar(&o.listenPeer, "listen-peer-urls", loopback(defaultBasePort+peerPortOffset), "addresses to hear other servers on")
	f.StringVar(&o.advertisePeer, "initial-advertise-peer-urls", "",
		"this server's addresses in --initial-cluster (default: as said there, or --listen-peer-urls)")
	f.StringVar(&o.listenMetrics, "listen-metrics-urls", "",
		"more addresses to serve /metrics and /health on, over plain HTTP; https: with the TLS of clients")
	f.StringSliceVar(&o.origins, "cors", []string{"*"}, "origins of web pages that may use the etcd API as JSON, *: all")
	f.StringVar(&o.cluster, "initial-cluster", "", "all servers, name=url,...; the same on each (default: this server alone)")
	f.StringVar(&o.clusterState, "initial-cluster-state", "new",
		"new, or existing: with an empty data directory, take the place that was made for this server in a running cluster")
	f.StringVar(&o.token, "initial-cluster-token", "balsa-cluster", "tells clusters apart that have the same names")
	f.UintVar(&o.heartbeatMillis, "heartbeat-interval", uint(server.DefaultHeartbeatInterval.Milliseconds()), "milliseconds between a leader's heartbeats")
	f.UintVar(&o.electionMills, "election-timeout", uint(server.DefaultElectionTimeout.Milliseconds()),
		"milliseconds without a leader before an election begins")
	o.addTLSFlags(f)
	f.IntVar(&o.clients.Streams, "max-concurrent-streams", 8192, "streams of one client connection")
	f.IntVar(&o.limits.MaxValueBytes, "max-request-bytes", kv.DefaultLimits.MaxValueBytes, "bytes of a value, and of all that a transaction writes; at most 16 MiB")
	f.IntVar(&o.limits.MaxTxnOps, "max-txn-ops", kv.DefaultLimits.MaxTxnOps, "compares of a transaction, and operations in each of its lists")
	f.StringVar(&o.authToken, "auth-token", "simple",
		"how users are proved: simple, or jwt, with sign-method, pub-key, priv-key and ttl as in etcd")
	f.UintVar(&o.authTokenTTL, "auth-token-ttl", uint(access.DefaultTTL/time.Second), "seconds for which a simple token holds that is not used")
	f.IntVar(&o.bcryptCost, "bcrypt-cost", bcrypt.DefaultCost, "how costly it is to guess passwords, 4 to 31: one more doubles it")
	f.VisitAll(func(flag *pflag.Flag) { f.SetAnnotation(flag.Name, sharedWithEtcd, []string{"yes"}) })

	f.Int64Var(&o.maxIndexBytes, "max-index-bytes", 0,
		"bytes of memory for the index of all keys, beyond which none are added; 0: half of the memory, or what leaves 128 MiB free; -1: any")
	f.Int64Var(&o.maxRaftState, "max-raft-state", 0,
		"bytes of log that make a checkpoint of the state due; 0: 64 MiB, or a 32nd of the memory; -1: never")
	addQuota(f, &o.quota)
	f.StringSliceVar(&o.join, "join", nil,
		"peer addresses of some servers of a running cluster, to become a member of it: host:port, or name=host:port")
	f.BoolVar(&o.learner, "learner", false, "with --join: get all that is written, and never vote")
	f.BoolVar(&o.witness, "witness", false, "with --join: vote, keep no data but the newest part of the log, and answer no requests")
	f.StringVar(&o.secretFile, "cluster-secret-file", "",
		"file of a random text that all servers share, which protects the peer port without certificates")
	f.BoolVar(&o.leaseReads, "lease-reads", false,
		"let the leader answer reads of consistency \"lease\" alone, trusting clock rates, and give the leader such promises")
	f.IntVar(&o.clients.Connections, "max-client-connections", 4096, "client connections; fewer where \"ulimit -n\" leaves no room")
	f.Int64Var(&o.clients.RequestBytes, "max-pending-bytes", 0,
		"bytes of requests in progress and of replies that clients have not read; 0: 256 MiB, or 16 of the largest messages if that is more")
	f.Int64Var(&o.clients.UnfinishedBytes, "max-unfinished-bytes", 0,
		"bytes of messages from clients of which a part has come; 0: 64 MiB, or 16 of the largest messages if that is more")
	f.DurationVar(&o.clients.Stall, "client-stall-timeout", 30*time.Second,
		"how long a client may leave replies unread, or a message unfinished")
	f.DurationVar(&o.historyAge, "history-age", time.Duration(server.DefaultRetention.Age),
		"how long the history is kept for watchers and reads at a revision; 0: any time")
	f.Uint64Var(&o.historyRevisions, "history-revisions", server.DefaultRetention.Revisions,
		"how many revisions of the history are kept; 0: any number")
	f.DurationVar(&o.slowRequest, "slow-request", server.DefaultSlowRequest, "how long a request takes that is logged, with where its time went; 0: none is")
	f.BoolVar(&o.pprof, "enable-pprof", false, "serve profiles at /debug/pprof/ of --listen-metrics-urls")
	o.ui.addFlags(f)
	o.traces.addFlags(f)
	o.logging.addFlags(f, "info")
	return f
}

// addTLSFlags adds the flags of certificates: those for clients, and those among servers.
func (o *serveOptions) addTLSFlags(f *pflag.FlagSet) {
	f.StringVar(&o.client.CertFile, "cert-file", "", "certificate for clients, PEM; makes client addresses https")
	f.StringVar(&o.client.KeyFile, "key-file", "", "key of --cert-file, PEM")
	f.StringVar(&o.client.CAFile, "trusted-ca-file", "", "CA certificates that clients' must lead to, PEM")
	f.BoolVar(&o.client.ClientAuth, "client-cert-auth", false, "demand a certificate of clients")
	f.StringSliceVar(&o.client.AllowedHostnames, "client-cert-allowed-hostname", nil,
		"let in only clients whose certificate is good for one of these hosts")
	f.StringVar(&o.peer.CertFile, "peer-cert-file", "", "certificate for other servers, PEM; makes peer addresses https")
	f.StringVar(&o.peer.KeyFile, "peer-key-file", "", "key of --peer-cert-file, PEM")
	f.StringVar(&o.peer.CAFile, "peer-trusted-ca-file", "", "CA certificates that other servers' must lead to, PEM")
	f.BoolVar(&o.peer.ClientAuth, "peer-client-cert-auth", false, "demand a certificate of other servers, which must name its member")
	f.StringSliceVar(&o.peer.AllowedCNs, "peer-cert-allowed-cn", nil,
		"take every certificate with one of these common names for a member's")
	f.StringSliceVar(&o.peer.AllowedHostnames, "peer-cert-allowed-hostname", nil,
		"take every certificate that is good for one of these hosts for a member's")
}

func (p *program) serve() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:        "serve",
		SuggestFor: []string{"server", "start", "run"},
		Short:      "Run one server of a cluster",
		Long: `Run one server of a cluster, until SIGINT, SIGTERM or SIGHUP. Without flags it is a cluster
of one, with its data in ./default.balsa.

Each flag --some-flag may also come from the environment, as BALSA_SOME_FLAG, and
from the YAML file named by --config-file, as the key some-flag. The command line
goes before the environment, the environment before the file. Where a flag means the
same as etcd's, ETCD_SOME_FLAG is read too, and the sections client-transport-security
and peer-transport-security of etcd's file.

A cluster begins once: when all its servers, each with a new data directory, have been
reached by the first one in the order of names. So the first start needs all of them. Later a
server joins with --join: with a new data directory it asks the servers there to become a
member, gets the state, and votes when it is caught up. See "balsa member".

The client port also answers GET /metrics, for Prometheus, and GET /health, /livez and
/readyz: 200, or 503 with the reason. --listen-metrics-urls adds addresses for these alone,
over plain HTTP. Whoever reaches them can read figures, and profiles too with
--enable-pprof, so keep them in a network of your own.

A browser finds the dashboard at /ui of the client port. It shows what clients could read
there; only with --ui-writes it changes things as well. With authentication one logs in.

` + serverExitHelp,
		Example: `  balsa serve

  C=n1=http://10.0.0.1:23800,n2=http://10.0.0.2:23800,n3=http://10.0.0.3:23800
  balsa serve --name n1 --initial-cluster $C --listen-peer-urls http://10.0.0.1:23800 \
      --listen-client-urls http://10.0.0.1:23790

  balsa serve --name n4 --join 10.0.0.1:23800 --listen-peer-urls http://10.0.0.4:23800 \
      --listen-client-urls http://10.0.0.4:23790`,
		Args: noArgs,
	}
	flags := o.flags()
	c.Flags().AddFlagSet(flags)
	c.Flags().StringVar(&o.configFile, "config-file", "", "YAML file with the values of flags ($BALSA_CONFIG_FILE)")
	c.RunE = p.server(func(c *cobra.Command) error {
		cfg, err := o.load(flags, p.env)
		if err != nil {
			return err
		}
		if cfg.Logger, err = o.logging.start(p); err != nil {
			return err
		}
		cfg.LogLevel, cfg.LogStats, cfg.Settings, cfg.OnReady = o.logging.shown, p.log.Stats, settings(flags), p.notifyInit
		closeTraces, err := o.traces.open(c.Context(), p, &cfg, cfg.Logger)
		if err != nil {
			return err
		}
		defer closeTraces()
		return server.Run(c.Context(), cfg)
	})
	return c
}

// settings returns the flags that have a value, whatever its source.
func settings(flags *pflag.FlagSet) (all []any) {
	flags.VisitAll(func(f *pflag.Flag) {
		if value := f.Value.String(); value != "" && value != "[]" {
			all = append(all, slog.String(f.Name, value))
		}
	})
	return all
}

// addQuota adds the flag of server.Config.Quota. A server of etcd's flags has it as --quota-backend-bytes.
func addQuota(f *pflag.FlagSet, to *int64) {
	f.Int64Var(to, "quota", 0, "bytes of keys and values beyond which none are added, for a cluster that has no quota yet; 0: any")
}

var errQuota = usageError("--quota must be positive, or 0 for any")

// load merges the three sources of values.
func (o *serveOptions) load(flags *pflag.FlagSet, env func(string) (string, bool)) (server.Config, error) {
	if o.configFile == "" {
		o.configFile, _ = env("BALSA_CONFIG_FILE")
	}
	var file map[string]string
	if o.configFile != "" {
		var err error
		if file, err = readConfigFile(o.configFile); err != nil {
			return server.Config{}, err
		}
	}
	if err := layer(flags, env, file); err != nil {
		return server.Config{}, err
	}
	return o.config()
}

// config makes of the flags what a server takes.
func (o *serveOptions) config() (cfg server.Config, err error) {
	cfg = server.Config{
		Name:              o.name,
		DataDir:           o.dataDir,
		ClientTLS:         o.client,
		PeerTLS:           o.peer,
		ClusterSecretFile: o.secretFile,
		Pprof:             o.pprof,
		UI:                o.ui.of(),
		MaxRaftState:      o.maxRaftState,
		MaxIndexBytes:     o.maxIndexBytes,
		Quota:             o.quota,
		LeaseReads:        o.leaseReads,
		SlowRequest:       o.slowRequest,
		Clients:           o.clients,
		Origins:           o.origins,
		Limits:            o.limits,
		Retention:         state.Retention{Age: logtime.Time(o.historyAge), Revisions: o.historyRevisions},
		HeartbeatInterval: time.Duration(o.heartbeatMillis) * time.Millisecond,
		ElectionTimeout:   time.Duration(o.electionMills) * time.Millisecond,
		Version:           thisBuild().Version,
	}
	cfg.Access.BcryptCost = o.bcryptCost
	if cfg.Access.Tokens, err = access.ParseTokens(o.authToken, time.Duration(o.authTokenTTL)*time.Second); err != nil {
		return cfg, usageError("--auth-token: %w", err)
	}
	switch {
	case o.authTokenTTL == 0:
		return cfg, usageError("--auth-token-ttl must be above 0 seconds")
	case o.bcryptCost < bcrypt.MinCost || o.bcryptCost > bcrypt.MaxCost:
		return cfg, usageError("--bcrypt-cost must be from %d to %d", bcrypt.MinCost, bcrypt.MaxCost)
	case o.heartbeatMillis == 0 || o.electionMills == 0:
		return cfg, usageError("--heartbeat-interval and --election-timeout must be above 0 milliseconds")
	case o.clients.Connections == 0 || o.clients.Streams == 0 || o.clients.Stall == 0:
		return cfg, usageError("--max-client-connections, --max-concurrent-streams and --client-stall-timeout must be above 0")
	case o.limits.MaxValueBytes == 0 || o.limits.MaxTxnOps == 0:
		return cfg, usageError("--max-request-bytes and --max-txn-ops must be above 0")
	case o.slowRequest < 0:
		return cfg, usageError("--slow-request must be positive, or 0 for none")
	case o.historyAge < 0:
		return cfg, usageError("--history-age must be positive, or 0 for any")
	case o.quota < 0:
		return cfg, errQuota
	case o.maxRaftState < -1:
		return cfg, usageError("--max-raft-state must be positive, 0 for a limit that grows with the snapshots, or -1 for never")
	case o.name == "":
		return cfg, usageError("--name is empty")
	case o.dataDir == "":
		cfg.DataDir = o.name + ".balsa"
	}
	switch o.clusterState {
	case "new":
	case "existing":
		cfg.Join = true
	default:
		return cfg, usageError("--initial-cluster-state is %q; it must be new or existing", o.clusterState)
	}
	if err := o.addresses(&cfg); err != nil {
		return cfg, err
	}
	return cfg, nil
}

func (o *serveOptions) addresses(cfg *server.Config) (err error) {
	if cfg.ListenClient, err = server.ParseClientURLs(o.listenClient); err != nil {
		return usageError("--listen-client-urls: %w", err)
	}
	advertised, how := cfg.ListenClient, "--listen-client-urls"
	if o.advertiseClient != "" {
		how = "--advertise-client-urls"
		if advertised, err = server.ParseClientURLs(o.advertiseClient); err != nil {
			return usageError("%s: %w", how, err)
		}
		cfg.AdvertiseClient = advertised
	}
	for _, u := range advertised {
		if err := server.CheckDialable(u); err != nil {
			return usageError("%s: %w; say with --advertise-client-urls where clients find this server", how, err)
		}
	}
	if cfg.ListenPeer, err = server.ParseURLs(o.listenPeer); err != nil {
		return usageError("--listen-peer-urls: %w", err)
	}
	if o.listenMetrics != "" {
		if cfg.ListenMetrics, err = server.ParseURLs(o.listenMetrics); err != nil {
			return usageError("--listen-metrics-urls: %w", err)
		}
	}
	if len(o.join) > 0 {
		return o.joining(cfg)
	}
	if o.learner || o.witness {
		return usageError("--learner and --witness go with --join")
	}
	if cfg.Cluster, err = o.members(cfg.ListenPeer); err != nil {
		return err
	}
	return o.checkAdvertised(cfg.Cluster)
}

// joining is what a server needs that becomes a member of a running cluster.
func (o *serveOptions) joining(cfg *server.Config) (err error) {
	if o.cluster != "" {
		return usageError("--join and --initial-cluster exclude each other: the one is for a running cluster, the other begins one")
	}
	if o.learner && o.witness {
		return usageError("--learner and --witness exclude each other: a witness is there to vote")
	}
	cfg.JoinAt, cfg.Learner, cfg.Witness, cfg.AdvertisePeer = o.join, o.learner, o.witness, cfg.ListenPeer
	how := "--listen-peer-urls"
	if o.advertisePeer != "" {
		how = "--initial-advertise-peer-urls"
		if cfg.AdvertisePeer, err = server.ParseURLs(o.advertisePeer); err != nil {
			return usageError("%s: %w", how, err)
		}
	}
	for _, u := range cfg.AdvertisePeer {
		if err := server.CheckDialable(u); err != nil {
			return usageError("%s: %w; say with --initial-advertise-peer-urls where other servers find this one", how, err)
		}
	}
	return nil
}

// members is the membership to start with: as --initial-cluster says, or else this server
// alone, at the address on which it hears other servers.
func (o *serveOptions) members(listenPeer []*url.URL) (*server.Cluster, error) {
	if o.cluster != "" {
		cluster, err := server.ParseCluster(o.token, o.cluster)
		if err != nil {
			return nil, usageError("--initial-cluster: %w", err)
		}
		return cluster, nil
	}
	self, how := listenPeer, "--listen-peer-urls"
	if o.advertisePeer != "" {
		var err error
		how = "--initial-advertise-peer-urls"
		if self, err = server.ParseURLs(o.advertisePeer); err != nil {
			return nil, usageError("%s: %w", how, err)
		}
	}
	var all []string
	for _, u := range self {
		if err := server.CheckDialable(u); err != nil {
			return nil, usageError("%s: %w; say with --initial-advertise-peer-urls where other servers find this one", how, err)
		}
		all = append(all, o.name+"="+u.String())
	}
	return server.ParseCluster(o.token, strings.Join(all, ","))
}

// checkAdvertised catches the mistake of two addresses for one server.
func (o *serveOptions) checkAdvertised(cluster *server.Cluster) error {
	self, ok := cluster.Named(o.name)
	if !ok {
		return usageError("--name %s is not in --initial-cluster %s", o.name, o.cluster)
	}
	if o.advertisePeer == "" {
		return nil
	}
	advertised, err := server.ParseURLs(o.advertisePeer)
	if err != nil {
		return usageError("--initial-advertise-peer-urls: %w", err)
	}
	if told, said := join(advertised), join(cluster.PeerURLs(self.Name)); told != said {
		return usageError("--initial-advertise-peer-urls is %s, but --initial-cluster says %s for %s", told, said, o.name)
	}
	return nil
}
