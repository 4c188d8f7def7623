package native

import (
	"bytes"
	"fmt"
	"testing"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
)

// BenchmarkHandle is what a request costs at the Handler, with a replica that
// executes at once: checks, the store, and the reply.
func BenchmarkHandle(b *testing.B) {
	h, node := nodetest.New()
	benchmarkHandle(b, &h, node)
}

// BenchmarkServerHandle is the same from where streams end, without and with metrics.
func BenchmarkServerHandle(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprintf("metrics=%t", with), func(b *testing.B) {
			h, node := nodetest.New()
			cfg := Config{Port: quietPort(b), Hello: &api.Hello{ClusterId: 7}}
			if with {
				cfg.Requests = NewRequests()
			}
			s := New(cfg)
			s.Start(&replica.Replica{Handler: h})
			benchmarkHandle(b, s, node)
		})
	}
}

func benchmarkHandle(b *testing.B, s interface {
	Handle(*api.Request, func(*api.Reply))
}, node *nodetest.Node) {
	const keys = 10_000
	var key [keys][]byte
	for i := range key {
		key[i] = fmt.Appendf(nil, "key-%012d", i)
	}
	value := bytes.Repeat([]byte("v"), 256)
	for _, request := range []struct {
		name string
		of   func(i int) *api.Request
	}{
		{"put", func(i int) *api.Request {
			return &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: key[i], Value: value}
		}},
		{"get", func(i int) *api.Request { return &api.Request{Kind: api.Request_GET, Key: key[i]} }},
	} {
		b.Run(request.name, func(b *testing.B) {
			for i := range keys {
				s.Handle(&api.Request{Kind: api.Request_PUT, Unconditional: true, Key: key[i], Value: value}, func(*api.Reply) {})
			}
			replies := 0
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				s.Handle(request.of(i*7919%keys), func(r *api.Reply) {
					if r.Code == api.Reply_OK {
						replies++
					}
				})
				node.Modes = node.Modes[:0]
			}
			if replies != b.N {
				b.Fatalf("%d of %d requests were executed", replies, b.N)
			}
		})
	}
}

// BenchmarkMeasured is what metrics cost a request, alone.
func BenchmarkMeasured(b *testing.B) {
	requests := NewRequests()
	replies := 0
	reply := func(*api.Reply) { replies++ }
	r := &api.Reply{}
	b.ReportAllocs()
	for b.Loop() {
		measured(requests, api.Request_PUT, metrics.Now(), reply)(r)
	}
	if replies == 0 {
		b.Fatal("no reply")
	}
}
