package run

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
)

// Flush makes the history durable up to a mark, and returns the runs up to there, for a manifest.
// When the manifest is durable too, Open gives back the history up to the mark. written is what was
// written, also before an error.
//
// It writes in pieces of 1 MiB, or of 256 KiB while it is to be gentle, syncs each, and calls pace
// after it, which may wait. While it computes the index of a run it calls pace with 0 bytes.
// Runs that are full get their footer. After an error it can be called again, unless the error is
// ErrFailed. Marks never go back.
func (h *History) Flush(ctx context.Context, to Mark, pace func(bytes int)) (infos []Info, written int64, err error) {
	if h.failed != nil {
		return nil, 0, h.failed
	}
	targets, err := h.upTo(to)
	if err != nil {
		return nil, 0, err
	}
	for _, t := range targets {
		n, err := h.flushRun(ctx, t, pace)
		if written += n; err != nil {
			return nil, written, h.fail(err)
		}
	}
	if err := h.syncNames(); err != nil {
		return nil, written, h.fail(err)
	}
	h.dropMemory()
	for _, t := range targets {
		if t.info.Last > to.Revision {
			return nil, written, fmt.Errorf("run: flush to revision %d: file %d has revision %d already", to.Revision, t.number, t.info.Last)
		}
		infos = append(infos, t.info)
	}
	return infos, written, nil
}

// target is a run, and how far it is to be flushed.
type target struct {
	*run
	to   Mark
	seal bool
}

// upTo returns the runs up to that of a mark.
func (h *History) upTo(mark Mark) (targets []target, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.mu.closed {
		return nil, ErrGone
	}
	for _, r := range h.mu.runs {
		switch {
		case r.header.first > mark.Revision:
			return targets, nil
		case r.end != nil && r.end.Revision <= mark.Revision:
			targets = append(targets, target{run: r, to: *r.end, seal: true})
		default:
			targets = append(targets, target{run: r, to: mark})
		}
	}
	return targets, nil
}

// fail remembers an error after which nothing may be written.
func (h *History) fail(err error) error {
	if errors.Is(err, ErrFailed) {
		h.failed = err
	}
	return err
}

// syncNames makes the names of new files durable.
func (h *History) syncNames() error {
	if !h.newNames {
		return nil
	}
	if err := h.files.syncDir(); err != nil {
		return err
	}
	h.newNames = false
	return nil
}

// flushRun writes what is missing of a run, and its footer if it is full.
func (h *History) flushRun(ctx context.Context, t target, pace func(int)) (written int64, err error) {
	if t.info.Sealed || !t.seal && int64(t.to.offset) <= t.info.Bytes {
		return 0, nil
	}
	return h.write(ctx, t.run, t.mem.Load(), t.to, t.seal, pace)
}

// write writes a run from memory up to a mark in it, and then its Info tells of that.
func (h *History) write(ctx context.Context, r *run, mem *memory, to Mark, seal bool, pace func(int)) (written int64, err error) {
	if r.info.Bytes == 0 {
		h.newNames = true
	}
	info, digest, written, err := h.files.write(ctx, r, mem, to, seal, pace)
	if err != nil {
		return written, err
	}
	r.digest = digest
	h.mu.Lock()
	r.info = info
	h.mu.Unlock()
	return written, nil
}

// write writes what is missing of a run's file up to a mark, and returns what is durable of it then,
// but for its name, and the hash of its bytes.
func (f Files) write(
	ctx context.Context, r *run, mem *memory, to Mark, seal bool, pace func(int),
) (info Info, digest xxhash.Digest, written int64, err error) {
	info = r.info
	w, err := f.writer(r.number, info.Bytes, info.Bytes > 0, r.digest, pace)
	if err != nil {
		return info, r.digest, 0, err
	}
	w.mostAtOnce = f.mostAtOnce
	for _, b := range mem.pieces(uint32(info.Bytes), to.offset) {
		if err = w.write(ctx, b); err != nil {
			break
		}
	}
	if err == nil && seal {
		var b []byte
		if b, err = r.footer(mem, to, pace); err == nil {
			err = w.write(ctx, b)
		}
	}
	written = w.at - info.Bytes
	if err = w.close(err); err != nil {
		return info, w.digest, written, err
	}
	info.Last, info.ChainAfter, info.Records = to.Revision, to.Chain, to.records
	info.RecordBytes = int64(to.offset) - headerSize
	info.Bytes, info.Checksum, info.Sealed = w.at, w.digest.Sum64(), seal
	return info, w.digest, written, nil
}

// footer returns what follows the records of a run that ends at a mark.
func (r *run) footer(mem *memory, end Mark, pace func(bytes int)) ([]byte, error) {
	f := footer{salt: r.salt, first: r.header.first, start: int64(end.offset), pacing: pacing{pace: pace}}
	list := mem.index(r.header.first, end.offset, end.records, &f.pacing)
	f.index(list)
	t := trailer{records: end.records, last: end.Revision, chainAfter: end.Chain, indexAt: f.start, stepsAt: f.at()}
	f.steps(list.steps)
	if f.at()+trailerSize > math.MaxUint32 {
		return nil, fmt.Errorf("run: run %d does not end before 4 GiB", r.number)
	}
	b := t.encode(r.salt, f.at())
	return append(f.b, b[:]...), nil
}

// dropMemory keeps of the sealed runs only the newest in memory, up to CacheBytes.
func (h *History) dropMemory() {
	h.mu.RLock()
	defer h.mu.RUnlock()
	kept := int64(0)
	for i := len(h.mu.runs) - 1; i >= 0; i-- {
		r := h.mu.runs[i]
		mem := r.mem.Load()
		if mem == nil || !r.info.Sealed || r.end == nil { // the appender looks there whether it is full
			continue
		}
		if kept += mem.bytes(); kept > h.opts.CacheBytes {
			r.mem.Store(nil)
		}
	}
}
