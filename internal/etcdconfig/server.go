package etcdconfig

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"balsa.example/internal/certs"
	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/server"
	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/logtime"
	"balsa.example/vfs"
)

// Server makes of the options what a server takes. It asks dns for the members, if that is wanted, until ctx ends.
func (o *Options) Server(ctx context.Context, dns Resolver) (cfg server.Config, err error) {
	cfg = server.Config{
		Name: o.Name, DataDir: o.DataDir, Join: o.clusterState == "existing", PprofClients: o.pprof,
		NoGateway: !o.gateway, Keepalive: o.pings(), PlainClients: true,
		ClientTLS: o.client, PeerTLS: o.peer, AdvertiseAnything: true, Quota: max(o.quota, 0),
		WatchProgress:     o.notices(),
		SlowRequest:       max(o.slowRequest, 0),
		MaxLearners:       maxLearners(o.maxLearners),
		HeartbeatInterval: time.Duration(o.heartbeatMillis) * time.Millisecond,
		ElectionTimeout:   time.Duration(o.electionMillis) * time.Millisecond,
		Clients:           clients.Limits{Streams: streams(o.maxStreams)},
		Limits:            kv.Limits{MaxKeyBytes: int(min(o.maxRequestBytes, math.MaxInt32)), MaxValueBytes: int(min(o.maxRequestBytes, math.MaxInt32)), MaxTxnOps: int(min(o.maxTxnOps, math.MaxInt32))},
	}
	if cfg.DataDir == "" {
		cfg.DataDir = o.Name + ".etcd"
	}
	if err := o.check(); err != nil {
		return cfg, err
	}
	if o.metrics != "basic" && o.metrics != "extensive" {
		o.warn("--metrics is %q, and neither basic nor extensive: metrics are extensive always", o.metrics)
	}
	if !slices.Contains(o.origins, "*") {
		cfg.Origins = o.origins
	}
	if !slices.Contains(o.hosts, "*") {
		cfg.Hosts = o.hosts
	}
	if cfg.Retention, err = retention(o.compactionMode, o.compaction); err != nil {
		return cfg, err
	}
	if cfg.Access, err = o.access(); err != nil {
		return cfg, err
	}
	cfg.Access.NoCertificates = !o.client.ClientAuth // what --trusted-ca-file alone demands names no user
	if err := o.addresses(&cfg); err != nil {
		return cfg, err
	}
	if cfg.Cluster, err = o.members(ctx, &cfg, dns); err != nil {
		return cfg, err
	}
	return cfg, o.security(&cfg)
}

// streams is clients.Limits.Streams: as in etcd, 0 stands for any number.
func streams(flag uint) int {
	if flag == 0 {
		return math.MaxUint16
	}
	return int(min(flag, math.MaxUint16))
}

// minNotices is how often those who watch may be told how far they are at most.
const minNotices = 100 * time.Millisecond

// notices is server.Config.WatchProgress.
func (o *Options) notices() time.Duration {
	if o.watchProgress == 0 || o.watchProgress >= minNotices {
		return o.watchProgress
	}
	o.warn("--watch-progress-notify-interval is %s: it is %s then", o.watchProgress, minNotices)
	return minNotices
}

// maxLearners is server.Config.MaxLearners.
func maxLearners(flag uint) int {
	if flag == 0 {
		return -1
	}
	return int(min(flag, math.MaxInt32))
}

// check refuses values that etcd refuses.
func (o *Options) check() error {
	switch {
	case o.Name == "":
		return usageError("--name is empty")
	case o.clusterState != "new" && o.clusterState != "existing":
		return fmt.Errorf("%w: --initial-cluster-state is %q; it must be new or existing", ErrFlags, o.clusterState)
	case o.heartbeatMillis == 0 || o.electionMillis == 0:
		return usageError("--heartbeat-interval and --election-timeout must be above 0 milliseconds")
	case o.electionMillis > 50_000:
		return usageError("--election-timeout is %d ms; it must be at most 50000", o.electionMillis)
	case o.maxRequestBytes == 0 || o.maxTxnOps == 0:
		return usageError("--max-request-bytes and --max-txn-ops must be above 0")
	case o.discoverySRV != "" && o.explicit["initial-cluster"]:
		return usageError("both --initial-cluster and --discovery-srv say which members there are; name one")
	}
	return nil
}

