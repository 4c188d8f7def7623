package clients

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// An open stream of health or reflection, which its client may keep for ever, does not hold a stop.
func TestStandardStreamsEndWithThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := openWith(ctx, Limits{}, func(p *Port) {
			reflectionpb.RegisterServerReflectionServer(p, reflection.NewServerV1(reflection.ServerOptions{Services: p}))
		})
		conn := p.connect(t)
		defer conn.Close()
		var streams []grpc.ClientStream
		for _, service := range []string{"", "unknown"} {
			s, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: service})
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, s)
		}
		asks, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, asks)
		synctest.Wait()
		began := time.Now()
		p.Drain()
		p.GracefulStop()
		if took := time.Since(began); took > 0 {
			t.Errorf("the stop took %s", took)
		}
		for i, s := range streams {
			var err error
			for err == nil { // of health what it was, and perhaps that it does not serve
				err = s.RecvMsg(new(healthpb.HealthCheckResponse))
			}
			if status.Code(err) != codes.Unavailable {
				t.Errorf("stream %d ended with %v", i, err)
			}
		}
		cancel()
		p.close()
	})
}
