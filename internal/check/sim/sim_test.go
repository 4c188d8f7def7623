package sim

import (
	"flag"
	"testing"
	"time"
)

var (
	flagSeeds = flag.Uint64("sim.seeds", 120, "how many seeds TestSeeds runs")
	flagFirst = flag.Uint64("sim.first", 1, "the first of them")
)

// TestSeeds runs some seeds. All of them together must have met every fault, and
// clients must have got somewhere.
func TestSeeds(t *testing.T) {
	total := Totals{Begin: time.Now()}
	seeds := *flagSeeds
	if testing.Short() {
		seeds /= 4
	}
	for seed := *flagFirst; seed < *flagFirst+seeds; seed++ {
		r := Run(Options{Seed: seed, Duration: 10 * time.Second})
		total.Add(r)
		if r.Violation != nil {
			for _, l := range r.Last[max(0, len(r.Last)-40):] {
				t.Log(l)
			}
			t.Errorf("seed %d: %v\nreplay: go run ./internal/check/sim/cmd --seed %d --duration 10s", seed, r.Violation, seed)
		}
	}
	t.Log(&total)
	if seeds >= 60 {
		for _, problem := range total.Empty() {
			t.Error(problem)
		}
	}
}

// TestSameSeedSameRun: no map order, no clock and no goroutine decides anything.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		opt := Options{Seed: seed, Duration: 5 * time.Second, Disk: Disk(1 + seed%2)}
		a := RunTwice(opt)
		if a.Violation != nil {
			t.Errorf("seed %d: %v", seed, a.Violation)
		}
		opt.Seed += 1000
		if c := Run(opt); c.Hash == a.Hash {
			t.Errorf("seeds %d and %d have one hash", seed, opt.Seed)
		}
	}
}
