package kv

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// maxRevision is the highest revision that a snapshot may have, so that later ones cannot
// overflow.
const maxRevision = 1 << 62

// snapshotReader reads the parts of a snapshot in order. It trusts no length: it allocates
// at most twice the bytes that it has read, plus streamBytes.
type snapshotReader struct {
	r      *bufio.Reader
	digest *xxhash.Digest // of the bytes read
}

func (s *snapshotReader) header(revision, keys, hash *uint64) error {
	var magic [len(snapshotMagic) + 1]byte
	if err := s.full(magic[:]); err != nil {
		return err
	}
	format := magic[len(snapshotMagic)]
	switch {
	case string(magic[:len(snapshotMagic)]) != snapshotMagic:
		return fmt.Errorf("%w: it does not begin like one", ErrBadSnapshot)
	case format > snapshotFormat:
		return fmt.Errorf("%w: format %d, this program reads up to %d", ErrNewerSnapshot, format, snapshotFormat)
	case format == 0:
		return fmt.Errorf("%w: format 0", ErrBadSnapshot)
	}
	for _, v := range []*uint64{revision, keys} {
		var err error
		if *v, err = s.uvarint(); err != nil {
			return err
		}
	}
	if *revision < firstRevision || *revision > maxRevision {
		return fmt.Errorf("%w: revision %d", ErrBadSnapshot, *revision)
	}
	var b [8]byte
	err := s.full(b[:])
	*hash = binary.LittleEndian.Uint64(b[:])
	return err
}

// marks reads the marks of st, whose revision has been read before.
func (s *snapshotReader) marks(st *state) error {
	count, err := s.uvarint()
	if err != nil {
		return err
	}
	next := uint64(0)
	for range count {
		number, err := s.uvarint()
		if err != nil {
			return err
		}
		revision, err := s.uvarint()
		if err != nil {
			return err
		}
		if number < next || number > lastMark || revision < lowestMark(int(number)) || revision > st.revision {
			return fmt.Errorf("%w: mark %d of revision %d, where %d or a later one may be, in a store at %d",
				ErrBadSnapshot, number, revision, next, st.revision)
		}
		st.setMark(int(number), revision)
		next = number + 1
	}
	return nil
}

// slot reads one key, which must be above last, in a store at storeRevision.
func (s *snapshotReader) slot(last string, storeRevision uint64) (*slot, error) {
	keyBytes, err := s.bytes()
	if err != nil {
		return nil, err
	}
	r := &slot{key: Alias(keyBytes)}
	key := r.key
	if key <= last {
		return nil, fmt.Errorf("%w: key %.40q after %.40q", ErrBadSnapshot, key, last)
	}
	var changes uint64 // revisions from creation to the last change
	for _, v := range []*uint64{&r.createRevision, &changes, &r.version} {
		if *v, err = s.uvarint(); err != nil {
			return nil, err
		}
	}
	// Each change of the key added one to its version and at least one to the revision.
	if r.createRevision <= firstRevision || r.createRevision > storeRevision ||
		changes > storeRevision-r.createRevision || r.version == 0 || r.version > changes+1 {
		return nil, fmt.Errorf("%w: key %.40q: version %d, created at %d and changed %d revisions later, in a store at %d",
			ErrBadSnapshot, key, r.version, r.createRevision, changes, storeRevision)
	}
	r.modRevision = r.createRevision + changes
	r.value, err = s.bytes()
	return r, err
}

// footer compares the checksum, and demands that the stream ends there.
func (s *snapshotReader) footer() error {
	sum := s.digest.Sum64()
	var b [8]byte
	if err := s.full(b[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint64(b[:]) != sum {
		return fmt.Errorf("%w: checksum mismatch", ErrBadSnapshot)
	}
	if _, err := s.r.ReadByte(); err == nil {
		return fmt.Errorf("%w: data after its end", ErrBadSnapshot)
	} else if err != io.EOF {
		return err
	}
	return nil
}

// bytes reads a length and that many bytes, nil if the length is 0. It allocates in steps,
// since the length may be wrong.
func (s *snapshotReader) bytes() ([]byte, error) {
	size, err := s.uvarint()
	if err != nil || size == 0 {
		return nil, err
	}
	b := make([]byte, min(size, streamBytes))
	if err := s.full(b); err != nil {
		return nil, err
	}
	for uint64(len(b)) < size {
		n := uint64(len(b))
		step := min(size-n, n) // doubling
		b = append(make([]byte, 0, n+step), b...)[:n+step]
		if err := s.full(b[n:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (s *snapshotReader) uvarint() (uint64, error) {
	b, err := s.r.Peek(binary.MaxVarintLen64) // fewer at the end of the stream
	v, n := binary.Uvarint(b)
	switch {
	case n < 0, n == 0 && len(b) == binary.MaxVarintLen64:
		return 0, fmt.Errorf("%w: number over 64 bits", ErrBadSnapshot)
	case n == 0:
		return 0, truncated(err)
	}
	s.digest.Write(b[:n])
	_, err = s.r.Discard(n)
	return v, err
}

// full fills b.
func (s *snapshotReader) full(b []byte) error {
	if _, err := io.ReadFull(s.r, b); err != nil {
		return truncated(err)
	}
	s.digest.Write(b)
	return nil
}

// truncated turns an end of the stream that came too early into ErrBadSnapshot. Other
// errors are the stream's own.
func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: truncated", ErrBadSnapshot)
	}
	return err
}
