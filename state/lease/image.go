package lease

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"balsa.example/state/logtime"
)

// An image is written so, the same bytes for the same state. Numbers are uvarints where nothing
// else is said. The caller adds a checksum.
//
//	header    format(1 byte)
//	          Leases KeysPerLease Window OutcomeBytes SessionBytes AllOutcomeBytes
//	          log time, wall time(varint)
//	          number of leases, hash(8, little endian)
//	each lease, by id
//	          id(8, little endian) session(1 byte, 0 or 1) ttl expiry
//	          number of keys, each with its length, by their bytes
//	a session beside
//	          floor, number of outcomes
//	each outcome, by seq
//	          seq - floor, revision, code(1 byte), 0 or the length of the result + 1, result
//
// Format 1 had no codes. It can still be read.
//
// The hash is Table.Hash, which finds faults of memory.
const (
	imageFormat = 2

	// streamBytes is the size of the buffer between an image and its writer.
	streamBytes = 16 << 10
)

// ErrMemory is the error of writing an image whose parts do not add up to its hash. Then the
// memory of this process, or the program, is faulty, and the image must not be used.
var ErrMemory = errors.New("lease: state does not match its hash")

// Image is a table as it was at one moment. Any goroutine may write it while the table is
// changed. It needs no end: what it shares with the table is freed with it.
type Image struct {
	limits Limits
	stamp  logtime.Stamp
	pages  []*page
	leases int
	hash   uint64
}

// Image returns an image of the present state. It takes time for 8 bytes of each pageLen leases.
// After it, the first change of each page, key set or session copies that.
func (t *Table) Image() *Image {
	t.generation++
	return &Image{t.limits, t.stamp, slices.Clone(t.pages), len(t.index), t.Hash()}
}

// WriteTo writes the image with a bounded buffer, and 8 bytes for each lease. It may be called
// again, and writes the same bytes again.
func (im *Image) WriteTo(w io.Writer) (int64, error) {
	cw := &countingWriter{w: w}
	buf := bufio.NewWriterSize(cw, streamBytes)
	e := &encoder{w: buf}
	e.header(im)
	sum := frameHash(im.limits, im.stamp)
	for _, r := range im.sorted() {
		if e.err != nil {
			break
		}
		sum += e.lease(r)
	}
	err := e.err
	if err == nil {
		err = buf.Flush()
	}
	if err == nil && sum != im.hash {
		err = ErrMemory
	}
	if err != nil {
		return cw.n, fmt.Errorf("write leases: %w", err)
	}
	return cw.n, nil
}

// sorted returns the records in the order of their ids.
func (im *Image) sorted() []*record {
	all := make([]*record, 0, im.leases)
	for _, p := range im.pages {
		for i := range p.records {
			if r := &p.records[i]; r.id != 0 {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b *record) int { return cmp.Compare(a.id, b.id) })
	return all
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// encoder writes the parts of an image, until the first error.
type encoder struct {
	w   *bufio.Writer
	err error
}

func (e *encoder) bytes(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *encoder) uvarint(v uint64) { e.bytes(binary.AppendUvarint(e.w.AvailableBuffer(), v)) }

func (e *encoder) fixed(v uint64) {
	e.bytes(binary.LittleEndian.AppendUint64(e.w.AvailableBuffer(), v))
}

func (e *encoder) header(im *Image) {
	l := im.limits
	e.uvarint(imageFormat)
	for _, limit := range []uint64{
		uint64(l.Leases), uint64(l.KeysPerLease), uint64(l.Window), uint64(l.OutcomeBytes), uint64(l.SessionBytes), l.AllOutcomeBytes,
	} {
		e.uvarint(limit)
	}
	e.uvarint(uint64(im.stamp.Log))
	e.bytes(binary.AppendVarint(e.w.AvailableBuffer(), im.stamp.Wall))
	e.uvarint(uint64(im.leases))
	e.fixed(im.hash)
}

// lease writes a lease, and returns its part of the hash, computed anew.
func (e *encoder) lease(r *record) (hash uint64) {
	e.fixed(uint64(r.id))
	isSession := uint64(0)
	if r.session != nil {
		isSession = 1
	}
	e.uvarint(isSession)
	e.uvarint(uint64(r.ttl))
	e.uvarint(uint64(r.expiry))
	e.uvarint(uint64(r.keys.len()))
	hash = r.hash()
	r.keys.scan(func(key string) bool {
		hash += keyHash(r.id, key)
		e.uvarint(uint64(len(key)))
		if e.err == nil {
			_, e.err = e.w.WriteString(key)
		}
		return e.err == nil
	})
	if r.session != nil {
		hash += e.session(r.id, r.session)
	}
	return hash
}

func (e *encoder) session(id int64, s *session) (hash uint64) {
	e.uvarint(s.floor)
	e.uvarint(uint64(len(s.outcomes)))
	hash = s.floorHash(id)
	for i := range s.outcomes {
		o := &s.outcomes[i]
		hash += o.hash(id)
		e.uvarint(o.seq - s.floor)
		e.uvarint(o.Revision)
		e.bytes(append(e.w.AvailableBuffer(), o.Code))
		if !o.Whole {
			e.uvarint(0)
			continue
		}
		e.uvarint(uint64(len(o.Result)) + 1)
		e.bytes(o.Result)
	}
	return hash
}
