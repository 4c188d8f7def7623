package server

import (
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/metadata"

	"balsa.example/clerk"
)

// awaitSpan waits until a span of the name has ended that is a child of another, or of any if that is empty.
// A span of a request that was refused, since the server does not lead, does not count.
func awaitSpan(t *testing.T, from *tracetest.InMemoryExporter, name, parent string) tracetest.SpanStub {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, s := range from.GetSpans() {
			refused := slices.ContainsFunc(s.Attributes, func(a attribute.KeyValue) bool { return a.Value.String() == "wrong_leader" })
			if !refused && s.Name == name && (parent == "" || s.Parent.SpanID().String() == parent) {
				return s
			}
		}
	}
	t.Fatalf("no span %q with the parent %q among %d", name, parent, len(from.GetSpans()))
	return tracetest.SpanStub{}
}

// TestOnePutIsOneTrace follows a put from the Clerk through the leader to disk and apply, and one of a client
// of etcd through a follower.
func TestOnePutIsOneTrace(t *testing.T) {
	c := newTestCluster(t, options{servers: 3})
	ofServers, ofClerk := tracetest.NewInMemoryExporter(), tracetest.NewInMemoryExporter()
	for i := range c.configs {
		c.configs[i].TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(ofServers)) // TraceSample is 0: only what clients ask for
	}
	c.startAll()
	ctx := etcdContext(t)
	c.put("untraced", "v", 0)

	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(ofClerk))
	ck, err := clerk.New(c.endpoints, clerk.WithTracerProvider(provider))
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	above, span := provider.Tracer("test").Start(ctx, "above")
	if _, err := ck.Set(above, "app/1", []byte("v")); err != nil {
		t.Fatal(err)
	}
	span.End()
	own := awaitSpan(t, ofClerk, "balsa put", span.SpanContext().SpanID().String())
	server := awaitSpan(t, ofServers, "native put", own.SpanContext.SpanID().String())
	phases := []string{"propose", "commit", "apply_queue", "apply", "reply"} // the own disk may be late, or not have begun
	for _, name := range phases {
		phase := awaitSpan(t, ofServers, name, server.SpanContext.SpanID().String())
		if phase.SpanContext.TraceID() != span.SpanContext().TraceID() || phase.StartTime.Before(server.StartTime) || phase.EndTime.After(server.EndTime) {
			t.Errorf("%+v is not within %+v", phase, server)
		}
	}
	if server.SpanContext.TraceID() != span.SpanContext().TraceID() {
		t.Errorf("the server's span is of another trace")
	}
	if _, err := ck.Get(above, "absent"); err == nil {
		t.Fatal("a key that there is not")
	}
	read := awaitSpan(t, ofServers, "native get", awaitSpan(t, ofClerk, "balsa get", "").SpanContext.SpanID().String())
	awaitSpan(t, ofServers, "fresh", read.SpanContext.SpanID().String())

	const parent = "b7ad6b7169203331"
	traced := metadata.AppendToOutgoingContext(ctx, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-"+parent+"-01")
	kv := pb.NewKVClient(c.etcdConn((c.leader() + 1) % 3))
	if _, err := kv.Put(traced, &pb.PutRequest{Key: []byte("app/2")}); err != nil {
		t.Fatal(err)
	}
	forwarded := awaitSpan(t, ofServers, "etcd put", parent)
	awaitSpan(t, ofServers, "commit", forwarded.SpanContext.SpanID().String())

	for _, s := range ofServers.GetSpans() {
		for _, a := range s.Attributes {
			if a.Key == "balsa.key" && a.Value.AsString() == "untraced" {
				t.Errorf("nobody has asked for %+v", s)
			}
		}
	}
}
