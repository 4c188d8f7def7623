package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/server"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// loadServe is what serve makes of a command line, an environment and a file.
func loadServe(t *testing.T, args []string, env map[string]string, file string) (server.Config, error) {
	t.Helper()
	var o serveOptions
	flags := o.flags()
	if err := flags.Parse(args); err != nil {
		return server.Config{}, err
	}
	if file != "" {
		o.configFile = filepath.Join(t.TempDir(), "balsa.yaml")
		if err := os.WriteFile(o.configFile, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return o.load(flags, func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
}

func TestCommandLineGoesBeforeEnvironmentBeforeFile(t *testing.T) {
	const file = "name: from-file\n"
	balsa := map[string]string{"BALSA_NAME": "from-balsa", "ETCD_NAME": "from-etcd"}
	etcd := map[string]string{"BALSA_NAME": "", "ETCD_NAME": "from-etcd"}
	for _, test := range []struct {
		want string
		args []string
		env  map[string]string
		file string
	}{
		{"from-flag", []string{"--name=from-flag"}, balsa, file},
		{"from-balsa", nil, balsa, file},
		{"from-etcd", nil, etcd, file},
		{"from-file", nil, nil, file},
		{"default", nil, nil, ""},
	} {
		cfg, err := loadServe(t, test.args, test.env, test.file)
		if err != nil || cfg.Name != test.want || cfg.DataDir != test.want+".balsa" {
			t.Errorf("want %s, got name %q and directory %q, %v", test.want, cfg.Name, cfg.DataDir, err)
		}
	}
}

func TestServeReadsEtcdsFile(t *testing.T) {
	cfg, err := loadServe(t, nil, nil, `
name: n1
data-dir: /var/lib/n1
listen-client-urls: https://10.0.0.1:2379,https://127.0.0.1:2379
advertise-client-urls: https://n1.example.com:2379
listen-peer-urls: https://10.0.0.1:2380
listen-metrics-urls: http://10.0.0.1:2381,http://127.0.0.1:2381
enable-pprof: true
initial-cluster:
  - n1=https://10.0.0.1:2380
  - n2=https://10.0.0.2:2380
initial-cluster-state: existing
heartbeat-interval: 100
election-timeout: 1000
max-raft-state: -1
history-age: 90m
history-revisions: 0
log-level: null
client-transport-security:
  cert-file: c.pem
  key-file: c.key
  trusted-ca-file: ca.pem
  client-cert-auth: true
peer-transport-security:
  cert-file: p.pem
  key-file: p.key
  trusted-ca-file: pca.pem
  client-cert-auth: true
  allowed-cn: [n1, n2]
`)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Name != "n1" || cfg.DataDir != "/var/lib/n1" || !cfg.Join || len(cfg.Cluster.Members) != 2 || cfg.MaxRaftState != -1 {
		t.Errorf("got %+v", cfg)
	}
	if want := (state.Retention{Age: logtime.Time(90 * time.Minute)}); cfg.Retention != want {
		t.Errorf("retention %+v, want %+v", cfg.Retention, want)
	}
	if cfg.HeartbeatInterval != 100*time.Millisecond || cfg.ElectionTimeout != time.Second {
		t.Errorf("heartbeat %s, election %s", cfg.HeartbeatInterval, cfg.ElectionTimeout)
	}
	if got := join(cfg.ListenClient); got != "https://10.0.0.1:2379,https://127.0.0.1:2379" {
		t.Errorf("listens on %s", got)
	}
	if got := join(cfg.ListenMetrics); got != "http://10.0.0.1:2381,http://127.0.0.1:2381" || !cfg.Pprof {
		t.Errorf("serves metrics on %s, profiles %t", got, cfg.Pprof)
	}
	client := server.TLS{CertFile: "c.pem", KeyFile: "c.key", CAFile: "ca.pem", ClientAuth: true}
	peer := server.TLS{CertFile: "p.pem", KeyFile: "p.key", CAFile: "pca.pem", ClientAuth: true, AllowedCNs: []string{"n1", "n2"}}
	if !reflect.DeepEqual(cfg.ClientTLS, client) || !reflect.DeepEqual(cfg.PeerTLS, peer) {
		t.Errorf("TLS %+v and %+v", cfg.ClientTLS, cfg.PeerTLS)
	}
}

func TestServeWithoutFlagsIsAClusterOfOne(t *testing.T) {
	cfg, err := loadServe(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DataDir != "default.balsa" || len(cfg.Cluster.Members) != 1 || join(cfg.Cluster.PeerURLs("default")) != join(cfg.ListenPeer) {
		t.Errorf("got %+v", cfg)
	}
	if cfg.Retention != server.DefaultRetention {
		t.Errorf("retention %+v", cfg.Retention)
	}
	if cfg.ListenMetrics != nil || cfg.Pprof {
		t.Errorf("it serves metrics on %s, profiles %t", join(cfg.ListenMetrics), cfg.Pprof)
	}
	if got := join(cfg.ListenClient); got != defaultEndpoints()[0] {
		t.Errorf("it listens on %s, and clients look for it on %s", got, defaultEndpoints()[0])
	}
}

func TestServeTakesMetricsAddressesFromTheEnvironment(t *testing.T) {
	for _, name := range []string{"BALSA_LISTEN_METRICS_URLS", "ETCD_LISTEN_METRICS_URLS"} {
		env := map[string]string{name: "http://127.0.0.1:1", "BALSA_ENABLE_PPROF": "true"}
		cfg, err := loadServe(t, nil, env, "")
		if err != nil || join(cfg.ListenMetrics) != "http://127.0.0.1:1" || !cfg.Pprof {
			t.Errorf("%s: metrics on %s, profiles %t, %v", name, join(cfg.ListenMetrics), cfg.Pprof, err)
		}
	}
}

func TestServeRefusesBadConfiguration(t *testing.T) {
	for _, test := range []struct {
		says string // part of the error: it must name the mistake
		args []string
		env  map[string]string
		file string
	}{
		{says: `unknown key "nmae"`, file: "nmae: x"},
		{says: `unknown key "certfile"`, file: "client-transport-security: {certfile: x}"},
		{says: "name must be a single value", file: "name: {a: b}"},
		{says: "configuration file", file: "\tname: x"},
		{says: `unknown key "nmae"; did you mean name?`, file: "nmae: x"},
		{says: `peer-transport-securty must be a single value; did you mean peer-transport-security?`, file: "peer-transport-securty: {}"},
		{says: `unknown key "certfile" in client-transport-security; did you mean cert-file?`, file: "client-transport-security: {certfile: x}"},
		{says: "line 2: a second document", file: "name: x\n---\nname: y\n"},
		{says: "line 3: a second document", file: "---\nname: x\n---\n"},
		{says: "configuration file", file: "name: x\n--- {\n"},
		{says: "configuration file", file: "name: x\n}\n"},
		{says: "line 1: the file must be of the form key: value", file: "- name\n"},
		{says: "line 1: the file must be of the form key: value", file: "name\n"},
		{says: "line 1: client-transport-security must be of the form key: value", file: "client-transport-security: x\n"},
		{says: "cert-file is set twice", file: "client-transport-security: {cert-file: a}\ncert-file: b\n"},
		{says: `line 2: key "name" is there twice`, file: "name: a\nname: b\n"},
		{says: `election-timeout: invalid value "1s": it must be a whole number of milliseconds, such as 500`, file: "election-timeout: 1s"},
		{says: `BALSA_HEARTBEAT_INTERVAL: invalid value "10ms": it must be a whole number of milliseconds, such as 50`, env: map[string]string{"BALSA_HEARTBEAT_INTERVAL": "10ms"}},
		{says: `BALSA_AUTH_TOKEN_TTL: invalid value "5m": it must be a whole number of seconds, such as 300`, env: map[string]string{"BALSA_AUTH_TOKEN_TTL": "5m"}},
		{says: `BALSA_MAX_RAFT_STATE: invalid value "99999999999999999999": out of range`, env: map[string]string{"BALSA_MAX_RAFT_STATE": "99999999999999999999"}},
		{says: "BALSA_HEARTBEAT_INTERVAL", env: map[string]string{"BALSA_HEARTBEAT_INTERVAL": "fast"}},
		{says: "ETCD_CLIENT_CERT_AUTH", env: map[string]string{"ETCD_CLIENT_CERT_AUTH": "perhaps"}},
		{says: "configuration file: election-timeout", file: "election-timeout: 1s"},
		{says: "unknown flag", args: []string{"--snapshot-count=5"}},
		{says: "--listen-client-urls", args: []string{"--listen-client-urls=10.0.0.1:2379"}},
		{says: `address "http://h:x": invalid port ":x" after host`, args: []string{"--listen-peer-urls=http://h:x"}},
		{says: "--listen-peer-urls", args: []string{"--listen-peer-urls=http://nowhere"}},
		{says: "--listen-metrics-urls", args: []string{"--listen-metrics-urls=127.0.0.1:1"}},
		{says: "--advertise-client-urls", args: []string{"--advertise-client-urls=x"}},
		{says: "--initial-cluster:", args: []string{"--initial-cluster=n1"}},
		{says: "--name default is not in", args: []string{"--initial-cluster=n1=http://h:1"}},
		{says: "--initial-advertise-peer-urls is http://h:2", args: []string{
			"--name=n1", "--initial-cluster=n1=http://h:1", "--initial-advertise-peer-urls=http://h:2"}},
		{says: "--initial-cluster: bad configuration: initial cluster: member n1: nobody can connect to http://:1",
			args: []string{"--name=n1", "--initial-cluster=n1=http://:1"}},
		{says: "--initial-cluster: ", args: []string{"--name=n1", "--initial-cluster=n1=http://0.0.0.0:1"}},
		{says: "--initial-cluster: ", args: []string{"--name=n1", "--initial-cluster=n1=http://h:1,n2=http://[::]:1"}},
		{says: "--initial-cluster: ", args: []string{"--name=n1", "--initial-cluster=n1=http://h:0"}},
		{says: "--initial-cluster: ", args: []string{"--name=n1", "--initial-cluster=n1=http://h:99999"}},
		{says: "--initial-cluster: ", args: []string{"--name=n1", "--initial-cluster=n1=http://224.0.0.1:1"}},
		{says: "--initial-advertise-peer-urls: ", args: []string{"--initial-advertise-peer-urls=http://:1"}},
		{says: "--initial-advertise-peer-urls: ", args: []string{"--initial-advertise-peer-urls=http://h:0"}},
		{says: "--listen-peer-urls: ", args: []string{"--listen-peer-urls=http://:1"}},
		{says: "--initial-advertise-peer-urls", args: []string{"--listen-peer-urls=http://[::]:1"}},
		{says: "--listen-peer-urls: ", args: []string{"--listen-peer-urls=http://127.0.0.1:0"}},
		{says: "--listen-client-urls: ", args: []string{"--listen-client-urls=http://:1"}},
		{says: "--advertise-client-urls", args: []string{"--listen-client-urls=http://127.0.0.1:1,http://0.0.0.0:2"}},
		{says: "--listen-client-urls: ", args: []string{"--listen-client-urls=http://127.0.0.1:99999", "--advertise-client-urls=http://h:1"}},
		{says: "--advertise-client-urls: ", args: []string{"--advertise-client-urls=http://:1"}},
		{says: "--advertise-client-urls: ", args: []string{"--advertise-client-urls=http://[::ffff:0.0.0.0]:1"}},
		{says: "--advertise-client-urls: ", args: []string{"--advertise-client-urls=http://h:0"}},
		{says: "--listen-metrics-urls: ", args: []string{"--listen-metrics-urls=http://h:70000"}},
		{says: "--initial-cluster-state", args: []string{"--initial-cluster-state=old"}},
		{says: "--heartbeat-interval", args: []string{"--heartbeat-interval=0"}},
		{says: "--max-raft-state", args: []string{"--max-raft-state=-2"}},
		{says: "--history-age", args: []string{"--history-age=-1s"}},
		{says: "--quota", args: []string{"--quota=-1"}},
		{says: "--max-client-connections", args: []string{"--max-client-connections=0"}},
		{says: "--max-request-bytes", args: []string{"--max-request-bytes=0"}},
		{says: "--max-txn-ops", args: []string{"--max-txn-ops=0"}},
		{says: "--client-stall-timeout", args: []string{"--client-stall-timeout=0s"}},
	} {
		_, err := loadServe(t, test.args, test.env, test.file)
		if err == nil || !strings.Contains(err.Error(), test.says) || goish(err.Error()) {
			t.Errorf("%v %v %q: got %v, want %q", test.args, test.env, test.file, err, test.says)
		}
	}
}

// Where a server listens may stand for all interfaces, as long as others are told
// something else.
func TestServeListensOnAllInterfaces(t *testing.T) {
	_, err := loadServe(t, []string{
		"--listen-client-urls=http://:1", "--advertise-client-urls=http://h:1",
		"--listen-peer-urls=http://0.0.0.0:2", "--initial-advertise-peer-urls=http://h:2",
		"--listen-metrics-urls=http://:3",
	}, nil, "")
	if err != nil {
		t.Error(err)
	}
}
