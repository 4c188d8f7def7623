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

// load is clients that read and write some shared keys all the time, and one client, the probe,
// that writes a key of its own and notes when its writes are acknowledged.
//
// It runs in epochs, each with its own keys. When an epoch is over, its history is checked,
// written to a file and freed, so that a run of any length fits into memory.
type load struct {
	ctx    context.Context // ends the operations at once
	o      options
	clerks []*clerk.Clerk // of the probe, of the clients, and of the bulk writer
	etcd   etcdServers    // where the clients of the etcd API go
	judge  *judge

	epoch   int
	history *history.History // of this epoch
	record  *etcdRecord      // of this epoch; nil if no client speaks the etcd API
	quit    chan struct{}    // closed to end the epoch
	done    atomic.Int64     // operations so far, of all epochs
	running sync.WaitGroup

	mu     sync.Mutex
	acked  []time.Time // when the probe's latest writes were acknowledged
	newest map[string]observed
	bad    error // an error that no fault explains
}

// observed is the newest version of a key that a client has observed.
type observed struct {
	version uint64
	value   string
}

// ackedKept bounds the length of load.acked: some minutes.
const ackedKept = 1 << 16

// startLoad runs clients, each with a Clerk of its own, until stop.
func startLoad(ctx context.Context, endpoints []string, o options) (*load, error) {
	l := &load{ctx: ctx, o: o, judge: newJudge(o.dir), newest: make(map[string]observed)}
	l.etcd.known = endpoints
	for range o.clients + 2 {
		ck, err := clerk.New(endpoints)
		if err != nil {
			return nil, err
		}
		l.clerks = append(l.clerks, ck)
	}
	return l, l.begin()
}

// begin starts an epoch.
func (l *load) begin() error {
	l.epoch++
	l.history = history.New()
	l.quit = make(chan struct{})
	if l.o.etcdClients > 0 {
		if err := l.beginEtcd(); err != nil {
			return err
		}
	}
	for client, ck := range l.clerks {
		l.running.Go(func() {
			switch {
			case client == 0:
				l.probe(ck)
			case client <= l.o.clients:
				l.client(client, ck)
			case l.o.bulk > 0:
				l.bulk(ck)
			}
		})
	}
	return nil
}

// end ends an epoch: it waits for the operations under way, reads every key once more with ck,
// and gives the history to the judge. It returns the errors so far.
func (l *load) end(ck *clerk.Clerk) error {
	if !l.goesOn() {
		return nil // it has ended with an error before
	}
	close(l.quit)
	l.running.Wait()
	ctx, cancel := context.WithTimeout(l.ctx, 2*operationTimeout)
	defer cancel()
	for k := range l.o.keys {
		l.note(l.history.Get(ctx, len(l.clerks), ck, l.key(k)))
	}
	l.note(l.history.Get(ctx, len(l.clerks), ck, l.probeKey()))
	if l.record != nil {
		l.endEtcd(ctx, ck)
	}
	l.mu.Lock()
	bad := l.bad
	l.mu.Unlock()
	return errors.Join(bad, l.judge.take(l.epoch, l.history, l.record))
}

// rotate begins a new epoch if this one is long enough. It is called while there is no fault, so
// that the operations under way end soon.
func (l *load) rotate(ck *clerk.Clerk) error {
	if l.history.Len() < l.o.window {
		return nil
	}
	if err := l.end(ck); err != nil {
		return err
	}
	return l.begin()
}

// stop ends the load, and returns all errors.
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

func (l *load) probeKey() string { return fmt.Sprintf("e%d-probe", l.epoch) }

// client reads a key, or writes it at the last known version, again and again.
func (l *load) client(client int, ck history.Client) {
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

// rest waits after an operation, so that all clients together keep to the rate. It returns when
// the next operation is due.
func (l *load) rest(due time.Time) time.Time {
	if l.o.rate > 0 {
		due = due.Add(time.Duration(l.o.clients+l.o.etcdClients) * time.Second / time.Duration(l.o.rate))
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

// probe writes one key as long as the epoch runs. The time from a fault to its next
// acknowledgement is how long writes were not possible.
func (l *load) probe(ck *clerk.Clerk) {
	version := uint64(0)
	for n := 0; l.goesOn(); n++ {
		ctx, cancel := context.WithTimeout(l.ctx, operationTimeout)
		kv, err := l.history.Put(ctx, 0, ck, l.probeKey(), fmt.Sprint(n), version)
		if errors.Is(err, clerk.ErrMaybe) || errors.Is(err, clerk.ErrVersion) {
			kv, err = l.history.Get(ctx, 0, ck, l.probeKey())
			if errors.Is(err, clerk.ErrNoKey) {
				err = nil
			}
		} else if err == nil {
			l.noteAck()
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

// bulk writes large values to a key of its own, so that the log begins new segments and is
// compacted all the time. They are in no history, but verify looks for the last of them.
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

func (l *load) noteAck() {
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
		l.newest[kv.Key] = observed{kv.Version, string(kv.Value)}
	}
}

// explain notes an error that no fault explains. Other clients may have changed a key, outcomes
// may be unknown, and servers may be away; no other error may happen.
func (l *load) explain(err error) {
	for _, known := range []error{clerk.ErrVersion, clerk.ErrNoKey, clerk.ErrMaybe, context.DeadlineExceeded, errAway, errRefused, errLeaseEnded} {
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
