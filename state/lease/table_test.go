package lease_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"balsa.example/state/lease"
	"balsa.example/state/logtime"
)

const second = int64(1e9)

func at(t *lease.Table, seconds int64) {
	t.Advance(logtime.Stamp{Log: logtime.Time(seconds * second), Wall: 1e18 + seconds})
}

func grant(t testing.TB, table *lease.Table, id, seconds int64) {
	t.Helper()
	if err := table.Grant(id, seconds*second, false); err != nil {
		t.Fatal(err)
	}
}

func attach(t testing.TB, table *lease.Table, id int64, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := table.Attach(id, key); err != nil {
			t.Fatal(err)
		}
	}
}

// idsOf returns the ids of what Expire took out.
func idsOf(ended []lease.Ended) (ids []int64) {
	for _, e := range ended {
		ids = append(ids, e.ID)
	}
	return ids
}

func expire(table *lease.Table, budget int) []int64 {
	return idsOf(table.Expire(table.Stamp().Log, budget))
}

func TestLeaseExpiresAtItsTimeAndNotBefore(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	at(table, 100)
	grant(t, table, 7, 10)
	table.Advance(logtime.Stamp{Log: logtime.Time(110*second - 1)})
	if ids := expire(table, 1000); ids != nil {
		t.Errorf("1 ns too early: %v", ids)
	}
	at(table, 110)
	if ids := expire(table, 1000); !slices.Equal(ids, []int64{7}) {
		t.Errorf("at its time: %v", ids)
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	for _, step := range []struct{ stamp, want logtime.Stamp }{
		{logtime.Stamp{Log: 50, Wall: 9}, logtime.Stamp{Log: 50, Wall: 9}},
		{logtime.Stamp{Log: 49, Wall: 10}, logtime.Stamp{Log: 50, Wall: 10}},
		{logtime.Stamp{Log: 51, Wall: 8}, logtime.Stamp{Log: 51, Wall: 10}},
		{logtime.Stamp{}, logtime.Stamp{Log: 51, Wall: 10}},
		{logtime.Stamp{Log: -1, Wall: -1}, logtime.Stamp{Log: 51, Wall: 10}},
	} {
		if table.Advance(step.stamp); table.Stamp() != step.want {
			t.Errorf("%+v made it %+v, want %+v", step.stamp, table.Stamp(), step.want)
		}
	}
}

// A leader change is no event here: etcd starts all times to live anew (issue 9888) unless it has
// checkpoints of them. The clock goes on from the last stamp, whichever leader gave it.
func TestRemainingTimeOutlivesRestartsAndLeaders(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	at(table, 0)
	grant(t, table, 1, 30)
	for restart := range int64(3) {
		at(table, 5*(restart+1))
		table = decode(t, encode(t, table.Image()))
		if info, _ := table.Lookup(1); info.Remaining != (30-5*(restart+1))*second {
			t.Fatalf("after restart %d: %+v", restart, info)
		}
	}
	at(table, 30)
	if ids := expire(table, 1); !slices.Equal(ids, []int64{1}) {
		t.Errorf("expired: %v", ids)
	}
}

func TestKeepAliveRightAfterGrantKnowsTheLease(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 5, 9)
	if got := table.KeepAlive([]int64{5, 6, 5}, nil); !slices.Equal(got, []int64{9 * second, 0, 9 * second}) {
		t.Errorf("remaining %v", got)
	}
}

// Keys and lease go in one step, so a keep-alive meets both or neither (etcd issue 21389).
func TestKeepAliveOfAnExpiredLeaseAnswersZero(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 5, 9)
	attach(t, table, 5, "k")
	at(table, 9)
	if ended := table.Expire(table.Stamp().Log, 1); len(ended) != 1 || !slices.Equal(ended[0].Keys, []string{"k"}) {
		t.Fatalf("ended %+v", ended)
	}
	if got := table.KeepAlive([]int64{5}, nil); got[0] != 0 {
		t.Errorf("remaining %v", got)
	}
	if err := table.Attach(5, "k2"); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("attached to an expired lease: %v", err)
	}
}

