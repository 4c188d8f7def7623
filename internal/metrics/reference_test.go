package metrics

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

var rewrite = flag.Bool("rewrite", false, "write docs/metrics.md anew")

// everything shows all figures that a server can have.
func everything() Config {
	requests := NewRequests([]string{"get"}, []string{"ok"})
	kind := requests.Kind(0)
	kind.Count(0)
	trips := NewRoundTrips()
	trips.Observe("n2", 2, time.Second)
	calls := NewCalls()
	calls.Add("/a.B/C", Unary)
	cfg := config(example)
	slow := NewSlow()
	slow.Count("put")
	asked := NewEtcdRequests([]string{"/etcdserverpb.KV/Put"})
	asked.Took("Put", true, true, time.Second)
	asked.Range(0, true)
	asked.Client("").Unary()
	asked.Promoted("etcdserver: member not found")
	applies := NewApplies([]string{"Put"})
	applies.Executed(0, true, 1, time.Second)
	health := NewHealthChecks()
	health.Checked("livez", "serializable_read", true)
	transfers := NewTransfers()
	for _, err := range []error{nil, errors.New("lost")} {
		transfers.Begin(2, true)(err)
		transfers.Begin(2, false)(err)
	}
	cfg.Collectors = []prometheus.Collector{NewSyncs(), NewCommits(), trips, requests, calls, NewFailures(), NewWork("checkpoint"), slow, asked, applies, health, transfers}
	return cfg
}

// sections of the reference. A name belongs to that of which it has the longest beginning.
var sections = []struct{ title, prefixes, about string }{
	{
		"The server", "balsa_server_ balsa_log_",
		"What comes from the replica is absent while `balsa_server_admitted` is 0: leader changes, term, indexes, log and store. A witness has no store.",
	},
	{
		"Requests and clients",
		"balsa_request balsa_connections balsa_server_requests_ balsa_server_client_ balsa_server_watchers balsa_server_unfinished_ balsa_server_surplus_",
		"The limits are in [limits.md](limits.md); `of` says what was over one. `face` is `grpc` or `http` at the client port, `metrics` at " +
			"addresses for metrics alone, and `peer`. `put` with `wrong_leader` is a client that looks for the leader, " +
			"`unknown` a write with an unknown outcome.",
	},
	{
		"Disk and store", "balsa_wal_ balsa_disk_ balsa_store_ balsa_snapshot_ balsa_lease_",
		"A write waits for `balsa_wal_fsync_duration_seconds` of a majority: look there first when writes are slow.",
	},
	{
		"Work in the background", "balsa_work_",
		"`checkpoint` writes what is new of the state, `receive` takes that of another member, `install` loads its index while commands wait, `rewrite` writes files anew of which little is left, " +
			"`scrub` reads a file and repairs it if it is damaged, `flush` writes the history while commands wait, as too much of it " +
			"[was in memory alone](limits.md), `backup` is a stream of `balsa backup`, or a snapshot of etcd's.",
	},
	{"Other members", "balsa_peer_", "Followers have nothing to tell each other, so watch the leader's."},
	{"TLS", "balsa_tls_", "`side` is `client` or `peer`."},
	{
		"By etcd's names", "etcd_ grpc_ os_ promhttp_",
		"What the alerts and dashboards that etcd publishes (`contrib/mixin`) ask for. `grpc_server_*` has the calls of both APIs; those that came " +
			"as JSON are among them, and one stream of the native API is one call, whatever it carries. What etcd has and balsa has not is what " +
			"comes nearest: `etcd_server_quota_backend_bytes` is the largest number if there is no quota, so that no alert compares with 0.",
	},
}

// sectionOf is that of a name, -1 if there is none.
func sectionOf(name string) (section int) {
	section, length := -1, 0
	for i, s := range sections {
		for prefix := range strings.FieldsSeq(s.prefixes) {
			if strings.HasPrefix(name, prefix) && len(prefix) > length {
				section, length = i, len(prefix)
			}
		}
	}
	return section
}

// reference is docs/metrics.md.
func reference(families map[string]*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString("# Metrics\n\n" +
		"What `/metrics` answers; [operations.md](operations.md#metrics-and-health) says where. [monitoring.md](monitoring.md) says which to look at first, and has alerts.\n" +
		"The metrics themselves write this page: `go test ./internal/metrics -run Reference -rewrite`. CI proves that it is fresh.\n\n" +
		"The usual `go_*` and `process_*` are there, too. Counters begin anew with the process.\n")
	for i, section := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| metric | kind | labels | tells |\n|---|---|---|---|\n", section.title, section.about)
		for _, name := range slices.Sorted(maps.Keys(families)) {
			if sectionOf(name) == i {
				f := families[name]
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), labelsOf(f), f.GetHelp())
			}
		}
	}
	b.WriteString("\n## Why requests fail\n\nThe values of `reason` in `balsa_requests_failed_total`. What a client has asked for itself, such as a condition that does " +
		"not hold, is no failure.\n\n| reason | the request |\n|---|---|\n")
	for _, reason := range failedReasons {
		fmt.Fprintf(&b, "| `%s` | %s |\n", reason, reasonTells[reason])
	}
	return b.String()
}

// reasonTells says what the reasons mean.
var reasonTells = map[string]string{
	FailedBound:       "was over a bound: its client, or all clients, had [too much in progress](limits.md#requests-and-streams)",
	FailedLate:        "was not begun: its time was up before its turn came",
	FailedQueue:       "was not taken: the log, or the disk below it, is behind",
	FailedDisk:        "was not taken: the disk of the leader is almost full",
	FailedMemory:      "was not taken: the index of the keys is as large as it may be",
	FailedQuota:       "was not executed: the store is at its quota. Clients of etcd are told the same of a disk that is almost full, and of an alarm `NOSPACE`",
	FailedAlarm:       "was not executed: an alarm is raised, or the states of the replicas differ",
	FailedLeader:      "came to a server that does not lead, or knows no leader",
	FailedUnavailable: "came to a server that starts or stops, or that cannot read what was asked for",
	FailedUnknown:     "may have been executed or not, or was not answered in time",
	FailedUser:        "has no user, or one who may not do that",
	FailedSize:        "is too large, or has too many parts, or its lease has",
	FailedInvalid:     "makes no sense",
	FailedOther:       "failed for another reason",
}

// labelsOf are the names of a metric's labels.
func labelsOf(f *dto.MetricFamily) string {
	var names []string
	for _, l := range f.Metric[0].Label {
		names = append(names, "`"+l.GetName()+"`")
	}
	return strings.Join(names, ", ")
}

func TestReferenceOfMetricsIsFresh(t *testing.T) {
	families := scrape(t, Handler(everything()))
	for name, f := range families {
		if sectionOf(name) < 0 && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is in no section of the reference", name)
		}
		if strings.TrimSpace(f.GetHelp()) == "" {
			t.Errorf("%s has no help", name)
		}
	}
	for _, reason := range failedReasons {
		if reasonTells[reason] == "" {
			t.Errorf("the reference does not say what %q means", reason)
		}
	}
	path := filepath.Join("..", "..", "docs", "metrics.md")
	want := reference(families)
	if *rewrite {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("docs/metrics.md is not what the metrics say of themselves (%v): run this test with -rewrite", err)
	}
}
