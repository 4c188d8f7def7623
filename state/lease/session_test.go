package lease_test

import (
	"bytes"
	"fmt"
	"testing"

	"balsa.example/state/lease"
)

// sessionTable has the sessions 1 to n.
func sessionTable(t testing.TB, limits lease.Limits, n int64) *lease.Table {
	t.Helper()
	table := newTable(t, limits)
	for id := range n {
		if err := table.Grant(id+1, 10*second, true); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// execute demands that a command is executed, and finishes it at revision 100 + its number.
func execute(t testing.TB, table *lease.Table, a lease.SessionSeq, result []byte) {
	t.Helper()
	if verdict, _ := table.Begin(a); verdict != lease.Execute {
		t.Fatalf("Begin(%+v) says %v", a, verdict)
	}
	table.Finish(a, 100+a.Seq, codeOf(a.Seq), result)
}

// codeOf is the code of a command's outcome.
func codeOf(seq uint64) byte { return byte(seq) ^ 0x5a }

func wantReplay(t testing.TB, table *lease.Table, a lease.SessionSeq, result []byte) {
	t.Helper()
	verdict, o := table.Begin(a)
	if verdict != lease.Replay || o.Revision != 100+a.Seq || o.Code != codeOf(a.Seq) || o.Whole != (result != nil) || !bytes.Equal(o.Result, result) {
		t.Errorf("Begin(%+v) says %v, %+v", a, verdict, o)
	}
}

func wantUnknown(t testing.TB, table *lease.Table, a lease.SessionSeq) {
	t.Helper()
	if verdict, o := table.Begin(a); verdict != lease.Unknown || o.Revision != 0 {
		t.Errorf("Begin(%+v) says %v, %+v", a, verdict, o)
	}
}

func TestResentCommandIsAnsweredWithItsOwnOutcome(t *testing.T) {
	table := sessionTable(t, lease.DefaultLimits(), 1)
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 1}, []byte("one"))
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 3}, []byte("three"))
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 2}, []byte{})
	for range 2 {
		wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 1}, []byte("one"))
		wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 3}, []byte("three"))
		wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 2}, []byte{})
		table = decode(t, encode(t, table.Image()))
	}
}

func TestConfirmedCommandIsNeverExecutedAgain(t *testing.T) {
	table := sessionTable(t, lease.DefaultLimits(), 1)
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 1}, []byte("one"))
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 5, Acked: 4}, []byte("five"))
	for range 2 {
		for seq := range uint64(5) {
			wantUnknown(t, table, lease.SessionSeq{ID: 1, Seq: seq})
		}
		wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 5}, []byte("five"))
		table = decode(t, encode(t, table.Image()))
	}
	wantUnknown(t, table, lease.SessionSeq{ID: 1, Seq: 8, Acked: 8})
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 6}, nil) // the refusal confirmed nothing
}

func TestCommandOfAnEndedSessionIsNeverExecuted(t *testing.T) {
	table := sessionTable(t, lease.DefaultLimits(), 3)
	for id := range int64(3) {
		execute(t, table, lease.SessionSeq{ID: id + 1, Seq: 1}, nil)
	}
	if _, err := table.Revoke(1); err != nil {
		t.Fatal(err)
	}
	at(table, 10)
	table.Expire(table.Stamp().Log, 1)
	if err := table.Grant(1, second, false); err != nil { // the id of a lease that is no session
		t.Fatal(err)
	}
	table.EndSessions()
	for id := range int64(3) {
		for seq := range uint64(3) {
			wantUnknown(t, table, lease.SessionSeq{ID: id + 1, Seq: seq})
		}
	}
}

func TestRestoreEndsSessionsAndKeepsTheirLeases(t *testing.T) {
	table := sessionTable(t, lease.DefaultLimits(), 2)
	grant(t, table, 3, 10)
	attach(t, table, 1, "k")
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 1}, []byte("x"))
	before := table.Image()
	data := encode(t, before)
	table.EndSessions()
	if table.Sessions() != 0 || table.Len() != 3 {
		t.Errorf("%d sessions, %d leases", table.Sessions(), table.Len())
	}
	same := newTable(t, lease.DefaultLimits())
	for id := range int64(3) {
		grant(t, same, id+1, 10)
	}
	attach(t, same, 1, "k")
	if table.Hash() != same.Hash() || !bytes.Equal(encode(t, table.Image()), encode(t, same.Image())) {
		t.Error("something of the sessions is left")
	}
	if !bytes.Equal(encode(t, before), data) {
		t.Error("the end of the sessions shows in an image from before")
	}
}

func TestOutcomeThatFallsOutOfTheWindowIsForgotten(t *testing.T) {
	table := sessionTable(t, lease.DefaultLimits(), 1)
	window := uint64(table.Limits().Window)
	for seq := uint64(2); seq <= window; seq++ {
		execute(t, table, lease.SessionSeq{ID: 1, Seq: seq}, nil)
	}
	execute(t, table, lease.SessionSeq{ID: 1, Seq: window + 1}, nil)
	wantUnknown(t, table, lease.SessionSeq{ID: 1, Seq: 1})
	wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 2}, []byte{})
	execute(t, table, lease.SessionSeq{ID: 1, Seq: window + 2}, nil)
	wantUnknown(t, table, lease.SessionSeq{ID: 1, Seq: 2})
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 1 << 63}, nil)
	wantUnknown(t, table, lease.SessionSeq{ID: 1, Seq: window + 2})
	wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 1 << 63}, []byte{})
}

