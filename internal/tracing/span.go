package tracing

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Parent is the span that a request belongs to, as its client says; zero: none.
type Parent struct {
	Trace   trace.TraceID
	Span    trace.SpanID
	Sampled bool
}

// parentBytes is how long a Parent is in the native API.
const parentBytes = 16 + 8 + 1

// ParentOf reads the field trace of a request of the native API. What makes no sense is no parent.
func ParentOf(b []byte) (p Parent) {
	if len(b) == parentBytes {
		copy(p.Trace[:], b)
		copy(p.Span[:], b[16:])
		p.Sampled = trace.TraceFlags(b[24]).IsSampled()
	}
	return p.valid()
}

// ParentOfText reads a traceparent of W3C: 00-TRACE-SPAN-FLAGS, in hexadecimal. What makes no sense is
// no parent.
func ParentOfText(text string) (p Parent) {
	const length = len("00-") + 32 + 1 + 16 + 1 + 2
	if len(text) < length || text[:2] == "ff" || text[2] != '-' || text[35] != '-' || text[52] != '-' || text[:2] == "00" && len(text) > length {
		return p
	}
	flags, err := strconv.ParseUint(text[53:55], 16, 8)
	if err != nil {
		return p
	}
	p.Trace, _ = trace.TraceIDFromHex(text[3:35]) // zero, which is not valid, with an error
	p.Span, _ = trace.SpanIDFromHex(text[36:52])
	p.Sampled = trace.TraceFlags(flags).IsSampled()
	return p.valid()
}

func (p Parent) valid() Parent {
	if !p.Trace.IsValid() || !p.Span.IsValid() {
		return Parent{}
	}
	return p
}

// Traces tells whether spans are made of any request: without, faces need not look for a Parent.
func (r *Recorder) Traces() bool { return r != nil && r.tracer != nil }

// Samples tells whether spans are made of a request: as its client says, as long as clients do not ask for too
// many, or, if the client says nothing, of a share that is chosen by chance.
func (r *Recorder) Samples(p Parent) bool {
	if !r.Traces() {
		return false
	}
	if p.Trace.IsValid() {
		return p.Sampled && r.asked.take(time.Since(r.began))
	}
	return r.sample > 0 && rand.Float64() < r.sample
}

// makeSpans makes a span of a request, and one of each of its phases.
func (r *Recorder) makeSpans(q *Request) {
	ctx := context.Background()
	if q.Parent.Trace.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: q.Parent.Trace, SpanID: q.Parent.Span, TraceFlags: trace.FlagsSampled, Remote: true,
		}))
	}
	ctx, span := r.tracer.Start(ctx, q.API+" "+q.Kind, trace.WithTimestamp(q.Began), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(q.spanAttributes()...), trace.WithAttributes(attribute.String("balsa.member", r.member)))
	for _, p := range q.Phases {
		_, phase := r.tracer.Start(ctx, p.Name, trace.WithTimestamp(p.From))
		phase.End(trace.WithTimestamp(p.To))
	}
	if q.Failed {
		span.SetStatus(codes.Error, q.Outcome)
	}
	span.End(trace.WithTimestamp(q.Ended))
}

func (q *Request) spanAttributes() []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("db.system.name", "balsa"), attribute.String("db.operation.name", q.Kind),
		attribute.String("client.address", q.Client), attribute.String("balsa.outcome", q.Outcome),
		attribute.Int64("balsa.bytes", q.Bytes), attribute.Bool("balsa.leads", q.Leads),
	}
	if q.Key != "" {
		all = append(all, attribute.String("balsa.key", q.Key))
	}
	if q.User != "" {
		all = append(all, attribute.String("enduser.id", q.User))
	}
	if q.Entry.Index > 0 {
		all = append(all, attribute.Int64("balsa.index", int64(q.Entry.Index)), attribute.Int64("balsa.term", int64(q.Entry.Term)))
	}
	return all
}
