package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// etcd times what goes through its log, and ranges, and has names of its own for some.
func TestTypesOfRequestsAreThoseOfEtcd(t *testing.T) {
	for method, want := range map[string]string{
		"KV/Range": "Range", "KV/Put": "Put", "KV/DeleteRange": "DeleteRange", "KV/Txn": "Txn", "KV/Compact": "Compaction", "KV/RangeStream": "",
		"Lease/LeaseGrant": "LeaseGrant", "Lease/LeaseRevoke": "LeaseRevoke", "Lease/LeaseTimeToLive": "", "Maintenance/Alarm": "Alarm",
		"Maintenance/Status": "", "Auth/AuthEnable": "AuthEnable", "Auth/Authenticate": "Authenticate", "Auth/UserAdd": "AuthUserAdd",
		"Auth/RoleGrantPermission": "AuthRoleGrantPermission", "Cluster/MemberList": "",
	} {
		if got := EtcdRequestType("/etcdserverpb." + method); got != want {
			t.Errorf("%s is %q, want %q", method, got, want)
		}
	}
	if got := EtcdRequestType("/v3lockpb.Lock/Lock"); got != "" {
		t.Errorf("a lock is %q", got)
	}
}

func TestRequestsOfEtcdAreCounted(t *testing.T) {
	r := NewEtcdRequests([]string{"/etcdserverpb.KV/Put", "/etcdserverpb.KV/Txn", "/v3lockpb.Lock/Lock"})
	for _, ok := range []bool{true, true, false} {
		r.Took("Put", true, ok, time.Millisecond)
		r.Took("Txn", ok, true, time.Millisecond)
		r.Range(Now(), ok)
	}
	r.Took("", true, true, time.Second)
	r.ReadTxn(0)
	r.ReadTxn(1)
	r.ReadTxn(3)
	r.ReadFailed(true)
	r.ReadFailed(false)
	r.ReadFailed(false)
	r.Told(2, 3)
	r.Told(0, 3)
	r.Told(1, 1)
	r.Promoted("")
	r.Promoted("not ready")
	r.Client("3.7.0").Unary()
	r.Client("3.7.0").Unary()
	r.Client("3.7.0").Stream()
	r.Client("").Unary()
	cfg := config(example)
	cfg.Collectors = []prometheus.Collector{r}
	shown := scrape(t, Handler(cfg))
	for _, w := range []struct {
		name   string
		labels string
		value  float64
	}{
		{"etcd_server_request_duration_seconds", "true Put", 2}, {"etcd_server_request_duration_seconds", "false Put", 1},
		{"etcd_server_request_duration_seconds", "true Txn", 2}, {"etcd_server_request_duration_seconds", "true ReadonlyTxn", 1},
		{"etcd_server_range_duration_seconds", "true", 2}, {"etcd_server_range_duration_seconds", "false", 1},
		{"etcd_server_slow_read_indexes_total", "", 1}, {"etcd_server_read_indexes_failed_total", "", 2},
		{"etcd_server_learner_promote_successes", "", 1}, {"etcd_debugging_mvcc_events_total", "", 7},
		{"etcd_server_client_requests_total", "3.7.0 unary", 2}, {"etcd_server_client_requests_total", "3.7.0 stream", 1},
		{"etcd_server_client_requests_total", "unknown unary", 1},
	} {
		if got := value(t, shown[w.name], strings.Fields(w.labels)...); got != w.value {
			t.Errorf("%s of %q is %v, want %v", w.name, w.labels, got, w.value)
		}
	}
	if got := value(t, shown["etcd_server_learner_promote_failures"], "not ready"); got != 1 {
		t.Errorf("%v failed", got)
	}
	if ranges, txns := r.Reads(); ranges != 3+4 || txns != 1 {
		t.Errorf("%d ranges, %d transactions", ranges, txns)
	}
}

// Clients say what they like, and each version is a series.
func TestVersionsOfClientsAreBounded(t *testing.T) {
	r := NewEtcdRequests(nil)
	for i := range 10_000 {
		r.Client(fmt.Sprint(i)).Unary()
	}
	r.Client(strings.Repeat("x", 33)).Unary()
	if len(r.clients) != maxClientVersions+1 || r.clients["other"].unary.Load() != 10_000-maxClientVersions+1 {
		t.Errorf("%d versions, %d others", len(r.clients), r.clients["other"].unary.Load())
	}
}

// Who counts nothing need not ask for it.
func TestNobodyCountsNothing(t *testing.T) {
	var r *EtcdRequests
	r.Took("Put", true, true, 0)
	r.Range(0, true)
	r.ReadTxn(1)
	r.ReadFailed(true)
	r.Told(1, 1)
	r.Client("x").Unary()
	r.Client("x").Stream()
}

func TestTimesToLiveAreAHistogram(t *testing.T) {
	s := example()
	s.Replica.LeaseTTLs, s.Replica.LeaseSeconds = []uint64{2, 0, 3, 1}, 1000
	cfg := config(func() Sample { return s })
	f := scrape(t, Handler(cfg))["etcd_debugging_lease_ttl_total"]
	if got := value(t, f); got != 6 {
		t.Fatalf("%v leases", got)
	}
	var at []string
	for _, b := range f.Metric[0].Histogram.Bucket {
		at = append(at, fmt.Sprint(b.GetUpperBound(), ":", b.GetCumulativeCount()))
	}
	if got := strings.Join(at, " "); got != "1:2 2:2 4:5 +Inf:6" || f.Metric[0].Histogram.GetSampleSum() != 1000 {
		t.Errorf("%s, sum %v", got, f.Metric[0].Histogram.GetSampleSum())
	}
}

func TestWhatIsOpenAndRunsIsKnown(t *testing.T) {
	calls := NewCalls()
	watch := calls.Add("/a.B/Watch", BidiStream)
	for range 3 {
		watch.Begin()
	}
	watch.End(time.Now(), 0, "")
	watch.End(time.Now(), 1, "canceled")
	if calls.Open("/a.B/Watch") != 1 || calls.Open("/a.B/None") != 0 {
		t.Errorf("%d are open, of none %d", calls.Open("/a.B/Watch"), calls.Open("/a.B/None"))
	}
	work := NewWork(WorkBackup)
	leave := work.Begin(WorkBackup)
	if work.Running(WorkBackup) != 1 {
		t.Errorf("%d run", work.Running(WorkBackup))
	}
	leave()
	work.Ended(WorkBackup, time.Now(), time.Now(), nil)
	cfg := config(example)
	cfg.Collectors = []prometheus.Collector{work}
	if n := value(t, scrape(t, Handler(cfg))["etcd_disk_backend_snapshot_duration_seconds"]); n != 1 || work.Running(WorkBackup) != 0 {
		t.Errorf("%v have ended, %d run", n, work.Running(WorkBackup))
	}
}
