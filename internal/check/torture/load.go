package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/check/history"
)

// operationTimeout is how long a client tries.
const operationTimeout = 10 * time.Second

// load is clients that read and write some shared keys all the time, and one that
// writes a key of its own, the pulse, and notes when its writes were acknowledged.
//
// It runs in epochs, each with keys of its own: a history is judged, written away and
// forgotten when its epoch is over, so that a run of any length can be judged and has
// its place in memory.
type load struct {
	ctx    context.Context // ends the operations at once
	o      options
	clerks []*clerk.Clerk // of the pulse, of the clients, and of the bulk writer
	judge  *judge

	epoch   int
	history *history.History // of this epoch
	quit    chan struct{}    // closed to end the epoch
	done    atomic.Int64     // operations so far, of all epochs
	running sync.WaitGroup

	mu     sync.Mutex
	acked  []time.Time // of the pulse, in the last while
	newest map[string]seen
	bad    error // an error that no fault explains
}

// seen is the newest of a key that a client was told of.
type seen struct {
	version uint64
	value   string
}

// ackedKept bounds load.acked: minutes of them.
const ackedKept = 1 << 16

// startLoad runs clients, each with a Clerk of its own, until stop.
func startLoad(ctx context.Context, endpoints []string, o options) (*load, error) {
	l := &load{ctx: ctx, o: o, judge: newJudge(o.dir), newest: make(map[string]seen)}
	for range o.clients + 2 {
		ck, err := clerk.New(endpoints)
		if err != nil {
			return nil, err
		}
		l.clerks = append(l.clerks, ck)
	}
	l.begin()
	return l, nil
}

// begin starts an epoch.
func (l *load) begin() {
	l.epoch++
	l.history = history.New()
	l.quit = make(chan struct{})
	for client, ck := range l.clerks {
		l.running.Go(func() {
			switch {
			case client == 0:
				l.pulse(ck)
			case client <= l.o.clients:
				l.client(client, ck)
			case l.o.bulk > 0:
				l.bulk(ck)
			}
		})
	}
}

// end ends an epoch: the operations under way come to their ends, ck has one more look
// at every key, and the history goes to the judge. It returns what was found so far.
func (l *load) end(ck *clerk.Clerk) error {
	if !l.goesOn() {
		return nil // it has ended badly before
	}
	close(l.quit)
	l.running.Wait()
	ctx, cancel := context.WithTimeout(l.ctx, 2*operationTimeout)
	defer cancel()
	for k := range l.o.keys {
		l.note(l.history.Get(ctx, len(l.clerks), ck, l.key(k)))
	}
	l.note(l.history.Get(ctx, len(l.clerks), ck, l.pulseKey()))
	l.mu.Lock()
	bad := l.bad
	l.mu.Unlock()
	return errors.Join(bad, l.judge.take(l.epoch, l.history))
}

// rotate begins a new epoch if this one is large enough to be judged. It is called
// when no fault is active: what is under way ends soon.
func (l *load) rotate(ck *clerk.Clerk) error {
	if l.history.Len() < l.o.window {
		return nil
	}
	if err := l.end(ck); err != nil {
		return err
	}
	l.begin()
	return nil
}

// stop ends the load, and returns what was wrong with it from begin to end.
func (l *load) stop(ck *clerk.Clerk) error {
	err := l.end(ck)
	for _, ck := range l.clerks {
		ck.Close()
	}
	if wrong := l.judge.wait(); !errors.Is(err, wrong) {
		err = errors.Join(err, wrong)
	}
	return err
}

func (l *load) key(k int) string { return fmt.Sprintf("e%d-k%d", l.epoch, k) }

func (l *load) pulseKey() string { return fmt.Sprintf("e%d-pulse", l.epoch) }

