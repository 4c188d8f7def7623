package clients

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
)

// quietPort is a Port of which nothing is logged. The standard health service is all that it
// serves.
func quietPort(l Limits) *Port {
	return New(Config{Limits: l, Codec: encoding.GetCodecV2("proto"), Logger: slog.New(slog.DiscardHandler)})
}

// openPort is a Port that serves clients in memory.
type openPort struct {
	*Port
	l       *bufconn.Listener
	serving sync.WaitGroup
}

// open returns a Port that serves, and that looks for clients that stall until ctx ends.
func open(ctx context.Context, l Limits) *openPort { return openWith(ctx, l, func(*Port) {}) }

// openWith returns a Port on which services were registered.
func openWith(ctx context.Context, l Limits, register func(*Port)) *openPort {
	p := &openPort{Port: quietPort(l)}
	register(p.Port)
	p.serveInMemory(ctx)
	return p
}

func (p *openPort) serveInMemory(ctx context.Context) {
	p.l = bufconn.Listen(64 << 10)
	p.SetServing(true, "")
	p.serving.Go(func() { _ = p.Serve(p.l) })
	p.serving.Go(func() { p.WatchClients(ctx) })
}

// close stops the Port. The ctx of open must have ended.
func (p *openPort) close() {
	p.Stop()
	p.serving.Wait()
}

// dial returns a connection to the Port.
func (p *openPort) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := p.l.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// client returns a client of the standard health service, and what closes its connection.
func (p *openPort) client(t *testing.T) (healthpb.HealthClient, func() error) {
	t.Helper()
	conn := p.connect(t)
	return healthpb.NewHealthClient(conn), conn.Close
}

// connect returns a connection of gRPC.
func (p *openPort) connect(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///port", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
