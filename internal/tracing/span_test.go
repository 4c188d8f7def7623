package tracing

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestParentsAreReadFromWhatClientsSend(t *testing.T) {
	const traceID, spanID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	good := "00-" + traceID + "-" + spanID + "-01"
	for text, want := range map[string]string{
		good:                                         "sampled",
		"00-" + traceID + "-" + spanID + "-00":       "not sampled",
		"00-" + traceID + "-" + spanID + "-03":       "sampled",
		"01-" + traceID + "-" + spanID + "-01-more":  "sampled", // of a later version
		"00-" + traceID + "-" + spanID + "-01-more":  "none",
		"ff-" + traceID + "-" + spanID + "-01":       "none",
		"00-" + strings.Repeat("0", 32) + good[35:]:  "none",
		"00-" + traceID + "-0000000000000000-01":     "none",
		"00-" + strings.ToUpper(traceID) + good[35:]: "none",
		"00-" + traceID + "-" + spanID + "-0x":       "none",
		"00_" + traceID + "_" + spanID + "_01":       "none",
		"":                                           "none",
		good[:len(good)-1]:                           "none",
	} {
		p := ParentOfText(text)
		got := "none"
		if p.Trace.IsValid() {
			if got = "not sampled"; p.Sampled {
				got = "sampled"
			}
			if p.Trace.String() != traceID || p.Span.String() != spanID {
				t.Errorf("%q is %s %s", text, p.Trace, p.Span)
			}
		}
		if got != want {
			t.Errorf("%q is a parent that is %s, want %s", text, got, want)
		}
	}
	p := ParentOfText(good)
	b := append(append(p.Trace[:], p.Span[:]...), 1)
	if got := ParentOf(b); got != p {
		t.Errorf("in the native API it is %v", got)
	}
	for _, bad := range [][]byte{nil, b[:24], append(b, 0), make([]byte, parentBytes)} {
		if got := ParentOf(bad); got != (Parent{}) {
			t.Errorf("%x is the parent %v", bad, got)
		}
	}
}

// spansOf are what a Recorder makes of a request.
func spansOf(q *Request, sample float64) tracetest.SpanStubs {
	to := tracetest.NewInMemoryExporter()
	r := NewRecorder(Config{Log: slog.New(slog.DiscardHandler), Tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(to)), Sample: sample})
	if q.Sampled = r.Samples(q.Parent); r.Wants(0, q.Sampled) {
		r.Record(q)
	}
	return to.GetSpans()
}

func TestSpansOfARequest(t *testing.T) {
	q := slowPut()
	q.Parent = Parent{trace.TraceID{1}, trace.SpanID{2}, true}
	spans := spansOf(q, 0)
	if len(spans) != 3 {
		t.Fatalf("%d spans, want that of the request and two of its phases", len(spans))
	}
	whole := spans[2] // it ends last
	if whole.Name != "native put" || whole.SpanContext.TraceID() != q.Parent.Trace || whole.Parent.SpanID() != q.Parent.Span || !whole.Parent.IsRemote() ||
		whole.StartTime != q.Began || whole.EndTime != q.Ended {
		t.Errorf("the span of the request is %+v", whole)
	}
	for i, p := range q.Phases {
		if s := spans[i]; s.Name != p.Name || s.StartTime != p.From || s.EndTime != p.To || s.Parent.SpanID() != whole.SpanContext.SpanID() {
			t.Errorf("the span of phase %v is %+v", p, s)
		}
	}
	text := ""
	for _, a := range whole.Attributes {
		text += string(a.Key) + "=" + a.Value.String() + " "
	}
	for _, want := range []string{"db.operation.name=put ", "balsa.key=app/1 ", "balsa.index=7 ", "balsa.term=2 ", "enduser.id=ann "} {
		if !strings.Contains(text, want) {
			t.Errorf("the attributes are %s", text)
		}
	}
}

// Whatever clients ask for, spans are made of so many requests a second, and no more.
func TestClientsCannotAskForSpansWithoutEnd(t *testing.T) {
	var b budget
	took := 0
	for now := 2 * time.Second; now < 12*time.Second; now += time.Second / 10_000 {
		if b.take(now) {
			took++
		}
	}
	if most := clientSampled * 11; took > most || took < most-2 {
		t.Errorf("in 10 s after a quiet one %d pass, want %d", took, most)
	}
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(Config{Log: slog.New(slog.DiscardHandler), Tracer: sdktrace.NewTracerProvider()})
		asks := func() (n int) {
			for range 3 * clientSampled {
				if r.Samples(Parent{trace.TraceID{1}, trace.SpanID{2}, true}) {
					n++
				}
			}
			return n
		}
		if n := asks(); n != clientSampled {
			t.Errorf("%d of the first requests are sampled, want %d", n, clientSampled)
		}
		time.Sleep(time.Second / 2)
		if n := asks(); n != clientSampled/2 {
			t.Errorf("%d are sampled half a second later, want %d", n, clientSampled/2)
		}
	})
}

func TestWhichRequestsAreSampled(t *testing.T) {
	for _, c := range []struct {
		parent Parent
		share  float64
		want   bool
	}{
		{Parent{}, 0, false},
		{Parent{}, 1, true},
		{Parent{trace.TraceID{1}, trace.SpanID{2}, true}, 0, true},
		{Parent{trace.TraceID{1}, trace.SpanID{2}, false}, 1, false},
	} {
		q := slowPut()
		q.Parent = c.parent
		if got := len(spansOf(q, c.share)) > 0; got != c.want {
			t.Errorf("%+v: sampled %t", c, got)
		}
	}
	r := NewRecorder(Config{Log: slog.New(slog.DiscardHandler), Tracer: sdktrace.NewTracerProvider(), Sample: 0.5})
	sampled := 0
	for range 10_000 {
		if r.Samples(Parent{}) {
			sampled++
		}
	}
	if sampled < 4_000 || sampled > 6_000 {
		t.Errorf("%d of 10000 are sampled, want about half", sampled)
	}
}
