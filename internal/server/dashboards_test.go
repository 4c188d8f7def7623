package server

import (
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// selectors are the series by which the alerts and dashboards ask that etcd publishes
// (contrib/mixin), and the labels that they demand; "up" is Prometheus' own.
const selectors = `
	etcd_server_has_leader
	etcd_server_leader_changes_seen_total
	etcd_server_quota_backend_bytes
	etcd_server_version server_version=3[.]7[.]3
	etcd_cluster_version cluster_version=3[.]7
	etcd_server_id server_id=[0-9a-f]+
	etcd_server_proposals_committed_total
	etcd_server_proposals_applied_total
	etcd_server_proposals_pending
	etcd_server_proposals_failed_total
	etcd_mvcc_db_total_size_in_bytes
	etcd_mvcc_db_total_size_in_use_in_bytes
	etcd_disk_wal_fsync_duration_seconds_bucket le=.+
	etcd_disk_backend_commit_duration_seconds_bucket le=.+
	etcd_network_peer_round_trip_time_seconds_bucket le=.+ To=.+
	etcd_network_peer_sent_bytes_total To=.+
	etcd_network_peer_received_bytes_total From=.+
	etcd_network_peer_sent_failures_total To=.+
	etcd_network_client_grpc_received_bytes_total
	etcd_network_client_grpc_sent_bytes_total
	process_resident_memory_bytes
	grpc_server_started_total grpc_type=unary
	grpc_server_handled_total grpc_type=unary grpc_code=Unknown|FailedPrecondition|ResourceExhausted|Internal|Unavailable|DataLoss|DeadlineExceeded
	grpc_server_handling_seconds_bucket grpc_type=unary grpc_method=[^D].+ le=.+
`

// Each of them has a series at each member of a cluster.
func TestDashboardsOfEtcdHaveSeries(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	for i := range c.servers {
		families := scrape(t, "http://"+c.configs[i].ListenClient[0].Host)
		for line := range strings.Lines(strings.TrimSpace(selectors)) {
			fields := strings.Fields(line)
			name, labels := fields[0], map[string]string{}
			for _, label := range fields[1:] {
				k, v, _ := strings.Cut(label, "=")
				labels[k] = v
			}
			if !hasSeries(families, name, labels) {
				t.Errorf("server %d: no series of %s %v", i+1, name, labels)
			}
		}
	}
}

// hasSeries tells whether there is a series with labels that match.
func hasSeries(f figures, name string, labels map[string]string) bool {
	family, buckets := strings.CutSuffix(name, "_bucket")
	if buckets {
		delete(labels, "le")
	}
	for _, m := range f[family].GetMetric() {
		if buckets != (f[family].GetType() == dto.MetricType_HISTOGRAM) || buckets && len(m.GetHistogram().GetBucket()) == 0 {
			continue
		}
		matched := 0
		for _, l := range m.Label {
			if want, ok := labels[l.GetName()]; ok && regexp.MustCompile("^("+want+")$").MatchString(l.GetValue()) {
				matched++
			}
		}
		if matched == len(labels) {
			return true
		}
	}
	return false
}
