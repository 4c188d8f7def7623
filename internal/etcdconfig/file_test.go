package etcdconfig

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func parseFile(t *testing.T, text string, args, env []string) (*Options, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcd.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Parse(append(args, "--config-file", path), env)
}

// The names and forms of values are those of etcd's sample file.
func TestFileOfEtcd(t *testing.T) {
	o, err := parseFile(t, `
name: 'n1'
data-dir: /var/lib/etcd
wal-dir:
snapshot-count: 10000
heartbeat-interval: 100
election-timeout: 1000
quota-backend-bytes: 8589934592
listen-client-urls: https://10.0.0.1:2379,https://127.0.0.1:2379
advertise-client-urls: https://10.0.0.1:2379
cors:
discovery-fallback: 'proxy'
initial-cluster-token: 'etcd-cluster'
strict-reconfig-check: false
client-transport-security:
  cert-file: c.pem
  key-file: c.key
  client-cert-auth: true
  trusted-ca-file: ca.pem
  auto-tls: false
peer-transport-security:
  cert-file: p.pem
  key-file: p.key
  client-cert-auth: true
  trusted-ca-file: pca.pem
  auto-tls: true
  allowed-cn: [n1, n2]
self-signed-cert-validity: 1
log-level: debug
logger: zap
log-outputs: [stderr, /tmp/x]
force-new-cluster: false
auto-compaction-mode: periodic
auto-compaction-retention: "1"
grpc-keepalive-min-time: 5000000000
watch-progress-notify-interval: 5000000000
cipher-suites: [
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
]
`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.Name != "n1" || o.quota != 8<<30 || o.client.CAFile != "ca.pem" || !o.client.ClientAuth || !o.peerAutoTLS ||
		o.peer.CertFile != "p.pem" || !slices.Equal(o.peer.AllowedCNs, []string{"n1", "n2"}) || len(o.ciphers) != 2 ||
		!slices.Equal(o.LogOutputs, []string{"stderr", "/tmp/x"}) || o.compaction != "1" || o.watchProgress != 5*time.Second || o.clusterState != "new" {
		t.Errorf("got %+v", o)
	}
	want := []string{
		"configuration file: discovery-fallback is not known, and ignored",
		"--strict-reconfig-check does nothing: a change of members that loses the quorum is always refused",
	}
	if !slices.Equal(o.Warnings, want) {
		t.Errorf("it warns of %q", o.Warnings)
	}
}

func TestFileIsUsedAlone(t *testing.T) {
	o, err := parseFile(t, "name: of-file\n", []string{"--name=of-flag"}, []string{"ETCD_DATA_DIR=d"})
	if err != nil || o.Name != "of-file" || o.DataDir != "" || len(o.Warnings) != 1 ||
		!strings.HasSuffix(o.Warnings[0], "these are ignored: --name, ETCD_DATA_DIR") {
		t.Errorf("got %+v, %v", o, err)
	}
}

// What etcd makes of a file that is not quite in order.
func TestFileThatSaysThingsTwice(t *testing.T) {
	o, err := parseFile(t, "name: a\nheartbeat-interval: 50.0\nclient-transport-security:\npeer-transport-security: {cert-file: x, cert-file: y}\nname: b\n", nil, nil)
	want := []string{"configuration file: line 5: name comes again, and only this one counts", "configuration file: line 4: cert-file comes again, and only this one counts"}
	if err != nil || o.Name != "b" || o.heartbeatMillis != 50 || o.peer.CertFile != "y" || !slices.Equal(o.Warnings, want) {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, err := parseFile(t, "# nothing\n", nil, nil); err != nil || len(o.Warnings) != 0 {
		t.Errorf("nothing: %+v, %v", o, err)
	}
}

func TestBadFiles(t *testing.T) {
	for text, says := range map[string]string{
		"name: [a":                                     "configuration file",
		"just text":                                    "configuration file",
		"election-timeout: soon":                       "line 1: election-timeout is \"soon\"; it must be a whole number",
		"name:\n  nested: 1":                           "line 2: name",
		"client-transport-security: 1":                 "client-transport-security",
		"force-new-cluster: true":                      "--force-new-cluster is refused",
		"discovery-config:\n  token: x":                "--discovery-token is refused",
		"feature-gates: Nonsense=true":                 "unrecognized feature gate",
		"client-transport-security: {auto-tls: maybe}": "client-transport-security.auto-tls",
	} {
		if _, err := parseFile(t, text, nil, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Parse([]string{"--config-file=/does/not/exist"}, nil); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("no file: %v", err)
	}
}
