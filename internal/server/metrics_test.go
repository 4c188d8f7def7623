package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/replica"
)

// fetch returns the status and the body of a page.
func fetch(t *testing.T, url string) (int, []byte) {
	t.Helper()
	// Without keep-alive: no goroutine of the client's stays.
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, body
}

// figures is one scrape.
type figures map[string]*dto.MetricFamily

func scrape(t *testing.T, url string) figures {
	t.Helper()
	code, body := fetch(t, url+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// of is the value of a metric, of a histogram how much it has seen; -1 if there is no
// such metric.
func (f figures) of(name string, labels ...string) float64 {
	for _, m := range f["balsa_"+name].GetMetric() {
		var have []string
		for _, l := range m.Label {
			have = append(have, l.GetValue())
		}
		if slices.Equal(have, labels) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

func TestMetricsShowWhatTheServersDo(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, metrics: true})
	for i := range c.configs { // so long that a slow machine does not elect anybody else meanwhile
		c.configs[i].HeartbeatInterval, c.configs[i].ElectionTimeout = 100*time.Millisecond, time.Second
	}
	c.startAll()
	const puts = 20
	for i := range puts {
		c.put("a", "1", uint64(i))
	}
	c.wants("a", "1")
	c.awaitSameState()

	leader := c.leader()
	status := c.servers[leader].status()
	led := scrape(t, c.metrics[leader])
	for name, want := range map[string]float64{
		"server_admitted": 1, "server_has_leader": 1, "server_is_leader": 1, "server_term": float64(status.Term),
		"server_commit_index": float64(status.CommitIndex), "server_applied_index": float64(status.AppliedIndex),
		"server_last_index": float64(status.LastIndex), "server_pending_writes": 0,
		"store_keys": 1, "store_bytes": float64(c.servers[leader].native.Replica().State.Figures().Bytes), "store_revision": float64(status.Revision), "wal_low_space": 0,
		"snapshot_index": 0,
	} {
		if got := led.of(name); got != want {
			t.Errorf("the leader's %s is %v, want %v", name, got, want)
		}
	}
	for name, least := range map[string]float64{
		"server_leader_changes_total": 1, "server_log_bytes": puts, "wal_bytes": puts, "wal_segments": 1, "store_bytes": 2,
		"wal_fsync_duration_seconds": 1, // fewer than puts: what a majority has does not wait for the leader's disk
		"wal_written_bytes_total":    puts, "server_requests_in_progress": 0, "server_requests_in_progress_bytes": 0,
	} {
		if got := led.of(name); got < least {
			t.Errorf("the leader's %s is %v, want %v at least", name, got, least)
		}
	}
	answered := 0.0
	for i, s := range c.servers {
		f := scrape(t, c.metrics[i])
		answered += max(0, f.of("requests_total", "ok", "put"))
		for _, other := range c.servers {
			peer := other.cfg.Name
			if connected := f.of("peer_connected", peer); other == s {
				if connected != -1 {
					t.Errorf("%s is its own peer", peer)
				}
				continue
			} else if connected != 1 || f.of("peer_dropped_messages_total", peer) < 0 {
				t.Errorf("%s and its peer %s: %v", s.cfg.Name, peer, f["balsa_peer_connected"])
			}
			if i != leader {
				continue
			}
			for name, least := range map[string]float64{
				"peer_received_bytes_total": 1, "peer_sent_bytes_total": puts, "peer_match_index": 1,
				"peer_last_active_timestamp_seconds": float64(s.started.Unix()),
			} {
				if got := f.of(name, peer); got < least {
					t.Errorf("the leader's %s of %s is %v, want %v at least", name, peer, got, least)
				}
			}
		}
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range led {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/metrics.md does not have %s", name)
		}
	}
	if answered < puts {
		t.Errorf("%v of %d puts are counted", answered, puts)
	}
	_, body := fetch(t, c.metrics[leader]+"/metrics")
	problems, err := promlint.New(bytes.NewReader(body)).Lint()
	problems = slices.DeleteFunc(problems, func(p promlint.Problem) bool {
		return strings.HasPrefix(p.Metric, "etcd_") // those are as they are
	})
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// What a server does beside puts and gets is counted: connections by what they speak, requests that fail,
// backups and checkpoints, and what it knows of its cluster and its disk.
func TestMetricsShowConnectionsFailuresAndWork(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1, metrics: true})
	disk := c.configs[0].FS.(interface{ SetAvailable(uint64) })
	disk.SetAvailable(1 << 30)
	c.startAll()
	c.put("a", "1", 0)
	ctx := etcdContext(t)
	kv := pb.NewKVClient(c.etcdConn(0))
	if _, err := kv.Put(ctx, &pb.PutRequest{Key: make([]byte, 1<<17)}); err == nil {
		t.Error("a key of 128 KiB is taken")
	}
	if _, err := c.clerk.Put(ctx, strings.Repeat("k", 1<<17), nil, 0); err == nil {
		t.Error("a key of 128 KiB is taken")
	}
	stream, err := pb.NewMaintenanceClient(c.etcdConn(0)).Snapshot(ctx, &pb.SnapshotRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	fetch(t, "http://"+c.configs[0].ListenClient[0].Host+"/health")
	const some = 8 // a slow machine connects, and asks, again
	f := scrape(t, c.metrics[0])
	for _, want := range []struct {
		name   string
		least  float64
		most   float64
		labels []string
	}{
		{"connections", 2, some, []string{"grpc"}},
		{"connections_opened_total", 3, some, []string{"grpc"}},
		{"connections", 0, some, []string{"http"}}, // its client has closed it
		{"connections_opened_total", 1, some, []string{"http"}},
		{"connections", 1, 1, []string{"metrics"}},
		{"connections", 0, 0, []string{"peer"}},
		{"requests_failed_total", 2, some, []string{"size"}},
		{"requests_failed_total", 0, 0, []string{"bound"}},
		{"work_duration_seconds", 1, 1, []string{"backup"}},
		{"server_members", 1, 1, []string{"voter"}},
		{"server_members", 0, 0, []string{"witness"}},
		{"server_alarm", 0, 0, []string{"low_space"}},
		{"disk_available_bytes", 1 << 30, 1 << 30, nil},
		{"disk_limit_bytes", replica.SpaceReserve, replica.SpaceReserve, []string{"data"}},
		{"server_time_seconds", float64(time.Now().Unix() - 60), float64(time.Now().Unix() + 1), nil},
	} {
		if got := f.of(want.name, want.labels...); got < want.least || got > want.most {
			t.Errorf("%s%q is %v, want %v to %v", want.name, want.labels, got, want.least, want.most)
		}
	}
	disk.SetAvailable(replica.SpaceReserve - 1)
	eventually(t, "the alarm of a disk that is almost full", func() bool {
		return scrape(t, c.metrics[0]).of("server_alarm", "low_space") == 1
	})
}

func TestHealthIsGoodWhileThereIsALeader(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, metrics: true})
	// await waits for an answer with the code and text.
	await := func(code int, text string) {
		t.Helper()
		var got int
		var body []byte
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if got, body = fetch(t, c.metrics[0]+"/health"); got == code && strings.Contains(string(body), text) {
				return
			}
		}
		t.Fatalf("the health stays %d %s, want %d with %q", got, body, code, text)
	}
	c.start(0)
	await(http.StatusServiceUnavailable, "waiting for n2, n3")
	if f := scrape(t, c.metrics[0]); f.of("server_admitted") != 0 || f.of("server_has_leader") != 0 || f.of("server_term") != -1 {
		t.Errorf("while it waits: %v", f)
	}
	c.start(1)
	c.start(2)
	await(http.StatusOK, `{"health":"true","reason":""}`)
	c.stop(1)
	c.stop(2)
	await(http.StatusServiceUnavailable, `"reason":"RAFT NO LEADER"`)
	if f := scrape(t, c.metrics[0]); f.of("server_admitted") != 1 || f.of("server_has_leader") != 0 || f.of("server_is_leader") != 0 {
		t.Errorf("without a leader: %v", f)
	}
	if code, body := fetch(t, c.metrics[0]+"/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("there are profiles, and nobody asked for them: %d %s", code, body)
	}
	c.start(1)
	await(http.StatusOK, `{"health":"true","reason":""}`)

	s := c.servers[0]
	s.cancel() // as Shutdown begins
	if err := s.begun(); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("while it stops: %v", err)
	}
	c.stop(0)
	if _, err := http.Get(c.metrics[0] + "/health"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after it stopped: %v", err)
	}
}

func TestMetricsPortInUseLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1, metrics: true})
	cfg := c.configs[0]
	cfg.MetricsListeners = nil // it is open already: by the test
	peer, client := cfg.PeerListener.Addr().String(), cfg.ClientListeners[0].Addr().String()
	_, err := Start(cfg)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "metrics") || !strings.Contains(err.Error(), strings.TrimPrefix(c.metrics[0], "http://")) {
		t.Errorf("got %v", err)
	}
	if names, err := cfg.FS.List(""); err != nil || len(names) > 0 {
		t.Errorf("on disk: %q, %v", names, err)
	}
	for _, address := range []string{peer, client} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("%s is still open", address)
		}
	}
	c.configs[0].MetricsListeners[0].Close()
}

func TestBadMetricsConfigurationIsRefused(t *testing.T) {
	c := newTestCluster(t, options{servers: 1})
	secure, plain := c.configs[0], c.configs[0]
	secure.ListenMetrics = []*url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	plain.Pprof = true
	for _, test := range []struct {
		cfg  Config
		says string
	}{{secure, "needs the certificate"}, {plain, "no address for metrics"}} {
		if _, err := Start(test.cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("got %v, want %q", err, test.says)
		}
	}
}

// What the address for metrics answers the client port does, too, with TLS and without.
func TestClientPortAnswersHTTP(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		c := newTestCluster(t, options{servers: 1, tls: secure})
		c.startAll()
		transport := &http.Transport{DisableKeepAlives: true}
		base := "http://" + c.configs[0].ListenClient[0].Host
		if secure {
			base = "https://" + c.configs[0].ListenClient[0].Host
			pair := c.ca.Issue(certstest.Leaf{CN: "probe"})
			cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(c.ca.PEM)
			transport.TLSClientConfig = &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots}
		}
		client := http.Client{Timeout: patience, Transport: transport}
		for path, want := range map[string]string{
			"/version": `{"etcdserver":"3.7`, "/health": `{"health":"true","reason":""}`, "/readyz?verbose": "[+]linearizable_read ok",
			"/livez": "ok", "/metrics": "balsa_server_has_leader 1", "/debug/vars": `"raftState":"StateLeader"`,
		} {
			eventually(t, path, func() bool {
				r, err := client.Get(base + path)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				body, err := io.ReadAll(r.Body)
				return err == nil && r.StatusCode == http.StatusOK && strings.Contains(string(body), want)
			})
		}
		if r, err := client.Get(base + "/debug/pprof/"); err != nil || r.StatusCode != http.StatusNotFound {
			t.Errorf("profiles are served to clients: %v, %v", r, err)
		}
	}
}
