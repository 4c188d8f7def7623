package etcdconfig

import (
	"flag"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/server"
)

// Options are the values of the flags that are honoured. Their defaults are etcd's.
type Options struct {
	Name, DataDir string

	listenClient, listenClientHTTP, advertiseClient string
	listenPeer, advertisePeer                       string
	listenMetrics                                   string
	pprof                                           bool
	metrics                                         string
	origins, hosts                                  list
	gateway                                         bool
	keepalive                                       clients.Keepalive
	watchProgress, slowRequest                      time.Duration

	cluster, clusterState, token string
	discoverySRV, discoveryName  string

	heartbeatMillis, electionMillis uint
	maxTxnOps, maxRequestBytes      uint
	maxLearners                     uint
	maxStreams                      uint
	quota                           int64
	compactionMode, compaction      string

	client, peer         server.TLS
	autoTLS, peerAutoTLS bool
	certYears            uint
	ciphers              []string
	minTLS, maxTLS       string

	authToken    string
	authTokenTTL uint // seconds
	bcryptCost   int

	// LogLevel, LogFormat and LogOutputs say what is logged, how, and where to.
	LogLevel, LogFormat string
	LogOutputs          []string
	rotate              bool
	rotation            string
	// Shown is LogLevel, until a client changes it; nil before Handler.
	Shown *slog.LevelVar
	// Tracing says whether spans are sent to a collector of OpenTelemetry, and where to.
	Tracing Tracing

	// Warnings are what the operator should know. Each is one line.
	Warnings []string
	// Used are the flags that have a value of their own, whatever its source.
	Used []Setting
	// Version says that only the version was asked for, Help that only the help was.
	Version, Help bool

	configFile string
	bad        *badValue       // the first that was given
	explicit   map[string]bool // the flags that were given
}

// Setting is a flag and its value.
type Setting struct{ Name, Value string }

// The addresses that etcd uses by default.
const (
	defaultClientURL = "http://localhost:2379"
	defaultPeerURL   = "http://localhost:2380"
)

// FlagSet returns all flags, bound to o.
func (o *Options) FlagSet() *flag.FlagSet {
	fs := flag.NewFlagSet("etcd", flag.ContinueOnError)
	fs.StringVar(&o.Name, "name", "default", "name of this member")
	fs.StringVar(&o.DataDir, "data-dir", "", "directory of this member's data (default NAME.etcd)")
	fs.StringVar(&o.configFile, "config-file", "", "YAML file with all values; flags and variables are ignored then")
	fs.BoolVar(&o.Version, "version", false, "print the version and exit")
	o.addressFlags(fs)
	o.clusterFlags(fs)
	o.limitFlags(fs)
	o.securityFlags(fs)
	o.authFlags(fs)
	o.logFlags(fs)
	for i := range others {
		fs.Var(&otherValue{other: &others[i], value: others[i].value}, others[i].name, others[i].usage())
	}
	fs.Var(gates{}, "feature-gates", "features of etcd to switch on or off, Name=true,...; here all of them are what they are")
	addExperimental(fs)
	return fs
}

