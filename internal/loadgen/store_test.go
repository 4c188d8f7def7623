package loadgen

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeStore is a fake that tells watchers what is put, some time later.
type fakeStore struct {
	fake
	granted, kept, revoked map[int64]int
	refused                int // the lease that is not granted, counted from 1
	ranged                 map[[2]string]int
	watchers               []func([]byte)
	later                  time.Duration
	lost                   int // how many puts the first watcher is not told of
	watchEnds              time.Duration
}

func newFakeStore() *fakeStore {
	return &fakeStore{
		fake:    fake{takes: always(time.Millisecond)},
		granted: map[int64]int{}, kept: map[int64]int{}, revoked: map[int64]int{}, ranged: map[[2]string]int{},
	}
}

func (f *fakeStore) Put(ctx context.Context, key string, value []byte) error {
	err := f.fake.Put(ctx, key, value)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, deliver := range f.watchers {
		if i == 0 && value[8] != 0xff && f.lost > 0 { // no probe
			f.lost--
			continue
		}
		time.AfterFunc(f.later, func() { deliver(value) })
	}
	return err
}

func (f *fakeStore) Txn(ctx context.Context, key string, value []byte) error {
	return f.fake.Put(ctx, key, value)
}

func (f *fakeStore) Update(ctx context.Context, key string, value []byte) error {
	return f.fake.Put(ctx, key, value)
}

func (f *fakeStore) Range(ctx context.Context, first, last string) error {
	f.mu.Lock()
	f.ranged[[2]string{first, last}]++
	f.mu.Unlock()
	return f.Get(ctx, first)
}

func (f *fakeStore) Grant(ctx context.Context, _ time.Duration) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.granted)+1 == f.refused {
		return 0, errRefused
	}
	id := int64(len(f.granted) + 100)
	f.granted[id]++
	return id, nil
}

func (f *fakeStore) lease(ctx context.Context, count map[int64]int, id int64) error {
	f.mu.Lock()
	count[id]++
	f.mu.Unlock()
	sleep(ctx, time.Millisecond)
	return nil
}

func (f *fakeStore) KeepAlive(ctx context.Context, id int64) error { return f.lease(ctx, f.kept, id) }
func (f *fakeStore) Revoke(ctx context.Context, id int64) error    { return f.lease(ctx, f.revoked, id) }

func (f *fakeStore) Watch(ctx context.Context, _ string, deliver func([]byte)) error {
	var one sync.Mutex
	f.mu.Lock()
	f.watchers = append(f.watchers, func(v []byte) {
		one.Lock()
		defer one.Unlock()
		deliver([]byte("not of this run"))
		deliver(v)
	})
	f.mu.Unlock()
	if f.watchEnds > 0 && sleep(ctx, f.watchEnds) {
		return errRefused
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestOperationsOfStores(t *testing.T) {
	for operation, of := range map[Operation]func(*Report) *Summary{
		Txn:       func(r *Report) *Summary { return r.Txns },
		Update:    func(r *Report) *Summary { return r.Updates },
		Range:     func(r *Report) *Summary { return r.Ranges },
		KeepAlive: func(r *Report) *Summary { return r.KeepAlives },
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &Generator{Systems: []System{newFakeStore()}}
			r := runLoad(t, t.Context(), g, func(l *Load) { l.Operation, l.RangeKeys, l.Ops, l.Reads = operation, 3, 100, 0.5 })
			if s := of(r); s == nil || s.Ops != 100 || s != r.Main() || r.Ops() != 100 || r.Failed() != 0 || r.Puts != nil || r.Gets != nil {
				t.Errorf("%s: report is %+v", operation, r)
			}
		})
	}
}

func TestRangesAreOfTheirKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, d := range []Distribution{Uniform, Zipf, Sequential} {
			f := newFakeStore()
			runLoad(t, t.Context(), &Generator{Systems: []System{f}}, func(l *Load) {
				l.Operation, l.RangeKeys, l.Ops, l.Distribution = Range, 9, 100, d
			})
			// Of ten keys there are two ranges of nine.
			if len(f.ranged) != 2 || f.ranged[[2]string{Key(0, 16), Key(8, 16)}]+f.ranged[[2]string{Key(1, 16), Key(9, 16)}] != 100 {
				t.Errorf("%s: ranges are %v", d, f.ranged)
			}
		}
	})
}

func TestLeasesAreGrantedKeptAndRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore()
		count := func() (granted, kept, revoked int) {
			for id := range f.granted {
				granted, kept, revoked = granted+1, kept+f.kept[id], revoked+f.revoked[id]
			}
			return granted, kept, revoked
		}
		var began, ended [3]int
		g := &Generator{
			Systems: []System{f, f},
			Began:   func() { began[0], began[1], began[2] = count() },
			Ended:   func() { ended[0], ended[1], ended[2] = count() },
		}
		r := runLoad(t, t.Context(), g, func(l *Load) {
			l.Operation, l.Keys, l.Ops, l.Distribution = KeepAlive, 10, 100, Sequential
		})
		if began != [3]int{10, 0, 0} || ended != [3]int{10, 100, 0} {
			t.Errorf("granted, kept alive and revoked are %v before the load, and %v after it", began, ended)
		}
		if r.Grants == nil || r.Grants.Ops != 10 || len(f.granted) != 10 {
			t.Errorf("grants are %+v", r.Grants)
		}
		for id := range f.granted {
			if f.kept[id] != 10 || f.revoked[id] != 1 {
				t.Errorf("lease %d was kept alive %d times, and revoked %d times", id, f.kept[id], f.revoked[id])
			}
		}
	})
}

func TestLeaseThatIsRefusedEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore()
		f.refused = 8
		l := validLoad()
		l.Operation = KeepAlive
		_, err := (&Generator{Systems: []System{f}}).Run(t.Context(), l)
		if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "of 10") || len(f.revoked) != 7 || len(f.kept) != 0 {
			t.Errorf("error is %v, %d leases are revoked", err, len(f.revoked))
		}
	})
}

// watched runs a load of ten puts with watchers.
func watched(t *testing.T, f *fakeStore, watchers int) *Report {
	t.Helper()
	return runLoad(t, t.Context(), &Generator{Systems: []System{f}}, func(l *Load) {
		l.Watchers, l.ValueSize, l.Ops = watchers, 32, 10
	})
}

func TestDeliveriesToWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore()
		f.later = 300 * time.Millisecond
		r := watched(t, f, 7)
		if r.Puts.Ops != 10 || r.Ops() != 10 || r.Failed() != 0 || r.Elapsed != 10*time.Millisecond {
			t.Errorf("report is %+v", r)
		}
		d := r.Deliveries
		if d == nil || d != r.Main() || d.Ops != 70 || !near(d.Latency.P50, 301*time.Millisecond) || !near(d.Latency.Max, 301*time.Millisecond) {
			t.Fatalf("deliveries are %+v", d)
		}
		if d.Elapsed < 310*time.Millisecond || d.Elapsed > 310*time.Millisecond+drainPoll {
			t.Errorf("the last is delivered after %v", d.Elapsed)
		}
	})
}

func TestLostDeliveriesAreErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore()
		f.lost = 3
		if r := watched(t, f, 4); r.Deliveries.Ops != 37 || r.Errors[undelivered] != 3 || r.Failed() != 3 {
			t.Errorf("report is %+v", r)
		}
	})
}

func TestWatcherThatEndsIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore()
		f.watchEnds, f.later = probeInterval+5*time.Millisecond, time.Millisecond
		if r := watched(t, f, 2); r.Errors["watch error"] != 2 {
			t.Errorf("errors are %v", r.Errors)
		}
		f = newFakeStore()
		f.watchEnds, f.later = time.Millisecond, time.Hour
		l := validLoad()
		l.Watchers, l.ValueSize = 2, 16
		if _, err := (&Generator{Systems: []System{f}}).Run(t.Context(), l); !errors.Is(err, errRefused) {
			t.Errorf("a watcher that ends before the run: %v", err)
		}
	})
}

func TestWatchersThatAreToldNothingEndTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore()
		f.later = time.Hour
		l := validLoad()
		l.Watchers, l.ValueSize = 2, 16
		if _, err := (&Generator{Systems: []System{f}}).Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "0 of 2 watchers") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestSystemThatCanOnlyPutAndGet(t *testing.T) {
	for _, change := range []func(*Load){
		func(l *Load) { l.Operation = Txn },
		func(l *Load) { l.Watchers, l.ValueSize = 1, 16 },
	} {
		l := validLoad()
		change(&l)
		if _, err := (&Generator{Systems: []System{newFakeStore(), &fake{}}}).Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "only put and get") {
			t.Errorf("error is %v", err)
		}
	}
}

func TestStampsOfValues(t *testing.T) {
	r := &run{value: value(40, 1), load: Load{Watchers: 1}}
	r.watch.epoch = time.Now()
	a, b := r.stamped(r.watch.epoch), r.stamped(r.watch.epoch.Add(time.Second))
	if len(a) != 40 || slices.Equal(a, b) || !slices.Equal(a[stampSize:], r.value[stampSize:]) {
		t.Errorf("values are %x and %x", a, b)
	}
}
