package tracing

import (
	"log/slog"
	"time"

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
	slow  time.Duration
	log   *ratelog.Logger
	count *metrics.Slow
}

// NewRecorder returns a Recorder that logs requests which took as long as slow, and counts them. 0: none
// is slow.
func NewRecorder(slow time.Duration, log *slog.Logger, count *metrics.Slow) *Recorder {
	return &Recorder{slow: slow, log: ratelog.New(log, slowLines, slowPeriod), count: count}
}

// On tells whether any request may be wanted: without, faces need not look at the clock.
func (r *Recorder) On() bool { return r != nil && r.slow > 0 }

// Wants tells whether to Record a request that took so long.
func (r *Recorder) Wants(took time.Duration) bool { return r.On() && took >= r.slow }

// Record takes a request that Wants has asked for.
func (r *Recorder) Record(q *Request) {
	if took := q.Ended.Sub(q.Began); r.slow > 0 && took >= r.slow {
		r.count.Count(q.Kind)
		r.log.Warn("slow request", q.attributes(took)...)
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
