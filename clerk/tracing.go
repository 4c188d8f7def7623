package clerk

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"balsa.example/api"
)

// WithTracerProvider lets the Clerk make a span of each operation, a child of the one in the operation's
// context if there is one. Its servers make spans of the parts of those that are sampled, if they
// have been given somewhere to send them (balsa serve --trace-endpoint). Without it, which is the
// default, nothing is traced, and operations cost the same as ever.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(o *config) { o.tracer = p.Tracer("balsa.example/clerk") }
}

// trace runs an operation within a span.
func (c *Clerk) trace(ctx context.Context, req *api.Request) (*api.Reply, error) {
	kind := strings.ToLower(req.Kind.String())
	_, span := c.tracer.Start(ctx, "balsa "+kind, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", "balsa"), attribute.String("db.operation.name", kind)))
	defer span.End()
	if at := span.SpanContext(); at.IsValid() && at.IsSampled() {
		traceID, spanID := at.TraceID(), at.SpanID()
		req.Trace = append(append(append(make([]byte, 0, 25), traceID[:]...), spanID[:]...), byte(at.TraceFlags()))
	}
	r, err := c.run(ctx, req)
	if err != nil && !errors.Is(err, ErrNoKey) && !errors.Is(err, ErrVersion) {
		span.SetStatus(codes.Error, err.Error())
	}
	return r, err
}
