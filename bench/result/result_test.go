package result

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/loadgen"
)

// sample is of operations at a rate, whose latencies are p50 and ten times that.
func sample(perSecond float64, p50 time.Duration, failed int64) Sample {
	s := Sample{CPU: time.Second, Servers: 400 * time.Millisecond, Report: loadgen.Report{
		Elapsed: time.Second, Errors: map[string]int64{},
		Puts: &loadgen.Summary{
			Ops: int64(perSecond), PerSecond: perSecond,
			Latency: loadgen.Latency{Mean: p50, P50: p50, P90: 2 * p50, P99: 10 * p50, P999: 20 * p50, Max: 30 * p50},
		},
	}}
	if failed > 0 {
		s.Report.Errors["timeout"] = failed
	}
	return s
}

func sampleResults() *Results {
	r := &Results{Machine: Machine{
		CPU: "Abacus 9", CPUs: 2, OS: "linux/amd64 6.1", Go: "go1.26", Sync: 345 * time.Microsecond,
		Load: [2]float64{0.51, 3.04}, Versions: map[string]string{"hashicorp": "v1", "etcd": "v3"},
	}}
	c := Case{"service", "put", 1}
	for _, perSecond := range []float64{2000, 1000, 3000} {
		r.Add(c, "balsa", sample(perSecond, time.Millisecond, 0))
	}
	for _, perSecond := range []float64{1000, 1000, 500} {
		r.Add(c, "etcd", sample(perSecond, 2*time.Millisecond, 1))
	}
	r.Add(Case{"service", "put", 1000}, "balsa", sample(50_000, 20*time.Millisecond, 0))
	r.Add(Case{"service", "put", 1000}, "etcd", Sample{Report: loadgen.Report{Errors: map[string]int64{"timeout": 9}}})
	return r
}

func TestTable(t *testing.T) {
	const want = `2 × Abacus 9, linux/amd64 6.1, go1.26; to append 512 bytes to a file and sync it takes 345 µs; load average 0.5 before, 3.0 after.
Compared with: etcd v3, hashicorp v1.

service, puts

| callers | system          |  ops/s | lowest – highest |     p50 |     p99 |   p99.9 |  CPU/op | servers |            balsa is |
|--------:|-----------------|-------:|-----------------:|--------:|--------:|--------:|--------:|--------:|--------------------:|
|       1 | balsa           |  2,000 |    1,000 – 3,000 | 1.00 ms | 10.0 ms | 20.0 ms |  500 µs |  200 µs |                     |
|       1 | etcd (3 failed) |  1,000 |      500 – 1,000 | 2.00 ms | 20.0 ms | 40.0 ms | 1.00 ms |  400 µs | 2.00× (1.00 – 6.00) |
|    1000 | balsa           | 50,000 |  50,000 – 50,000 | 20.0 ms |  200 ms |  400 ms | 20.0 µs | 8.00 µs |                     |
|    1000 | etcd (9 failed) |      - |                - |       - |       - |       - |       - |       - |                   - |

`
	var b bytes.Buffer
	if err := sampleResults().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != want {
		t.Errorf("table is\n%s\nwant\n%s", got, want)
	}
}

func TestResultsComeBack(t *testing.T) {
	r := sampleResults()
	r.Began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
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

func TestOperationsInWords(t *testing.T) {
	for operation, want := range map[string]string{
		"put": "puts", "get": "linearizable gets", "txn": "txns", "update": "updates", "range-100": "linearizable ranges of 100 keys",
		"watch-7": "deliveries to 7 watchers", "lease-9": "keep-alives of 9 leases",
	} {
		if got := describe(operation); got != want {
			t.Errorf("%s is %q, want %q", operation, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{3, 1, 2}, Spread{2, 1, 3}},
		{[]float64{4, 1, 2, 3}, Spread{2.5, 1, 4}},
	} {
		if got := SpreadOf(test.values); got != test.want {
			t.Errorf("spread of %v is %v, want %v", test.values, got, test.want)
		}
	}
}

func TestSummary(t *testing.T) {
	f := sampleResults().Summary()
	if len(f.Panels) != 1 || f.Panels[0].Title != "service, puts" || len(f.Panels[0].Bars) != 1 {
		t.Fatalf("summary is %+v", f)
	}
	if bar := f.Panels[0].Bars[0]; bar.Name != "etcd" || bar.Group != "1 caller" || bar.Value < bar.Low || bar.Value > bar.High {
		t.Errorf("bar is %+v", bar)
	}
}

func TestFigures(t *testing.T) {
	figures := sampleResults().Figures()
	throughput, latency := figures["service-throughput"], figures["service-latency"]
	if len(figures) != 2 || len(throughput.Panels) != 1 || len(latency.Panels) != 2 {
		t.Fatalf("figures are %+v", figures)
	}
	balsa, etcd := throughput.Panels[0].Series[0], throughput.Panels[0].Series[1]
	if !reflect.DeepEqual(balsa.Y, []float64{2000, 50_000}) || balsa.Low[0] != 1000 || balsa.High[0] != 3000 || etcd.Y[1] != 0 {
		t.Errorf("throughput is %+v and %+v", balsa, etcd)
	}
	if y := latency.Panels[1].Series[0].Y; len(y) != 4 || math.Abs(y[2]-0.2) > 1e-9 || latency.Panels[1].Title != "puts, 1,000 callers" {
		t.Errorf("latency is %+v", latency.Panels[1])
	}
	for name, f := range figures {
		var b bytes.Buffer
		if err := f.Draw(&b); err != nil || !strings.Contains(b.String(), "etcd") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
