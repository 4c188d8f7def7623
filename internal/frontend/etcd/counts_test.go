package etcd_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/metrics"
	"balsa.example/kv/watch"
)

// Methods count what they were asked: who asked, what was read, and how reads fail. (Compat compares the times by types
// with etcd.)
func TestMethodsCountWhatTheyAreAsked(t *testing.T) {
	asked := metrics.NewEtcdRequests(nil)
	w := newWorldWith(t, func(cfg *etcd.Config) { cfg.Requests = asked })
	caller := *w.any
	caller.Requests = asked.Client("3.7")
	call := func(ctx context.Context, method string, r proto.Message) {
		for _, m := range etcd.Methods {
			if m.Name == "/etcdserverpb.KV/"+method && m.Call != nil {
				c := caller
				_, _ = m.Call(w.Face, ctx, &c, r)
			}
		}
	}
	read := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: get("a", "")}}
	call(t.Context(), "Range", get("a", ""))
	call(t.Context(), "Txn", &pb.TxnRequest{Success: []*pb.RequestOp{read, read}})
	call(t.Context(), "Txn", &pb.TxnRequest{Success: []*pb.RequestOp{read}})
	if ranges, txns := asked.Reads(); ranges != 4 || txns != 1 {
		t.Errorf("%d ranges, %d transactions", ranges, txns)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{context.DeadlineExceeded, errors.New("no leader"), errors.New("no leader")} {
		w.node.readErr = err
		call(t.Context(), "Range", get("a", ""))
		call(gone, "Range", get("a", "")) // whose client does not wait
	}
	if slow, failed := asked.ReadsFailed(); slow != 1 || failed != 2 {
		t.Errorf("%d were late, %d failed", slow, failed)
	}
}

// An event counts once for each watcher that is told, however many responses it is in.
func TestEventsAreCountedForEachWatcher(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.all()
		c.all()
		c.create(&pb.WatchCreateRequest{Key: key("a"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}})
		c.expect("0@1 created", "1@1 created", "2@1 created")
		w.put("1", "a", "b")
		c.expect("0@2 a=1 b=1", "1@2 a=1 b=1")
		w.put("", "-a")
		c.expect("0@3 -a", "1@3 -a", "2@3 -a")
		synctest.Wait()
		registry := prometheus.NewRegistry()
		registry.MustRegister(w.asked)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "etcd_debugging_mvcc_events_total" })
		if at < 0 || families[at].Metric[0].Counter.GetValue() != 2*2+3 {
			t.Errorf("%v", families)
		}
	})
}
