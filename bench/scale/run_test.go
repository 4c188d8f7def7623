package scale

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// tiny is as little as shows that everything works.
var tiny = sizes{
	rounds: 1, warmup: 10 * time.Millisecond, duration: 50 * time.Millisecond,
	callerCounts: []int{1, 20}, valueBytes: []int{256, 4096}, keyCounts: []int{300}, nodeCounts: []int{1, 3}, readCallers: []int{1, 20},
	manyKeys: 3000, steady: 600 * time.Millisecond, phase: 600 * time.Millisecond, raftKB: 100, cutKB: 8 << 10, events: 1,
}

func runner(t *testing.T, program string) *Runner {
	return &Runner{Program: program, Dir: t.TempDir(), Progress: t.Output(), LoadAverage: func() float64 { return 1 }}
}

// TestAllSeries measures everything, and looks that each table is full.
func TestAllSeries(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs servers")
	}
	program := filepath.Join(t.TempDir(), "balsa")
	build := exec.Command("go", "build", "-o", program, "balsa.example/cmd/balsa")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build balsa: %v\n%s", err, out)
	}
	r := runner(t, program)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s := &session{Runner: r, sizes: tiny, series: &Series{Name: k.name, Title: k.title}}
			if err := s.run(t.Context(), k); err != nil {
				t.Fatal(err)
			}
			checkSeries(t, s.series)
		})
	}
	if left, err := os.ReadDir(r.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// checkSeries wants each cell but those of the row that is of a whole run, and each
// goal measured, met or not.
func checkSeries(t *testing.T, s *Series) {
	t.Helper()
	if len(s.Rows) == 0 || len(s.Goals) == 0 || s.Setup == "" || s.Elapsed <= 0 || s.Load != [2]float64{1, 1} {
		t.Errorf("series is %+v", s)
	}
	for _, row := range s.Rows {
		cells := s.cells(row)
		if i := slices.Index(cells, "-"); i >= 0 && row.Label != together {
			t.Errorf("%s, %s: no %s in %v", s.Name, row.Label, s.Columns[i-1].Name, cells)
		}
	}
	for _, g := range s.Goals {
		if g.Got == "" {
			t.Errorf("%s: not measured", g.Says)
		}
	}
	for _, p := range s.figure().Panels {
		if len(p.X) == 0 {
			t.Errorf("panel %q is empty", p.Title)
		}
	}
}

// TestWholeRunIsBounded: most of half an hour, whatever happens.
func TestWholeRunIsBounded(t *testing.T) {
	var sum time.Duration
	for _, k := range kinds {
		sum += k.limit
	}
	if sum > 22*time.Minute {
		t.Errorf("the limits are %s together", sum)
	}
}

func TestNames(t *testing.T) {
	if got := Names(regexp.MustCompile("^(keys|fail)")); !slices.Equal(got, []string{"keys", "failover"}) {
		t.Errorf("chosen are %v", got)
	}
	if got := Names(regexp.MustCompile("")); len(got) != len(kinds) {
		t.Errorf("all are %v", got)
	}
}

// TestSeriesThatFails has no program: each series tells, and the next is tried.
func TestSeriesThatFails(t *testing.T) {
	r, report := runner(t, filepath.Join(t.TempDir(), "none")), &Report{}
	err := r.Run(t.Context(), regexp.MustCompile("callers|nodes"), report)
	if err == nil || !strings.Contains(err.Error(), "nodes") || len(report.Series) != 2 {
		t.Fatalf("%v, %+v", err, report)
	}
	for _, s := range report.Series {
		if len(s.Problems) != 1 || !strings.HasPrefix(s.Problems[0], "ended early") {
			t.Errorf("problems of %s are %q", s.Name, s.Problems)
		}
	}
	if err := report.WriteTables(io.Discard); err != nil {
		t.Error(err)
	}
}

// TestLimit ends a series that would wait for ever.
func TestLimit(t *testing.T) {
	wait := kind{"wait", "waiting", time.Millisecond, func(_ *session, ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	s := &session{Runner: runner(t, ""), series: &Series{Name: wait.name}}
	err := s.run(t.Context(), wait)
	if !errors.Is(err, context.DeadlineExceeded) || len(s.series.Problems) != 1 || !strings.Contains(s.series.Problems[0], "limit of 1ms is over") {
		t.Errorf("%v, %q", err, s.series.Problems)
	}
}
