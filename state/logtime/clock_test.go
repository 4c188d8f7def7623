package logtime_test

import (
	"testing"

	"balsa.example/state/logtime"

	"pgregory.net/rapid"
)

func wantNow(t *testing.T, c *logtime.Clock, now logtime.Instant, want logtime.Time) {
	t.Helper()
	if got, ok := c.Now(now); got != want || !ok {
		t.Errorf("at %d it is %d, %v, want %d", now, got, ok, want)
	}
}

func TestClockGoesOnFromWhatWasExecuted(t *testing.T) {
	c := logtime.NewClock(500)
	if _, ok := c.Now(7); ok {
		t.Error("a node that does not lead has a log time")
	}
	c.BecameLeader(1000, 77)
	wantNow(t, &c, 1000, 77)
	wantNow(t, &c, 1100, 177)
	c.Executed(1150, 177)
	wantNow(t, &c, 1150, 227)
	wantNow(t, &c, 1140, 227) // an instant of another goroutine
	c.Executed(1200, 400)     // of an earlier leader
	wantNow(t, &c, 1210, 410)
	c.LostLeadership()
	if _, ok := c.Now(1220); ok {
		t.Error("a node that lost the leadership has a log time")
	}
}

func TestClockStandsStillWhileNothingCommits(t *testing.T) {
	const ms, second = 1_000_000, 1_000_000_000
	c := logtime.NewClock(500 * ms)
	c.BecameLeader(0, 0)
	wantNow(t, &c, 30*second, 500*ms)
	c.Executed(30*second, 0)
	wantNow(t, &c, 30*second+100*ms, 500*ms)
	c.Executed(30*second+200*ms, 400*ms)
	wantNow(t, &c, 30*second+200*ms, 500*ms) // what was lost does not come back
	wantNow(t, &c, 30*second+300*ms, 600*ms)
	wantNow(t, &c, 60*second, 900*ms)
}

func TestClockForgetsWhatItCountedInAnEarlierLeadership(t *testing.T) {
	c := logtime.NewClock(500)
	c.BecameLeader(0, 0)
	wantNow(t, &c, 400, 400)
	c.BecameLeader(450, 50)
	wantNow(t, &c, 450, 50)
	wantNow(t, &c, 500, 100)
}

func TestClockEndsAtTheEndOfTime(t *testing.T) {
	c := logtime.NewClock(500)
	c.BecameLeader(0, logtime.Never-100)
	wantNow(t, &c, 1000, logtime.Never)
	c.Executed(1000, logtime.Never)
	wantNow(t, &c, 2000, logtime.Never)
}

// TestClockIsNeverAhead draws what happens to a leader. Between any two readings no more passes
// than the own clock has counted or the log has told.
func TestClockIsNeverAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := logtime.NewClock(100)
		now, executed := logtime.Instant(0), logtime.Time(0)
		c.BecameLeader(now, executed)
		last, _ := c.Now(now)
		for range 40 {
			elapsed := rapid.Int64Range(0, 250).Draw(t, "elapsed")
			now += logtime.Instant(elapsed)
			told := logtime.Time(0)
			if rapid.Bool().Draw(t, "executes") {
				told = rapid.SampledFrom([]logtime.Time{executed, last, last - 20, last + 30}).Draw(t, "stamp")
				executed = max(executed, told)
				c.Executed(now, told)
			}
			reading, _ := c.Now(now)
			if reading < last || reading > max(last.Add(elapsed), told) || reading > executed+100 || reading < executed {
				t.Fatalf("%d after %d, where %d passed and %d was told; executed %d", reading, last, elapsed, told, executed)
			}
			last = reading
		}
	})
}
