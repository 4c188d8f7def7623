package main

import (
	"cmp"
	"fmt"
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
	"etcd_debugging_mvcc_db_compaction_last":                           "versions are forgotten little by little",
	"etcd_debugging_mvcc_db_compaction_pause_":                         "of pauses and steps in bbolt",
	"etcd_debugging_mvcc_db_compaction_total_":                         "of pauses and steps in bbolt",
	"etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds": "the index is not paused",
	"etcd_debugging_snap_save_marshalling_":                            "of snapshots of the v2 store",
	"etcd_debugging_store_":                                            "of the v2 store, which is gone in etcd too",
	"etcd_debugging_server_watch_send_loop_":                           "of a loop of etcd's watch streams",
	"etcd_disk_backend_defrag_duration_seconds":                        "there is nothing to defragment",
	"etcd_disk_defrag_inflight":                                        "there is nothing to defragment",
	"etcd_disk_wal_write_duration_seconds":                             "a write and its sync are measured as one: etcd_disk_wal_fsync_duration_seconds",
	"etcd_grpc_proxy_":                                                 "of etcd grpc-proxy",
	"etcd_mvcc_db_open_read_transactions":                              "of bbolt",
	"etcd_snap_db_fsync_duration_seconds":                              "of a file that balsa has not",
	"etcd_snap_fsync_duration_seconds":                                 "of a file that balsa has not",
}

// occasional are metrics of etcd that a member has only after something happened that this check does not bring about,
// and what they are; empty: balsa has none.
var occasional = map[string]string{
	"etcd_debugging_server_alarms":                         "gauge alarm_type,server_id",
	"etcd_network_disconnected_peers_total":                "counter Local,Remote",
	"etcd_network_peer_sent_failures_total":                "counter To",
	"etcd_network_peer_received_failures_total":            "", // a message that cannot be read ends its connection
	"etcd_network_server_stream_failures_total":            "", // grpc_server_handled_total tells how streams ended
	"etcd_network_snapshot_receive_failures":               "counter From",
	"etcd_network_snapshot_receive_inflights_total":        "gauge From",
	"etcd_network_snapshot_receive_success":                "counter From",
	"etcd_network_snapshot_receive_total_duration_seconds": "histogram From, 10 bounds from 0.1",
	"etcd_network_snapshot_send_failures":                  "counter To",
	"etcd_network_snapshot_send_inflights_total":           "gauge To",
	"etcd_network_snapshot_send_success":                   "counter To",
	"etcd_network_snapshot_send_total_duration_seconds":    "histogram To, 10 bounds from 0.1",
	"etcd_server_learner_promote_failures":                 "counter Reason",
}

// metricsFamilies says which metrics a member has when a little of everything was done: of each the kind, the
// names of labels and the bounds. What balsa is known not to have is left out at both, and must be missing at balsa.
func metricsFamilies(t *T) {
	t.awaitMetrics()
	t.makeWork("1")
	t.send(&pb.LeaseRevokeRequest{ID: t.grant(60, 0)})
	t.send(&pb.DeleteRangeRequest{Key: t.b("a")})
	for _, path := range []string{"/livez", "/readyz"} {
		t.body("http://" + t.cluster.servers[0].endpoint + path)
	}
	families := t.families(0)
	unused := maps.Clone(absentFamilies)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "balsa_") {
			continue // of the version of Go, and balsa's own
		}
		what := describe(families[name])
		if prefix := absentPrefix(name); prefix != "" {
			delete(unused, prefix)
			if t.cluster.system == "balsa" {
				t.flaw(name, "is listed as absent, and is there")
			}
			continue
		}
		if known, ok := occasional[name]; !ok {
			t.say(name, "%s", what)
		} else if known != what && (known != "" || t.cluster.system == "balsa") {
			t.flaw(name, "is %s, and not %s", what, known)
		}
	}
	for prefix := range unused {
		if t.cluster.system == "etcd" {
			t.flaw(prefix, "is listed as absent, and etcd has none")
		}
	}
}

// families are the metrics that a member shows.
func (t *T) families(member int) map[string]*dto.MetricFamily {
	_, text, _ := strings.Cut(t.body("http://"+t.cluster.servers[member].endpoint+"/metrics"), " ")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	t.fail("parse", err)
	return families
}

// describe tells the kind of a family, the names of its labels and, of a histogram, the bounds of its buckets.
func describe(f *dto.MetricFamily) string {
	what := strings.ToLower(f.GetType().String()) + " " + labelNames(f)
	if h := f.Metric[0].Histogram; h != nil {
		what += fmt.Sprintf(", %d bounds from %g", len(h.Bucket)-1, h.Bucket[0].GetUpperBound())
	}
	return what
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
