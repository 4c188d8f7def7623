package state

import (
	"context"
	"errors"
	"fmt"

	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/state/auth"
	"balsa.example/state/lease"
	"balsa.example/vfs"
)

// Foundation is what another program had, for a cluster that begins with it.
type Foundation struct {
	// ID stands in the header of each run. Other contents have another one, and none has 0.
	ID uint64
	// Revision is that of the last change.
	Revision uint64
	// Each yields the present record of each key, in the order of revisions. Whether one is the last of its
	// revision is found here. A record is good until yield returns.
	Each   func(yield func(*run.Record) error) error
	Leases []GrantedLease
	Users  *auth.Table
}

// GrantedLease is a lease with its time to live in nanoseconds.
type GrantedLease struct{ ID, TTL int64 }

// foundationBytes is how much is in memory alone while the history is written.
const foundationBytes = 32 << 20

// ErrFoundation refuses a Foundation that makes no sense, or that has more than a store takes.
var ErrFoundation = errors.New("state: there is no store like this")

// Restore writes a state that waits for the birth of a cluster, as that of an Image does. Revisions of keys and
// their versions are as they were, and all before the store's revision is compacted. That is Revision, or
// MoveTo of the Restoration; what else that says of revisions counts for nothing. A lease has its whole time
// to live from when the cluster lives. A key whose lease is not there hangs on none.
func (f *Foundation) Restore(ctx context.Context, r Restoration) (*Image, error) {
	if err := vfs.MakeDir(r.FS, r.Dir); err != nil {
		return nil, fmt.Errorf("make the directory of the state: %w", err)
	}
	leases, err := f.leases()
	if err != nil {
		return nil, err
	}
	runs, err := f.write(ctx, r, leases)
	if err != nil {
		return nil, err
	}
	files := run.Files{FS: r.FS, Dir: r.Dir, Cluster: f.ID}
	for _, info := range runs {
		if err := files.Verify(ctx, info, nil); err != nil {
			return nil, err
		}
	}
	history, err := r.open(f.ID, runs)
	if err != nil {
		return nil, err
	}
	p := &present{history: history, historyID: f.ID}
	p.times.gap, p.leases.table = firstGap, leases
	p.users.set(f.Users)
	var restored *Image
	if p.keys, err = kv.OpenStore(history, kv.Totals{}.MoveOn(max(f.Revision, r.MoveTo, 1)), &p.leases, ctx.Err); err == nil {
		restored, err = r.publish(p, runs)
	}
	return restored, errors.Join(err, history.Close())
}

// leases grants the leases. All of them float: they count from the second tick of the new cluster.
func (f *Foundation) leases() (*lease.Table, error) {
	t, err := lease.NewTable(lease.DefaultLimits())
	if err != nil {
		return nil, err
	}
	for _, l := range f.Leases {
		if l.ID <= 0 {
			return nil, fmt.Errorf("%w: it has the lease %d", ErrFoundation, l.ID)
		}
		if err := t.Grant(l.ID, l.TTL, false); err != nil {
			return nil, fmt.Errorf("lease %d: %w", l.ID, err)
		}
		t.Float([]int64{l.ID})
	}
	return t, nil
}

// write writes the history, and attaches the keys to their leases.
func (f *Foundation) write(ctx context.Context, r Restoration, leases *lease.Table) ([]run.Info, error) {
	history, err := run.Open(run.Options{FS: r.FS, Dir: r.Dir, Cluster: f.ID, CacheBytes: -1}, nil, 1)
	if err != nil {
		return nil, err
	}
	w := foundationWriter{ctx: ctx, history: history, leases: leases, last: f.Revision, pace: r.Pace}
	if w.pace == nil {
		w.pace = func(int) {}
	}
	err = f.Each(w.add)
	if err == nil {
		err = w.append(true)
	}
	var runs []run.Info
	if err == nil {
		runs, _, err = history.Flush(ctx, history.Mark(), w.pace)
	}
	return runs, errors.Join(err, history.Close())
}

// foundationWriter keeps one record back until it knows whether that is the last of its revision.
type foundationWriter struct {
	ctx     context.Context
	history *run.History
	leases  *lease.Table
	last    uint64 // revision
	pace    func(bytes int)

	next  run.Record
	bytes int // since the last flush
}

func (w *foundationWriter) add(rec *run.Record) error {
	switch {
	case rec.Mod < w.next.Mod || rec.Mod > w.last || rec.Create == 0 || rec.Create > rec.Mod || rec.Version == 0:
		return fmt.Errorf("%w: key %q has the revision %d, is of %d and has version %d; the one before is of %d, and the last of %d",
			ErrFoundation, rec.Key, rec.Mod, rec.Create, rec.Version, w.next.Mod, w.last)
	case len(rec.Key) > kv.DefaultLimits.MaxKeyBytes || len(rec.Value) > maxFoundationValue:
		return fmt.Errorf("%w: a key has %d bytes and its value %d, more than the %d and %d allowed",
			ErrFoundation, len(rec.Key), len(rec.Value), kv.DefaultLimits.MaxKeyBytes, maxFoundationValue)
	}
	if err := w.append(rec.Mod != w.next.Mod); err != nil {
		return err
	}
	key, value := append(w.next.Key[:0], rec.Key...), append(w.next.Value[:0], rec.Value...)
	w.next = *rec
	w.next.Key, w.next.Value = key, value
	return nil
}

// maxFoundationValue bounds a value. What can be proposed is smaller.
const maxFoundationValue = 512 << 20

// append appends the record that was kept back.
func (w *foundationWriter) append(last bool) error {
	if w.next.Mod == 0 {
		return nil
	}
	rec := w.next // Append lets its key and value alias the history
	rec.Last = last
	if _, there := w.leases.Lookup(rec.Lease); !there {
		rec.Lease = 0
	} else if err := w.leases.Attach(rec.Lease, string(rec.Key)); err != nil {
		return fmt.Errorf("key %q: %w", rec.Key, err)
	}
	w.history.Append(&rec)
	if w.bytes += len(rec.Key) + len(rec.Value); w.bytes < foundationBytes || !last {
		return nil
	}
	w.bytes = 0
	_, _, err := w.history.Flush(w.ctx, w.history.Mark(), w.pace)
	return err
}
