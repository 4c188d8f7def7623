package kv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// firstRevision is the revision of an empty store, as in etcd.
const firstRevision = 1

// totals is what the log leads to besides records. A checkpoint keeps it apart from them, since
// the revision and the compacted one cannot be derived from the records that are left.
type totals struct {
	revision  uint64
	compacted uint64 // the lowest revision that can be read; 0: no compaction yet
	// bytes is the size of the present records of all keys. It is the same on all replicas.
	bytes int64
	// sum is the sum of the hashes of all marks, modulo 2^64.
	sum                      uint64
	deleteMarks, resendMarks marks
}

// Totals is an image of them.
type Totals struct{ totals }

// Totals returns the present ones. The goroutine that executes the log calls it.
func (s *Store) Totals() Totals { return Totals{s.totals} }

// Revision and Compacted are the store's.
func (t *Totals) Revision() uint64  { return t.revision }
func (t *Totals) Compacted() uint64 { return t.compacted }

// Cut returns the totals of a store whose history was cut behind a revision. Marks that are above it
// are lowered to it: what they tell of lies somewhere before.
func (t Totals) Cut(revision uint64) Totals {
	t.revision = revision
	for number := range lastMark + 1 {
		if *t.mark(number) > revision {
			t.setMark(number, revision)
		}
	}
	return t
}

// MoveOn returns the totals of a store that goes on at a later revision, below which all is
// compacted.
func (t Totals) MoveOn(revision uint64) Totals {
	t.revision, t.compacted = revision, revision
	return t
}

var errTotals = errors.New("kv: damaged totals")

// Hash is Store.Hash of a store with these totals, whose history ends with a chain hash.
func (t *Totals) Hash(chain uint64) uint64 { return t.hash(chain) }

func (t *totals) hash(chain uint64) uint64 {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[0:], t.revision)
	binary.LittleEndian.PutUint64(b[8:], t.compacted)
	binary.LittleEndian.PutUint64(b[16:], chain)
	binary.LittleEndian.PutUint64(b[24:], t.sum)
	return xxhash.Sum64(b[:])
}

// Append appends the encoding of t to dst: the revisions, and of each mark that is not 0 its
// number and revision. All are uvarints.
func (t *Totals) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, t.revision)
	dst = binary.AppendUvarint(dst, t.compacted)
	dst = binary.AppendUvarint(dst, uint64(t.marksInUse()))
	for number := range lastMark + 1 {
		if revision := *t.mark(number); revision != 0 {
			dst = binary.AppendUvarint(dst, uint64(number))
			dst = binary.AppendUvarint(dst, revision)
		}
	}
	return dst
}

// DecodeTotals is the inverse of Append, and returns what follows.
func DecodeTotals(b []byte) (t Totals, rest []byte, err error) {
	number := func() (v uint64) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err = errTotals
			return 0
		}
		b = b[n:]
		return v
	}
	t.revision, t.compacted = number(), number()
	if err == nil && (t.revision < firstRevision || t.compacted > t.revision) {
		return t, nil, fmt.Errorf("%w: revision %d, compacted at %d", errTotals, t.revision, t.compacted)
	}
	for n := number(); n > 0 && err == nil; n-- {
		at, revision := number(), number()
		if at > lastMark || revision > t.revision {
			return t, nil, errTotals
		}
		t.setMark(int(at), revision)
	}
	return t, b, err
}