// client repeats: read a key, or write it at the last version seen.
func (l *load) client(client int, ck *clerk.Clerk) {
	rng := rand.New(rand.NewPCG(uint64(client), uint64(l.epoch)))
	versions := map[string]uint64{}
	due := time.Now()
	for n := 0; l.goesOn(); n++ {
		key := l.key(rng.IntN(l.o.keys))
		ctx, cancel := context.WithTimeout(l.ctx, operationTimeout)
		var err error
		var kv clerk.KV
		if rng.IntN(2) == 0 {
			kv, err = l.history.Get(ctx, client, ck, key)
		} else {
			kv, err = l.history.Put(ctx, client, ck, key, fmt.Sprintf("%d-%d", client, n), versions[key])
		}
		cancel()
		l.note(kv, err)
		if err == nil {
			versions[key] = kv.Version
		}
		var mismatch *clerk.VersionError
		if errors.As(err, &mismatch) {
			versions[key] = mismatch.Current
		}
		l.explain(err)
		due = l.rest(due)
	}
}

// rest waits after an operation that was due: for a while, and so that all clients
// together keep to the rate. It returns when the next is due.
func (l *load) rest(due time.Time) time.Time {
	if l.o.rate > 0 {
		due = due.Add(time.Duration(l.o.clients) * time.Second / time.Duration(l.o.rate))
	}
	due = latest(due, time.Now().Add(l.o.pause))
	l.sleep(time.Until(due))
	return due
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pulse writes one key for as long as the epoch runs: the time from a fault to its
// next acknowledgement is how long writes were away.
func (l *load) pulse(ck *clerk.Clerk) {
	version := uint64(0)
	for n := 0; l.goesOn(); n++ {
		ctx, cancel := context.WithTimeout(l.ctx, operationTimeout)
		kv, err := l.history.Put(ctx, 0, ck, l.pulseKey(), fmt.Sprint(n), version)
		if errors.Is(err, clerk.ErrMaybe) || errors.Is(err, clerk.ErrVersion) {
			kv, err = l.history.Get(ctx, 0, ck, l.pulseKey())
			if errors.Is(err, clerk.ErrNoKey) {
				err = nil
			}
		} else if err == nil {
			l.beat()
		}
		cancel()
		l.note(kv, err)
		if err == nil {
			version = kv.Version
		}
		l.explain(err)
		l.sleep(max(2*time.Millisecond, l.o.pause))
	}
}

// bulk writes large values to a key of its own, so that the log begins new segments and
// is cut all the time. They are in no history, but verify looks for the last of them.
func (l *load) bulk(ck *clerk.Clerk) {
	key := fmt.Sprintf("e%d-bulk", l.epoch)
	version := uint64(0)
	for n := 0; l.goesOn(); n++ {
		ctx, cancel := context.WithTimeout(l.ctx, operationTimeout)
		value := bytes.Repeat([]byte{byte(n)}, l.o.bulk<<10)
		kv, err := ck.Put(ctx, key, value, version)
		cancel()
		l.note(kv, err)
		var mismatch *clerk.VersionError
		if err == nil {
			version = kv.Version
		} else if errors.As(err, &mismatch) {
			version = mismatch.Current
		}
		l.explain(err)
		l.sleep(l.o.pause)
	}
}

func (l *load) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.acked) == ackedKept {
		l.acked = append(l.acked[:0], l.acked[ackedKept/2:]...)
	}
	l.acked = append(l.acked, time.Now())
}

// note counts an operation, and remembers the newest of each key.
func (l *load) note(kv clerk.KV, err error) {
	l.done.Add(1)
	if err != nil || kv.Version == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if kv.Version > l.newest[kv.Key].version {
		l.newest[kv.Key] = seen{kv.Version, string(kv.Value)}
	}
}

// explain notes an error that a fault does not explain. Versions move under the
// clients, fates get lost, and servers go away; nothing else may happen.
func (l *load) explain(err error) {
	for _, known := range []error{clerk.ErrVersion, clerk.ErrNoKey, clerk.ErrMaybe, context.DeadlineExceeded} {
		if err == nil || l.ctx.Err() != nil || errors.Is(err, known) {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bad == nil {
		l.bad = err
	}
}

func (l *load) goesOn() bool {
	select {
	case <-l.quit:
		return false
	default:
		return true
	}
}

func (l *load) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.quit:
	}
}
