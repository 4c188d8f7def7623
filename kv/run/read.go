package run

import (
	"errors"
	"io"
)

// Read returns a record. It is what was appended, or an error: a record that is damaged is never
// returned, but a *CorruptError; and ErrGone if the run was rewritten and removed since the caller
// got the Ref, who then looks it up again. Key and Value must not be written to.
func (h *History) Read(ref Ref) (rec Record, err error) {
	r := RecordReader{h: h}
	return r.Read([]Ref{ref})
}

// fromMemory reads a record that is in memory. Its hash is not looked at: the bytes were made here,
// or compared with their hash when they came from a file, and nobody has written to them since.
func (r *Record) fromMemory(mem *memory, ref Ref) error {
	b := mem.at(ref.Offset, ref.Size)
	if b == nil {
		return errCut
	}
	if n, err := recordLen(b, int64(len(b))); err != nil || n != len(b) {
		return errMalformed
	}
	return r.parse(b)
}

// get opens the file of a run, which may have been removed since it was looked up.
func (h *History) get(number uint32) (*openFile, error) {
	file, err := h.open.get(number)
	if h.lookup(number) != nil {
		return file, err
	}
	if err == nil {
		h.open.forget(number)
		h.open.put(file)
	}
	return nil, ErrGone
}

// Scan yields the records from a revision on, in order, up to the last revision that was complete
// when Scan was called, or a later one. A record, and what its Key and Value alias, is good until
// yield returns. If yield returns false Scan ends, with no error.
//
// Runs below the revision are not read. Appends, flushes and rewrites may go on meanwhile. Before an
// error some records of a revision may have been yielded, and others not.
func (h *History) Scan(from uint64, yield func(*Record) bool) error {
	s := scan{h: h, from: from, yield: yield}
	for {
		err := s.runs()
		// The runs that are left were rewritten and removed. The new ones hold the same revisions.
		if !errors.Is(err, ErrGone) || s.closed {
			return err
		}
	}
}

type scan struct {
	h     *History
	from  uint64 // moves on with each run
	yield func(*Record) bool
	rec   record
	done  bool
	// closed: the history was closed.
	closed bool
}

// runs yields from the runs that there are now.
func (s *scan) runs() error {
	parts, err := s.h.parts(s.from)
	if err != nil {
		s.closed = true
		return err
	}
	for _, p := range parts {
		if err := s.run(p); err != nil || s.done {
			return err
		}
		// Runs end with their revision.
		s.from = max(s.from, p.last+1)
	}
	return nil
}

// part is what is complete of a run at some moment.
type part struct {
	*run
	info Info
	last uint64
	mem  *memory
	end  uint32 // in mem
}

// parts returns the runs that may have records from a revision on.
func (h *History) parts(from uint64) (parts []part, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.mu.closed {
		return nil, ErrGone
	}
	for _, r := range h.mu.runs {
		if r.end != nil && r.end.Revision < from {
			continue
		}
		p := part{run: r, info: r.info, end: r.complete.Load(), mem: r.mem.Load()}
		if r.end != nil {
			p.last = r.end.Revision
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func (s *scan) run(p part) error {
	if p.mem != nil {
		s.memory(p)
		return nil
	}
	return s.h.eachOfFile(p.info, s.from, &s.rec, s.record)
}

// record yields one record, unless it is too early. It returns whether to go on.
func (s *scan) record() bool {
	if s.rec.Mod >= s.from && !s.yield(&s.rec.Record) {
		s.done = true
	}
	return !s.done
}

// memory yields the records in memory.
func (s *scan) memory(p part) {
	for _, b := range p.mem.records(p.mem.startOf(s.from, p.end), p.end) {
		if s.rec.mustParse(b); !s.record() {
			return
		}
	}
}

// eachOfFile reads the records of a file into rec, one after the other, until each returns false.
func (h *History) eachOfFile(info Info, from uint64, rec *record, each func() bool) error {
	file, err := h.get(info.File)
	if err != nil {
		return err
	}
	defer h.open.put(file)
	r, err := h.files.records(file, info, from)
	for err == nil {
		if err = r.next(rec); err == nil && !each() {
			return nil
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
