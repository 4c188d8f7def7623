package etcdconfig

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/datadir"
	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/roster"
	"balsa.example/internal/server"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// noDNS knows no names.
type noDNS struct{}

func (noDNS) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, errors.New("no name server")
}
func (noDNS) LookupHost(context.Context, string) ([]string, error) {
	return nil, errors.New("no name server")
}

func configure(t *testing.T, dns Resolver, args ...string) (server.Config, *Options, error) {
	t.Helper()
	o, err := Parse(args, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := o.Server(t.Context(), dns)
	return cfg, o, err
}

func texts(urls []*url.URL) (all []string) {
	for _, u := range urls {
		all = append(all, u.String())
	}
	return all
}

func TestDefaultsAreEtcds(t *testing.T) {
	cfg, o, err := configure(t, noDNS{})
	if err != nil || len(o.Warnings) > 0 {
		t.Fatal(err, o.Warnings)
	}
	if cfg.Name != "default" || cfg.DataDir != "default.etcd" || cfg.Cluster.String() != "default=http://localhost:2380" || cfg.Cluster.Token != "etcd-cluster" {
		t.Errorf("%s in %s, cluster %s with token %s", cfg.Name, cfg.DataDir, cfg.Cluster, cfg.Cluster.Token)
	}
	if !slices.Equal(texts(cfg.ListenClient), []string{"http://localhost:2379"}) || !slices.Equal(texts(cfg.ListenPeer), []string{"http://localhost:2380"}) {
		t.Errorf("it listens on %v and %v", cfg.ListenClient, cfg.ListenPeer)
	}
	if cfg.HeartbeatInterval != 100*time.Millisecond || cfg.ElectionTimeout != time.Second || cfg.Retention != (state.Retention{}) || cfg.Quota != 0 {
		t.Errorf("got %+v", cfg)
	}
	if cfg.Limits.MaxTxnOps != 128 || cfg.Limits.MaxValueBytes != 1_572_864 {
		t.Errorf("limits %+v", cfg.Limits)
	}
}

func TestHarnessThatStartsSomeEtcd(t *testing.T) {
	const cluster = "m0=http://127.0.0.1:20001,m1=http://127.0.0.1:20003"
	cfg, o, err := configure(t, noDNS{}, "--name=m1", "--listen-client-urls=http://127.0.0.1:20002", "--advertise-client-urls=http://127.0.0.1:20002",
		"--listen-peer-urls=http://127.0.0.1:20003", "--initial-advertise-peer-urls=http://127.0.0.1:20003", "--initial-cluster-token=new",
		"--data-dir=/tmp/m1", "--snapshot-count=10000", "--initial-cluster="+cluster, "--initial-cluster-state=existing")
	if err != nil || len(o.Warnings) > 0 {
		t.Fatal(err, o.Warnings)
	}
	if cfg.Name != "m1" || cfg.Cluster.String() != cluster || cfg.Cluster.Token != "new" || !cfg.Join || cfg.DataDir != "/tmp/m1" {
		t.Errorf("got %+v", cfg)
	}
}

func TestTokensAreSignedWithTheKeyThatIsNamed(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := configure(t, noDNS{}, "--auth-token=jwt,sign-method=HS256,priv-key="+key+",ttl=10m")
	if err != nil || reflect.TypeOf(cfg.Access.Tokens) == reflect.TypeOf(access.NewSimple(0)) {
		t.Errorf("tokens are %T, %v", cfg.Access.Tokens, err)
	}
}

// What kubeadm writes into the manifest of a local etcd, of today and for etcd 3.5.
func TestFlagsOfKubeadm(t *testing.T) {
	flags := []string{
		"--advertise-client-urls=https://10.0.0.1:2379", "--cert-file=/etc/kubernetes/pki/etcd/server.crt", "--client-cert-auth=true",
		"--data-dir=/var/lib/etcd", "--initial-advertise-peer-urls=https://10.0.0.1:2380", "--initial-cluster=node1=https://10.0.0.1:2380",
		"--key-file=/etc/kubernetes/pki/etcd/server.key", "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
		"--listen-metrics-urls=http://127.0.0.1:2381", "--listen-peer-urls=https://10.0.0.1:2380", "--name=node1",
		"--peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt", "--peer-client-cert-auth=true", "--peer-key-file=/etc/kubernetes/pki/etcd/peer.key",
		"--peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt", "--snapshot-count=10000", "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
	}
	for _, more := range [][]string{
		{"--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s"},
		{"--experimental-initial-corrupt-check=true", "--experimental-watch-progress-notify-interval=5s"},
	} {
		cfg, _, err := configure(t, noDNS{}, append(more, flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		if !cfg.PeerTLS.ClientAuth || !cfg.ClientTLS.ClientAuth || len(cfg.ListenClient) != 2 || len(cfg.ListenMetrics) != 1 {
			t.Errorf("got %+v", cfg)
		}
	}
}

func TestServer(t *testing.T) {
	for _, test := range []struct {
		args  string
		says  string // part of the error
		warns string // part of the one warning
		want  func(server.Config) bool
	}{
		{args: "--auto-compaction-retention=1", want: func(c server.Config) bool { return c.Retention == state.Retention{Age: logtime.Time(time.Hour)} }},
		{args: "--auto-compaction-retention=5m", want: func(c server.Config) bool { return c.Retention == state.Retention{Age: logtime.Time(5 * time.Minute)} }},
		{args: "--auto-compaction-mode=revision --auto-compaction-retention=1000", want: func(c server.Config) bool { return c.Retention == state.Retention{Revisions: 1000} }},
		{args: "--auto-compaction-mode=revision --auto-compaction-retention=5m", says: "number of revisions"},
		{args: "--auto-compaction-mode=never", says: "--auto-compaction-mode"},
		{args: "--auto-compaction-retention=-5m", says: "--auto-compaction-retention"},
		{args: "--auto-compaction-retention=9999999999999", says: "--auto-compaction-retention"},
		{args: "--quota-backend-bytes=-1", want: func(c server.Config) bool { return c.Quota == 0 }},
		{args: "--quota-backend-bytes=1000", want: func(c server.Config) bool { return c.Quota == 1000 }},
		{args: "--listen-client-urls=unix://etcd.sock --advertise-client-urls=unix://etcd.sock", want: func(c server.Config) bool { return c.ListenClient[0].Scheme == "unix" }},
		{args: "--cors=http://example.com", want: func(c server.Config) bool { return len(c.Origins) == 1 }},
		{args: "--cors=*", want: func(c server.Config) bool { return c.Origins == nil }},
		{args: "--watch-progress-notify-interval=5s", want: func(c server.Config) bool { return c.WatchProgress == 5*time.Second }},
		{args: "--watch-progress-notify-interval=5ms", warns: "it is 100ms then", want: func(c server.Config) bool { return c.WatchProgress == 100*time.Millisecond }},
		{args: "--max-concurrent-streams=0", want: func(c server.Config) bool { return c.Clients.Streams == math.MaxUint16 }},
		{args: "--bcrypt-cost=5", want: func(c server.Config) bool { return c.Access.BcryptCost == 5 }},
		{args: "--bcrypt-cost=99", warns: "--bcrypt-cost", want: func(c server.Config) bool { return c.Access.BcryptCost == 10 }},
		{args: "--auth-token=none", says: "--auth-token"},
		{args: "--auth-token=jwt,sign-method=RS256,pub-key=nowhere", says: "--auth-token"},
		{args: "--auth-token-ttl=0", want: func(c server.Config) bool { return reflect.DeepEqual(c.Access.Tokens, access.NewSimple(0)) }},
		{args: "--auth-token-ttl=7", want: func(c server.Config) bool { return reflect.DeepEqual(c.Access.Tokens, access.NewSimple(7*time.Second)) }},
		{args: "--listen-client-http-urls=http://127.0.0.1:3", want: func(c server.Config) bool { return len(c.ListenClient) == 2 }},
		{args: "--listen-peer-urls=http://127.0.0.1:3,http://127.0.0.2:3", want: func(c server.Config) bool {
			return len(c.ListenPeer) == 2 && c.Cluster.String() == "default=http://127.0.0.1:3,default=http://127.0.0.2:3"
		}},
		{args: "--listen-client-urls=http://0.0.0.0:3 --advertise-client-urls=http://0.0.0.0:3", warns: "all interfaces"},
		{args: "--listen-peer-urls=http://0.0.0.0:3 --initial-advertise-peer-urls=http://0.0.0.0:3", want: func(c server.Config) bool {
			return c.Cluster.String() == "default=http://localhost:3"
		}},
		{args: "--initial-cluster=default=http://0.0.0.0:2380 --initial-advertise-peer-urls=http://0.0.0.0:2380", want: func(c server.Config) bool {
			return c.Cluster.String() == "default=http://localhost:2380"
		}},
		{args: "--initial-cluster=a=http://0.0.0.0:1,default=http://h:2", says: "all interfaces"},
		{args: "--initial-cluster=n1=http://h:1,n2=http://h:2", says: "--name default is not in --initial-cluster"},
		{args: "--name=n1 --initial-cluster=n1=http://h:1,n2=http://h:2 --initial-advertise-peer-urls=http://h:3", says: "says http://h:1 for n1"},
		{args: "--name=n1 --initial-cluster=n1=http://h:1,n1=http://i:1,n2=http://h:2 --initial-advertise-peer-urls=http://i:1,http://h:1",
			want: func(c server.Config) bool { return len(c.Cluster.Members) == 2 }},
		{args: "--initial-cluster-state=old", says: "--initial-cluster-state"},
		{args: "--name=", says: "--name"},
		{args: "--election-timeout=60000", says: "--election-timeout"},
		{args: "--heartbeat-interval=0", says: "--heartbeat-interval"},
		{args: "--max-txn-ops=0", says: "--max-txn-ops"},
		{args: "--metrics=all", warns: "--metrics", want: func(server.Config) bool { return true }},
		{args: "--listen-client-urls=nowhere", says: "--listen-client-urls"},
		{args: "--listen-client-urls=", says: "--listen-client-urls"},
		{args: "--enable-pprof", want: func(c server.Config) bool { return c.PprofClients && !c.Pprof }},
		{args: "--host-whitelist=a,b", want: func(c server.Config) bool { return slices.Equal(c.Hosts, []string{"a", "b"}) && !c.NoGateway }},
		{args: "--host-whitelist=*", want: func(c server.Config) bool { return c.Hosts == nil }},
		{args: "--enable-grpc-gateway=false", want: func(c server.Config) bool { return c.NoGateway }},
		{args: "--grpc-keepalive-min-time=1s --grpc-keepalive-interval=20s --grpc-keepalive-timeout=0", want: func(c server.Config) bool {
			return c.Keepalive == clients.Keepalive{MinInterval: time.Second, Idle: 20 * time.Second}
		}},
		{args: "--cert-file=c --key-file=k --listen-client-urls=https://127.0.0.1:3,http://127.0.0.1:4",
			want: func(c server.Config) bool { return c.ClientTLS.Enabled() && c.PlainClients }},
		{args: "--cert-file=c --key-file=k --listen-client-urls=http://127.0.0.1:4 --listen-metrics-urls=https://127.0.0.1:5",
			want: func(c server.Config) bool { return c.ClientTLS.Enabled() }},
		{args: "--cert-file=c --key-file=k", warns: "--cert-file", want: func(c server.Config) bool { return !c.ClientTLS.Enabled() }},
		{args: "--cert-file=c --key-file=k --listen-client-urls=https://127.0.0.1:3 --tls-min-version=TLS1.3",
			want: func(c server.Config) bool { return c.ClientTLS.Enabled() && c.ClientTLS.MinVersion == tls.VersionTLS13 }},
		{args: "--cert-file=c --key-file=k --trusted-ca-file=a --listen-client-urls=https://127.0.0.1:3",
			want: func(c server.Config) bool {
				return c.ClientTLS.ClientAuth && c.Access.NoCertificates && !c.PeerTLS.ClientAuth
			}},
		{args: "--cert-file=c --key-file=k --trusted-ca-file=a --client-cert-auth --listen-client-urls=https://127.0.0.1:3",
			want: func(c server.Config) bool { return c.ClientTLS.ClientAuth && !c.Access.NoCertificates }},
		{args: "--peer-cert-file=c --peer-key-file=k --peer-trusted-ca-file=a --listen-peer-urls=https://127.0.0.1:3",
			want: func(c server.Config) bool { return c.PeerTLS.ClientAuth }},
		{args: "--tls-min-version=TLS1.1", says: "--tls-min-version"},
		{args: "--tls-min-version=TLS1.3 --tls-max-version=TLS1.2", says: "--tls-max-version"},
		{args: "--tls-min-version=TLS1.3 --cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", says: "--cipher-suites"},
		{args: "--cipher-suites=NONE", says: "--cipher-suites"},
		{args: "--discovery-srv=example.com --initial-cluster=default=http://h:1", says: "name one"},
		{args: "--discovery-srv=example.com", says: "no name server"},
	} {
		t.Run(test.args, func(t *testing.T) {
			cfg, o, err := configure(t, noDNS{}, strings.Fields(test.args)...)
			switch {
			case test.says != "":
				if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v", err)
				}
			case err != nil:
				t.Error(err)
			case test.warns == "" && len(o.Warnings) > 0 || test.warns != "" && (len(o.Warnings) != 1 || !strings.Contains(o.Warnings[0], test.warns)):
				t.Errorf("it warns of %q", o.Warnings)
			case test.want != nil && !test.want(cfg):
				t.Errorf("got %+v", cfg)
			}
		})
	}
}

// zone is a name server with the records of a cluster of three.
type zone struct{}

func (zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if service != "etcd-server-ssl-blue" || proto != "tcp" || name != "example.com" {
		return "", nil, &net.DNSError{Err: "no such host", Name: service, IsNotFound: true}
	}
	return "", []*net.SRV{
		{Target: "c.example.com.", Port: 2380}, {Target: "a.example.com.", Port: 2380}, {Target: "b.example.com.", Port: 2380},
	}, nil
}

func (zone) LookupHost(_ context.Context, host string) ([]string, error) {
	hosts := map[string][]string{
		"a.example.com": {"10.0.0.1"}, "b.example.com": {"10.0.0.2", "fd00::2"}, "c.example.com": {"10.0.0.3"},
		"b": {"10.0.0.2"}, "10.0.0.1": {"10.0.0.1"}, "10.0.0.9": {"10.0.0.9"},
	}
	if addresses, ok := hosts[host]; ok {
		return addresses, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// mute is a name server that does not answer.
type mute struct{}

func (mute) LookupSRV(ctx context.Context, _, _, _ string) (string, []*net.SRV, error) {
	<-ctx.Done()
	return "", nil, ctx.Err()
}
func (mute) LookupHost(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Who stops the server does not wait for a name server.
func TestDiscoveryEndsWithItsContext(t *testing.T) {
	o, err := Parse([]string{"--discovery-srv=example.com"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Server(ctx, mute{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A member whose cluster has begun finds the others without a name server: when that is down is no time to stay down, too.
func TestAMemberNeedsNoDiscoveryAgain(t *testing.T) {
	flags := []string{"--discovery-srv=example.com", "--listen-peer-urls=https://10.0.0.1:2380", "--peer-auto-tls"}
	for name, want := range map[string]string{"a.example.com:2380": "a.example.com:2380=https://a.example.com:2380", "n1": "", "": ""} {
		dir := filepath.Join(t.TempDir(), "data")
		if name != "" {
			d, err := datadir.Open(datadir.Config{Path: dir, Owner: datadir.Owner{ID: 1, About: roster.About{Name: name}, Members: []raft.NodeID{1}, NameOf: raft.NodeID.String}})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		cfg, o, err := configure(t, noDNS{}, append(flags, "--data-dir="+dir)...)
		switch {
		case want == "" && !errors.Is(err, ErrUsage):
			t.Errorf("%q: %v", name, err)
		case want != "" && (err != nil || cfg.Name != name || cfg.Cluster.String() != want || len(o.Warnings) != 1):
			t.Errorf("%q: %v, named %q in %v; warns of %q", name, err, cfg.Name, cfg.Cluster, o.Warnings)
		}
	}
}

// All members find the same cluster, each itself in it, whatever they call themselves.
func TestMembersAreDiscoveredBySRVRecords(t *testing.T) {
	flags := []string{"--discovery-srv=example.com", "--discovery-srv-name=blue", "--listen-peer-urls=https://10.0.0.1:2380", "--peer-auto-tls"}
	var clusters []string
	for self, advertised := range map[string]string{"a.example.com:2380": "https://10.0.0.1:2380", "b.example.com:2380": "https://b:2380"} {
		cfg, _, err := configure(t, zone{}, append(flags, "--name=mine", "--initial-advertise-peer-urls="+advertised)...)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Name != self {
			t.Errorf("at %s it is %s", advertised, cfg.Name)
		}
		clusters = append(clusters, cfg.Cluster.String())
	}
	if clusters[0] != clusters[1] || strings.Count(clusters[0], "=https://") != 3 {
		t.Errorf("clusters %q", clusters)
	}
	for _, advertised := range []string{"https://10.0.0.9:2380", "https://10.0.0.1:2381", "http://10.0.0.1:2380"} {
		if _, _, err := configure(t, zone{}, append(flags, "--initial-advertise-peer-urls="+advertised)...); err == nil || !strings.Contains(err.Error(), "none of them is at") {
			t.Errorf("at %s: %v", advertised, err)
		}
	}
}

func TestAutoTLSMakesCertificatesInTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	cfg, o, err := configure(t, noDNS{}, "--data-dir="+dir, "--auto-tls", "--peer-auto-tls",
		"--listen-client-urls=https://127.0.0.1:3", "--listen-peer-urls=https://127.0.0.1:4")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.MakeCertificates(&cfg, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, side := range []server.TLS{cfg.ClientTLS, cfg.PeerTLS} {
		if pair, err := tls.LoadX509KeyPair(side.CertFile, side.KeyFile); err != nil || pair.Leaf.VerifyHostname("127.0.0.1") != nil {
			t.Errorf("%+v: %v", side, err)
		}
	}
	if cfg.ClientTLS.Unverified || !cfg.PeerTLS.Unverified || filepath.Dir(cfg.PeerTLS.CertFile) != filepath.Join(dir, "fixtures", "peer") {
		t.Errorf("clients %+v, peers %+v", cfg.ClientTLS, cfg.PeerTLS)
	}
}

func TestDirectoryOfEtcdIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := CheckDirectory(dir); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := CheckDirectory(dir); !errors.Is(err, ErrUsage) {
		t.Errorf("got %v", err)
	}
}
