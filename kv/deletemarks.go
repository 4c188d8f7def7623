package kv

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// numMarks is how many marks a table has. It is part of the state that all replicas
// share, so it never changes.
const numMarks = 1024

// marks is a table of revisions, found by a hash of the key. A store has two of them:
//
//	deleteMarks   the revision of the last Delete of a key with that hash
//	resendMarks   the revision of the store when it last got a Resend for such a key
//
// A mark is 0 if there was none. It does not matter whether the key exists.
//
// The index knows when a key was deleted too, but only until compaction forgets it, and replicas
// purge their indexes at different times. The size of the tables is a compromise. One revision for each deleted key would take
// memory without end. One revision for all keys would refuse every conditional creation
// of a key while other keys are deleted. With a mark for each hash the revision is never
// too low for a key, and seldom too high.
type marks [numMarks]uint64

// markOf returns the index of the key's mark, the same in both tables.
func markOf(key string) int { return int(xxhash.Sum64String(key) % numMarks) }

func (m *marks) of(key string) uint64 { return m[markOf(key)] }

// Marks are numbered in checkpoints and in the hash of the state: first those of deletes,
// then those of resends.
const (
	firstResendMark = numMarks
	lastMark        = 2*numMarks - 1
)

// mark returns the mark with a number.
func (t *totals) mark(number int) *uint64 {
	if number < firstResendMark {
		return &t.deleteMarks[number]
	}
	return &t.resendMarks[number-firstResendMark]
}

// setMark sets a mark to a revision, and keeps the hash of the state true.
func (t *totals) setMark(number int, revision uint64) {
	mark := t.mark(number)
	t.sum += markHash(number, revision) - markHash(number, *mark)
	*mark = revision
}

// marksInUse returns how many marks are not 0.
func (t *totals) marksInUse() (n int) {
	for number := range lastMark + 1 {
		if *t.mark(number) != 0 {
			n++
		}
	}
	return n
}

// markHash is what a mark adds to the hash of the state.
func markHash(number int, revision uint64) uint64 {
	if revision == 0 {
		return 0
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(number))
	binary.LittleEndian.PutUint64(b[8:], revision)
	return xxhash.Sum64(b[:])
}