// TestKeepAliveOfMany: each answer is of its lease, and each lease lives on, however many there are.
func TestKeepAliveOfMany(t *testing.T) {
	table, ids, want := newTable(t, lease.DefaultLimits()), []int64(nil), []int64{7}
	for id := int64(1); id <= 300; id++ {
		ttl := int64(0)
		if id%3 != 0 { // the others do not exist
			ttl = 1000 + id
			grant(t, table, id, ttl)
		}
		ids, want = append(ids, id), append(want, ttl*second)
	}
	at(table, 1000)
	if got := table.KeepAlive(ids, []int64{7}); !slices.Equal(got, want) {
		t.Errorf("it returned %v, want %v", got, want)
	}
	for i, id := range ids {
		if info, _ := table.Lookup(id); info.Remaining != want[1+i] {
			t.Errorf("lease %d lives for %d ns, want %d", id, info.Remaining, want[1+i])
		}
	}
}

func TestKeepAliveBeforeTheExpiryOfALateLeaseSavesIt(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 1, 5)
	grant(t, table, 2, 5)
	at(table, 60)
	if info, ok := table.Lookup(1); !ok || info.Remaining != 0 {
		t.Errorf("a late lease is %+v, %v", info, ok)
	}
	table.KeepAlive([]int64{1}, nil)
	if ids := expire(table, 1000); !slices.Equal(ids, []int64{2}) {
		t.Errorf("expired: %v", ids)
	}
}

// A Grant proposed after the leader took in a keep-alive has a later stamp than the Tick that
// carries the keep-alive, and may come before it in the log.
func TestExpireGoesByItsOwnStampAndNotByTheClock(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 1, 5)
	at(table, 8)
	if ended := table.Expire(logtime.Time(5*second-1), 1000); ended != nil {
		t.Errorf("expired: %+v", ended)
	}
}

func TestGrantOfALiveLeaseIsRefused(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 1, 5)
	attach(t, table, 1, "k")
	at(table, 3)
	hash := table.Hash()
	table = decode(t, encode(t, table.Image()))
	if err := table.Grant(1, 50*second, true); !errors.Is(err, lease.ErrExists) {
		t.Errorf("granted again: %v", err)
	}
	if table.Hash() != hash {
		t.Error("the refused grant changed something")
	}
}

func TestTimeToLiveOutOfRangeIsRefused(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	for _, ttl := range []int64{math.MinInt64, -1, 0, lease.MaxTTL + 1, math.MaxInt64} {
		if err := table.Grant(1, ttl, false); !errors.Is(err, lease.ErrTTL) {
			t.Errorf("%d ns: %v", ttl, err)
		}
	}
	table.Advance(logtime.Stamp{Log: logtime.Never - 5})
	if err := table.Grant(1, lease.MaxTTL, false); err != nil {
		t.Fatal(err)
	}
	table.Advance(logtime.Stamp{Log: logtime.Never - 3})
	if table.Due(logtime.Never) {
		t.Error("the sum is before the end of time")
	}
	table.Advance(logtime.Stamp{Log: logtime.Never})
	if !table.Due(logtime.Never) {
		t.Error("the lease never ends")
	}
}

func TestUnknownLeasesAreNoPanic(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	table.Detach(1, "k")
	grant(t, table, 1, 5)
	table.Detach(1, "k")
	table.Detach(2, "k")
	if err := table.Attach(2, "k"); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("Attach: %v", err)
	}
	if _, err := table.Room(2); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("Room: %v", err)
	}
	if _, err := table.Revoke(2); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("Revoke: %v", err)
	}
	if _, ok := table.Lookup(2); ok || table.KeysOf(2) != nil {
		t.Error("Lookup or KeysOf find a lease 2")
	}
	if verdict, _ := table.Begin(lease.SessionSeq{ID: 2, Seq: 1}); verdict != lease.Unknown {
		t.Errorf("Begin: %v", verdict)
	}
	table.Finish(lease.SessionSeq{ID: 2, Seq: 1}, 1, 1, nil)
}

// A key that is put without its lease, or deleted and created again, must outlive the lease, after
// a restart too (etcd issues 14758, 6102).
func TestDetachedKeyOutlivesItsLease(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 1, 5)
	attach(t, table, 1, "stays", "goes")
	table.Detach(1, "stays")
	table = decode(t, encode(t, table.Image()))
	at(table, 5)
	ended := table.Expire(table.Stamp().Log, 1)
	if len(ended) != 1 || !slices.Equal(ended[0].Keys, []string{"goes"}) {
		t.Errorf("ended %+v", ended)
	}
}

