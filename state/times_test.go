package state_test

import (
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

func tickAt(log logtime.Time, wall int64) state.Command {
	return state.Command{More: &state.More{Kind: state.KindTick, Stamp: logtime.Stamp{Log: log, Wall: wall}}}
}

// The first stamp of a cluster has log time 0, and counts.
func TestTheStampOfTheBirthCounts(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	m.DoOp(set("k", "v"))
	if _, written := m.TimeView(); !written {
		t.Fatal("a revision without a stamp is not seen")
	}
	m.DoOp(tickAt(0, 5e6))
	if _, written := m.TimeView(); written {
		t.Error("the stamp of log time 0 was ignored")
	}
	if got := m.Wall(); got != 5 {
		t.Errorf("wall time %d, want 5", got)
	}
}

// The clock of a new leader may be behind that of the one before. Records do not go back in time.
func TestWallTimeDoesNotGoBack(t *testing.T) {
	fs := crashfs.NewMem()
	m, _ := openMachine(t, fs)
	for i, step := range []struct{ stamp, want int64 }{{100e6, 100}, {90e6, 100}, {-5e6, 100}, {101e6, 101}} {
		m.DoOp(tickAt(logtime.Time(i)+1, step.stamp))
		if got := m.Wall(); got != step.want {
			t.Errorf("after a stamp of %d: wall time %d, want %d", step.stamp, got, step.want)
		}
	}
	if err := checkpoint(m, raft.Index(4)); err != nil {
		t.Fatal(err)
	}
	m, _ = openMachine(t, fs)
	m.DoOp(tickAt(9, 50e6))
	if got := m.Wall(); got != 101 {
		t.Errorf("after a restart: wall time %d", got)
	}
}
