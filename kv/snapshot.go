package kv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// A snapshot is a stream of bytes, the same for the same state:
//
//	header   magic(7) format(1) revision(uvarint) keys(uvarint) hash(8, little endian)
//	         marks(uvarint)
//	each mark that is not 0
//	         number(uvarint) revision(uvarint)                 in ascending order
//	each key key length(uvarint) key
//	         create revision(uvarint) mod revision - create revision(uvarint)
//	         version(uvarint) value length(uvarint) value      in ascending order
//	footer   xxHash64 of all the above (8, little endian)
//
// The hash is Store.Hash, which finds faults of memory. The footer is a checksum of the
// bytes, which finds faults of disks and networks.
const (
	snapshotMagic  = "balsakv"
	snapshotFormat = 1

	// streamBytes is the size of the buffers between an image and its stream.
	streamBytes = 16 << 10
)

var (
	// ErrBadSnapshot refuses a stream that is no snapshot, or a damaged or truncated one, or
	// one that is followed by other bytes.
	ErrBadSnapshot = errors.New("kv: bad snapshot")

	// ErrNewerSnapshot refuses a snapshot of a format that this program does not know yet.
	ErrNewerSnapshot = errors.New("kv: snapshot was written by a newer program")

	// ErrMemory is the error of writing an image if the hashes of its records do not add up
	// to the hash of the state. Then the memory of this process, or the program, is faulty,
	// and the snapshot must not be used.
	ErrMemory = errors.New("kv: state does not match its hash")
)

// Snapshot returns an image of the present state, which writes it in the order of the keys,
// with bounded buffers, while operations go on. Snapshot never fails. The image is an
// io.Closer: until it is closed the store retains the versions that it needs.
func (s *Store) Snapshot() (io.WriterTo, error) { return s.image(), nil }

// WriteTo writes the snapshot. It may be called again, and writes the same bytes again.
func (im *image) WriteTo(w io.Writer) (written int64, err error) {
	if im.closed {
		return 0, errClosed
	}
	digest := xxhash.New()
	counter := &countingWriter{w: w}
	buf := bufio.NewWriterSize(io.MultiWriter(counter, digest), streamBytes)

	head := append([]byte(snapshotMagic), snapshotFormat)
	head = binary.AppendUvarint(head, im.revision)
	head = binary.AppendUvarint(head, uint64(im.order.Len()))
	head = binary.LittleEndian.AppendUint64(head, im.hash())
	head = binary.AppendUvarint(head, uint64(im.marksInUse()))
	buf.Write(head)

	check := totals{revision: im.revision}
	var scratch []byte
	for number := range lastMark + 1 {
		if revision := *im.mark(number); revision != 0 {
			check.sum += markHash(number, revision)
			scratch = binary.AppendUvarint(scratch, uint64(number))
			scratch = binary.AppendUvarint(scratch, revision)
		}
	}
	buf.Write(scratch)
	im.scan("", func(key string, r *record) bool {
		check.sum += r.hash(key)
		scratch = binary.AppendUvarint(scratch[:0], uint64(len(key)))
		scratch = append(scratch, key...)
		scratch = binary.AppendUvarint(scratch, r.createRevision)
		scratch = binary.AppendUvarint(scratch, r.modRevision-r.createRevision)
		scratch = binary.AppendUvarint(scratch, r.version)
		scratch = binary.AppendUvarint(scratch, uint64(len(r.value)))
		buf.Write(scratch)
		_, err = buf.Write(r.value) // a bufio.Writer's errors are sticky
		return err == nil
	})
	if err == nil {
		err = buf.Flush()
	}
	if err == nil && check.hash() != im.hash() {
		err = ErrMemory
	}
	if err == nil {
		_, err = counter.Write(binary.LittleEndian.AppendUint64(nil, digest.Sum64()))
	}
	if err != nil {
		return counter.n, fmt.Errorf("write snapshot: %w", err)
	}
	return counter.n, nil
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

// Restore replaces the state by that of a snapshot. It reads r to its end. Readers see the
// old state until the new one is complete. After an error (ErrBadSnapshot,
// ErrNewerSnapshot, or r's own) nothing has changed.
func (s *Store) Restore(r io.Reader) error {
	st, err := readSnapshot(r)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	s.mu.Lock()
	s.state = st
	s.mu.Unlock()
	return nil
}

func readSnapshot(r io.Reader) (*state, error) {
	sr := &snapshotReader{r: bufio.NewReaderSize(r, streamBytes), digest: xxhash.New()}
	st, keys, hash := newState(), uint64(0), uint64(0)
	if err := sr.header(&st.revision, &keys, &hash); err != nil {
		return nil, err
	}
	if err := sr.marks(st); err != nil {
		return nil, err
	}
	last := ""
	for range keys {
		sl, err := sr.slot(last, st.revision)
		if err != nil {
			return nil, err
		}
		sl.sum = sl.hash(sl.key)
		st.order.Load(sl.key, sl)
		st.sum += sl.sum
		st.bytes += sl.size(sl.key)
		last = sl.key
	}
	if err := sr.footer(); err != nil {
		return nil, err
	}
	if st.hash() != hash {
		return nil, fmt.Errorf("%w: records do not add up to the state's hash", ErrBadSnapshot)
	}
	st.slots = make(map[string]*slot, st.order.Len()) // now that the number is known to be true
	st.order.Scan(func(key string, sl *slot) bool {
		st.slots[key] = sl
		return true
	})
	return st, nil
}
