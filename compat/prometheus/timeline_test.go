package prometheus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa.example/compat/rig"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

const (
	job = "balsa-test"
	// every is how often Prometheus scrapes and evaluates, in the times of a timeline.
	every = 30 * time.Second
)

// timeline is what Prometheus has scraped so far, with times that the test says. What is a time in a
// metric moves with them.
type timeline struct {
	t      testing.TB
	now    time.Time
	series map[string]*series
	engine *promql.Engine
}

type series struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// begin begins a timeline, some days ago.
func begin(t testing.TB) *timeline {
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1 << 24, Timeout: rig.Patience, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
	})
	t.Cleanup(func() { engine.Close() })
	return &timeline{t: t, now: time.Now().Add(-7 * 24 * time.Hour).Truncate(time.Minute), series: map[string]*series{}, engine: engine}
}

// fork is a timeline that goes on from here.
func (tl *timeline) fork() *timeline {
	next := *tl
	next.series = map[string]*series{}
	for name, s := range tl.series {
		next.series[name] = &series{s.labels, slices.Clone(s.samples)}
	}
	return &next
}

// scraped is what targets said in one scrape: values by series.
type scraped map[string]reading

type reading struct {
	labels labels.Labels
	v      float64
	at     time.Time // in the world
}

// with is the same reading with another value.
func (r reading) with(v float64) reading { return reading{r.labels, v, r.at} }

func (r reading) name() string { return r.labels.Get("__name__") }

func (s scraped) add(l labels.Labels, instance, job string, v float64) {
	b := labels.NewBuilder(l)
	b.Set("job", job).Set("instance", instance)
	l = b.Labels()
	s[l.String()] = reading{l, v, time.Now()}
}

// scrape asks all servers of a cluster, as one job.
func (c *cluster) scrape(job string) scraped {
	c.t.Helper()
	all := scraped{}
	for _, s := range c.servers {
		body, err := get(s)
		up := 1.0
		if err != nil {
			up = 0
		}
		all.add(labels.FromStrings("__name__", "up"), s.metrics, job, up)
		for p := textparse.NewPromParser(body, labels.NewSymbolTable(), false); ; {
			entry, err := p.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				c.t.Fatalf("%s: %v", s.name, err)
			}
			if entry == textparse.EntrySeries {
				var l labels.Labels
				p.Labels(&l)
				_, _, v := p.Series()
				all.add(l, s.metrics, job, v)
			}
		}
	}
	return all
}

func get(s *server) ([]byte, error) {
	if s.cmd == nil {
		return nil, errors.New("it does not run")
	}
	r, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	return io.ReadAll(r.Body)
}

func clientOf(pool *x509.CertPool) *http.Client {
	return &http.Client{Timeout: rig.Patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

// isTime tells whether a metric is a time.
func isTime(name string) bool {
	return strings.HasSuffix(name, "_timestamp_seconds") || name == "balsa_server_time_seconds" || name == "process_start_time_seconds"
}

// add adds a scrape of now, and time passes. A series that is not there any more ends, as Prometheus
// marks it.
func (tl *timeline) add(what scraped) {
	tl.now = tl.now.Add(every)
	at := tl.now.UnixMilli()
	for name, v := range what {
		s := tl.series[name]
		if s == nil {
			s = &series{labels: v.labels}
			tl.series[name] = s
		}
		if isTime(v.name()) && v.v != 0 {
			v.v += tl.now.Sub(v.at).Seconds()
		}
		s.samples = append(s.samples, sample{at, v.v})
	}
	for name, s := range tl.series {
		if _, there := what[name]; !there && s.samples[len(s.samples)-1].T() == at-every.Milliseconds() {
			s.samples = append(s.samples, sample{at, staleNaN})
		}
	}
}

// query evaluates an expression as of now.
func (tl *timeline) query(expr string) promql.Vector {
	tl.t.Helper()
	q, err := tl.engine.NewInstantQuery(context.Background(), tl, nil, expr, tl.now)
	if err != nil {
		tl.t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	v, err := q.Exec(context.Background()).Vector()
	if err != nil {
		tl.t.Fatalf("%s: %v", expr, err)
	}
	return slices.Clone(v)
}

// comparedSides are the expressions that an alert compares with each other or with numbers.
func comparedSides(e parser.Expr) []parser.Expr {
	if e.Type() == parser.ValueTypeScalar {
		return nil
	}
	switch e := e.(type) {
	case *parser.ParenExpr:
		return comparedSides(e.Expr)
	case *parser.BinaryExpr:
		sides := e.Op == parser.LAND || e.Op == parser.LOR || e.Op.IsComparisonOperator() && !e.ReturnBool
		if sides {
			return append(comparedSides(e.LHS), comparedSides(e.RHS)...)
		}
	}
	return []parser.Expr{e}
}

// Querier makes a timeline a storage.Queryable.
func (tl *timeline) Querier(from, to int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		set := &seriesSet{at: -1}
		for _, name := range slices.Sorted(maps.Keys(tl.series)) {
			s := tl.series[name]
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
				set.series = append(set.series, storage.NewListSeries(s.labels, s.samples))
			}
		}
		return set
	}}, nil
}

type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// sample is a chunks.Sample.
type sample struct {
	t int64
	v float64
}

func (s sample) ST() int64                     { return 0 }
func (s sample) T() int64                      { return s.t }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
