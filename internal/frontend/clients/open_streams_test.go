package clients

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// What a stream of many messages may take is bounded for all connections together. Unary calls
// take less, and there may be more of them.
func TestStreamsOfManyMessagesAreFewerThanCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const connections = 8
		ctx, cancel := context.WithCancel(t.Context())
		p := open(ctx, Limits{Connections: connections})
		defer p.close()
		defer cancel()
		watcher, end := p.client(t)
		watches := 0
		for range 3 * connections {
			s, err := watcher.Watch(ctx, &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			switch _, err := s.Recv(); status.Code(err) {
			case codes.OK:
				watches++
			case codes.ResourceExhausted:
			default:
				t.Fatal(err)
			}
		}
		if watches < connections || watches > 2*connections {
			t.Errorf("one client has %d streams, of %d", watches, 2*connections)
		}
		synctest.Wait()
		if n, want := p.streams.Count(), (Bound{int64(watches), int64(watches) * StreamWindow}); n != want {
			t.Errorf("%v is counted, want %v", n, want)
		}
		end()
		synctest.Wait()
		if n := p.streams.Count(); n != (Bound{}) {
			t.Errorf("%v is counted in the end", n)
		}
	})
}
