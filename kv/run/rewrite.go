package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Rewritten is new runs that hold the live records of old ones.
//
//  1. Rewrite has written them.
//  2. The caller makes a manifest durable with Replace of its list.
//  3. Install lets the new runs take the place of the old.
//  4. Remove removes the old files.
//
// A crash before 2 leaves the new files as strays, and later the old ones. Discard is for the case
// that 2 fails. All of these are the worker's.
type Rewritten struct {
	h     *History
	old   []*run
	new   []*run
	moves []moved
	keys  []byte // of moves
	pacing
}

// moved is a record that has a new place.
type moved struct {
	keyAt    int
	keyLen   int
	mod      uint64
	from, to Ref
}

// Rewrite writes the records of some runs anew that are live. The files are sealed, and follow one
// another. It asks live for each record, which is good until live returns. The new runs end where
// old ones did, so that all chain hashes stay known.
//
// It writes and paces as Flush does, and calls pace with 0 bytes while it reads. After an error it has changed nothing, and can be called again,
// unless the error is ErrFailed.
func (h *History) Rewrite(ctx context.Context, files []uint32, live func(rec *Record, at Ref) bool, pace func(bytes int)) (*Rewritten, error) {
	if h.failed != nil {
		return nil, h.failed
	}
	old, err := h.adjacent(files)
	if err != nil {
		return nil, err
	}
	w := &rewriter{Rewritten: Rewritten{h: h, old: old, pacing: pacing{pace: pace}}, live: live}
	for i, r := range old {
		if err := w.run(ctx, r); err != nil {
			return nil, w.abandon(err)
		}
		if size := int64(w.mem.size); i == len(old)-1 || size >= h.opts.RunBytes || size+old[i+1].info.Bytes > MaxRunBytes {
			if err := w.finish(ctx, r); err != nil {
				return nil, w.abandon(err)
			}
		}
	}
	if err := h.syncNames(); err != nil {
		return nil, w.abandon(err)
	}
	return &w.Rewritten, nil
}

// adjacent returns the runs of files, if they can be rewritten together.
func (h *History) adjacent(files []uint32) ([]*run, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if len(files) == 0 {
		return nil, errors.New("run: rewrite: no files")
	}
	at := slices.IndexFunc(h.mu.runs, func(r *run) bool { return r.number == files[0] })
	if at < 0 || at+len(files) > len(h.mu.runs) {
		return nil, fmt.Errorf("run: rewrite: files %v are not in the history", files)
	}
	old := slices.Clone(h.mu.runs[at : at+len(files)])
	for i, r := range old {
		if r.number != files[i] || !r.info.Sealed {
			return nil, fmt.Errorf("run: rewrite: file %d is not sealed, or files %v do not follow one another", files[i], files)
		}
	}
	return old, nil
}

// rewriter is a Rewritten in the making.
type rewriter struct {
	Rewritten
	live func(*Record, Ref) bool

	made    *run // that is being made
	mem     *memory
	records int64
	// tail is the last record of mem, so that it can be made the last of its revision.
	tail     []byte
	tailAt   uint32
	tailMod  uint64
	tailLast bool
}

// run adds the live records of an old run.
func (w *rewriter) run(ctx context.Context, old *run) error {
	if w.made == nil {
		w.begin(old)
	}
	var rec record
	err := w.h.eachOfFile(old.info, 0, &rec, func() bool {
		if rec.Mod != w.tailMod {
			w.endRevision()
		}
		if w.live(&rec.Record, rec.at) {
			w.add(&rec)
		}
		w.did(len(rec.raw))
		return ctx.Err() == nil
	})
	w.endRevision()
	return errors.Join(err, ctx.Err())
}

// begin begins a new run at the beginning of an old one.
func (w *rewriter) begin(old *run) {
	w.made = newRun(w.h.NewFile(), header{cluster: w.h.opts.Cluster, first: old.header.first, chainBefore: old.header.chainBefore, rewritten: true})
	head, _ := w.made.header.encode()
	w.mem, w.records = newMemory(w.h.opts.chunkBytes(), head[:]), 0
}

func (w *rewriter) add(rec *record) {
	at := w.mem.size
	w.tail = w.mem.room(len(rec.raw))
	copy(w.tail, rec.raw)
	w.tailAt, w.tailMod, w.tailLast = at, rec.Mod, rec.Last
	sign(w.tail, place(w.made.salt, at))
	w.records++
	to := Ref{Run: w.made.number, Offset: at, Size: rec.at.Size}
	w.moves = append(w.moves, moved{keyAt: len(w.keys), keyLen: len(rec.Key), mod: rec.Mod, from: rec.at, to: to})
	w.keys = append(w.keys, rec.Key...)
}

// endRevision marks the last record that is left of a revision.
func (w *rewriter) endRevision() {
	if w.tail != nil && !w.tailLast {
		w.tail[recordHead] |= flagLast
		sign(w.tail, place(w.made.salt, w.tailAt))
	}
	w.tail = nil
}

// finish writes the new run, which ends where an old one did.
func (w *rewriter) finish(ctx context.Context, old *run) error {
	r := w.made
	end := Mark{Revision: old.info.Last, Chain: old.info.ChainAfter, offset: w.mem.size, records: w.records}
	w.new, w.made = append(w.new, r), nil
	_, err := w.h.write(ctx, r, w.mem, end, true, w.pace)
	r.end = &end
	return err
}

// abandon removes what was written, as far as it can, and returns err.
func (w *rewriter) abandon(err error) error {
	w.Discard()
	return w.h.fail(err)
}

// Discard removes the new files, which are in no manifest. What it cannot remove is a stray.
func (w *Rewritten) Discard() {
	for _, r := range w.new {
		w.h.files.Remove(r.number)
	}
}

// Replace returns a manifest's list with the new runs in the place of the old.
func (w *Rewritten) Replace(infos []Info) []Info {
	at := slices.IndexFunc(infos, func(i Info) bool { return i.File == w.old[0].number })
	if at < 0 || at+len(w.old) > len(infos) || !infos[at+len(w.old)-1].Sealed {
		panic("run: a rewrite is installed in a manifest that does not list the old runs as sealed")
	}
	var made []Info
	for _, r := range w.new {
		made = append(made, r.info)
	}
	return slices.Concat(infos[:at], made, infos[at+len(w.old):])
}

// Install lets the new runs take the place of the old, and calls move for each of their records, in
// the order of revisions: the record is at to as well as at from. The old runs are still readable by
// Ref. It paces as Rewrite does.
func (w *Rewritten) Install(move func(key []byte, mod uint64, from, to Ref)) {
	h := w.h
	h.mu.Lock()
	at := slices.Index(h.mu.runs, w.old[0])
	h.mu.runs = slices.Concat(h.mu.runs[:at], w.new, h.mu.runs[at+len(w.old):])
	h.changeFiles(func(byFile map[uint32]*run) {
		for _, r := range w.new {
			byFile[r.number] = r
		}
	})
	h.mu.Unlock()
	for _, m := range w.moves {
		move(w.keys[m.keyAt:m.keyAt+m.keyLen], m.mod, m.from, m.to)
		w.did(0)
	}
	w.moves, w.keys = nil, nil
}

// Forget ends the use of the old files. Whoever reads one goes on to; a later Read of a Ref in it
// gets ErrGone.
func (w *Rewritten) Forget() {
	h := w.h
	h.mu.Lock()
	h.changeFiles(func(byFile map[uint32]*run) {
		for _, r := range w.old {
			delete(byFile, r.number)
		}
	})
	h.mu.Unlock()
	for _, r := range w.old {
		h.open.forget(r.number)
	}
}
