package scale

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"balsa.example/bench/result"
)

func sampleReport() *Report {
	s := &Series{
		Name: "callers", Title: "puts against callers", Setup: "Three servers.", Axis: "callers",
		Columns: []Column{{rateName, PerSecond, "rate", "puts"}, {p99Name, Seconds, "latency", p99Name}, {p50Name, Seconds, "latency", p50Name}, {peakName, Bytes, "", ""}},
		Load:    [2]float64{0.5, 2.25}, Elapsed: 3 * time.Second,
		Problems: []string{"it rained"},
	}
	one, many := s.Row("1", 1), s.Row("1,000,000", 1e6)
	for _, rate := range []float64{2000, 1000, 3000} {
		one.Add(rateName, rate)
	}
	one.Add(p99Name, 0.002)
	one.Add(peakName, 1_500_000)
	many.Add(rateName, 12_000)
	many.Add(p99Name, 0.04)
	many.fail(map[string]int64{"timeout": 1200, "maybe": 3})
	s.noFailures()
	ratio, ok := s.ratio(rateName, "1,000,000", "1")
	s.goal("six times as much", Times, ratio, ratio >= 6, ok)
	ratio, ok = s.ratio(p50Name, "1,000,000", "1")
	s.goal("as fast", Times, ratio, ratio <= 1, ok)
	timed := &Series{Name: "catchup", Title: "over time", Setup: "Over time.", Axis: "while", Columns: []Column{{rateName, PerSecond, "", ""}},
		Traces: []Trace{{"puts", "leader", PerSecond, "seconds", 0.3, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, {"puts", "other", PerSecond, "seconds", 0.3, []float64{3}}}}
	timed.Row("one is down", 0)
	return &Report{
		Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Series: []*Series{s, timed},
		Machine: result.Machine{CPU: "Abacus 9", CPUs: 2, OS: "linux/amd64 6.1", Go: "go1.26", Sync: 345 * time.Microsecond, Load: [2]float64{0.51, 3.04}},
	}
}

func TestTables(t *testing.T) {
	const want = `# Cost as work grows

2 × Abacus 9, linux/amd64 6.1, go1.26; to append 512 bytes to a file and sync it takes 345 µs; load average 0.5 before, 3.0 after.

## callers: puts against callers

Three servers.
Load average 0.5 before, 2.2 after; took 3.00 s.

|   callers |                puts/s |     p99 | p50 |   peak |
|----------:|----------------------:|--------:|----:|-------:|
|         1 | 2,000 (1,000 – 3,000) | 2.00 ms |   - | 1.5 MB |
| 1,000,000 |                12,000 | 40.0 ms |   - |      - |

- Goal: no operation fails: **not met** (1,203)
- Goal: six times as much: **met** (6.00×)
- Goal: as fast: not measured
- Failed, 1,000,000: 3 × maybe
- Failed, 1,000,000: 1,200 × timeout
- Problem: it rained

## catchup: over time

Over time.
Load average 0.0 before, 0.0 after; took 0.00 µs.

| while       | puts/s |
|-------------|-------:|
| one is down |      - |


`
	var b bytes.Buffer
	if err := sampleReport().WriteTables(&b); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != want {
		t.Errorf("tables are\n%s\nwant\n%s", got, want)
	}
	r := sampleReport()
	r.Quick = true
	b.Reset()
	if err := r.WriteTables(&b); err != nil || !strings.Contains(b.String(), "-quick") {
		t.Errorf("of a quick run: %v\n%s", err, &b)
	}
}

func TestReportComesBack(t *testing.T) {
	r := sampleReport()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	back, err := Read(&b)
	if err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("came back as %+v, %v", back, err)
	}
	if _, err := Read(strings.NewReader("{")); err == nil {
		t.Error("half a file is read")
	}
}

func TestFigures(t *testing.T) {
	figures := sampleReport().Figures()
	byRow, byTime := figures["scale-callers"], figures["scale-catchup"]
	if len(figures) != 2 || len(byRow.Panels) != 2 || len(byTime.Panels) != 1 {
		t.Fatalf("figures are %+v", figures)
	}
	rate, latency := byRow.Panels[0], byRow.Panels[1]
	if y := rate.Series[0]; !reflect.DeepEqual(y.Y, []float64{2000, 12_000}) || y.Low[0] != 1000 || y.High[0] != 3000 || rate.X[1].Label != "1M" {
		t.Errorf("the rates are %+v", rate)
	}
	if !reflect.DeepEqual(byRow.Names, []string{"puts", p99Name, p50Name}) || len(latency.Series[0].Y) != 0 || latency.Series[1].Y[1] != 0.04 || latency.Series[2].Y[1] != 0 {
		t.Errorf("the latencies of %v are %+v", byRow.Names, latency)
	}
	trace := byTime.Panels[0]
	if len(trace.X) != 10 || trace.X[2].Label != "0.6" || trace.X[8].Label != "2.4" || trace.X[3].Label != "" || len(trace.Series) != 2 || len(trace.Series[0].Y) != 10 {
		t.Errorf("over time: %+v", trace)
	}
	for name, f := range figures {
		var b bytes.Buffer
		if err := f.Draw(&b); err != nil || b.Len() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnits(t *testing.T) {
	for _, test := range []struct {
		unit        Unit
		value       float64
		text, short string
	}{
		{PerSecond, 12_345.6, "12,346", "12.3k"},
		{Count, 3, "3", "3"},
		{Count, 4.444, "4.44", "4.44"},
		{Seconds, 0.0123, "12.3 ms", "12.3 ms"},
		{Bytes, 812.4, "812 B", "812B"},
		{Bytes, 1_500_000, "1.5 MB", "1.5MB"},
		{Bytes, 2_345_400_000, "2,345 MB", "2.35GB"},
		{Times, 1.234, "1.23×", "1.23"},
	} {
		if text, short := test.unit.Text(test.value), test.unit.short(test.value); text != test.text || short != test.short {
			t.Errorf("%v %s is %q and %q", test.value, test.unit, text, short)
		}
	}
}
