package clerk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"balsa.example/api"
)

// maxTxKeys is how many keys and spans a Tx may read, and how many keys it may write. If it
// writes, a server limits both too, since each is a condition or an operation of a transaction:
// to 128, if it is not told otherwise.
const maxTxKeys = 10_000

// Waits between the attempts of an Update. They grow from the first to the last.
const (
	firstUpdateWait = time.Millisecond
	lastUpdateWait  = 100 * time.Millisecond
)

// errConflict: somebody has changed what an attempt of an Update has read.
var errConflict = errors.New("somebody has changed what was read")

// Tx is one attempt of an Update. It is for the goroutine that Update calls.
type Tx struct {
	ctx      context.Context
	clerk    *Clerk
	revision uint64 // what is read is of this one; 0: nothing was read yet
	failed   error  // of a read: the attempt cannot succeed

	reads  map[string]uint64 // keys that were read, with their ModRevision; 0: absent
	spans  []Span            // those of which all keys were read
	writes map[string]TxnOp  // the last one of each key
	order  []string          // the keys of writes, as they were first written
}

// Update runs a function that reads and writes keys as if nobody else did so meanwhile: all that
// it reads is of one revision, and what it writes takes effect, all in one revision, only if
// nobody has changed since what it has read. Else it is run again, after a while. So it should do
// nothing that must not be done twice.
//
//	err := ck.Update(ctx, func(tx *clerk.Tx) error {
//		from, err := tx.Get("balance/a")
//		...
//		tx.Put("balance/a", less)
//		tx.Put("balance/b", more)
//		return nil
//	})
//
// If the function returns an error, nothing is written, and Update returns that error. If the
// reply to the writes is lost, and the Clerk has no session, Update ends in ErrMaybe: it does not
// run the function again, since that might do everything twice. With a session it gets to know
// the outcome. If nothing is written, Update is a read.
//
// What is read and then written is limited by what a server takes as one transaction.
func (c *Clerk) Update(ctx context.Context, fn func(tx *Tx) error) error {
	for wait := firstUpdateWait; ; wait = min(2*wait, lastUpdateWait) {
		tx := &Tx{ctx: ctx, clerk: c, reads: map[string]uint64{}, writes: map[string]TxnOp{}}
		err := fn(tx)
		if tx.failed != nil {
			err = tx.failed
		}
		again := tx.failed != nil && isRefusal(tx.failed, ErrCompacted) // a revision that we were too slow for
		if err == nil {
			err = tx.commit()
			again = isRefusal(err, errConflict) // which is not that of another Update in fn
		}
		if !again {
			return err
		}
		if ended := c.pause(ctx, wait); ended != nil {
			return fmt.Errorf("update: %w", &droppedError{ended: ended, reason: err})
		}
	}
}

// pause waits up to d. It returns why the operation is to end, nil if it is to go on.
func (c *Clerk) pause(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	jitter := time.Duration(c.rand.Uint64() % uint64(d))
	c.mu.Unlock()
	timer := time.NewTimer(d - jitter)
	defer timer.Stop()
	select {
	case <-timer.C:
		return c.ended(ctx)
	case <-ctx.Done():
	case <-c.done:
	}
	return c.ended(ctx)
}

// Get returns what a key holds, or ErrNoKey: what this Tx has put there, if it has; else what
// was there at the revision of the Tx. What was put by this Tx has no revisions.
func (tx *Tx) Get(key string) (KV, error) {
	if _, ok := tx.writes[key]; ok {
		return tx.written(key)
	}
	if err := tx.mayRead(); err != nil {
		return KV{}, err
	}
	kv, err := tx.read(key)
	if err != nil && !errors.Is(err, ErrNoKey) {
		return KV{}, tx.fail(err)
	}
	tx.reads[key] = kv.ModRevision
	return kv, err
}

// read reads a key at the revision of the Tx. The first read is what gives it its revision. That is
// a GET, which costs less than a range. What a GET that finds nothing saw is not known, so then a
// range follows.
func (tx *Tx) read(key string) (KV, error) {
	if tx.revision == 0 {
		kv, err := tx.clerk.Get(tx.ctx, key)
		if !errors.Is(err, ErrNoKey) {
			tx.at(kv.Revision)
			return kv, err
		}
	}
	p, err := tx.clerk.page(tx.ctx, tx.reading(Key(key)))
	if err != nil {
		return KV{}, err
	}
	tx.at(p.revision)
	kv, err := p.one(key)
	if err == nil {
		kv.Revision = tx.revision
	}
	return kv, err
}

func (tx *Tx) written(key string) (KV, error) {
	put := tx.writes[key].message.GetPut()
	if put == nil {
		return KV{}, noKey(key)
	}
	return KV{Key: key, Value: put.Value, Lease: put.Lease}, nil
}

