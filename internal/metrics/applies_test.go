package metrics

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// shownBy are the families that a collector has.
func shownBy(t *testing.T, c prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	cfg := config(example)
	cfg.Collectors = []prometheus.Collector{c}
	return scrape(t, Handler(cfg))
}

func TestExecutedCommandsAreTimed(t *testing.T) {
	a := NewApplies([]string{"Put", "Txn"})
	a.Executed(0, true, 3, 200*time.Microsecond)
	a.Executed(0, true, 1, time.Minute)
	a.Executed(0, false, 2, 0)
	f := shownBy(t, a)["etcd_server_apply_duration_seconds"]
	if n := value(t, f, "Put", "true", "v3"); n != 4 {
		t.Errorf("%v puts", n)
	}
	if n := value(t, f, "Put", "false", "v3"); n != 2 || len(f.Metric) != 2 {
		t.Errorf("%v puts have failed; %d series", n, len(f.Metric))
	}
	for _, m := range f.Metric {
		h := m.Histogram
		if last := h.Bucket[len(h.Bucket)-2]; len(h.Bucket) != 21 || h.Bucket[0].GetUpperBound() != 0.0001 || last.GetUpperBound() < 52 || last.GetUpperBound() > 53 {
			t.Errorf("bounds %v", h.Bucket)
		}
	}
}

// What etcd's rules ask for by a bound has to be there.
func TestRequestsHaveTheBoundsOfEtcd(t *testing.T) {
	r := NewEtcdRequests([]string{"/etcdserverpb.KV/Put"})
	for _, took := range []time.Duration{time.Millisecond, time.Millisecond + 1, 10 * time.Second} {
		r.Took("Put", true, true, took)
	}
	h := shownBy(t, r)["etcd_server_request_duration_seconds"].Metric[0].Histogram
	if len(h.Bucket) != 15 || h.Bucket[0].GetUpperBound() != 0.001 || h.Bucket[13].GetUpperBound() != 8.192 {
		t.Fatalf("%d bounds: %v", len(h.Bucket), h.Bucket)
	}
	if h.Bucket[0].GetCumulativeCount() != 1 || h.Bucket[1].GetCumulativeCount() != 2 || h.Bucket[13].GetCumulativeCount() != 2 || h.GetSampleCount() != 3 {
		t.Errorf("counts %v, in all %d", h.Bucket, h.GetSampleCount())
	}
}

func TestTransfersAreCounted(t *testing.T) {
	tr := NewTransfers()
	tr.Begin(0x2a, true)(nil)
	tr.Begin(0x2a, true)(errors.New("lost"))
	end := tr.Begin(0x2a, false)
	shown := shownBy(t, tr)
	for name, want := range map[string]float64{
		"send_success": 1, "send_failures": 1, "send_inflights_total": 0, "send_total_duration_seconds": 1, "receive_inflights_total": 1,
	} {
		if got := value(t, shown["etcd_network_snapshot_"+name], "2a"); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	end(nil)
	if got := value(t, shownBy(t, tr)["etcd_network_snapshot_receive_success"], "2a"); got != 1 {
		t.Errorf("%v received", got)
	}
}

func TestHealthChecksAreCounted(t *testing.T) {
	h := NewHealthChecks()
	h.Checked("livez", "read", true)
	h.Checked("livez", "read", false)
	shown := shownBy(t, h)
	if last := value(t, shown["etcd_server_healthcheck"], "read", "livez"); last != 0 {
		t.Errorf("the last is %v", last)
	}
	for _, status := range []string{"success", "error"} {
		if n := value(t, shown["etcd_server_healthchecks_total"], "read", status, "livez"); n != 1 {
			t.Errorf("%s: %v", status, n)
		}
	}
}
