package tracing

import (
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"balsa.example/internal/metrics"
	"balsa.example/internal/ratelog"
)

// At most slowLines lines are logged in each slowPeriod: when a disk hangs, all requests are slow.
const (
	slowLines  = 10
	slowPeriod = 10 * time.Second
)

// Recorder takes requests that have ended. A nil Recorder wants none.
type Recorder struct {
	slow   time.Duration
	log    *ratelog.Logger
	count  *metrics.Slow
	tracer trace.Tracer // nil: there are no spans
	sample float64
	member string
	began  time.Time
	asked  budget // of clients that ask for spans
}

// Config says what becomes of requests.
type Config struct {
	// Slow is how long a request takes that is logged and counted as slow; 0: none is.
	Slow  time.Duration
	Log   *slog.Logger
	Count *metrics.Slow
	// Tracer makes spans of the requests that Samples; nil: of none. Sample is the share of those that
	// are sampled if their client does not say, from 0 to 1.
	Tracer trace.TracerProvider
	Sample float64
	// Member is the name of this server, for spans: several may share a Tracer.
	Member string
}

// NewRecorder returns a Recorder.
func NewRecorder(cfg Config) *Recorder {
	r := &Recorder{slow: cfg.Slow, log: ratelog.New(cfg.Log, slowLines, slowPeriod), count: cfg.Count, sample: cfg.Sample, member: cfg.Member,
		began: time.Now().Add(-time.Second)} // as if it had been quiet before
	if cfg.Tracer != nil {
		r.tracer = cfg.Tracer.Tracer("balsa.example")
	}
	return r
}

// On tells whether any request may be wanted: without, faces need not look at the clock.
func (r *Recorder) On() bool { return r != nil && (r.slow > 0 || r.tracer != nil) }

// Wants tells whether to Record a request that took so long, and is Sampled or not.
func (r *Recorder) Wants(took time.Duration, sampled bool) bool { return sampled || r.isSlow(took) }

func (r *Recorder) isSlow(took time.Duration) bool { return r != nil && r.slow > 0 && took >= r.slow }

// Record takes a request that Wants has asked for.
func (r *Recorder) Record(q *Request) {
	if took := q.Ended.Sub(q.Began); r.isSlow(took) {
		r.count.Count(q.Kind)
		r.log.Warn("slow request", q.attributes(took)...)
	}
	if q.Sampled {
		r.makeSpans(q)
	}
}

// attributes are what a line of the log says of a request.
func (q *Request) attributes(took time.Duration) []any {
	all := []any{"took", rounded(took), "api", q.API, "kind", q.Kind, "outcome", q.Outcome}
	if q.Key != "" {
		all = append(all, "key", q.Key)
	}
	all = append(all, "bytes", q.Bytes, "client", q.Client)
	if q.User != "" {
		all = append(all, "user", q.User)
	}
	if q.Entry.Index > 0 {
		all = append(all, "index", q.Entry.Index, "term", q.Entry.Term)
	}
	all = append(all, "leads", q.Leads)
	for _, p := range q.Phases {
		all = append(all, p.Name, rounded(p.To.Sub(p.From)))
	}
	return all
}

func rounded(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