func TestExpiryIsInTheOrderOfTimeAndId(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	for i, id := range []int64{9, 4, 6, -2, 5} {
		grant(t, table, id, 10+int64(i)/2)
	}
	at(table, 5)
	table.KeepAlive([]int64{4}, nil)
	at(table, 20)
	if ids := expire(table, 1000); !slices.Equal(ids, []int64{9, -2, 6, 5, 4}) {
		t.Errorf("expired in the order %v", ids)
	}
}

// Leases that are revoked leave a heap of many levels at any place.
func TestManyLeasesExpireInOrderAfterSomeWereRevoked(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		table := newTable(t, lease.DefaultLimits())
		expiry := map[int64]int64{}
		for id := range int64(200) {
			expiry[id+1] = 1 + rng.Int64N(100)
			grant(t, table, id+1, expiry[id+1])
		}
		for range 150 {
			id := rng.Int64N(200) + 1
			table.Revoke(id)
			delete(expiry, id)
		}
		want := slices.SortedFunc(maps.Keys(expiry), func(a, b int64) int {
			return cmp.Or(cmp.Compare(expiry[a], expiry[b]), cmp.Compare(a, b))
		})
		at(table, 100)
		if ids := expire(table, 1000); !slices.Equal(ids, want) {
			t.Fatalf("expired in the order %v, want %v", ids, want)
		}
	}
}

func TestOneStepOfExpiryIsBounded(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	for id := range int64(30) {
		grant(t, table, id+1, 1)
	}
	for i := range 50 {
		attach(t, table, 3, fmt.Sprint(i))
	}
	at(table, 1)
	for _, want := range [][]int64{{1, 2, 3}, {4, 5, 6, 7, 8, 9, 10, 11, 12, 13}} {
		if ids := expire(table, 10); !slices.Equal(ids, want) {
			t.Errorf("expired %v, want %v", ids, want)
		}
	}
	if ids := expire(table, 0); len(ids) != 1 {
		t.Errorf("without a budget %v: nothing would ever end", ids)
	}
}

func TestLeasesAreBounded(t *testing.T) {
	limits := smallLimits
	table := newTable(t, limits)
	for id := range int64(limits.Leases) {
		grant(t, table, id+1, 5)
	}
	if err := table.Grant(99, second, false); !errors.Is(err, lease.ErrTooManyLeases) {
		t.Errorf("one more: %v", err)
	}
	if _, err := table.Revoke(1); err != nil {
		t.Fatal(err)
	}
	grant(t, table, 99, 5)
}

func TestKeysOfALeaseAreBounded(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 1, 5)
	max := int(table.Limits().KeysPerLease)
	for i := range max {
		attach(t, table, 1, fmt.Sprint(i))
	}
	if err := table.Attach(1, "one more"); !errors.Is(err, lease.ErrTooManyKeys) {
		t.Errorf("one more: %v", err)
	}
	if err := table.Attach(1, "7"); err != nil {
		t.Errorf("again: %v", err)
	}
	table.Detach(1, "7")
	if room, err := table.Room(1); room != 1 || err != nil {
		t.Errorf("room %d, %v", room, err)
	}
}

// TestManyKeysOfALeaseAreASet goes to the tree and back to no key, with images between.
func TestManyKeysOfALeaseAreASet(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 1, 5)
	empty := table.Hash()
	var images []*lease.Image
	var written [][]byte
	for i := range 300 {
		attach(t, table, 1, fmt.Sprintf("%03d", i*7%300))
		if i%40 == 0 {
			images = append(images, table.Image())
			written = append(written, encode(t, images[len(images)-1]))
		}
	}
	keys := table.KeysOf(1)
	if len(keys) != 300 || !slices.IsSorted(keys) || table.Keys() != 300 {
		t.Errorf("%d keys, sorted: %v, %d in all", len(keys), slices.IsSorted(keys), table.Keys())
	}
	if back := decode(t, encode(t, table.Image())); back.Hash() != table.Hash() || !slices.Equal(back.KeysOf(1), keys) {
		t.Error("a restart changes the keys")
	}
	for _, key := range keys {
		table.Detach(1, key)
	}
	if table.Hash() != empty || table.Keys() != 0 {
		t.Errorf("%d keys are left, hash %x, want %x", table.Keys(), table.Hash(), empty)
	}
	for i, im := range images {
		if got := encode(t, im); !slices.Equal(got, written[i]) {
			t.Errorf("later changes show in image %d", i)
		}
	}
}

