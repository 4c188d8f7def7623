package wal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"balsa.example/raft"
	"balsa.example/vfs"
)

// A snapshot file is a header, the encoded SnapshotMeta as chunk 0, the data in
// chunks from 1 on, and a footer, which is a chunk of length 0 that the total
// length of the data follows. Each chunk's CRC covers its number too.
//
//	chunk   length u32 | CRC u32 | bytes
//	footer  0      u32 | CRC u32 | total length u64
const (
	chunkHeaderSize = 8
	maxChunk        = 128 << 10
	// snapshotSyncStep is how many bytes of a snapshot may wait in memory for the disk. After
	// each step the writer rests as long as the step took. So a snapshot gets half of the disk
	// and of a processor at most, and a Save never waits behind more than a step.
	snapshotSyncStep = 256 << 10
	longestRest      = 100 * time.Millisecond
	// urgentSyncStep is the step of an urgent snapshot, for which new entries wait. Its writer
	// does not rest.
	urgentSyncStep = 4 << 20
)

// chunkCRC is the checksum of chunk n. A footer counts the total as its bytes.
func (s stamp) chunkCRC(n uint64, length uint32, b []byte) uint32 {
	var h [12]byte
	binary.LittleEndian.PutUint64(h[:], n)
	binary.LittleEndian.PutUint32(h[8:], length)
	return crc32.Update(s.crc(h[:]), castagnoli, b)
}

// snapshotWriter writes the file of one snapshot. After its first error it writes nothing more.
type snapshotWriter struct {
	f        vfs.File
	stamp    stamp
	n        uint64 // number of the chunk in buf
	buf      []byte // a chunk's header and bytes
	total    uint64 // bytes of data
	size     int64  // bytes of file
	unsynced int64
	rested   time.Time // when the last step ended
	urgent   func() bool
	err      error
}

// always is for snapshots that are small.
func always() bool { return true }

func newSnapshotWriter(f vfs.File, h header, meta raft.SnapshotMeta, urgent func() bool) *snapshotWriter {
	w := &snapshotWriter{f: f, stamp: newStamp(h.salt, h.number), rested: time.Now(), urgent: urgent}
	w.emit(h.encode())
	w.buf = raft.AppendSnapshotMeta(w.emptyChunk(), meta)
	w.flush()
	return w
}

func (w *snapshotWriter) emptyChunk() []byte {
	if w.buf == nil {
		w.buf = make([]byte, chunkHeaderSize, 4<<10) // it grows: small snapshots are many
	}
	return w.buf[:chunkHeaderSize]
}

