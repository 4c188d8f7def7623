package run

import (
	"io"
)

// reader reads the records of a file in order, in large pieces, and checks each.
type reader struct {
	files  Files
	file   io.ReaderAt
	number uint32
	salt   uint64
	// at is where the next record begins, and end where the records end.
	at, end int64
	buf     []byte // the file from bufAt on
	bufAt   int64
}

// record is one record of a file. It is good until the next one is read.
type record struct {
	Record
	at   Ref
	hash uint64
	raw  []byte
}

// next reads the next record. It returns io.EOF at the end.
func (r *reader) next(rec *record) error {
	left := r.end - r.at
	if left <= 0 {
		return io.EOF
	}
	head, err := r.window(min(left, recordHead))
	if err != nil {
		return err
	}
	n, err := recordLen(head, left)
	if err != nil {
		return r.files.corrupt(r.number, r.at, err)
	}
	if rec.raw, err = r.window(int64(n)); err != nil {
		return err
	}
	if rec.hash, err = rec.decode(rec.raw, place(r.salt, uint32(r.at))); err != nil {
		return r.files.corrupt(r.number, r.at, err)
	}
	rec.at = Ref{Run: r.number, Offset: uint32(r.at), Size: uint32(n)}
	r.at += int64(n)
	return nil
}

// window returns the next n bytes, which are in the file if it is as long as it should be.
func (r *reader) window(n int64) ([]byte, error) {
	if from := r.at - r.bufAt; from >= 0 && from+n <= int64(len(r.buf)) {
		return r.buf[from : from+n : from+n], nil
	}
	want := min(max(n, int64(r.files.mostAtOnce())), r.end-r.at)
	if int64(cap(r.buf)) < want {
		r.buf = make([]byte, want)
	}
	r.buf, r.bufAt = r.buf[:want], r.at
	if err := r.files.readAt(r.file, r.number, r.buf, r.at); err != nil {
		r.buf = r.buf[:0]
		return nil, err
	}
	return r.buf[:n:n], nil
}

// readTrailer reads the trailer of a sealed run.
func (f Files) readTrailer(file io.ReaderAt, info Info, salt uint64) (trailer, error) {
	at := info.Bytes - trailerSize
	if at < headerSize {
		return trailer{}, f.corrupt(info.File, 0, errTrailer)
	}
	var b [trailerSize]byte
	if err := f.readAt(file, info.File, b[:], at); err != nil {
		return trailer{}, err
	}
	t, err := decodeTrailer(b[:], salt, at)
	if err != nil {
		return trailer{}, f.corrupt(info.File, at, err)
	}
	return t, nil
}

// checkHeader compares the header with what the manifest says.
func (f Files) checkHeader(file io.ReaderAt, info Info) error {
	var b [headerSize]byte
	if err := f.readAt(file, info.File, b[:], 0); err != nil {
		return err
	}
	if err := headerOf(f.Cluster, info).check(b[:]); err != nil {
		return f.corrupt(info.File, 0, err)
	}
	return nil
}

// records returns a reader of the records of a run from about a revision on. It may begin with
// records of earlier ones.
func (f Files) records(file io.ReaderAt, info Info, from uint64) (*reader, error) {
	_, salt := headerOf(f.Cluster, info).encode()
	r := &reader{files: f, file: file, number: info.File, salt: salt, at: headerSize, end: info.Bytes}
	if !info.Sealed {
		return r, nil
	}
	t, err := f.readTrailer(file, info, salt)
	if err != nil {
		return nil, err
	}
	if r.end = t.indexAt; from > info.First {
		r.at, err = f.readStep(file, info, salt, t, from)
	}
	return r, err
}

func (f Files) readStep(file io.ReaderAt, info Info, salt uint64, t trailer, from uint64) (int64, error) {
	b := make([]byte, info.Bytes-trailerSize-t.stepsAt)
	if err := f.readAt(file, info.File, b, t.stepsAt); err != nil {
		return 0, err
	}
	content, err := checkBlock(b, salt, t.stepsAt)
	if err != nil {
		return 0, f.corrupt(info.File, t.stepsAt, err)
	}
	at, err := findStep(content, info.First, from, headerSize)
	if err != nil || at < headerSize || at > t.indexAt {
		return 0, f.corrupt(info.File, t.stepsAt, errMalformed)
	}
	return at, nil
}
