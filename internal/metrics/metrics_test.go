package metrics

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// example is a leader with two peers.
func example() Sample {
	return Sample{
		Name: "n1", Version: "v1",
		Node: &Node{
			HasLeader: true, IsLeader: true, LeaderChanges: 3, Term: 5, CommitIndex: 70, AppliedIndex: 69, LastIndex: 71,
			LogBytes: 700, PendingWrites: 2,
		},
		Replica: &Replica{Keys: 11, StoreBytes: 1100, Revision: 42, RunsScrubbed: 9, RunsRepaired: 3, RunsDamaged: 2},
		Disk: Disk{
			LogBytes: 800, Segments: 2, SnapshotIndex: 60, SnapshotBytes: 600, LowSpace: true,
			Available: 12345, AvailableKnown: true, Limits: []SpaceLimit{{Refuses: "data", Bytes: 96}},
		},
		Time: time.UnixMilli(2500), Members: []Members{{Role: "voter", Count: 3}}, Alarms: []Alarm{{Name: "low_space", Raised: true}, {Name: "corrupt"}},
		WatchersBehind: 8, EventsPending: 9, EtcdAlarms: []EtcdAlarm{{Member: 0x2b, Name: "NOSPACE"}},
		Connections: []Connections{{Face: "grpc", Open: 2, All: 9}},
		Peers: []Peer{
			{Name: "n2", ID: 0x2a, Connected: true, BytesIn: 10, BytesOut: 20, Dropped: 1, Disconnected: 3, LastActive: time.UnixMilli(1500), MatchIndex: 71},
			{Name: "n3", ID: 3, Lost: true, Diverged: true},
		},
		TLS:       []TLS{{Side: "client", Expires: time.Unix(7000, 0), Stale: true, Refused: 5}},
		OpenFiles: 30, MaxOpenFiles: 1024,
		Requests: 4, RequestBytes: 400, Clients: 5, Streams: 6, UnfinishedBytes: 500,
		Surplus: []Surplus{{Of: "connections", Count: 7}},
	}
}

// config shows sample.
func config(sample func() Sample) Config {
	return Config{Sample: sample, Logger: slog.New(slog.DiscardHandler)}
}

func get(h http.Handler, path string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Result()
}

