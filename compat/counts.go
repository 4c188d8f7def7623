package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// counted are the metrics of which a member must count the same as etcd.
var counted = []string{
	"etcd_mvcc_put_total", "etcd_mvcc_delete_total", "etcd_mvcc_range_total", "etcd_mvcc_txn_total", "etcd_debugging_mvcc_watch_stream_total",
	"etcd_debugging_mvcc_events_total", "etcd_debugging_lease_granted_total", "etcd_debugging_lease_ttl_total", "etcd_server_client_requests_total", "etcd_server_request_duration_seconds",
	"etcd_server_range_duration_seconds", "etcd_server_slow_read_indexes_total", "etcd_server_read_indexes_failed_total",
	"etcd_server_learner_promote_failures", "etcd_server_snapshot_apply_in_progress_total",
}

// metricsCounts says by how much the metrics of a member grow while it is asked for known things. Compares are none of
// them: etcd counts each as a range.
func metricsCounts(t *T) {
	before := t.counts(0)
	key := t.b("a")
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: t.b("b")}}}
	get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}
	for _, r := range []*pb.TxnRequest{
		{Success: []*pb.RequestOp{put}},
		{Success: []*pb.RequestOp{put, get}},
		{Success: []*pb.RequestOp{get}},
		{Success: []*pb.RequestOp{get, get}},
		{Success: []*pb.RequestOp{put, put}}, // is refused
	} {
		t.send(r)
	}
	t.put("a", "1")
	t.send(&pb.RangeRequest{Key: key})
	t.send(&pb.RangeRequest{Key: key, Serializable: true})
	t.send(&pb.RangeRequest{Key: key, Revision: 1 << 40})
	t.send(&pb.DeleteRangeRequest{Key: key})
	t.send(&pb.DeleteRangeRequest{Key: key})
	for _, ttl := range []int64{60, 64, 65, 9_000_000_000} {
		t.send(&pb.LeaseRevokeRequest{ID: t.grant(ttl, 0)})
	}
	w := t.watcher(0)
	w.create(&pb.WatchCreateRequest{Key: key})
	w.create(&pb.WatchCreateRequest{Key: key})
	told := eventAt(t.put("a", "2"))
	for range 2 {
		w.until("put", told)
	}
	t.sayGrowth(before, t.counts(0))
	leads, _ := t.leader()
	before = t.counts(leads)
	for _, id := range []uint64{1, t.status(leads).Header.MemberId} { // none, and one that votes
		t.sendTo(leads, &pb.MemberPromoteRequest{ID: id})
	}
	t.sayGrowth(before, t.counts(leads))
}

func (t *T) sayGrowth(before, after map[string]float64) {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if by := after[name] - before[name]; by != 0 {
			t.say(name, "%g", by)
		}
	}
}

// counts are the values of the metrics in counted at a member, by name and labels. Of histograms they are the
// numbers of observations, and for times to live those of each bucket.
func (t *T) counts(member int) map[string]float64 {
	families := t.families(member)
	values := map[string]float64{}
	for _, name := range counted {
		for _, m := range families[name].GetMetric() {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			of := name + " " + strings.Join(labels, " ")
			if strings.Contains(of, "type=Cluster") {
				continue // of etcd's own requests
			}
			values[of] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if name == "etcd_debugging_lease_ttl_total" {
				addBuckets(values, of, m.Histogram)
			}
		}
	}
	return values
}

func addBuckets(values map[string]float64, of string, h *dto.Histogram) {
	values[of+"sum"] = h.GetSampleSum()
	for _, b := range h.Bucket {
		values[fmt.Sprintf("%sup to %g", of, b.GetUpperBound())] = float64(b.GetCumulativeCount())
	}
}