func TestTableKeepsItsOwnCopyOfAKey(t *testing.T) {
	table := newTable(t, lease.DefaultLimits())
	grant(t, table, 1, 5)
	key := strings.Repeat("a batch of commands ", 1000)[20:30]
	attach(t, table, 1, key)
	if got := table.KeysOf(1)[0]; got != key || unsafe.StringData(got) == unsafe.StringData(key) {
		t.Errorf("key %q at %p, the caller's is at %p", got, unsafe.StringData(got), unsafe.StringData(key))
	}
}

func TestHashTellsEverythingApart(t *testing.T) {
	seen := map[uint64]string{}
	note := func(what string, change func(*lease.Table)) {
		table := newTable(t, lease.DefaultLimits())
		change(table)
		if before, ok := seen[table.Hash()]; ok {
			t.Errorf("%s has the hash of %s", what, before)
		}
		seen[table.Hash()] = what
	}
	with := func(f func(*lease.Table)) func(*lease.Table) {
		return func(table *lease.Table) { table.Grant(1, 5, true); f(table) }
	}
	doneWith := func(a lease.SessionSeq, revision uint64, code byte, result []byte) func(*lease.Table) {
		return with(func(table *lease.Table) { table.Begin(a); table.Finish(a, revision, code, result) })
	}
	done := func(a lease.SessionSeq, revision uint64, result []byte) func(*lease.Table) {
		return doneWith(a, revision, 1, result)
	}
	note("nothing", func(*lease.Table) {})
	note("a stamp", func(table *lease.Table) { table.Advance(logtime.Stamp{Log: 1}) })
	note("a wall", func(table *lease.Table) { table.Advance(logtime.Stamp{Log: 1, Wall: 1}) })
	note("a session", with(func(*lease.Table) {}))
	note("a lease", func(table *lease.Table) { table.Grant(1, 5, false) })
	note("another id", func(table *lease.Table) { table.Grant(2, 5, false) })
	note("another time to live", func(table *lease.Table) { table.Grant(1, 6, false) })
	note("a key", with(func(table *lease.Table) { table.Attach(1, "k") }))
	note("another key", with(func(table *lease.Table) { table.Attach(1, "l") }))
	note("an outcome", done(lease.SessionSeq{ID: 1, Seq: 1}, 5, []byte("x")))
	note("another result", done(lease.SessionSeq{ID: 1, Seq: 1}, 5, []byte("y")))
	note("no result", done(lease.SessionSeq{ID: 1, Seq: 1}, 5, nil))
	note("a result too large", done(lease.SessionSeq{ID: 1, Seq: 1}, 5, make([]byte, 5000)))
	note("another code", doneWith(lease.SessionSeq{ID: 1, Seq: 1}, 5, 2, []byte("x")))
	note("another code of a result too large", doneWith(lease.SessionSeq{ID: 1, Seq: 1}, 5, 2, make([]byte, 5000)))
	note("another revision", done(lease.SessionSeq{ID: 1, Seq: 1}, 6, []byte("x")))
	note("another number", done(lease.SessionSeq{ID: 1, Seq: 2}, 5, []byte("x")))
	note("a floor", done(lease.SessionSeq{ID: 1, Seq: 2, Acked: 1}, 5, []byte("x")))
}

func TestLimitsThatCannotHoldAreRefused(t *testing.T) {
	for name, change := range map[string]func(*lease.Limits){
		"no leases":       func(l *lease.Limits) { l.Leases = 0 },
		"no keys":         func(l *lease.Limits) { l.KeysPerLease = 0 },
		"no window":       func(l *lease.Limits) { l.Window = 0 },
		"too few bytes":   func(l *lease.Limits) { l.SessionBytes = l.Window*overhead - 1 },
		"too wide window": func(l *lease.Limits) { l.Window = math.MaxUint32 },
	} {
		limits := lease.DefaultLimits()
		change(&limits)
		if _, err := lease.NewTable(limits); !errors.Is(err, lease.ErrLimits) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