func (o *Options) addressFlags(fs *flag.FlagSet) {
	fs.StringVar(&o.listenClient, "listen-client-urls", defaultClientURL, "addresses to serve clients on: gRPC and HTTP")
	fs.StringVar(&o.listenClientHTTP, "listen-client-http-urls", "", "more addresses to serve clients on")
	fs.StringVar(&o.advertiseClient, "advertise-client-urls", "", "addresses that clients are told (default: --listen-client-urls)")
	fs.StringVar(&o.listenPeer, "listen-peer-urls", defaultPeerURL, "addresses to hear other members on")
	fs.StringVar(&o.advertisePeer, "initial-advertise-peer-urls", "",
		"this member's addresses in --initial-cluster (default: as said there, or --listen-peer-urls)")
	fs.StringVar(&o.listenMetrics, "listen-metrics-urls", "", "more addresses to serve /metrics and /health on")
	fs.BoolVar(&o.pprof, "enable-pprof", false, "serve profiles at /debug/pprof/")
	o.origins = list{"*"}
	fs.Var(&o.origins, "cors", "origins of web pages that may use the API as JSON; *: all")
	o.hosts = list{"*"}
	fs.Var(&o.hosts, "host-whitelist", "names of this server that clients may use for HTTP without TLS; *: all")
	fs.BoolVar(&o.gateway, "enable-grpc-gateway", true, "serve the API as JSON, below /v3/")
	fs.DurationVar(&o.keepalive.MinInterval, "grpc-keepalive-min-time", 5*time.Second, "how often clients may ping")
	fs.DurationVar(&o.keepalive.Idle, "grpc-keepalive-interval", 2*time.Hour, "after how much silence the server pings a client (unless given: 30s)")
	fs.DurationVar(&o.keepalive.Timeout, "grpc-keepalive-timeout", 20*time.Second, "how long it waits for the answer to that (unless given: 10s)")
	fs.DurationVar(&o.slowRequest, "warning-unary-request-duration", 300*time.Millisecond, "how long a request takes that is logged as slow; 0: none is")
	fs.BoolVar(&o.Tracing.On, "enable-distributed-tracing", false, "send spans of requests to a collector of OpenTelemetry, by OTLP over gRPC")
	fs.StringVar(&o.Tracing.Address, "distributed-tracing-address", "localhost:4317", "where that collector is")
	fs.StringVar(&o.Tracing.Service, "distributed-tracing-service-name", "etcd", "what spans name this cluster")
	fs.StringVar(&o.Tracing.Instance, "distributed-tracing-instance-id", "", "what spans name this server")
	fs.IntVar(&o.Tracing.PerMillion, "distributed-tracing-sampling-rate", 0, "of how many requests of a million spans are made, if the client does not say")
	fs.DurationVar(&o.watchProgress, "watch-progress-notify-interval", 0, "how often those who watch are told how far they are, if they ask (0: 10m)")
	fs.StringVar(&o.metrics, "metrics", "basic", "basic or extensive: metrics are extensive always")
}

func (o *Options) clusterFlags(fs *flag.FlagSet) {
	fs.StringVar(&o.cluster, "initial-cluster", "", "all members, name=url,...; the same on each (default: this member alone)")
	fs.StringVar(&o.clusterState, "initial-cluster-state", "new", "new, or existing to refuse an empty data directory")
	fs.StringVar(&o.token, "initial-cluster-token", "etcd-cluster", "tells clusters apart that have the same names")
	fs.StringVar(&o.discoverySRV, "discovery-srv", "", "domain whose SRV records say which members there are")
	fs.StringVar(&o.discoveryName, "discovery-srv-name", "", "suffix of the service's name in these records")
	fs.UintVar(&o.maxLearners, "max-learners", 1, "learners, beyond which a request to add one is refused")
	fs.UintVar(&o.heartbeatMillis, "heartbeat-interval", 100, "milliseconds between a leader's heartbeats")
	fs.UintVar(&o.electionMillis, "election-timeout", 1000, "milliseconds without a leader before an election begins")
}

func (o *Options) limitFlags(fs *flag.FlagSet) {
	fs.UintVar(&o.maxTxnOps, "max-txn-ops", 128, "operations of a transaction")
	fs.UintVar(&o.maxRequestBytes, "max-request-bytes", 3<<19, "bytes of a request")
	fs.UintVar(&o.maxStreams, "max-concurrent-streams", 1<<32-1, "streams of one client connection")
	fs.Int64Var(&o.quota, "quota-backend-bytes", 0, "bytes of keys and values beyond which none are added; 0: any (etcd: 2 GiB)")
	fs.StringVar(&o.compactionMode, "auto-compaction-mode", "periodic", "what --auto-compaction-retention counts: periodic (time) or revision")
	fs.StringVar(&o.compaction, "auto-compaction-retention", "0", "how much of the history is kept: 30m, 8 (hours), or a number of revisions; 0: all")
}

