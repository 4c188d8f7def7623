package wal

import (
	"fmt"
	"slices"

	"balsa.example/raft"
)

// maxKeptBuffer is how large a buffer is kept between two Saves, in bytes, if it is far
// too large for what was just saved. To grow one costs more than to fill it.
const maxKeptBuffer = 4 << 20

// Save makes all of ps durable with one write and one sync, together or not at
// all. After an error the log is stopped: each later call returns the same one.
func (l *Log) Save(ps []raft.Persist) error {
	l.saving.Lock()
	defer l.saving.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.save(ps); err != nil {
		return l.fail(err)
	}
	if l.wantsChores() {
		l.kick()
	}
	return nil
}

func (l *Log) save(ps []raft.Persist) error {
	pos, err := l.encode(ps, l.cur.empty())
	if err != nil || len(l.buf) == 0 {
		return err
	}
	if l.mustRoll() {
		if err := l.roll(); err != nil {
			return err
		}
		if pos, err = l.encode(ps, true); err != nil {
			return err
		}
	}
	if err := l.write(); err != nil {
		return err
	}
	l.pos = pos
	l.publish()
	if cap(l.buf) > maxKeptBuffer && len(l.buf) < cap(l.buf)/4 {
		l.buf = nil
	}
	return nil
}

// encode puts the payload of a frame for ps into l.buf, and returns the position
// it leads to. Carry opens a segment. If there is nothing to say, l.buf is empty.
func (l *Log) encode(ps []raft.Persist, carry bool) (position, error) {
	pos := l.pos
	covered, compact := l.asked()
	if l.buf == nil {
		l.buf = make([]byte, frameHeaderSize)
	}
	buf := slices.Grow(l.buf[:frameHeaderSize], size(ps))
	if carry {
		buf = appendCarry(buf, pos)
	}
	empty := len(buf)
	for _, p := range ps {
		if m := p.Snapshot; m != nil {
			if m.Index > covered {
				return pos, fmt.Errorf("reset to snapshot %s: the newest stored one is of index %d", m, covered)
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
		l.buf = buf[:0]
		return pos, nil
	}
	if compact > pos.mark && compact <= pos.last { // else a reset to a snapshot is to come first
		pos.mark = compact
		buf = appendNumbers(buf, recordCompact, uint64(compact))
	}
	l.buf = buf
	if len(buf) > maxFrame {
		return pos, fmt.Errorf("a batch of %d bytes is over the limit of %d", len(buf), maxFrame)
	}
	return pos, nil
}

// size is about what ps take in a frame.
func size(ps []raft.Persist) (bytes int) {
	for _, p := range ps {
		for i := range p.Entries {
			bytes += p.Entries[i].Size()
		}
	}
	return bytes
}

// asked returns the index of the newest snapshot, and what Compact was called with.
func (l *Log) asked() (covered, compact raft.Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshot.index, l.compact
}

// write finishes the payload in l.buf and makes it the last frame of the segment.
func (l *Log) write() error {
	l.buf = l.cur.stamp.finish(l.buf, l.seq+1)
	took, err := l.cur.write(l.buf)
	if err != nil {
		return err
	}
	l.opts.OnSync(took, len(l.buf))
	l.seq++
	return nil
}

// publish tells the others how far the writer has come.
func (l *Log) publish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	info := &l.segments[len(l.segments)-1]
	info.used, info.size = l.cur.used, l.cur.size
}

// mustRoll tells whether the frame in l.buf goes to the next segment: there is no
// room, or this segment was never filled with zeros and the next one is.
func (l *Log) mustRoll() bool {
	if l.cur.empty() {
		return false
	}
	full := l.cur.used+int64(len(l.buf)) > l.opts.SegmentSize
	return full || l.cur.size < l.opts.SegmentSize && l.nextSize.Load() >= l.opts.SegmentSize
}

// roll makes the next segment the current one. It creates one, without zeros, if
// none is ready. In this order:
//
//  1. the next segment is durable;
//  2. this one is sealed, which says that there is a next;
//  3. the next gets its first frame (by the caller).
//
// So a log that is not sealed ends here, and a sealed one without successor has
// lost a file. Only then is the segment after the next prepared.
func (l *Log) roll() error {
	l.filling.Lock()
	defer l.filling.Unlock()
	next := l.next
	if next == nil {
		var err error
		if next, err = l.dir.createSegment(l.id, l.cur.seq+1, l.opts.Rand); err != nil {
			return err
		}
	}
	l.buf = appendNumbers(l.buf[:frameHeaderSize], recordSeal)
	if err := l.write(); err != nil {
		return err
	}
	l.publish()
	if err := l.cur.file.Close(); err != nil {
		l.opts.Logger.Warn("cannot close a sealed segment", "segment", l.cur.seq, "err", err)
	}
	l.cur, l.next = next, nil
	l.nextSize.Store(0)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, segmentInfo{seq: next.seq, before: l.pos.last, used: next.used, size: next.size})
	return nil
}