func TestLargeResultKeepsRevisionAndCode(t *testing.T) {
	table := sessionTable(t, lease.DefaultLimits(), 1)
	limit := int(table.Limits().OutcomeBytes)
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 1}, make([]byte, limit))
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 2}, make([]byte, limit+1))
	wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 1}, make([]byte, limit))
	wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 2}, nil)
}

func TestResultsOfASessionAreBounded(t *testing.T) {
	table := sessionTable(t, lease.DefaultLimits(), 1)
	result := make([]byte, 1000)
	for seq := range uint64(1024) {
		execute(t, table, lease.SessionSeq{ID: 1, Seq: seq + 1}, result)
		if n := table.OutcomeBytes(); n > uint64(table.Limits().SessionBytes) {
			t.Fatalf("%d outcomes take up %d bytes", seq+1, n)
		}
	}
	for seq := uint64(1); seq <= 1024; seq++ { // none is forgotten; the latest have their results
		want := result
		if verdict, o := table.Begin(lease.SessionSeq{ID: 1, Seq: seq}); !o.Whole && seq <= 1024 && verdict == lease.Replay {
			want = nil
		}
		wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: seq}, want)
	}
	if _, o := table.Begin(lease.SessionSeq{ID: 1, Seq: 1}); o.Whole {
		t.Error("the oldest result is there still")
	}
}

// Beyond the bound for all, a session that sends one command at a time keeps the outcome that it
// needs.
func TestOutcomesOfAllSessionsAreBounded(t *testing.T) {
	limits := lease.DefaultLimits()
	limits.AllOutcomeBytes = 20_000
	const sessions = 50
	table := sessionTable(t, limits, sessions+1)
	greedy := int64(sessions + 1)
	for seq := range uint64(100) {
		execute(t, table, lease.SessionSeq{ID: greedy, Seq: seq + 1}, make([]byte, 2000))
	}
	for seq := range uint64(40) {
		for id := range int64(sessions) {
			execute(t, table, lease.SessionSeq{ID: id + 1, Seq: seq + 1}, make([]byte, 500))
			wantReplayed(t, table, lease.SessionSeq{ID: id + 1, Seq: seq + 1})
			if n := table.OutcomeBytes(); n > limits.AllOutcomeBytes+sessions*overhead {
				t.Fatalf("outcomes take up %d bytes", n)
			}
		}
	}
	wantUnknown(t, table, lease.SessionSeq{ID: 1, Seq: 1})
}

func wantReplayed(t testing.TB, table *lease.Table, a lease.SessionSeq) {
	t.Helper()
	if verdict, o := table.Begin(a); verdict != lease.Replay || o.Revision != 100+a.Seq || o.Code != codeOf(a.Seq) {
		t.Fatalf("Begin(%+v) says %v, %+v", a, verdict, o)
	}
}

func TestCommandThatEndsItsOwnSessionLeavesNothing(t *testing.T) {
	table := sessionTable(t, lease.DefaultLimits(), 1)
	a := lease.SessionSeq{ID: 1, Seq: 1}
	if verdict, _ := table.Begin(a); verdict != lease.Execute {
		t.Fatal(verdict)
	}
	table.Revoke(1)
	table.Finish(a, 5, 1, []byte("x"))
	if table.Hash() != newTable(t, lease.DefaultLimits()).Hash() || table.OutcomeBytes() != 0 {
		t.Error("something is left")
	}
}

func TestFinishWithoutBeginKeepsTheWindow(t *testing.T) {
	table := sessionTable(t, smallLimits, 1)
	for _, seq := range []uint64{0, 7, 1 << 60} {
		table.Finish(lease.SessionSeq{ID: 1, Seq: seq}, 5, 1, nil)
	}
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 2}, []byte("first"))
	table.Finish(lease.SessionSeq{ID: 1, Seq: 2}, 9, codeOf(2), []byte("second"))
	wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 2}, []byte("first"))
	decode(t, encode(t, table.Image()))
}

func TestFinishKeepsItsOwnCopyOfAResult(t *testing.T) {
	table := sessionTable(t, smallLimits, 1)
	result := []byte("result")
	execute(t, table, lease.SessionSeq{ID: 1, Seq: 1}, result)
	copy(result, "other ")
	wantReplay(t, table, lease.SessionSeq{ID: 1, Seq: 1}, []byte("result"))
}

func Example() {
	table, _ := lease.NewTable(lease.DefaultLimits())
	table.Grant(7, 5e9, true)
	put := lease.SessionSeq{ID: 7, Seq: 1}
	for range 2 { // the command is twice in the log
		switch verdict, outcome := table.Begin(put); verdict {
		case lease.Execute:
			table.Finish(put, 42, 1, []byte("version 3"))
			fmt.Println("executed")
		case lease.Replay:
			fmt.Printf("was executed at revision %d: %s\n", outcome.Revision, outcome.Result)
		}
	}
	// Output:
	// executed
	// was executed at revision 42: version 3
}
