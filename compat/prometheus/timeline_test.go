package prometheus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"balsa.example/compat/rig"
	"balsa.example/compat/series"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
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
	series series.Storage
	engine *promql.Engine
}

// begin begins a timeline, some days ago.
func begin(t testing.TB) *timeline {
	engine := series.NewEngine(rig.Patience)
	t.Cleanup(func() { engine.Close() })
	return &timeline{t: t, now: time.Now().Add(-7 * 24 * time.Hour).Truncate(time.Minute), series: series.Storage{}, engine: engine}
}

// fork is a timeline that goes on from here.
func (tl *timeline) fork() *timeline {
	next := *tl
	next.series = tl.series.Clone()
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
		if err := series.Parse(body, func(l labels.Labels, v float64) { all.add(l, s.metrics, job, v) }); err != nil {
			c.t.Fatalf("%s: %v", s.name, err)
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

// isTime tells whether a metric is a time that goes on. When a process has started is what it was.
func isTime(name string) bool {
	return strings.HasSuffix(name, "_timestamp_seconds") || name == "balsa_server_time_seconds"
}

// add adds a scrape of now, and time passes. A series that is not there any more ends, as Prometheus
// marks it.
func (tl *timeline) add(what scraped) {
	tl.now = tl.now.Add(every)
	at := tl.now.UnixMilli()
	for name, v := range what {
		if isTime(v.name()) && v.v != 0 {
			v.v += tl.now.Sub(v.at).Seconds()
		}
		tl.series.Add(name, v.labels, at, v.v)
	}
	for name, s := range tl.series {
		if _, there := what[name]; !there && s.Floats[len(s.Floats)-1].T == at-every.Milliseconds() {
			tl.series.Add(name, s.Metric, at, staleNaN)
		}
	}
}

// query evaluates an expression as of now.
func (tl *timeline) query(expr string) promql.Vector {
	tl.t.Helper()
	v, err := tl.series.Query(context.Background(), tl.engine, expr, tl.now)
	if err != nil {
		tl.t.Fatalf("%s: %v", expr, err)
	}
	return v
}
