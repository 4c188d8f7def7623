package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"balsa.example/compat/series"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

//go:embed testdata/etcd-mixin.txt
var mixin string

var metricsChecks = []check{{name: "metrics/rules", loose: true, run: metricsRules}, {name: "metrics/families", loose: true, run: metricsFamilies}, {name: "metrics/counts", loose: true, run: metricsCounts}}

// metricsRules evaluates the alerts and dashboards that etcd publishes over what the members say of
// themselves, by Prometheus' own engine. An expression of a dashboard has a value, and so has each
// side of what an alert compares. No alert fires of those that the speed of the machine does not decide.
func metricsRules(t *T) {
	const scrapes = 6
	t.awaitMetrics()
	db := series.Storage{}
	begin := time.Now().Add(-time.Hour).Truncate(time.Minute)
	for i := range scrapes { // it is said that 40 seconds are between them: rates want minutes
		t.makeWork(fmt.Sprint(i))
		at := begin.Add(time.Duration(i) * 40 * time.Second)
		for _, s := range t.cluster.servers {
			t.fail("scrape", s.scrape(t.ctx, db, at.UnixMilli()))
		}
	}
	now := begin.Add((scrapes-1)*40*time.Second + time.Second)
	engine := series.NewEngine(30 * time.Second)
	defer engine.Close()
	value := func(expr string) (text string, fires bool) {
		v, err := db.Query(t.ctx, engine, expr, now)
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
		for _, side := range series.ComparedSides(parsed) {
			text, _ := value(side.String())
			sides = append(sides, text)
		}
		text := strings.Join(sides, ", ")
		if _, fires := value(expr); !strings.Contains(expr, "_seconds") { // how long things take is the machine's
			text += fmt.Sprintf("; fires: %t", fires)
		}
		t.say(name, "%s", text)
	}
}

// awaitMetrics waits until each member has measured the way to the others, which it does every few seconds.
func (t *T) awaitMetrics() {
	for _, s := range t.cluster.servers {
		t.await("metrics", func() bool {
			return strings.Contains(t.body("http://"+s.endpoint+"/metrics"), "\netcd_network_peer_round_trip_time_seconds_count{")
		})
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

// scrape adds what a member says now, as of a time in milliseconds.
func (s *server) scrape(ctx context.Context, db series.Storage, at int64) error {
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
		db.Add(l.String(), l, at, v)
	}
	add(labels.FromStrings("__name__", "up"), 1)
	return series.Parse(data, add)
}
