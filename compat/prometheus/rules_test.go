package prometheus

import (
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/parser"
)

const rulesFile = "../../ops/prometheus/balsa.rules.yaml"

// staleNaN is how Prometheus marks the end of a series.
var staleNaN = math.Float64frombits(value.StaleNaN)

var parse = parser.NewParser(parser.Options{})

// alerts are the rules of ops/prometheus, as Prometheus parses them.
func alerts(t testing.TB) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.LegacyValidation, parse)
	for _, err := range errs {
		t.Error(err)
	}
	if len(errs) > 0 {
		t.FailNow()
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Each alert is well formed, has a name of its own, and a section of the manual that says what to do.
func TestAlertsAreValid(t *testing.T) {
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		if seen[a.Alert] {
			t.Errorf("there are two alerts %s", a.Alert)
		}
		seen[a.Alert] = true
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("the severity of %s is %q", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s says too little", a.Alert)
		}
		if want := "docs/monitoring.md#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("the runbook of %s is %q, want %q", a.Alert, a.Annotations["runbook_url"], want)
		}
		if !strings.Contains(string(page), "\n### "+a.Alert+"\n") {
			t.Errorf("docs/monitoring.md has no section %s", a.Alert)
		}
	}
	for line := range strings.Lines(string(page)) {
		name, is := strings.CutPrefix(strings.TrimSpace(line), "### Balsa")
		if is && !seen["Balsa"+name] {
			t.Errorf("docs/monitoring.md has a section Balsa%s, and there is no such alert", name)
		}
	}
}

// promtool of the distribution agrees, where it is installed.
func TestPromtoolAgrees(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool: in Debian it comes with the package prometheus")
	}
	if out, err := exec.Command(promtool, "check", "rules", rulesFile).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// firing are the alerts that fire while a timeline goes on.
type firing struct {
	tl     *timeline
	alerts []rulefmt.Rule
	since  map[string]time.Time // of what is active, by the alert and its labels
}

func watch(tl *timeline) *firing {
	return &firing{tl, alerts(tl.t), map[string]time.Time{}}
}

// only leaves one alert.
func (f *firing) only(name string) *firing {
	for _, a := range f.alerts {
		if a.Alert == name {
			f.alerts = []rulefmt.Rule{a}
			return f
		}
	}
	f.tl.t.Fatalf("there is no alert %s", name)
	return nil
}

// look evaluates the alerts now, and returns the names of those that fire: whose expression had the same
// series for as long as they say.
func (f *firing) look() map[string]bool {
	f.tl.t.Helper()
	names, active := map[string]bool{}, map[string]time.Time{}
	for _, a := range f.alerts {
		for _, s := range f.tl.query(a.Expr) {
			key := a.Alert + s.Metric.String()
			since, ok := f.since[key]
			if !ok {
				since = f.tl.now
			}
			active[key] = since
			if f.tl.now.Sub(since) >= time.Duration(a.For) {
				names[a.Alert] = true
			}
		}
	}
	f.since = active
	return names
}