func (o *Options) securityFlags(fs *flag.FlagSet) {
	for _, side := range []struct {
		tls             *server.TLS
		prefix, crl, of string
	}{{&o.client, "", "client-crl-file", "clients"}, {&o.peer, "peer-", "peer-crl-file", "other members"}} {
		fs.StringVar(&side.tls.CertFile, side.prefix+"cert-file", "", "certificate for "+side.of+", PEM")
		fs.StringVar(&side.tls.KeyFile, side.prefix+"key-file", "", "key of --"+side.prefix+"cert-file, PEM")
		fs.StringVar(&side.tls.CAFile, side.prefix+"trusted-ca-file", "", "CA certificates that those of "+side.of+" must lead to, PEM")
		fs.BoolVar(&side.tls.ClientAuth, side.prefix+"client-cert-auth", false, "demand a certificate of "+side.of)
		fs.StringVar(&side.tls.RevokedFile, side.crl, "", "lists of revoked certificates of "+side.of+": CRLs in PEM, or one in DER")
	}
	fs.Var((*list)(&o.client.AllowedHostnames), "client-cert-allowed-hostname", "let in only clients whose certificate is good for one of these hosts")
	fs.Var((*list)(&o.peer.AllowedCNs), "peer-cert-allowed-cn", "take every certificate with one of these common names for a member's")
	fs.Var((*list)(&o.peer.AllowedHostnames), "peer-cert-allowed-hostname", "take every certificate that is good for one of these hosts for a member's")
	fs.BoolVar(&o.autoTLS, "auto-tls", false, "serve clients with a certificate of its own making")
	fs.BoolVar(&o.peerAutoTLS, "peer-auto-tls", false, "talk to other members with a certificate of its own making; it is not verified")
	fs.UintVar(&o.certYears, "self-signed-cert-validity", 1, "years for which certificates of its own making are valid")
	fs.Var((*list)(&o.ciphers), "cipher-suites", "cipher suites of TLS 1.2 (default: Go's)")
	fs.StringVar(&o.minTLS, "tls-min-version", "TLS1.2", "oldest version of TLS: TLS1.2 or TLS1.3")
	fs.StringVar(&o.maxTLS, "tls-max-version", "", "newest version of TLS: TLS1.2 or TLS1.3 (default: Go's)")
}

func (o *Options) authFlags(fs *flag.FlagSet) {
	fs.StringVar(&o.authToken, "auth-token", "simple", "tokens of users: simple, or jwt with its options: sign-method, pub-key, priv-key, ttl")
	fs.UintVar(&o.authTokenTTL, "auth-token-ttl", uint(access.DefaultTTL.Seconds()), "seconds for which a simple token holds that is not used")
	fs.IntVar(&o.bcryptCost, "bcrypt-cost", bcrypt.DefaultCost, "how costly it is to guess passwords, 4 to 31: one more doubles it")
}

func (o *Options) logFlags(fs *flag.FlagSet) {
	o.LogOutputs = []string{"default"}
	fs.StringVar(&o.LogLevel, "log-level", "info", "what to log: debug, info, warn, error, panic or fatal")
	fs.StringVar(&o.LogFormat, "log-format", "json", "how to log: json or console")
	fs.BoolVar(&o.rotate, "enable-log-rotation", false, "begin a new log file when the one that --log-outputs names gets large")
	fs.StringVar(&o.rotation, "log-rotation-config-json", `{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}`,
		"when that is (maxsize, in MB), how many days (maxage) and how many files (maxbackups; 0: any) old ones are kept, whether by local time and compressed")
	fs.Var((*list)(&o.LogOutputs), "log-outputs", "where to log: default (stderr), stderr, stdout, systemd/journal, or files")
}

// list is the value of a flag that takes several texts, with commas between them.
type list []string

func (l *list) String() string {
	if l == nil {
		return ""
	}
	return strings.Join(*l, ",")
}

func (l *list) Set(text string) error {
	*l = nil
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

// kind is what values a flag without an effect takes.
type kind uint8

const (
	text kind = iota
	number
	duration
	boolean
)

// check refuses a value that etcd would refuse.
func (k kind) check(value string) (err error) {
	switch k {
	case number:
		_, err = strconv.ParseUint(value, 10, 64)
	case duration:
		_, err = time.ParseDuration(value)
	case boolean:
		_, err = strconv.ParseBool(value)
	}
	return err
}
