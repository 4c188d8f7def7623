package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/check/history"
	"balsa.example/kv"
)

// etcdDrift is how much faster or slower a clock may be than another of the same machine.
const etcdDrift = 0.01

// etcdRecord is what the clients of the etcd API were told in an epoch, beside the answers to gets and
// puts, which are in the history of all clients: about leases, and by watches.
type etcdRecord struct {
	span kv.Span // what is watched: the keys of clients and of leases
	base uint64  // the revision behind which the epoch begins
	last uint64  // the revision with which it ends

	start    time.Time
	watchers []*etcdWatcher
	watching sync.WaitGroup
	cancel   context.CancelFunc
	// truth are the events of the revisions behind base, as a client of the native API has them from
	// the history, up to last.
	truth [][]kv.Event

	mu     sync.Mutex
	leases map[string]*etcdLease // by key
	bad    error
}

// etcdLease is a lease with its key.
type etcdLease struct {
	history.Lease
	key, value string
}

// etcdNever is the end of a call without an answer.
const etcdNever = 1 << 62

func (r *etcdRecord) now() int64 { return int64(time.Since(r.start)) }

// grant notes a lease, for a key that is not put yet.
func (r *etcdRecord) grant(l *etcdLease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases[l.key] = l
}

// note adds a call to one of a lease's lists.
func (r *etcdRecord) note(list *[]history.Interval, called, returned int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, history.Interval{Called: called, Returned: returned})
}

// told notes the leases of which a watch tells that they have ended.
func (r *etcdRecord) told(events []kv.Event) {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if l := r.leases[e.Key]; l != nil && e.Deleted {
			l.Gone = append(l.Gone, history.Interval{Called: at, Returned: at})
		}
	}
}

func (r *etcdRecord) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad == nil {
		r.bad = err
	}
}

// watch starts a watcher.
func (r *etcdRecord) watch(ctx context.Context, client *etcdClient, rng *rand.Rand, one string) {
	w := newEtcdWatcher(client, r, rng, one)
	r.watchers = append(r.watchers, w)
	r.watching.Go(func() {
		if err := w.run(ctx); err != nil {
			r.failed(err)
		}
	})
}

// finish waits until all watchers were told of everything up to a revision, and gets the truth.
func (r *etcdRecord) finish(ctx context.Context, ck *clerk.Clerk, last uint64) error {
	r.last = last
	defer time.AfterFunc(etcdTold, r.cancel).Stop()
	for _, w := range r.watchers {
		w.until.Store(last)
	}
	r.watching.Wait()
	r.truth = make([][]kv.Event, last-r.base)
	ctx, cancel := context.WithTimeout(ctx, etcdTold)
	defer cancel()
	for changes, err := range ck.Watch(ctx, clerk.Span(r.span), clerk.Since(r.base+1), clerk.WithPrev()) {
		if err != nil {
			return fmt.Errorf("watch what happened in the epoch: %w", err)
		}
		r.truth[changes.Revision-r.base-1] = truthOf(changes.Events)
		if changes.Revision == last {
			break
		}
	}
	return nil
}

func truthOf(changes []clerk.Event) (events []kv.Event) {
	entry := func(e clerk.KV) kv.Entry {
		return kv.Entry{Key: e.Key, Value: e.Value, Version: e.Version, CreateRevision: e.CreateRevision, ModRevision: e.ModRevision, Lease: e.Lease}
	}
	for _, c := range changes {
		e := kv.Event{Entry: entry(c.KV), Deleted: c.Deleted}
		if c.Prev != nil {
			prev := entry(*c.Prev)
			e.Prev = &prev
		}
		events = append(events, e)
	}
	return events
}

// check checks the truth against what clients did, and all that they were told against the truth.
func (r *etcdRecord) check(ops []history.Op) error {
	if r.bad != nil {
		return r.bad
	}
	if err := r.checkTruth(ops); err != nil {
		return err
	}
	committed := make([][]kv.Event, len(r.truth))
	for i, events := range r.truth {
		committed[i] = r.shifted(events)
	}
	for _, w := range r.watchers {
		for _, one := range w.watches {
			if err := history.CheckStream(r.stream(&one.Stream), committed, 0); err != nil {
				return fmt.Errorf("told by the API of etcd, where revision 2 is that of %d: %w", r.base+1, err)
			}
		}
	}
	for _, l := range r.leases {
		if err := history.CheckLease(&l.Lease, etcdDrift, -1); err != nil {
			return fmt.Errorf("lease of %q: %w", l.key, err)
		}
	}
	return nil
}

