package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

//go:embed testdata/etcd-mixin.txt
var mixin string

var metricsChecks = []check{{name: "metrics/rules", loose: true, run: metricsRules}}

// metricsRules evaluates the alerts and dashboards that etcd publishes over what the members say of
// themselves, by Prometheus' own engine. An expression of a dashboard has a value, and so has each
// side of what an alert compares. No alert fires.
func metricsRules(t *T) {
	const scrapes, every = 6, 500 * time.Millisecond
	db := &scraped{of: map[string]*scrapedSeries{}}
	begin := time.Now().Add(-time.Hour).Truncate(time.Minute)
	for i := range scrapes { // half a second stands for 40: rates want minutes
		t.makeWork(fmt.Sprint(i))
		at := begin.Add(time.Duration(i) * 40 * time.Second)
		for _, s := range t.cluster.servers {
			t.fail("scrape", db.scrape(t.ctx, s, at.UnixMilli()))
		}
		time.Sleep(every)
	}
	now := begin.Add((scrapes-1)*40*time.Second + time.Second)
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 24, Timeout: 30 * time.Second, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true})
	defer engine.Close()
	value := func(expr string) (text string, fires bool) {
		q, err := engine.NewInstantQuery(t.ctx, db, nil, expr, now)
		t.fail("query "+expr, err)
		defer q.Close()
		v, err := q.Exec(t.ctx).Vector()
		t.fail("query "+expr, err)
		if len(v) == 0 {
			return "nothing", false
		}
		return "series", true
	}
	for line := range strings.Lines(mixin) {
		name, expr, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if name == "dashboard" {
			text, _ := value(expr)
			t.say("dashboard "+expr, "%s", text)
			continue
		}
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
		t.fail("parse "+expr, err)
		var sides []string
		for _, side := range comparedSides(parsed) {
			text, _ := value(side.String())
			sides = append(sides, text)
		}
		_, fires := value(expr)
		t.say(name, "%s; fires: %t", strings.Join(sides, ", "), fires)
	}
}

// makeWork asks for what the dashboards show.
func (t *T) makeWork(value string) {
	t.put("a", value)
	for i := range t.conns {
		t.sendTo(i, &pb.RangeRequest{Key: t.b("a")})
		t.sendTo(i, &pb.PutRequest{Key: t.b("a"), Value: []byte(value)})
	}
	t.watcher(0).create(&pb.WatchCreateRequest{Key: t.b("a")})
}

// comparedSides are the expressions that an alert compares with each other or with numbers.
func comparedSides(e parser.Expr) []parser.Expr {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return comparedSides(e.Expr)
	case *parser.NumberLiteral:
		return nil
	case *parser.BinaryExpr:
		if e.Op == parser.LAND || e.Op.IsComparisonOperator() && !e.ReturnBool {
			return append(comparedSides(e.LHS), comparedSides(e.RHS)...)
		}
	}
	return []parser.Expr{e}
}

// scraped is what was scraped, as Prometheus' engine reads it.
type scraped struct{ of map[string]*scrapedSeries }

type scrapedSeries struct {
	labels  labels.Labels
	samples []chunks.Sample
}

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

// scrape adds what a member says now, as of a time in milliseconds.
func (db *scraped) scrape(ctx context.Context, s *server, at int64) error {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.endpoint+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	add := func(l labels.Labels, v float64) {
		b := labels.NewBuilder(l)
		b.Set("job", "etcd").Set("instance", s.name)
		l = b.Labels()
		if db.of[l.String()] == nil {
			db.of[l.String()] = &scrapedSeries{labels: l}
		}
		one := db.of[l.String()]
		one.samples = append(one.samples, sample{at, v})
	}
	add(labels.FromStrings("__name__", "up"), 1)
	for p := textparse.NewPromParser(data, labels.NewSymbolTable(), false); ; {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry == textparse.EntrySeries {
			var l labels.Labels
			p.Labels(&l)
			_, _, v := p.Series()
			add(l, v)
		}
	}
}

func (db *scraped) Querier(from, to int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		set := &scrapedSet{at: -1}
		for _, s := range db.of {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
				set.series = append(set.series, storage.NewListSeries(s.labels, s.samples))
			}
		}
		slices.SortFunc(set.series, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
		return set
	}}, nil
}

type scrapedSet struct {
	series []storage.Series
	at     int
}

func (s *scrapedSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *scrapedSet) At() storage.Series                { return s.series[s.at] }
func (s *scrapedSet) Err() error                        { return nil }
func (s *scrapedSet) Warnings() annotations.Annotations { return nil }