// pings are how dead connections are found: as was said, else sooner than in etcd. As there, 0 is no
// interval of its own.
func (o *Options) pings() (k clients.Keepalive) {
	k.MinInterval = max(o.keepalive.MinInterval, 0)
	if o.explicit["grpc-keepalive-interval"] {
		k.Idle = max(o.keepalive.Idle, 0)
	}
	if o.explicit["grpc-keepalive-timeout"] {
		k.Timeout = max(o.keepalive.Timeout, 0)
	}
	return k
}

// access is how users are proved. As in etcd, a lifetime of 0 and a cost that bcrypt does not know
// stand for the defaults.
func (o *Options) access() (cfg access.Config, err error) {
	if cfg.BcryptCost = o.bcryptCost; cfg.BcryptCost < bcrypt.MinCost || cfg.BcryptCost > bcrypt.MaxCost {
		o.warn("--bcrypt-cost is %d, and not from %d to %d: it is %d then", o.bcryptCost, bcrypt.MinCost, bcrypt.MaxCost, bcrypt.DefaultCost)
		cfg.BcryptCost = bcrypt.DefaultCost
	}
	ttl := time.Duration(min(o.authTokenTTL, math.MaxInt32)) * time.Second
	if cfg.Tokens, err = access.ParseTokens(o.authToken, ttl); err != nil {
		return cfg, usageError("--auth-token: %w", err)
	}
	return cfg, nil
}

// retention is what --auto-compaction-mode and --auto-compaction-retention ask for. A number without
// a unit counts hours, or revisions.
func retention(mode, value string) (keep state.Retention, err error) {
	number, err := strconv.ParseUint(value, 10, 63)
	switch {
	case mode == "revision" && err == nil:
		return state.Retention{Revisions: number}, nil
	case mode == "revision":
		return keep, usageError("--auto-compaction-retention is %q; it must be a number of revisions", value)
	case mode != "periodic":
		return keep, usageError("--auto-compaction-mode is %q; it must be periodic or revision", mode)
	}
	age := time.Duration(number) * time.Hour
	if err != nil || age/time.Hour != time.Duration(number) {
		age, err = time.ParseDuration(value)
	}
	if err != nil || age < 0 {
		return keep, usageError("--auto-compaction-retention is %q; it must be a duration such as 30m, or a number of hours", value)
	}
	return state.Retention{Age: logtime.Time(age)}, nil
}

// urls reads the URLs of a flag; none if it is empty.
func urls(flag, list string) ([]*url.URL, error) {
	if list == "" {
		return nil, nil
	}
	parse := server.ParseURLs
	if strings.HasSuffix(flag, "client-urls") || strings.HasSuffix(flag, "client-http-urls") {
		parse = server.ParseClientURLs
	}
	all, err := parse(list)
	if err != nil {
		return nil, usageError("--%s: %w", flag, err)
	}
	return all, nil
}

func (o *Options) addresses(cfg *server.Config) (err error) {
	var http []*url.URL
	for _, f := range []struct {
		flag, value string
		to          *[]*url.URL
	}{
		{"listen-client-urls", o.listenClient, &cfg.ListenClient},
		{"listen-client-http-urls", o.listenClientHTTP, &http},
		{"advertise-client-urls", o.advertiseClient, &cfg.AdvertiseClient},
		{"listen-peer-urls", o.listenPeer, &cfg.ListenPeer},
		{"listen-metrics-urls", o.listenMetrics, &cfg.ListenMetrics},
	} {
		if *f.to, err = urls(f.flag, f.value); err != nil {
			return err
		}
	}
	cfg.ListenClient = append(cfg.ListenClient, http...)
	if len(cfg.ListenClient) == 0 || len(cfg.ListenPeer) == 0 {
		return usageError("--listen-client-urls and --listen-peer-urls must not be empty")
	}
	if len(cfg.AdvertiseClient) == 0 {
		cfg.AdvertiseClient = cfg.ListenClient
	}
	for _, u := range cfg.AdvertiseClient {
		if err := server.CheckDialable(u); err != nil && !strings.HasPrefix(u.Scheme, "unix") {
			o.warn("--advertise-client-urls: %s", err)
		}
	}
	return nil
}