// shifted are events as if the epoch began with revision 2, the first that CheckStream knows.
func (r *etcdRecord) shifted(events []kv.Event) []kv.Event {
	events = slices.Clone(events)
	for i := range events {
		events[i].ModRevision -= r.base - 1
	}
	return events
}

// stream is what one watcher was told up to the end of the epoch, with shifted revisions.
func (r *etcdRecord) stream(told *history.Stream) *history.Stream {
	s := *told
	s.From, s.Until, s.Batches = 2, r.last-r.base+1, nil
	for _, b := range told.Batches {
		if b.Progress > 0 {
			// Revisions of leases that nobody waits for may follow the last one.
			s.Batches = append(s.Batches, history.Batch{Progress: max(min(b.Progress, r.last), r.base) - (r.base - 1)})
			continue
		}
		events := slices.DeleteFunc(r.shifted(b.Events), func(e kv.Event) bool { return e.ModRevision > s.Until })
		if len(events) > 0 || len(b.Events) == 0 {
			s.Batches = append(s.Batches, history.Batch{Events: events})
		}
	}
	return &s
}

// checkTruth compares the events with the operations: each event is that of a put that may have been
// executed, or of a lease, and each acknowledged put has its event.
func (r *etcdRecord) checkTruth(ops []history.Op) error {
	type write struct{ key, value string }
	puts := make(map[write]history.Op)
	missing := make(map[uint64]history.Op) // acknowledged, by revision
	for _, op := range ops {
		if op.Kind != history.Put || !r.span.Contains(op.Key) || op.Outcome != history.OK && op.Outcome != history.Maybe {
			continue
		}
		puts[write{op.Key, op.Value}] = op
		if op.Outcome == history.OK && op.Revision > r.base {
			missing[op.Revision] = op
		}
	}
	for i, events := range r.truth {
		revision := r.base + 1 + uint64(i)
		for _, e := range events {
			op, put := puts[write{e.Key, string(e.Value)}]
			switch {
			case r.ofLease(e):
			case len(events) != 1 || e.Deleted || !put || op.Version+1 != e.Version || op.Outcome == history.OK && op.Revision > 0 && op.Revision != revision:
				return fmt.Errorf("revision %d is of no operation that clients know: %+v", revision, e)
			}
		}
		if op, ok := missing[revision]; ok && (len(events) != 1 || events[0].Key != op.Key) {
			return fmt.Errorf("%w: revision %d was acknowledged to %s, and is %+v", errLost, revision, op, events)
		}
		delete(missing, revision)
	}
	for revision, op := range missing {
		return fmt.Errorf("%w: revision %d was acknowledged to %s, and no watch is told of it", errLost, revision, op)
	}
	return nil
}

// ofLease tells whether an event is the put of a lease's key, or its end.
func (r *etcdRecord) ofLease(e kv.Event) bool {
	l := r.leases[e.Key]
	if l == nil {
		return false
	}
	if e.Deleted {
		return e.Prev != nil && e.Prev.Lease == l.ID
	}
	return e.Version == 1 && e.Lease == l.ID && string(e.Value) == l.value
}

// count counts what was checked.
func (r *etcdRecord) count() (events, leases int) {
	for _, w := range r.watchers {
		for _, one := range w.watches {
			for _, b := range one.Batches {
				events += len(b.Events)
			}
		}
	}
	return events, len(r.leases)
}

// write writes the leases, and what the watches were told.
func (r *etcdRecord) write(w io.Writer) {
	for _, key := range slices.Sorted(maps.Keys(r.leases)) {
		l := r.leases[key]
		fmt.Fprintf(w, "lease %d of %q for %v: kept %d, revoked %d, seen %d, gone %d\n", l.ID, key, time.Duration(l.TTL), l.Kept, l.Revoked, l.Seen, l.Gone)
	}
	for i, events := range r.truth {
		for _, e := range events {
			fmt.Fprintf(w, "revision %d: %q version %d, lease %d, deleted %v\n", r.base+1+uint64(i), e.Key, e.Version, e.Lease, e.Deleted)
		}
	}
}
