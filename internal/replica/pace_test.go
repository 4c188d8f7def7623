package replica

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is done in the background rests for some times as long as it has worked, but never long, and not for so
// short that it would be woken late, and not at all when it is urgent, or has only just begun, or nobody waits any more.
func TestRestsOfWhatIsDoneInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		p := &pace{done: done, rested: time.Now()}
		rest := func(worked time.Duration, times int) time.Duration {
			time.Sleep(worked)
			began := time.Now()
			if gentle := p.pause(0, times); gentle == p.urgent.Load() {
				t.Errorf("it says that it is gentle: %t; urgent: %t", gentle, p.urgent.Load())
			}
			return time.Since(began)
		}
		const ms = time.Millisecond
		for _, tt := range []struct {
			worked time.Duration
			times  int
			want   time.Duration
		}{{shortestRest / 16, 8, 0}, {shortestRest / 16, 8, shortestRest}, {2 * ms, 1, 2 * ms}, {2 * ms, 8, 16 * ms}, {30 * ms, 8, longestRest}, {longestRest - 1, 8, longestRest}, {longestRest, 8, 0}, {time.Hour, 1, 0}} {
			if got := rest(tt.worked, tt.times); got != tt.want {
				t.Errorf("it rests %s after %s of work with %d times, want %s", got, tt.worked, tt.times, tt.want)
			}
		}
		p.urgent.Store(true)
		if got := rest(2*ms, 8); got != 0 {
			t.Errorf("it rests %s though it is urgent", got)
		}
		p.urgent.Store(false)
		close(done)
		if got := rest(2*ms, 8); got != 0 {
			t.Errorf("it rests %s though all ends", got)
		}
	})
}

// Steps of the upkeep take a tenth of a millisecond, or much longer where they wait. It rests for no longer than they took, and
// so gets on in half of the time at least.
func TestRestsBetweenStepsOfTheUpkeep(t *testing.T) {
	u := new(upkeep)
	const each = stepsRest / 10
	var worked, rested time.Duration
	for range 1000 {
		worked, rested = worked+each, rested+u.rest(each)
	}
	if rested != worked {
		t.Errorf("it rests %s after %s of steps, want as long", rested, worked)
	}
	if got := u.rest(time.Second); got != stepsRest {
		t.Errorf("it rests %s after a step of a second, want %s", got, stepsRest)
	}
}
