package logtime_test

import (
	"errors"
	"slices"
	"testing"

	"balsa.example/state/logtime"
)

const (
	ms              = 1_000_000
	electionTimeout = 400 * ms
	period          = electionTimeout / 4
)

type keeper = logtime.Timekeeper[string]

func newKeeper(limit int) *keeper {
	return logtime.NewTimekeeper[string](logtime.Config{ElectionTimeout: electionTimeout, MaxKeepAlives: limit})
}

// leader is a Timekeeper that leads since the instant 0, where log time is 0, too.
func leader(limit int) *keeper {
	k := newKeeper(limit)
	k.BecameLeader(0, logtime.View{})
	return k
}

func keepAlive(t *testing.T, k *keeper, lease int64, token string) {
	t.Helper()
	if err := k.KeepAlive(lease, token); err != nil {
		t.Fatal(err)
	}
}

// wantTick demands that a Tick with these leases is proposed now.
func wantTick(t *testing.T, k *keeper, now logtime.Instant, v logtime.View, leases ...int64) *logtime.Tick {
	t.Helper()
	tick := k.Turn(now, 0, v).Propose
	if tick == nil || !slices.Equal(tick.Leases, leases) {
		t.Fatalf("at %d ms: proposes %+v, want the leases %v", now/ms, tick, leases)
	}
	return tick
}

func wantNoTick(t *testing.T, k *keeper, now logtime.Instant, v logtime.View) {
	t.Helper()
	if tick := k.Turn(now, 0, v).Propose; tick != nil {
		t.Fatalf("at %d ms: proposes %+v", now/ms, tick)
	}
}

func wantAnswer(t *testing.T, k *keeper, now logtime.Instant, want ...logtime.Answer[string]) {
	t.Helper()
	got := k.Turn(now, 0, logtime.View{}).Answers
	if !slices.EqualFunc(got, want, func(a, b logtime.Answer[string]) bool {
		return slices.Equal(a.Tokens, b.Tokens) && slices.Equal(a.Remaining, b.Remaining) && a.Err == b.Err
	}) {
		t.Fatalf("answers %+v, want %+v", got, want)
	}
}

var running = logtime.View{Running: true}

func TestKeepAlivesAreGatheredWhileATickIsOnItsWay(t *testing.T) {
	k := leader(10)
	keepAlive(t, k, 1, "a")
	first := wantTick(t, k, 5*ms, logtime.View{}, 1)
	if first.Stamp != (logtime.Stamp{Log: 5 * ms}) {
		t.Errorf("stamp %+v", first.Stamp)
	}
	keepAlive(t, k, 2, "b")
	keepAlive(t, k, 1, "c")
	wantNoTick(t, k, 300*ms, running)
	k.Done(310*ms, first.Number, []int64{77}, nil)
	second := k.Turn(310*ms, 9, logtime.View{Now: first.Stamp.Log})
	if !slices.Equal(second.Answers[0].Tokens, []string{"a"}) || !slices.Equal(second.Answers[0].Remaining, []int64{77}) {
		t.Errorf("answers %+v", second.Answers)
	}
	if tick := second.Propose; tick == nil || !slices.Equal(tick.Leases, []int64{2, 1}) || tick.Stamp != (logtime.Stamp{Log: 310 * ms, Wall: 9}) {
		t.Fatalf("proposes %+v", second.Propose)
	}
	k.Done(320*ms, second.Propose.Number, []int64{5, 0}, nil)
	wantAnswer(t, k, 320*ms, logtime.Answer[string]{Tokens: []string{"b", "c"}, Remaining: []int64{5, 0}})
}

func TestTimeIsCarriedOnWhileThereAreLeases(t *testing.T) {
	k := leader(10)
	wantNoTick(t, k, period-1, running)
	if wake := k.Turn(period-1, 0, running).Wake; wake != period {
		t.Errorf("wakes at %d", wake)
	}
	tick := wantTick(t, k, period, running)
	k.Done(period+ms, tick.Number, nil, nil)
	wantNoTick(t, k, 2*period-1, running)
	wantTick(t, k, 2*period, running)
}

func TestIdleClusterProposesNothing(t *testing.T) {
	k := leader(10)
	for now := logtime.Instant(0); now < 100*period; now += period / 3 {
		wantNoTick(t, k, now, logtime.View{Now: 5})
	}
	wantTick(t, k, 100*period, logtime.View{Now: 5, Running: true}) // and does not wait when it begins
}

