package native

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/metrics"
	"balsa.example/kv"
)

// notFailed are the codes of replies that a client has asked for itself.
var notFailed = []api.Reply_Code{
	api.Reply_OK, api.Reply_VERSION_MISMATCH, api.Reply_NO_KEY, api.Reply_CHANGED, api.Reply_COMPACTED, api.Reply_FUTURE_REVISION,
	api.Reply_DUPLICATE_KEY, api.Reply_NO_LEASE, api.Reply_LEASE_EXISTS, api.Reply_LEASE_TTL, api.Reply_SESSION_ENDED,
}

// Somebody has decided of each code whether it is a failure.
func TestEachCodeIsAFailureOrNone(t *testing.T) {
	for n, name := range api.Reply_Code_name {
		reason, none := reasonOf(&api.Reply{Code: api.Reply_Code(n)}), slices.Contains(notFailed, api.Reply_Code(n))
		if (reason == "") != none {
			t.Errorf("%s fails for the reason %q", name, reason)
		}
	}
	for _, r := range []struct {
		reply *api.Reply
		want  string
	}{
		{translate.Busy(1, translate.TextNoSpace), metrics.FailedDisk},
		{translate.Busy(1, translate.TextLowMemory), metrics.FailedMemory},
		{translate.Busy(1, translate.TextLowPlaces), metrics.FailedMemory},
		{translate.Late(1), metrics.FailedLate},
		{refusalOf[clients.OverServer], metrics.FailedBound},
		{refusalOf[tooLate], metrics.FailedLate},
		{translate.Busy(1, "too many operations in progress"), metrics.FailedQueue},
	} {
		if got := reasonOf(r.reply); got != r.want {
			t.Errorf("%q fails for the reason %q, want %q", r.reply.Message, got, r.want)
		}
	}
}

// counted returns what a Server counts, by the values of labels.
func counted(t *testing.T, collectors ...prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			if n := m.GetCounter().GetValue(); n > 0 {
				name := f.GetName()
				for _, l := range m.Label {
					name += " " + l.GetValue()
				}
				all[name] = n
			}
		}
	}
	return all
}

// What is refused before a handler sees it is counted, and so is what has no room for its reply.
func TestWhatIsRefusedAtOnceIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Hold = true
		requests := NewRequests()
		requests.Failures = metrics.NewFailures()
		s := &Server{cfg: Config{Requests: requests}}
		c := openStream(t, &h)
		c.stream.refused = s.refused
		c.stream.account.Client.Max.Items = 1
		c.ask(1, 2, 3)
		synctest.Wait()
		go node.Release()
		c.read(3)
		node.Hold = false
		c.stream.account.Client.Max = clients.Bound{Items: 10, Bytes: 3 << 19}
		node.Do(kv.Op{Kind: kv.Put, Key: "k", Value: make([]byte, 1<<20), Unconditional: true})
		c.requests <- &api.RequestBatch{Requests: []*api.Request{{Id: 4, Kind: api.Request_GET, Key: []byte("k")}, {Id: 5, Kind: api.Request_GET, Key: []byte("k")}}}
		synctest.Wait() // the reply to the first is held until it is read
		c.read(2)
		_ = c.end(t)
		want := map[string]float64{"balsa_requests_total busy put": 2, "balsa_requests_total busy get": 1, "balsa_requests_failed_total bound": 3}
		if got := counted(t, requests, requests.Failures); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}
