package native

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"balsa.example/api"
	"balsa.example/internal/metrics"
	"balsa.example/internal/tracing"
)

// Of requests that are neither slow nor sampled nothing is kept, whatever they are.
func TestToAskWhereTimeWentAllocatesNothing(t *testing.T) {
	recorder := tracing.NewRecorder(tracing.Config{
		Slow: time.Hour, Log: slog.New(slog.DiscardHandler), Count: metrics.NewSlow(), Tracer: noop.NewTracerProvider(), Sample: 1e-12,
	})
	s := &clientStream{watch: &observer{recorder: recorder, opened: time.Now()}}
	r, reply := newRequest(), new(api.Reply)
	notSampled := append(bytes.Repeat([]byte{1}, 24), 0)
	for _, req := range []*api.Request{
		{Kind: api.Request_PUT, Key: []byte("k"), Trace: notSampled},
		{Kind: api.Request_PUT, Key: []byte(strings.Repeat("k", 1000)), Value: make([]byte, 1000)},
		{Kind: api.Request_RANGE, Call: &api.Request_Range{Range: &api.Range{Span: &api.Span{From: []byte("a")}}}},
		{Kind: api.Request_TXN, Call: txn(put("a", 0, false))},
	} {
		if n := testing.AllocsPerRun(100, func() {
			s.begin(r, req, time.Time{})
			r.way.done = s.watch.now()
			s.watch.ended(answer{reply: reply, request: r}, s.watch.now())
		}); n != 0 {
			t.Errorf("a %s takes %v allocations", req.Kind, n)
		}
	}
}

// A request that was parked is begun by the goroutine that sends, while the other one receives a batch: the
// race detector looks on.
func TestParkedRequestsBeginWithoutTheBatchThatComes(t *testing.T) {
	recorder := tracing.NewRecorder(tracing.Config{Slow: time.Hour, Log: slog.New(slog.DiscardHandler), Count: metrics.NewSlow()})
	s := &clientStream{watch: &observer{recorder: recorder, opened: time.Now()}}
	var both sync.WaitGroup
	both.Go(func() {
		for range 100 {
			s.batch = s.watch.now() + time.Hour
		}
	})
	for range 100 {
		r, since := newRequest(), time.Now()
		s.begin(r, &api.Request{Kind: api.Request_RANGE}, since)
		if w := r.way; w.began != since.Sub(s.watch.opened) || w.started < w.began {
			t.Errorf("it came after %v, began after %v, and was started after %v", since.Sub(s.watch.opened), w.began, w.started)
		}
	}
	both.Wait()
}

func TestKeysOfRequestsAreTold(t *testing.T) {
	span := func(from string) *api.Span { return &api.Span{From: []byte(from), Open: true} }
	for want, req := range map[string]*api.Request{
		"a": {Kind: api.Request_GET, Key: []byte("a")},
		"b": {Kind: api.Request_RANGE, Call: &api.Request_Range{Range: &api.Range{Span: span("b")}}},
		"c": {Kind: api.Request_DELETE_RANGE, Call: &api.Request_DeleteRange{DeleteRange: &api.DeleteRange{Span: span("c")}}},
		"d": {Kind: api.Request_TXN, Call: txn(put("d", 0, false))},
		"e": {Kind: api.Request_TXN, Call: &api.Request_Txn{Txn: &api.Txn{Compares: []*api.Compare{{Span: span("e")}}}}},
		"f": {Kind: api.Request_PUT, Key: []byte("f"), Call: &api.Request_Put{Put: &api.Put{Lease: 7}}},
		"":  {Kind: api.Request_LEASES},
	} {
		if got := string(keyOf(req)); got != want {
			t.Errorf("%s: %q, want %q", req.Kind, got, want)
		}
	}
	if name := nameOf(12345); name != "other" {
		t.Errorf("a kind that there is not is told as %q", name)
	}
}
