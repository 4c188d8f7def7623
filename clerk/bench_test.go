package clerk_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"balsa.example/api"
	"balsa.example/clerk"
)

// BenchmarkSet is the cost of the client, gRPC and loopback, with a server that does
// nothing.
func BenchmarkSet(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			listen, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			f := &fakeServer{
				hello:  &api.Hello{ClusterId: 7, NodeId: 1},
				handle: func(*api.Request) *api.Reply { return &api.Reply{} },
				listen: listen,
			}
			f.start(b)
			ck, err := clerk.New([]string{listen.Addr().String()})
			if err != nil {
				b.Fatal(err)
			}
			defer ck.Close()
			value := make([]byte, 256)
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error, callers)
			for range callers {
				go func() {
					for left.Add(-1) >= 0 {
						if _, err := ck.Set(context.Background(), "key", value); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range callers {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			f.mu.Lock()
			b.ReportMetric(float64(b.N)/float64(len(f.batches)), "ops/batch")
			f.mu.Unlock()
		})
	}
}
