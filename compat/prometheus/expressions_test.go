package prometheus

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"balsa.example/compat/series"
)

// work makes a cluster do a little of everything that is counted.
func (c *cluster) work() {
	c.t.Helper()
	c.do("put", "a", "1")
	c.do("get", "a")
	for _, s := range c.servers {
		if s.cmd != nil {
			c.etcd(s, "kv/range", `{"key":"YQ=="}`)
			c.etcd(s, "kv/put", `{"key":"YQ==","value":"MQ=="}`)
		}
	}
}

// busy is a timeline of a quarter of an hour in which a cluster works.
func busy(t testing.TB, c *cluster) *timeline {
	t.Helper()
	c.do("backup", c.file("backup"))
	tl := begin(t)
	for range 6 {
		c.work()
		now := c.scrape(job)
		for range 5 {
			tl.add(now)
		}
	}
	return tl
}

// expressions are those of the dashboard in ops/grafana, with what Grafana puts in for its variables.
func expressions(t testing.TB) (all []string) {
	t.Helper()
	text, err := os.ReadFile("../../ops/grafana/balsa.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range dashboard.Panels {
		if seen[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d (%s) is not whole, or there are two of its id", p.ID, p.Title)
		}
		seen[p.ID] = true
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$job", job, "$instance", ".*", "$__rate_interval", "2m").Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s has a variable that nobody knows", target.Expr)
			}
			all = append(all, expr)
		}
	}
	return all
}

// Every expression that somebody may ask has series, or at least each side of what it compares has:
// the alerts and the dashboard of ops, and those that etcd publishes.
func TestExpressionsHaveSeries(t *testing.T) {
	c := start(t, 3, 365*24*time.Hour)
	tl := busy(t, c)
	asked := 0
	sides := func(expr string) {
		t.Helper()
		e, err := parse.ParseExpr(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			return
		}
		for _, side := range series.ComparedSides(e) {
			asked++
			if len(tl.query(side.String())) == 0 && !strings.HasPrefix(side.String(), "absent(") {
				t.Errorf("there are no series of %s, in %s", side, expr)
			}
		}
	}
	for _, a := range alerts(t) {
		sides(a.Expr)
	}
	for _, expr := range expressions(t) {
		sides(expr)
	}
	mixin, err := os.ReadFile("../testdata/etcd-mixin.txt")
	if err != nil {
		t.Fatal(err)
	}
	etcd := 0
	for line := range strings.Lines(string(mixin)) {
		if name, expr, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(name, "#") {
			etcd++
			sides(strings.NewReplacer(".*etcd.*", ".*balsa.*", `"etcd"`, `"`+job+`"`).Replace(expr))
		}
	}
	if etcd < 30 {
		t.Errorf("only %d expressions of etcd's were found", etcd)
	}
	t.Logf("%d expressions and sides of comparisons have series", asked)
}
