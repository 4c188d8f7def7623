package ratelog

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// record returns a Logger without timestamps, and what it has logged since the last call.
func record(lines int, period time.Duration) (*Logger, func() string) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		}}))
	return New(log, lines, period), func() string {
		defer out.Reset()
		return strings.TrimSpace(out.String())
	}
}

func TestRateIsBoundedAndEachWarningCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, logged := record(2, 10*time.Second)
		for i := range 25 {
			l.Warn("refused", "i", i)
			time.Sleep(time.Second)
		}
		const want = `msg=refused i=0
msg=refused i=1
msg=refused i=10 not_logged=8
msg=refused i=11
msg=refused i=20 not_logged=8
msg=refused i=21`
		if got := logged(); got != want || l.Count() != 25 {
			t.Errorf("%d counted:\n%s", l.Count(), got)
		}
	})
}

func TestAStateIsLoggedWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, logged := record(1, time.Second)
		warn := func(state string) { l.WarnChange(state, "down", "state", state) }
		expect := func(when, want string) {
			t.Helper()
			if got := logged(); got != want {
				t.Errorf("%s: %q", when, got)
			}
		}
		warn("a")
		expect("the first state", "msg=down state=a")
		warn("b")
		expect("a change within the period", "")
		time.Sleep(time.Second)
		warn("b")
		expect("a change", "msg=down state=b not_logged=1")
		for range 59 {
			time.Sleep(time.Second)
			warn("b")
		}
		expect("no change", "")
		time.Sleep(time.Second)
		warn("b")
		expect("no change for a minute", "msg=down state=b not_logged=59")
		l.Reset()
		warn("b")
		expect("no change, but a Reset", "msg=down state=b")
		l.RepeatAfter(time.Hour)
		time.Sleep(time.Hour - time.Second)
		warn("b")
		expect("no change for less than an hour", "")
		time.Sleep(time.Second)
		warn("b")
		expect("no change for an hour", "msg=down state=b not_logged=1")
		if l.Count() != 66 {
			t.Errorf("%d counted", l.Count())
		}
	})
}

// States that alternate are no way around the bound.
func TestChangesAreBoundedInRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, logged := record(1, time.Second)
		for i := range 1000 {
			l.WarnChange(fmt.Sprint(i%2), "refused")
			time.Sleep(10 * time.Millisecond)
		}
		if n := strings.Count(logged(), "refused"); n > 10 {
			t.Errorf("%d lines in 10 s", n)
		}
	})
}