// scrape reads /metrics as Prometheus does.
func scrape(t *testing.T, h http.Handler) map[string]*dto.MetricFamily {
	t.Helper()
	r := get(h, "/metrics")
	if r.StatusCode != http.StatusOK {
		t.Fatalf("status %s", r.Status)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value is that of the metric of a family with the given label values, in the order
// of the labels' names.
func value(t *testing.T, f *dto.MetricFamily, labels ...string) float64 {
	t.Helper()
	for _, m := range f.GetMetric() {
		var have []string
		for _, l := range m.Label {
			have = append(have, l.GetValue())
		}
		if slices.Equal(have, labels) {
			switch f.GetType() {
			case dto.MetricType_GAUGE:
				return m.Gauge.GetValue()
			case dto.MetricType_COUNTER:
				return m.Counter.GetValue()
			case dto.MetricType_HISTOGRAM:
				return float64(m.Histogram.GetSampleCount())
			}
		}
	}
	t.Errorf("there is no %s of %q", f.GetName(), labels)
	return 0
}

func TestScrapeShowsTheSample(t *testing.T) {
	syncs, requests := NewSyncs(), NewRequests([]string{"get", "put"}, []string{"ok", "busy"})
	syncs.Observe(time.Millisecond, 512)
	syncs.Observe(2*time.Second, 512)
	for _, request := range []struct{ kind, code int }{{1, 0}, {1, 0}, {0, 1}, {7, -1}} {
		k := requests.Kind(request.kind)
		k.Count(request.code)
		k.Time(Now() - time.Second)
	}
	cfg := config(example)
	cfg.Collectors = []prometheus.Collector{syncs, requests}
	families := scrape(t, Handler(cfg))
	for _, want := range []struct {
		name   string
		value  float64
		labels []string
	}{
		{"server_info", 1, []string{"n1", "v1"}},
		{"server_admitted", 1, nil},
		{"server_has_leader", 1, nil},
		{"server_is_leader", 1, nil},
		{"server_leader_changes_total", 3, nil},
		{"server_term", 5, nil},
		{"server_commit_index", 70, nil},
		{"server_applied_index", 69, nil},
		{"server_last_index", 71, nil},
		{"server_log_bytes", 700, nil},
		{"server_pending_writes", 2, nil},
		{"server_requests_in_progress", 4, nil},
		{"server_requests_in_progress_bytes", 400, nil},
		{"store_keys", 11, nil},
		{"store_bytes", 1100, nil},
		{"store_revision", 42, nil},
		{"store_scrubbed_runs_total", 9, nil}, {"store_repaired_runs_total", 3, nil}, {"store_damaged_runs", 2, nil},
		{"wal_bytes", 800, nil},
		{"wal_segments", 2, nil},
		{"wal_low_space", 1, nil},
		{"wal_fsync_duration_seconds", 2, nil},
		{"wal_written_bytes_total", 1024, nil},
		{"snapshot_index", 60, nil},
		{"snapshot_bytes", 600, nil},
		{"peer_connected", 1, []string{"n2"}},
		{"peer_connected", 0, []string{"n3"}},
		{"peer_last_active_timestamp_seconds", 1.5, []string{"n2"}},
		{"peer_last_active_timestamp_seconds", 0, []string{"n3"}},
		{"peer_received_bytes_total", 10, []string{"n2"}},
		{"peer_sent_bytes_total", 20, []string{"n2"}},
		{"peer_dropped_messages_total", 1, []string{"n2"}},
		{"peer_match_index", 71, []string{"n2"}},
		{"peer_lost", 0, []string{"n2"}},
		{"peer_lost", 1, []string{"n3"}},
		{"peer_diverged", 0, []string{"n2"}},
		{"peer_diverged", 1, []string{"n3"}},
		{"tls_certificate_expiry_timestamp_seconds", 7000, []string{"client"}},
		{"tls_authority_expiry_timestamp_seconds", 0, []string{"client"}},
		{"tls_files_stale", 1, []string{"client"}},
		{"tls_refused_connections_total", 5, []string{"client"}},
		{"disk_available_bytes", 12345, nil},
		{"disk_limit_bytes", 96, []string{"data"}},
		{"server_time_seconds", 2.5, nil},
		{"server_members", 3, []string{"voter"}},
		{"server_alarm", 1, []string{"low_space"}},
		{"server_alarm", 0, []string{"corrupt"}},
		{"connections", 2, []string{"grpc"}},
		{"connections_opened_total", 9, []string{"grpc"}},
		{"requests_total", 2, []string{"ok", "put"}},
		{"requests_total", 1, []string{"busy", "get"}},
		{"requests_total", 1, []string{"other", "other"}},
		{"request_duration_seconds", 2, []string{"put"}},
	} {
		if got := value(t, families["balsa_"+want.name], want.labels...); got != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	for _, other := range []string{"go_goroutines", "process_open_fds"} {
		if families[other] == nil {
			t.Errorf("there is no %s", other)
		}
	}
}

func TestMemberWithoutReplicaHasNoFiguresOfOne(t *testing.T) {
	families := scrape(t, Handler(config(func() Sample {
		s := example()
		s.Node, s.Replica = nil, nil
		return s
	})))
	for _, name := range []string{"balsa_server_admitted", "balsa_server_has_leader", "balsa_server_is_leader"} {
		if got := value(t, families[name]); got != 0 {
			t.Errorf("%s is %v", name, got)
		}
	}
	for _, name := range []string{"balsa_server_term", "balsa_store_keys"} {
		if families[name] != nil {
			t.Errorf("%s is there", name)
		}
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	problems, err := promlint.New(get(Handler(everything()), "/metrics").Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Metric, "etcd_") { // those are as they are
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