// mayRead returns why nothing more can be read, if so.
func (tx *Tx) mayRead() error {
	if tx.failed == nil && len(tx.reads)+len(tx.spans) >= maxTxKeys {
		tx.failed = fmt.Errorf("update: %w: more than %d keys and spans are read", ErrTooManyOps, maxTxKeys)
	}
	return tx.failed
}

// reading reads a span at the revision of the Tx.
func (tx *Tx) reading(span Span) *reading {
	return &reading{message: &api.Range{Span: span.message(), Revision: tx.revision}}
}

// at notes the revision of the first read.
func (tx *Tx) at(revision uint64) {
	if tx.revision == 0 {
		tx.revision = revision
	}
}

// fail notes why the attempt cannot succeed, whatever the function makes of the error.
func (tx *Tx) fail(err error) error {
	tx.failed = err
	return err
}

// Range iterates over the keys of a span, in their order: those of the revision of the Tx, with
// what this Tx had written when the loop began. What the loop has seen must not change until the
// Tx is over: no key of it, and none that is added. Where the loop is left early, that ends with
// the last key that it has seen.
func (tx *Tx) Range(span Span) iter.Seq2[KV, error] {
	return func(yield func(KV, error) bool) {
		if err := tx.mayRead(); err != nil {
			yield(KV{}, err)
			return
		}
		seen := len(tx.spans)
		tx.spans = append(tx.spans, span)
		for kv, err := range tx.merge(span) {
			if !yield(kv, err) {
				if err == nil {
					tx.spans[seen].To = kv.Key + "\x00"
				}
				return
			}
		}
	}
}

// merge yields the stored keys of a span together with what was written.
func (tx *Tx) merge(span Span) iter.Seq2[KV, error] {
	return func(yield func(KV, error) bool) {
		ahead := tx.writesIn(span) // written keys that are not yielded yet
		// emit yields the written key that comes next, unless it was deleted.
		emit := func() bool {
			key := ahead[0]
			ahead = ahead[1:]
			kv, err := tx.written(key)
			return err != nil || yield(kv, nil)
		}
		for kv, err := range tx.stored(span) {
			if err != nil {
				yield(KV{}, err)
				return
			}
			for len(ahead) > 0 && ahead[0] < kv.Key {
				if !emit() {
					return
				}
			}
			tx.reads[kv.Key] = kv.ModRevision
			next := func() bool { return yield(kv, nil) }
			if len(ahead) > 0 && ahead[0] == kv.Key {
				next = emit
			}
			if !next() {
				return
			}
		}
		for len(ahead) > 0 {
			if !emit() {
				return
			}
		}
	}
}

// stored yields the keys of a span as they were at the revision of the Tx.
func (tx *Tx) stored(span Span) iter.Seq2[KV, error] {
	return func(yield func(KV, error) bool) {
		for page, err := range tx.clerk.pages(tx.ctx, tx.reading(span)) {
			if err != nil {
				yield(KV{}, tx.fail(err))
				return
			}
			tx.at(page.revision)
			for e, err := range page.Entries() {
				if err != nil {
					yield(KV{}, tx.fail(err))
					return
				}
				if err := tx.mayRead(); err != nil {
					yield(KV{}, err)
					return
				}
				if !yield(pageEntry(e, tx.revision), nil) {
					return
				}
			}
		}
	}
}

// writesIn returns the keys of a span that were written, in their order.
func (tx *Tx) writesIn(span Span) (keys []string) {
	for key := range tx.writes {
		if span.Contains(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Put sets a key's value when the Tx takes effect.
func (tx *Tx) Put(key string, value []byte, opts ...PutOption) {
	tx.write(key, OpPut(key, value, opts...))
}

// Delete removes a key when the Tx takes effect.
func (tx *Tx) Delete(key string) { tx.write(key, OpDelete(key)) }

func (tx *Tx) write(key string, op TxnOp) {
	_, again := tx.writes[key]
	switch {
	case !again && len(tx.order) >= maxTxKeys:
		tx.failed = fmt.Errorf("update: %w: more than %d keys are written", ErrTooManyOps, maxTxKeys)
		return
	case !again:
		tx.order = append(tx.order, key)
	}
	tx.writes[key] = op
}

// commit lets what was written take effect, if nothing that was read has changed: each key
// that was read has the revision that it had, and a span has no key that is newer than the
// revision of the Tx. The first notices what was removed, the second what was added.
func (tx *Tx) commit() error {
	if len(tx.order) == 0 {
		return nil
	}
	txn := tx.clerk.Txn(tx.ctx)
	for _, key := range slices.Sorted(maps.Keys(tx.reads)) {
		txn.If(ModRevision(key).Equals(tx.reads[key]))
	}
	for _, span := range tx.spans {
		txn.If(ModRevision(span).Below(tx.revision + 1))
	}
	for _, key := range tx.order {
		txn.Then(tx.writes[key])
	}
	result, err := txn.Commit()
	if err == nil && !result.Succeeded {
		err = errConflict
	}
	return err
}