func TestBacklogOfExpiriesIsWorkedOffAtOnce(t *testing.T) {
	k := leader(10)
	v := logtime.View{Due: true, Running: true}
	for now := logtime.Instant(0); now < 10*ms; now += ms {
		tick := wantTick(t, k, now, v)
		wantNoTick(t, k, now, v) // one at a time
		k.Done(now+ms, tick.Number, nil, nil)
	}
}

// An expiry that was refused once and never tried again would leave its keys for ever.
func TestFailedTickIsTriedAgainWithItsKeepAlives(t *testing.T) {
	k := leader(10)
	keepAlive(t, k, 1, "a")
	tick := wantTick(t, k, 0, running, 1)
	keepAlive(t, k, 2, "b")
	for now := logtime.Instant(0); now < 20*electionTimeout; {
		k.Done(now, tick.Number, nil, errors.New("refused"))
		e := k.Turn(now, 0, running)
		if e.Propose != nil || e.Answers != nil || e.Wake <= now {
			t.Fatalf("right after the failure: %+v", e)
		}
		now = e.Wake
		tick = wantTick(t, k, now, running, 1, 2)
	}
	k.Done(0, tick.Number, []int64{3, 4}, nil)
	wantAnswer(t, k, 0, logtime.Answer[string]{Tokens: []string{"a", "b"}, Remaining: []int64{3, 4}})
}

func TestEndOfLeadershipEndsKeepAlives(t *testing.T) {
	k := leader(10)
	keepAlive(t, k, 1, "sent")
	tick := wantTick(t, k, 0, running, 1)
	keepAlive(t, k, 2, "waits")
	k.LostLeadership()
	if err := k.KeepAlive(3, "late"); !errors.Is(err, logtime.ErrNotLeader) {
		t.Errorf("taken in by a node that does not lead: %v", err)
	}
	wantAnswer(t, k, ms,
		logtime.Answer[string]{Tokens: []string{"sent"}, Err: logtime.ErrNotLeader},
		logtime.Answer[string]{Tokens: []string{"waits"}, Err: logtime.ErrNotLeader})
	wantNoTick(t, k, 10*period, logtime.View{Due: true, Running: true})
	if _, ok := k.Stamp(10*period, 0); ok {
		t.Error("a node that does not lead gives stamps")
	}

	k.BecameLeader(20*period, logtime.View{Now: 5})
	next := wantTick(t, k, 21*period, running)
	k.Done(21*period, tick.Number, []int64{1}, nil) // of the first leadership
	wantNoTick(t, k, 21*period, logtime.View{Due: true})
	wantAnswer(t, k, 21*period)
	k.Done(21*period, next.Number, nil, nil)
	wantTick(t, k, 21*period, logtime.View{Due: true})
}

func TestKeepAlivesAreBounded(t *testing.T) {
	k := leader(4)
	keepAlive(t, k, 1, "a")
	keepAlive(t, k, 2, "b")
	tick := wantTick(t, k, 0, running, 1, 2)
	keepAlive(t, k, 3, "c")
	keepAlive(t, k, 4, "d")
	if err := k.KeepAlive(5, "e"); !errors.Is(err, logtime.ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	k.Done(0, tick.Number, nil, errors.New("refused"))
	if err := k.KeepAlive(5, "e"); !errors.Is(err, logtime.ErrBusy) {
		t.Errorf("one too many after a failure: %v", err)
	}
	tick = wantTick(t, k, electionTimeout, running, 1, 2, 3, 4)
	k.Done(electionTimeout, tick.Number, []int64{1, 1, 1, 1}, nil)
	keepAlive(t, k, 5, "e")
}

func TestStampsOfALeaderNeverGoBackAndStayNearTheLog(t *testing.T) {
	k := leader(4)
	last := logtime.Stamp{}
	for now := logtime.Instant(0); now < 10*electionTimeout; now += 7 * ms {
		s, ok := k.Stamp(now, 1)
		if !ok || s.Log < last.Log || s.Log > electionTimeout {
			t.Fatalf("at %d ms: %+v, %v", now/ms, s, ok)
		}
		last = s
	}
	k.Turn(10*electionTimeout, 0, logtime.View{Now: 100 * electionTimeout})
	if s, _ := k.Stamp(10*electionTimeout, 1); s.Log != 100*electionTimeout {
		t.Errorf("the table's clock is ahead of the stamp %+v", s)
	}
}
