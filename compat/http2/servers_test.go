package http2

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"  // so does etcd
	_ "google.golang.org/grpc/encoding/proto" // registers the codec
	"google.golang.org/grpc/keepalive"

	testpb "google.golang.org/grpc/interop/grpc_testing"

	"balsa.example/internal/frontend/clients"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// address is that of a server elsewhere.
var address = flag.String("address", "", "hold the balsa at this address to the cases of HTTP/2")

const (
	// maxStreams is how many streams a connection may have, maxHeader how many bytes its headers, and maxMessage a message.
	maxStreams = 100
	maxHeader  = 16 << 10
	maxMessage = 4 << 20
	// streamWindow and connWindow are what a server receives ahead.
	streamWindow = 64 << 10
	connWindow   = 1 << 20
	// replyBytes is the size of what method large answers.
	replyBytes = 200_000
)

// server is what can be held to the cases: anything on which services are registered.
type server interface {
	grpc.ServiceRegistrar
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

// servers are held to all cases, with the bounds above.
var servers = []implementation{
	{name: "grpc-go", grpcGo: true, make: newGRPCGo},
	{name: "client port", make: newPort, known: map[string]string{
		"a long message of status": "is cut",
		"custom metadata":          "handlers cannot send headers of a unary call",
	}},
}

// implementation is a kind of server.
type implementation struct {
	name string
	// grpcGo says that it is made of grpc-go's server, of which departures are known.
	grpcGo bool
	make   func() server
	// known are the cases that it does not stand yet, and why. They are skipped.
	known map[string]string
}

func newGRPCGo() server {
	return grpc.NewServer(
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeader), grpc.MaxRecvMsgSize(maxMessage),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow), grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
}

func newPort() server {
	return clients.New(clients.Config{
		Limits: clients.Limits{Streams: maxStreams}, Codec: encoding.GetCodecV2("proto"), Logger: slog.New(slog.DiscardHandler),
	})
}

// skipKnown skips the case of a name that a server does not stand yet.
func skipKnown(t *testing.T, known map[string]string, name string) {
	t.Helper()
	if why := known[name]; why != "" {
		t.Skip("known: " + why)
	}
}

// target is a server that runs, and the methods that cases call.
type target struct {
	addr   string
	grpcGo bool
	known  map[string]string
	unary  method // is answered with status 0
	large  method // is answered with at least replyBytes
	stream method // is a stream in both directions, which answers each message with one
	// stuffed is a stream whose handler does not read while its replies are not read; nil: there is none.
	stuffed *method

	server server // nil: it runs elsewhere
	probe  *probe
}

// start starts a server, which is stopped at the end of the test.
func (i implementation) start(t *testing.T) target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := i.make()
	to := target{
		addr: l.Addr().String(), grpcGo: i.grpcGo, known: i.known, server: s, probe: register(s),
		unary:  method{"/grpc.testing.TestService/EmptyCall", marshal(&testpb.Empty{})},
		large:  method{"/grpc.testing.TestService/UnaryCall", marshal(&testpb.SimpleRequest{ResponseSize: replyBytes})},
		stream: duplex(1), stuffed: new(duplex(1<<20, 1<<20)),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		to.probe.releaseAll()
		s.Stop()
		<-served
	})
	return to
}

// duplex is a stream in both directions, on which a message is answered with messages of these sizes.
func duplex(sizes ...int32) method {
	request := &testpb.StreamingOutputCallRequest{}
	for _, size := range sizes {
		request.ResponseParameters = append(request.ResponseParameters, &testpb.ResponseParameters{Size: size})
	}
	return method{"/grpc.testing.TestService/FullDuplexCall", marshal(request)}
}

// TestServerElsewhere holds a balsa to the cases of HTTP/2. It writes a key there.
func TestServerElsewhere(t *testing.T) {
	if *address == "" {
		t.Skip("there is no -address")
	}
	const key = "conformance/large"
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{*address}, DialTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := client.Put(ctx, key, string(bytes.Repeat([]byte("x"), replyBytes))); err != nil {
		t.Fatal(err)
	}
	to := target{
		addr:   *address,
		unary:  method{"/etcdserverpb.KV/Range", marshal(&pb.RangeRequest{Key: []byte("conformance/none")})},
		large:  method{"/etcdserverpb.KV/Range", marshal(&pb.RangeRequest{Key: []byte(key)})},
		stream: method{"/etcdserverpb.Watch/Watch", marshal(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte(key)}}})},
	}
	t.Run("cases", func(t *testing.T) { run(t, to, ofHTTP2) })
	t.Run("floods", func(t *testing.T) { flood(t, to) })
}