// members are those of --initial-cluster, or of the SRV records, or this one alone.
func (o *Options) members(ctx context.Context, cfg *server.Config, dns Resolver) (*server.Cluster, error) {
	advertised, err := urls("initial-advertise-peer-urls", o.advertisePeer)
	if err != nil {
		return nil, err
	}
	switch {
	case o.discoverySRV != "":
		if len(advertised) == 0 {
			advertised = cfg.ListenPeer
		}
		name, list, err := o.discover(ctx, dns, advertised)
		if known := begunAs(cfg.DataDir); err != nil && known != "" {
			o.warn("the members cannot be discovered, and are those that the data directory knows: %v", err)
			name, list, err = known, known+"="+advertised[0].Scheme+"://"+known, nil
		}
		if err != nil {
			return nil, err
		}
		cfg.Name = name
		return o.parse("--discovery-srv", list)
	case o.cluster != "":
		cluster, err := o.parse("--initial-cluster", o.cluster)
		if err != nil {
			return nil, err
		}
		return cluster, o.checkAdvertised(cluster, advertised)
	}
	if len(advertised) == 0 {
		advertised = cfg.ListenPeer
	}
	var list []string
	for _, u := range advertised {
		list = append(list, o.Name+"="+aloneAt(u).String())
	}
	return o.parse("--initial-advertise-peer-urls", strings.Join(list, ","))
}

func (o *Options) parse(flag, list string) (*server.Cluster, error) {
	if name, raw, ok := strings.Cut(list, "="); ok && !strings.Contains(list, ",") {
		if u, err := url.Parse(raw); err == nil { // one member, as in many examples: http://0.0.0.0:…
			list = name + "=" + aloneAt(u).String()
		}
	}
	cluster, err := server.ParseCluster(o.token, list)
	if err != nil {
		return nil, usageError("%s: %w", flag, err)
	}
	return cluster, nil
}

// aloneAt is an address for a member that has no others, which need not be reached.
func aloneAt(u *url.URL) *url.URL {
	if server.CheckDialable(u) == nil || u.Port() == "" {
		return u
	}
	at := *u
	at.Host = "localhost:" + u.Port()
	return &at
}

// checkAdvertised catches the mistake of two addresses for one member.
func (o *Options) checkAdvertised(cluster *server.Cluster, advertised []*url.URL) error {
	said := cluster.PeerURLs(o.Name)
	if said == nil {
		return usageError("--name %s is not in --initial-cluster %s", o.Name, cluster)
	}
	if len(advertised) == 0 || len(cluster.Members) == 1 {
		return nil
	}
	hosts := func(urls []*url.URL) (all []string) {
		for _, u := range urls {
			all = append(all, u.String())
		}
		slices.Sort(all)
		return all
	}
	if a, b := hosts(advertised), hosts(said); !slices.Equal(a, b) {
		return usageError("--initial-advertise-peer-urls is %s, but --initial-cluster says %s for %s", strings.Join(a, ","), strings.Join(b, ","), o.Name)
	}
	return nil
}

