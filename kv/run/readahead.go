package run

// RecordReader reads many records, as Read does, with less work for each. It is one goroutine's.
type RecordReader struct {
	h *History
	// Reuse tells that a record is not used any more when the next one is read, so that its memory
	// can be used again.
	Reuse bool

	number uint32 // of run
	run    *run
	// ahead is what was read of the file of run, from offset at on.
	ahead []byte
	at    uint32
}

const (
	// maxAhead bounds what is read at once of a file, but for one large record. maxGap is up to how
	// many bytes between two records are read with them: about as many as a read of its own costs.
	maxAhead = 64 << 10
	maxGap   = 2 << 10
)

// RecordReader returns a reader of the history.
func (h *History) RecordReader() RecordReader { return RecordReader{h: h} }

// Read returns the first of some records, of which the others will be read next. Those that lie
// close together in a file are read from it at once.
func (r *RecordReader) Read(refs []Ref) (rec Record, err error) {
	ref := refs[0]
	if !r.find(ref.Run) {
		return rec, ErrGone
	}
	if mem := r.run.mem.Load(); mem == nil {
		return r.fromFile(refs)
	} else if err := rec.fromMemory(mem, ref); err != nil {
		return Record{}, r.h.files.corrupt(ref.Run, int64(ref.Offset), err)
	}
	return rec, nil
}

// Value returns the value of the first of some records, as Read does, for a caller that knows the rest of that
// record. mod is its revision. If another record is there now, the error is ErrGone.
func (r *RecordReader) Value(refs []Ref, mod uint64) ([]byte, error) {
	ref := refs[0]
	if !r.find(ref.Run) {
		return nil, ErrGone
	}
	if mem := r.run.mem.Load(); mem != nil {
		if b := mem.at(ref.Offset, ref.Size); len(b) >= minRecord {
			if value, ok := valueIn(b, mod); ok {
				return value, nil
			}
		}
	}
	rec, err := r.Read(refs)
	if err == nil && rec.Mod != mod {
		err = ErrGone
	}
	return rec.Value, err
}

// ReadMemory returns a record if that needs no disk, and false else.
func (r *RecordReader) ReadMemory(ref Ref) (rec Record, ok bool) {
	if !r.find(ref.Run) {
		return rec, false
	}
	mem := r.run.mem.Load()
	ok = mem != nil && rec.fromMemory(mem, ref) == nil
	return rec, ok
}

// find looks a run up, if it is another one than before. It returns false if there is none.
func (r *RecordReader) find(number uint32) bool {
	if r.run == nil || r.number != number {
		r.number, r.run, r.ahead = number, r.h.lookup(number), r.ahead[:0]
	}
	return r.run != nil
}

// fromFile reads from the file of the run, which has the whole run since no memory has it.
func (r *RecordReader) fromFile(refs []Ref) (rec Record, err error) {
	ref := refs[0]
	if !r.holds(ref) {
		if err := r.load(refs); err != nil {
			return rec, err
		}
	}
	from := ref.Offset - r.at
	b := r.ahead[from : from+ref.Size : from+ref.Size]
	if _, err := rec.decode(b, place(r.run.salt, ref.Offset)); err != nil {
		return Record{}, r.h.files.corrupt(ref.Run, int64(ref.Offset), err)
	}
	return rec, nil
}

// holds tells whether a record is in what was read ahead.
func (r *RecordReader) holds(ref Ref) bool {
	return ref.Offset >= r.at && int64(ref.Offset)+int64(ref.Size) <= int64(r.at)+int64(len(r.ahead))
}

// load reads the first of some records from the file, with those that follow close behind it.
func (r *RecordReader) load(refs []Ref) error {
	r.h.mu.RLock()
	bytes := r.run.info.Bytes
	r.h.mu.RUnlock()
	ref := refs[0]
	if int64(ref.Offset)+int64(ref.Size) > bytes {
		return r.h.files.corrupt(ref.Run, int64(ref.Offset), errCut)
	}
	file, err := r.h.get(ref.Run)
	if err != nil {
		return err
	}
	defer r.h.open.put(file)
	size := closeBehind(refs, bytes)
	if err = r.fill(file, ref.Offset, size); err != nil && size > ref.Size {
		err = r.fill(file, ref.Offset, ref.Size) // the damage may be behind the record
	}
	return err
}

// fill reads a piece of the file into ahead.
func (r *RecordReader) fill(file *openFile, at, size uint32) error {
	if !r.Reuse || uint32(cap(r.ahead)) < size {
		r.ahead = make([]byte, size)
	}
	r.ahead, r.at = r.ahead[:size], at
	err := r.h.files.readAt(file, r.number, r.ahead, int64(at))
	if err != nil {
		r.ahead = r.ahead[:0]
	}
	return err
}

// closeBehind returns how many bytes of a file of a length the first of some records takes up, with
// those that follow close behind it.
func closeBehind(refs []Ref, bytes int64) (size uint32) {
	start, end := int64(refs[0].Offset), int64(refs[0].Offset)+int64(refs[0].Size)
	for _, next := range refs[1:] {
		to := int64(next.Offset) + int64(next.Size)
		if next.Run != refs[0].Run || int64(next.Offset) < end || int64(next.Offset) > end+maxGap || to > min(start+maxAhead, bytes) {
			break
		}
		end = to
	}
	return uint32(end - start)
}
