package state_test

import (
	"fmt"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

const second = logtime.Time(1e9)

func tick(at logtime.Time) state.Command {
	return state.Command{More: &state.More{Kind: state.KindTick, Stamp: logtime.Stamp{Log: at}}}
}

func TestRetentionByCountAndByAge(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	for i := range 1000 { // one revision a second, beginning with 2
		m.DoOp(set(fmt.Sprint(i), "v"))
		m.DoOp(tick(logtime.Time(i+1) * second))
	}
	for _, tt := range []struct {
		name string
		keep state.Retention
		want uint64
	}{
		{"everything", state.Retention{}, 0},
		{"more than there is", state.Retention{Revisions: 5000, Age: 5000 * second}, 0},
		{"almost everything", state.Retention{Revisions: 950}, 0},
		{"a count", state.Retention{Revisions: 300}, 701},
		{"an age", state.Retention{Age: 300 * second}, 701},
		{"whichever keeps less", state.Retention{Revisions: 500, Age: 100 * second}, 901},
	} {
		if got := m.CompactionDue(tt.keep); got != tt.want {
			t.Errorf("%s: compact at %d, want %d", tt.name, got, tt.want)
		}
	}
	if r := m.DoOp(compact(701)); r.Code != kv.CodeOK {
		t.Fatal(r.Err())
	}
	if got := m.CompactionDue(state.Retention{Age: 299 * second}); got != 0 {
		t.Errorf("compact at %d, though that is not worth it", got)
	}
}

// The marks of time are bounded, and reach back as far as before.
func TestOldTimesAreKeptCoarsely(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	const days = 10 * 24 * 3600
	for i := range days / 10 {
		m.DoOp(set("k", "v"))
		m.DoOp(tick(logtime.Time(i*10) * second))
	}
	want := uint64(days / 20)
	got := m.CompactionDue(state.Retention{Age: days / 2 * second})
	if got > want+2 || got < want-2*days/1024 {
		t.Errorf("the store was at %d half of the time ago, it is said: compact at %d", want, got)
	}
}
