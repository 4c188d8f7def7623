package wal

import (
	"fmt"
	"slices"
	"sync"

	"balsa.example/raft"
)

// maxKeptBuffer is how large a buffer is kept between two Saves, in bytes, if it is far
// too large for what was just saved. To grow one costs more than to fill it. It is more than
// a full Save takes (rsm.SaveBytes).
const maxKeptBuffer = 8 << 20

// writer appends frames to the log, and moves on to the next segment when one is full.
type writer struct {
	*base
	live      *liveSegments
	spare     *spare
	snapshots *snapshots

	mu struct { // held by a Save from beginning to end
		sync.Mutex
		pos     position
		seq     uint64   // of the last frame
		segment *segment // where the next frame goes
		buf     []byte   // the frame that is being written; kept for the next
	}
}

// set is for recovery: the log ends at p with frame seq, and goes on in current.
func (w *writer) set(p position, seq uint64, current *segment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.pos, w.mu.seq, w.mu.segment = p, seq, current
}

func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.segment == nil {
		return nil
	}
	return w.mu.segment.file.Close()
}

// save is Save. All other methods are called with w.mu held.
func (w *writer) save(ps []raft.Persist) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failure.get(); err != nil {
		return err
	}
	if err := w.append(ps); err != nil {
		return w.stop(err)
	}
	return nil
}

func (w *writer) append(ps []raft.Persist) error {
	pos, err := w.encode(ps, w.mu.segment.empty())
	if err != nil || len(w.mu.buf) == 0 {
		return err
	}
	if w.mustRoll() {
		if err := w.roll(); err != nil {
			return err
		}
		if pos, err = w.encode(ps, true); err != nil {
			return err
		}
	}
	if err := w.write(); err != nil {
		return err
	}
	w.mu.pos = pos
	w.live.grown(w.mu.segment.used, w.mu.segment.size)
	if cap(w.mu.buf) > maxKeptBuffer && len(w.mu.buf) < cap(w.mu.buf)/4 {
		w.mu.buf = nil
	}
	return nil
}

// encode puts the payload of a frame for ps into w.mu.buf, and returns the position
// it leads to. A checkpoint opens a segment. If ps are empty, so is w.mu.buf.
func (w *writer) encode(ps []raft.Persist, checkpoint bool) (position, error) {
	pos := w.mu.pos
	newest, compacted := w.snapshots.newest().index, w.live.compacted()
	if w.mu.buf == nil {
		w.mu.buf = make([]byte, frameHeaderSize)
	}
	buf := slices.Grow(w.mu.buf[:frameHeaderSize], size(ps))
	if checkpoint {
		buf = appendCheckpoint(buf, pos)
	}
	empty := len(buf)
	for _, p := range ps {
		if m := p.Snapshot; m != nil {
			if m.Index > newest && !w.opts.NoSnapshots {
				return pos, fmt.Errorf("reset to snapshot %s: the newest stored one is of index %d", m, newest)
			}
			if err := pos.reset(m.Index, m.Term); err != nil {
				return pos, err
			}
			buf = appendNumbers(buf, recordReset, uint64(m.Index), uint64(m.Term))
		}
		if p.HardState != nil {
			pos.hard = *p.HardState
			buf = appendNumbers(buf, recordHardState, uint64(pos.hard.Term), uint64(pos.hard.Vote), uint64(pos.hard.LeaseGrant), uint64(pos.hard.LostLog))
		}
		if len(p.Entries) > 0 {
			if err := pos.append(p.Entries); err != nil {
				return pos, err
			}
			buf = appendEntries(buf, p.Entries)
		}
	}
	if len(buf) == empty {
		w.mu.buf = buf[:0]
		return pos, nil
	}
	if compacted > pos.compacted && compacted <= pos.last { // else the log is about to be reset to a snapshot
		pos.compacted = compacted
		buf = appendNumbers(buf, recordCompact, uint64(compacted))
	}
	w.mu.buf = buf
	if len(buf) > maxFrame {
		return pos, fmt.Errorf("a batch of %d bytes is over the limit of %d", len(buf), maxFrame)
	}
	return pos, nil
}

// size returns about how many bytes ps take in a frame.
func size(ps []raft.Persist) (bytes int) {
	for i := range ps {
		bytes += ps[i].EntryBytes()
	}
	return bytes
}

// write finishes the payload in w.mu.buf and makes it the last frame of the segment.
func (w *writer) write() error {
	w.mu.buf = w.mu.segment.stamp.finish(w.mu.buf, w.mu.seq+1)
	n := len(w.mu.buf)
	w.mu.buf = w.mu.segment.pad(w.mu.buf)
	took, err := w.mu.segment.write(w.mu.buf, n)
	if err != nil {
		return err
	}
	w.opts.OnSync(took, n)
	w.mu.seq++
	return nil
}

// mustRoll tells whether the frame in w.mu.buf goes to the next segment: there is no
// room, or this segment was never filled with zeros and the next one is.
func (w *writer) mustRoll() bool {
	if w.mu.segment.empty() {
		return false
	}
	full := w.mu.segment.used+int64(len(w.mu.buf)) > w.opts.SegmentSize
	return full || w.mu.segment.size < w.opts.SegmentSize && w.spare.ready()
}

// roll makes the next segment the current one, in this order:
//
//  1. the next segment is durable;
//  2. this one is sealed, which says that there is a next;
//  3. the next gets its first frame (by the caller).
//
// So a log that is not sealed ends here, and a sealed one without successor has
// lost a file. Only then is the segment after the next prepared.
func (w *writer) roll() error {
	next, err := w.spare.take()
	if err != nil {
		return err
	}
	w.mu.buf = appendNumbers(w.mu.buf[:frameHeaderSize], recordSeal)
	if err := w.write(); err != nil {
		return err
	}
	sealed := w.mu.segment
	w.live.grown(sealed.used, sealed.size)
	if err := sealed.file.Close(); err != nil {
		w.opts.Logger.Warn("cannot close a sealed segment", "segment", sealed.seq, "err", err)
	}
	w.mu.segment = next
	w.live.append(segmentInfo{seq: next.seq, before: w.mu.pos.last, begin: next.begin, used: next.used, size: next.size})
	return nil
}
