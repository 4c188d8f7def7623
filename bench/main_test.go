package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa.example/bench/result"
)

// TestMain lets this test's program run contenders, as the real one does.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == childCommand {
		exit(serve(os.Args[2], os.Args[3], os.Args[4], os.Args[5]))
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil || !slices.Equal(o.callers, []int{1, 100, 1000}) || !slices.Equal(o.systems, []string{"balsa", "dragonboat", "hashicorp", "etcd"}) {
		t.Errorf("without flags: %+v, %v", o, err)
	}
	if o, err = parse([]string{"-quick", "-systems", "balsa,etcd", "-callers", "7"}, io.Discard); err != nil || o.rounds != 1 || o.duration >= time.Second || len(o.systems) != 2 || o.callers[0] != 7 {
		t.Errorf("quick: %+v, %v", o, err)
	}
	for _, args := range []string{"-systems balsa,zk", "-compare all", "-callers 0", "-callers 1,x", "-rounds 0", "-operations scan", "-operations range", "-operations range-x", "-operations watch-0", "-operations txn-5", "-operations range-101 -keys 100", "-duration 0s", "extra", "-nonsense"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%q is understood", args)
		}
	}
}

// TestLibraryComparison goes through everything but servers: children, rounds, results
// and files.
func TestLibraryComparison(t *testing.T) {
	out, dir := filepath.Join(t.TempDir(), "out"), t.TempDir()
	if err := checkDisk(dir); err != nil {
		t.Skip(err)
	}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{
		"-compare", "library", "-systems", "balsa,hashicorp", "-callers", "1,4", "-rounds", "2",
		"-duration", "50ms", "-warmup", "10ms", "-keys", "100", "-out", out, "-dir", dir,
	}, &stdout, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	for _, part := range []string{"library, puts", "library, linearizable gets", "| hashicorp", "×"} {
		if !strings.Contains(stdout.String(), part) {
			t.Errorf("no %q in\n%s", part, &stdout)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	checkResults(t, filepath.Join(out, "results.json"))
	checkTurns(t, stderr.String())

	drawn := filepath.Join(t.TempDir(), "drawn")
	var again bytes.Buffer
	if err := run(t.Context(), []string{"-draw", filepath.Join(out, "results.json"), "-out", drawn}, &again, io.Discard); err != nil || again.String() != stdout.String() {
		t.Errorf("drawn again: %v\n%s", err, &again)
	}
	for _, name := range []string{"results.json", "table.md", "library-throughput.svg", "library-latency.svg"} {
		a, errA := os.ReadFile(filepath.Join(out, name))
		b, errB := os.ReadFile(filepath.Join(drawn, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) || len(a) == 0 {
			t.Errorf("%s: %d and %d bytes, %v, %v", name, len(a), len(b), errA, errB)
		}
	}
}

func checkResults(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := result.Read(f)
	if err != nil || len(r.Series) != 8 || r.Machine.Sync <= 0 || r.Machine.CPUs < 1 || r.Machine.Versions["hashicorp"] == "" {
		t.Fatalf("results are %+v, %v", r, err)
	}
	for _, s := range r.Series {
		for _, sample := range s.Samples {
			if len(s.Samples) != 2 || sample.Report.Ops() == 0 || sample.Report.Failed() > 0 || sample.CPU <= 0 || sample.Report.Load.Callers != s.Callers {
				t.Errorf("%+v has samples %+v", s.Case, s.Samples)
			}
		}
	}
}

// checkTurns sees that systems take turns, and that another begins in each round.
func checkTurns(t *testing.T, progress string) {
	t.Helper()
	var turns []string
	for line := range strings.Lines(progress) {
		if fields := strings.Fields(line); len(fields) > 5 && strings.HasSuffix(fields[0], "/2") {
			turns = append(turns, fields[0]+fields[5])
		}
	}
	want := slices.Concat(slices.Repeat([]string{"1/2balsa", "1/2hashicorp"}, 4), slices.Repeat([]string{"2/2hashicorp", "2/2balsa"}, 4))
	if !slices.Equal(turns, want) {
		t.Errorf("turns were %v", turns)
	}
}

func TestChildThatCannotOpen(t *testing.T) {
	c := contender{comparison: "library", name: "nobody"}
	if _, err := start(t.Context(), c, "", t.TempDir()); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("error is %v", err)
	}
}

// TestInterruption ends a comparison after its first measurement, with an hour to go.
func TestInterruption(t *testing.T) {
	dir := t.TempDir()
	if err := checkDisk(dir); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	stderr := writerFunc(func(b []byte) (int, error) {
		if strings.HasPrefix(string(b), "1/9000") {
			cancel()
		}
		return len(b), nil
	})
	var stdout bytes.Buffer
	err := run(ctx, []string{
		"-compare", "library", "-systems", "balsa", "-callers", "1", "-rounds", "9000", "-duration", "200ms", "-warmup", "0s", "-keys", "10",
		"-dir", dir, "-out", filepath.Join(t.TempDir(), "out"),
	}, &stdout, stderr)
	if err == nil || !strings.Contains(stdout.String(), "library, puts") || time.Since(began) > 30*time.Second {
		t.Errorf("after %v: %v\n%s", time.Since(began), err, &stdout)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