// Write adds to the data.
func (w *snapshotWriter) Write(p []byte) (n int, err error) {
	for w.err == nil && len(p) > 0 {
		k := min(len(p), chunkHeaderSize+maxChunk-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		p, n = p[k:], n+k
		w.total += uint64(k)
		if len(w.buf) == chunkHeaderSize+maxChunk {
			w.flush()
		}
	}
	return n, w.err
}

// flush ends the chunk in buf.
func (w *snapshotWriter) flush() {
	if length := len(w.buf) - chunkHeaderSize; length > 0 {
		w.seal(uint32(length))
	}
}

func (w *snapshotWriter) seal(length uint32) {
	binary.LittleEndian.PutUint32(w.buf, length)
	binary.LittleEndian.PutUint32(w.buf[4:], w.stamp.chunkCRC(w.n, length, w.buf[chunkHeaderSize:]))
	w.emit(w.buf)
	w.n++
	w.buf = w.emptyChunk()
}

func (w *snapshotWriter) emit(b []byte) {
	if w.err != nil {
		return
	}
	if _, w.err = w.f.Write(b); w.err != nil {
		return
	}
	w.size += int64(len(b))
	if w.unsynced += int64(len(b)); w.unsynced >= snapshotSyncStep {
		w.step()
	}
}

// step syncs what was written, and rests.
func (w *snapshotWriter) step() {
	urgent := w.urgent()
	if urgent && w.unsynced < urgentSyncStep {
		return
	}
	w.unsynced = 0
	w.err = w.f.SyncData()
	if !urgent {
		time.Sleep(min(time.Since(w.rested), longestRest))
	}
	w.rested = time.Now()
}

// finish writes the footer and makes the content durable.
func (w *snapshotWriter) finish() error {
	w.flush()
	w.buf = binary.LittleEndian.AppendUint64(w.buf, w.total)
	w.seal(0)
	if w.err == nil {
		w.err = w.f.Sync()
	}
	return w.err
}

// snapshotReader reads the data of one snapshot, and verifies what it reads before
// it hands it out. At its io.EOF the file is known to be whole.
type snapshotReader struct {
	f     io.ReadCloser
	file  string // for errors
	r     *bufio.Reader
	stamp stamp
	off   int64
	n     uint64
	total uint64
	chunk []byte // verified and unread
	buf   []byte
	err   error
}

// newSnapshotReader reads the front of a snapshot file, which must be of id and index.
func newSnapshotReader(f io.ReadCloser, file string, id Identity, index raft.Index) (*snapshotReader, raft.SnapshotMeta, error) {
	r := &snapshotReader{f: f, file: file, r: bufio.NewReader(f)}
	b := make([]byte, headerSize)
	n, err := io.ReadFull(r.r, b)
	if err != nil && !endsEarly(err) {
		return nil, raft.SnapshotMeta{}, fmt.Errorf("read %s: %w", file, err)
	}
	h, err := decodeHeader(file, snapshotMagic, b[:n])
	if err == nil {
		err = h.check(file, id, uint64(index))
	}
	if err != nil {
		return nil, raft.SnapshotMeta{}, err
	}
	r.off, r.stamp = headerSize, newStamp(h.salt, h.number)
	meta, err := r.readMeta(index)
	return r, meta, err
}

func (r *snapshotReader) readMeta(index raft.Index) (raft.SnapshotMeta, error) {
	if err := r.next(); err == io.EOF {
		return raft.SnapshotMeta{}, r.corrupt("no meta before the footer")
	} else if err != nil {
		return raft.SnapshotMeta{}, err
	}
	meta, rest, err := raft.DecodeSnapshotMeta(r.chunk)
	if err != nil || len(rest) > 0 || meta.Index != index {
		return raft.SnapshotMeta{}, r.corrupt("the meta does not fit")
	}
	r.chunk, r.total = nil, 0
	return meta, nil
}

func (r *snapshotReader) Read(p []byte) (int, error) {
	if len(r.chunk) == 0 && r.err == nil {
		r.err = r.next()
	}
	if len(r.chunk) == 0 {
		return 0, r.err
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

func (r *snapshotReader) Close() error { return r.f.Close() }

// next reads and verifies a chunk. It returns io.EOF after a valid footer.
func (r *snapshotReader) next() error {
	var h [chunkHeaderSize]byte
	if err := r.fill(h[:]); err != nil {
		return err
	}
	length, crc := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint32(h[4:])
	size := int(length)
	if length > maxChunk {
		return r.corrupt("impossible length of a chunk")
	} else if length == 0 {
		size = 8 // the total, in a footer
	}
	if cap(r.buf) < size {
		r.buf = make([]byte, size)
	}
	b := r.buf[:size]
	if err := r.fill(b); err != nil {
		return err
	}
	if r.stamp.chunkCRC(r.n, length, b) != crc {
		return r.corrupt("wrong checksum of a chunk")
	}
	if length == 0 {
		return r.footer(binary.LittleEndian.Uint64(b))
	}
	r.off += chunkHeaderSize + int64(size)
	r.n++
	r.total += uint64(size)
	r.chunk = b
	return nil
}

func (r *snapshotReader) footer(total uint64) error {
	if total != r.total {
		return r.corrupt(fmt.Sprintf("the footer says %d bytes, there are %d", total, r.total))
	}
	switch _, err := r.r.ReadByte(); err {
	case io.EOF:
		return io.EOF
	case nil:
		return r.corrupt("data after the footer")
	default:
		return fmt.Errorf("read %s: %w", r.file, err)
	}
}

func (r *snapshotReader) fill(b []byte) error {
	_, err := io.ReadFull(r.r, b)
	if endsEarly(err) {
		return r.corrupt("the file ends early")
	} else if err != nil {
		return fmt.Errorf("read %s: %w", r.file, err)
	}
	return nil
}

func (r *snapshotReader) corrupt(reason string) error {
	return &CorruptionError{File: r.file, Offset: r.off, Reason: reason}
}

func endsEarly(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
