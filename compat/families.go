package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// absentFamilies are the metrics of etcd that balsa has not, by the beginnings of their names, and why. What is not
// counted is no metric: a constant zero would pretend that it is.
var absentFamilies = map[string]string{
	"etcd_debugging_disk_backend_commit_":                              "of bbolt's transactions; there is no bbolt",
	"etcd_debugging_mvcc_db_compaction_":                               "of pauses and steps in bbolt",
	"etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds": "the index is not paused",
	"etcd_debugging_snap_save_":                                        "of snapshots of the v2 store",
	"etcd_debugging_store_":                                            "of the v2 store, which is gone in etcd too",
	"etcd_debugging_server_watch_send_loop_":                           "of a loop of etcd's watch streams",
	"etcd_debugging_mvcc_slow_watcher_total":                           "a watcher that is behind reads the history, and is not kept apart",
	"etcd_debugging_mvcc_pending_events_total":                         "the same",
	"etcd_disk_backend_defrag_duration_seconds":                        "there is nothing to defragment",
	"etcd_disk_defrag_inflight":                                        "there is nothing to defragment",
	"etcd_disk_wal_write_duration_seconds":                             "a write and its sync are measured as one: etcd_disk_wal_fsync_duration_seconds",
	"etcd_grpc_proxy_":                                                 "of etcd grpc-proxy",
	"etcd_mvcc_db_open_read_transactions":                              "of bbolt",
	"etcd_mvcc_hash_":                                                  "hashes are kept all the time, and not made when somebody asks",
	"etcd_server_apply_duration_seconds":                               "entries are executed in batches, and not timed one by one",
	"etcd_snap_":                                                       "of files that balsa has not",
}

// occasional are metrics that a member has only after a message was not sent, or a promotion failed there.
var occasional = []string{"etcd_network_peer_sent_failures_total", "etcd_server_learner_promote_failures"}

// metricsFamilies says which metrics a member has when a little of everything was done: of each the kind and the
// names of labels. What balsa is known not to have is left out at both, and must be missing at balsa.
func metricsFamilies(t *T) {
	t.awaitMetrics()
	t.makeWork("1")
	t.send(&pb.LeaseRevokeRequest{ID: t.grant(60, 0)})
	t.send(&pb.DeleteRangeRequest{Key: t.b("a")})
	_, text, _ := strings.Cut(t.body("http://"+t.cluster.servers[0].endpoint+"/metrics"), " ")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	t.fail("parse", err)
	unused := maps.Clone(absentFamilies)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "balsa_") || slices.Contains(occasional, name) {
			continue // of the version of Go, and balsa's own
		}
		if prefix := absentPrefix(name); prefix != "" {
			delete(unused, prefix)
			if t.cluster.system == "balsa" {
				t.flaw(name, "is listed as absent, and is there")
			}
			continue
		}
		t.say(name, "%s %s", strings.ToLower(families[name].GetType().String()), labelNames(families[name]))
	}
	for prefix := range unused {
		if t.cluster.system == "etcd" {
			t.flaw(prefix, "is listed as absent, and etcd has none")
		}
	}
}

func absentPrefix(name string) string {
	for prefix := range absentFamilies {
		if strings.HasPrefix(name, prefix) {
			return prefix
		}
	}
	return ""
}

// labelNames are those of all series of a family.
func labelNames(f *dto.MetricFamily) string {
	names := map[string]bool{}
	for _, m := range f.Metric {
		for _, l := range m.Label {
			names[l.GetName()] = true
		}
	}
	return cmp.Or(strings.Join(slices.Sorted(maps.Keys(names)), ","), "-")
}