// security settles TLS. As in etcd, addresses of http have none, whatever certificates there are.
func (o *Options) security(cfg *server.Config) error {
	ciphers, err := suites(o.ciphers)
	if err != nil {
		return err
	}
	lowest, err := version("tls-min-version", o.minTLS)
	if err != nil {
		return err
	}
	highest, err := version("tls-max-version", o.maxTLS)
	switch {
	case err != nil:
		return err
	case highest != 0 && lowest > highest:
		return usageError("--tls-min-version is %s, and --tls-max-version is %s", o.minTLS, o.maxTLS)
	case lowest == tls.VersionTLS13 && len(ciphers) > 0:
		return usageError("--cipher-suites are of TLS 1.2, and --tls-min-version is %s", o.minTLS)
	}
	peers := slices.Clone(cfg.ListenPeer)
	for _, name := range cfg.Cluster.Names() {
		peers = append(peers, cfg.Cluster.PeerURLs(name)...)
	}
	cfg.PeerTLS.SharedHosts = true
	for _, side := range []struct {
		tls    *server.TLS
		auto   bool
		flag   string
		listen []*url.URL
		all    []*url.URL
	}{
		{&cfg.ClientTLS, o.autoTLS, "cert-file", cfg.ListenClient, slices.Concat(cfg.ListenClient, cfg.ListenMetrics)},
		{&cfg.PeerTLS, o.peerAutoTLS, "peer-cert-file", cfg.ListenPeer, peers},
	} {
		if !slices.ContainsFunc(side.all, secure) {
			if side.tls.Enabled() || side.tls.CAFile != "" || side.tls.ClientAuth {
				o.warn("--%s and what goes with it do nothing: the addresses are http", side.flag)
			}
			*side.tls = server.TLS{}
			continue
		}
		side.tls.MinVersion, side.tls.MaxVersion, side.tls.CipherSuites = lowest, highest, ciphers
		if side.tls.Enabled() && side.tls.CAFile != "" {
			side.tls.ClientAuth = true // as in etcd: who names an authority wants its certificates
		}
		if side.auto && side.tls.Enabled() {
			o.warn("--auto-tls does nothing beside --%s", side.flag)
		}
	}
	return nil
}

// MakeCertificates makes the certificates that --auto-tls and --peer-auto-tls ask for, in the data
// directory, where none are.
func (o *Options) MakeCertificates(cfg *server.Config, now time.Time) (err error) {
	for _, side := range []struct {
		auto   bool
		name   string
		tls    *server.TLS
		listen []*url.URL
	}{
		{o.autoTLS, "client", &cfg.ClientTLS, cfg.ListenClient},
		{o.peerAutoTLS, "peer", &cfg.PeerTLS, cfg.ListenPeer},
	} {
		if !side.auto || !slices.ContainsFunc(side.listen, secure) || side.tls.Enabled() {
			continue
		}
		var hosts []string
		for _, u := range side.listen {
			hosts = append(hosts, u.Hostname())
		}
		dir := filepath.Join(cfg.DataDir, "fixtures", side.name)
		side.tls.CertFile, side.tls.KeyFile, err = certs.SelfSigned(dir, hosts, int(min(o.certYears, 1000)), now, writeFile)
		if err != nil {
			return err
		}
		side.tls.Unverified = side.name == "peer"
	}
	return nil
}

// writeFile writes a file so that a crash leaves all of it, or nothing.
func writeFile(path string, data []byte) error { return vfs.WriteFile(vfs.OS, path, data) }

// CheckDirectory refuses a directory that belongs to etcd itself.
func CheckDirectory(dir string) error {
	if info, err := os.Stat(filepath.Join(dir, "member")); err == nil && info.IsDir() {
		return usageError("%s holds data of etcd itself, which balsa cannot run on; name another --data-dir, and bring the data over with a snapshot or a mirror", dir)
	}
	return nil
}

// secure tells whether an address has TLS.
func secure(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "unixs" }

// suites are the cipher suites of these names.
func suites(names []string) (ids []uint16, err error) {
	known := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
	for _, name := range names {
		i := slices.IndexFunc(known, func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			return nil, usageError("--cipher-suites: %q is not known", name)
		}
		ids = append(ids, known[i].ID)
	}
	return ids, nil
}

func version(flag, name string) (uint16, error) {
	switch name {
	case "":
		return 0, nil
	case "TLS1.2":
		return tls.VersionTLS12, nil
	case "TLS1.3":
		return tls.VersionTLS13, nil
	}
	return 0, usageError("--%s is %q; it must be TLS1.2 or TLS1.3", flag, name)
}
