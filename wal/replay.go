package wal

import (
	"errors"
	"fmt"
	"slices"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// replay reads the segments of a log, oldest first, and finds what they amount to.
// It changes nothing.
type replay struct {
	dir *directory
	id  Identity

	pos position
	seq uint64 // of the last frame
	// begin is the last index of the log where the first segment begins. The entries
	// up to it, if any, were in segments that are removed: all of them compacted.
	begin raft.Index
	// base and baseTerm name what is before entries[0].
	base     raft.Index
	baseTerm raft.Term
	entries  []raft.Entry

	segments []segmentInfo
	// tail is the segment where the log ends, and spare the unused one behind it.
	tail, spare *tail
	// torn is set if the tail ends with an interrupted write.
	torn bool
	// lastFrame is where the last frame stands.
	lastFrame span
}

// tail is a segment as found, for the writer to go on with.
type tail struct {
	header            header
	begin, used, size int64
}

// span is a stretch of a segment.
type span struct {
	seq      uint64
	off, end int64
}

// run reads all segments, whose sequence numbers are seqs.
func (r *replay) run(seqs []uint64) error {
	if len(seqs) == 0 {
		return &CorruptionError{File: r.dir.path, Reason: "there is no segment"}
	}
	var img []byte // of one segment after the other; what is taken from it is copied
	for i, seq := range seqs {
		file := r.dir.join(segmentName(seq))
		if i > 0 && seq != seqs[i-1]+1 {
			return &CorruptionError{File: file, Reason: fmt.Sprintf("segment %d is missing", seqs[i-1]+1)}
		}
		var err error
		if img, err = vfs.ReadFileInto(img, r.dir.fs, file); err != nil {
			return err
		}
		h, err := decodeHeader(file, segmentMagic, img)
		if err == nil {
			err = h.check(file, r.id, seq)
		}
		if err != nil {
			return err
		}
		if r.tail != nil {
			if err := r.unused(h, img); err != nil {
				return err
			}
			continue
		}
		if off, err := r.segment(h, img); err != nil {
			return &CorruptionError{File: file, Offset: int64(off), Reason: err.Error()}
		}
	}
	if r.tail == nil {
		next := seqs[len(seqs)-1] + 1
		return &CorruptionError{File: r.dir.join(segmentName(next)), Reason: "this segment is missing"}
	}
	return nil
}

// segment reads one segment. If it fails, it says at which offset.
func (r *replay) segment(h header, img []byte) (off int, err error) {
	stamp, begin, err := readStamp(h, img)
	if err != nil {
		return headerSize, err
	}
	info := segmentInfo{seq: h.number, before: r.pos.last, begin: int64(begin), size: int64(len(img))}
	for off = begin; ; {
		f, err := stamp.read(img, off)
		if err == errEnd || err == errTorn {
			if off == begin && len(r.segments) == 0 {
				return off, errors.New("the first segment has no frame")
			}
			r.torn = err == errTorn
			r.tail = &tail{header: h, begin: int64(begin), used: int64(off), size: int64(len(img))}
			break
		} else if err != nil {
			return off, err
		}
		sealed, err := r.frame(stamp, f, off == begin)
		if err != nil {
			return off, err
		}
		off = f.end
		r.lastFrame = span{seq: h.number, off: int64(f.off), end: int64(f.end)}
		if sealed {
			if !stamp.untouched(img, off) {
				return off, errors.New("data after the seal")
			}
			break
		}
	}
	info.used = int64(off)
	r.segments = append(r.segments, info)
	return off, nil
}

// unused reads a segment behind the tail: one may be there, prepared and without a frame.
func (r *replay) unused(h header, img []byte) error {
	file := r.dir.join(segmentName(h.number))
	stamp, begin, err := readStamp(h, img)
	if err != nil {
		return &CorruptionError{File: file, Offset: headerSize, Reason: err.Error()}
	}
	if !stamp.untouched(img, begin) {
		return &CorruptionError{
			File:   r.dir.join(segmentName(r.tail.header.number)),
			Offset: r.tail.used,
			Reason: fmt.Sprintf("no frame here and no seal before, but segment %d has data", h.number),
		}
	}
	if r.spare != nil || r.tail.used == r.tail.begin {
		return &CorruptionError{File: file, Reason: "a segment behind an unused one"}
	}
	r.spare = &tail{header: h, begin: int64(begin), used: int64(begin), size: int64(len(img))}
	return nil
}

// readStamp returns the stamp of a segment, and where its first frame is.
func readStamp(h header, img []byte) (s stamp, begin int, err error) {
	if s = h.stamp(); !h.reused {
		return s, headerSize, nil
	}
	s.old, err = s.readTable(img)
	return s, reusedBegin(len(s.old)), err
}

// frame applies one batch. First says that it is the first one of its segment.
func (r *replay) frame(s stamp, f frame, first bool) (sealed bool, err error) {
	continued := len(r.segments) > 0 || !first
	if continued && f.seq != r.seq+1 {
		return false, fmt.Errorf("batch %d follows batch %d", f.seq, r.seq)
	}
	r.seq = f.seq
	b := s.payload(f)
	if first != (len(b) > 0 && recordType(b[0]) == recordCheckpoint) {
		return false, errors.New("the first frame of a segment, and no other, begins with a checkpoint")
	}
	for len(b) > 0 {
		t, content, rest, err := nextRecord(b)
		if err != nil {
			return false, err
		}
		if sealed {
			return false, errors.New("a record after the seal")
		}
		if t == recordSeal {
			sealed = true
		} else if err := r.record(t, content, continued); err != nil {
			return false, err
		}
		b = rest
	}
	return sealed, nil
}

// record applies one record. Continued says that batches before it were read.
func (r *replay) record(t recordType, content []byte, continued bool) error {
	switch t {
	case recordCheckpoint:
		return r.checkpoint(content, continued)
	case recordReset:
		var index, term uint64
		if err := decodeNumbers(content, &index, &term); err != nil {
			return err
		}
		return r.restart(raft.SnapshotMeta{Index: raft.Index(index), Term: raft.Term(term)})
	case recordHardState:
		return decodeNumbers(content, (*uint64)(&r.pos.hard.Term), (*uint64)(&r.pos.hard.Vote), (*uint64)(&r.pos.hard.LeaseGrant), (*uint64)(&r.pos.hard.LostLog))
	case recordEntries:
		entries, err := decodeEntries(content)
		if err != nil {
			return err
		}
		return r.append(entries)
	case recordCompact:
		var index uint64
		if err := decodeNumbers(content, &index); err != nil {
			return err
		}
		return r.pos.compact(raft.Index(index))
	default:
		return fmt.Errorf("unknown record type %d", t)
	}
}

// restart replaces the log by an empty one behind m.
func (r *replay) restart(m raft.SnapshotMeta) error {
	r.base, r.baseTerm, r.entries = m.Index, m.Term, nil
	return r.pos.reset(m.Index, m.Term)
}

// checkpoint begins the replay, or else must say what the replay has found so far.
func (r *replay) checkpoint(content []byte, continued bool) error {
	p, err := decodeCheckpoint(content)
	if err != nil {
		return err
	}
	if p.compacted > p.last {
		return fmt.Errorf("the checkpoint says compacted at %d, and last entry %d", p.compacted, p.last)
	}
	if continued && p != r.pos {
		return fmt.Errorf("the checkpoint says %+v after %+v", p, r.pos)
	}
	if !continued {
		r.pos, r.begin, r.base, r.baseTerm = p, p.last, p.last, p.lastTerm
	}
	return nil
}

func (r *replay) append(entries []raft.Entry) error {
	if err := r.pos.append(entries); err != nil {
		return err
	}
	if first := entries[0].Index; first > r.base {
		r.entries = append(r.entries[:first-r.base-1], entries...)
	} else { // they replace some of a removed segment; now all of them are compacted
		r.base, r.entries = first-1, entries
	}
	return nil
}

// after returns the entries that follow a durable state, which is a snapshot or a state
// machine's own. It fails if entries are missing between the state and the log. Contradicts
// says that the log does not lead up to the state, and so has to be replaced.
func (r *replay) after(m raft.SnapshotMeta) (entries []raft.Entry, contradicts bool, err error) {
	switch {
	case m.Index < r.pos.compacted:
		return nil, false, fmt.Errorf("the durable state is of index %d, but the log was compacted at %d", m.Index, r.pos.compacted)
	case m.Index < r.begin:
		return nil, false, fmt.Errorf("the durable state is of index %d, but the log begins after %d", m.Index, r.begin)
	case m.Index == r.base && m.Term != r.baseTerm:
		return nil, false, fmt.Errorf("the durable state is of term %d, but the log begins after term %d", m.Term, r.baseTerm)
	case m.Index > r.pos.last:
		return nil, true, nil
	case m.Index > r.base && r.entries[m.Index-r.base-1].Term != m.Term:
		return nil, true, nil
	}
	// A copy, so that the compacted ones can be collected.
	return slices.Clone(r.entries[m.Index-r.base:]), false, nil
}
