package metrics

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

func TestPointsAreOfTheirInterval(t *testing.T) {
	requests, calls, syncs := NewRequests([]string{"get", "put", "lease_keep_alive"}, []string{"ok", "no_key", "unavailable"}), NewCalls(), NewSyncs()
	calls.Add("/etcdserverpb.KV/Range", Unary)
	calls.Add("/etcdserverpb.KV/Put", Unary)
	r := NewRecent(requests, calls, syncs)
	now := time.UnixMilli(1_000_000)
	do := func(kind, code, n int, took time.Duration) {
		for range n {
			k := requests.Kind(kind)
			k.Count(code)
			k.Time(Now() - took)
		}
	}
	do(0, 0, 1000, time.Second) // before the first look
	r.Look(now, 7, "1")
	if len(r.Since(0)) != 0 {
		t.Error("a first look makes a point of all that was before")
	}
	do(0, 0, 30, 150*time.Microsecond)
	do(0, 1, 10, 150*time.Microsecond)
	do(1, 0, 20, 3*time.Millisecond)
	do(1, 2, 4, 3*time.Millisecond)
	do(2, 0, 500, time.Millisecond) // neither a read nor a write
	calls.Begin("/etcdserverpb.KV/Range").End(time.Now(), codes.OK, "")
	calls.Begin("/etcdserverpb.KV/Put").End(time.Now(), codes.Unavailable, "")
	syncs.Observe(9*time.Millisecond, 10)
	r.Look(now.Add(2*time.Second), 8, "2")
	all := r.Since(0)
	if len(all) != 1 {
		t.Fatalf("%d points", len(all))
	}
	p := all[0]
	if p.UnixMilli != 1_002_000 || p.Reads != 20.5 || p.Writes != 10 || p.Failed != 2.5 || p.Syncs != 0.5 || p.Term != 8 || p.Leader != "2" {
		t.Errorf("%+v", p)
	}
	if p.ReadMedian < 100 || p.ReadMedian > 200 || p.WriteLate < 1600 || p.WriteLate > 5000 || p.SyncLate < 6400 || p.SyncLate > 12800 {
		t.Errorf("the times are %+v, and not in their buckets", p)
	}
	if len(r.Since(1_002_000)) != 0 || len(r.Since(1_001_999)) != 1 {
		t.Error("Since does not find what is newer")
	}
}

func TestAPointTravels(t *testing.T) {
	p := Point{UnixMilli: 1, Reads: 2, Writes: 3, Failed: 4, ReadMedian: 5, ReadLate: 6, WriteMedian: 7, WriteLate: 8, Syncs: 9, SyncMedian: 10, SyncLate: 11, Term: 12, Leader: "13"}
	b, err := json.Marshal([]Point{p})
	if err != nil || string(b) != `[[1,2,3,4,5,6,7,8,9,10,11,12,"13"]]` {
		t.Errorf("%s, %v", b, err)
	}
	var got []Point
	if err := json.Unmarshal(b, &got); err != nil || len(got) != 1 || got[0] != p {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{`[1,2]`, `["1"]`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &p); err == nil {
			t.Errorf("%s is read as %+v", bad, p)
		}
	}
}

func TestPointsAreBounded(t *testing.T) {
	r := NewRecent(NewRequests(nil, nil), NewCalls(), NewSyncs())
	for i := range MaxPoints + 10 {
		r.Look(time.UnixMilli(int64(i+1)), 1, "")
	}
	all := r.Since(0)
	if len(all) != MaxPoints || all[0].UnixMilli != 11 || all[len(all)-1].UnixMilli != MaxPoints+10 {
		t.Errorf("%d points, from %d to %d", len(all), all[0].UnixMilli, all[len(all)-1].UnixMilli)
	}
	if b, err := json.Marshal(all); err != nil || len(b) > 32<<10 {
		t.Errorf("they take %d bytes, %v: more than members may tell each other", len(b), err)
	}
}

// TestAClockThatIsSetBack lets somebody ask for what is new, as the clock of a member goes back by an hour.
func TestAClockThatIsSetBack(t *testing.T) {
	r := NewRecent(NewRequests(nil, nil), NewCalls(), NewSyncs())
	var known []Point
	ask := func() (fresh int) {
		since := int64(0)
		if n := len(known); n > 0 {
			since = known[n-1].UnixMilli
		}
		told := r.Since(since)
		known = AddPoints(known, told)
		return len(told)
	}
	now := time.UnixMilli(10_000_000)
	look := func(times int) {
		for range times {
			now = now.Add(RecentEvery)
			r.Look(now, 1, "")
		}
	}
	look(4)
	if got := ask(); got != 3 {
		t.Errorf("%d points at first", got)
	}
	now = now.Add(-time.Hour)
	look(2)
	ask()
	if n := len(known); n != 2 || known[n-1].UnixMilli != now.UnixMilli() {
		t.Errorf("behind the step %+v are known", known)
	}
	look(1)
	if got := ask(); got != 1 || len(known) != 3 {
		t.Errorf("then %d are new, of %d", got, len(known))
	}
	if got := ask(); got != 0 {
		t.Errorf("and then %d", got)
	}
}

func TestQuantilesOfMetricsWithDifferentBuckets(t *testing.T) {
	inf := math.Inf(1)
	for _, tt := range []struct {
		of   timing
		want float64
	}{
		{nil, 0},
		{timing{"a": {1: 0, inf: 1}}, 1e6}, // beyond all buckets
		{timing{"a": {0.001: 100, inf: 100}, "b": {0.004: 0, 0.008: 100, inf: 100}}, 1000},
		{timing{"a": {0.002: 100, inf: 100}, "b": {0.001: 0, 0.003: 0, inf: 0}}, 1000},
	} {
		if got := tt.of.quantile(0.5); got != tt.want {
			t.Errorf("of %v it is %g µs, want %g", tt.of, got, tt.want)
		}
	}
}
