package kv

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// numTombs is how many revisions a store keeps in memory of deleted keys, and how many of
// resends. It is part of the state that all replicas share, so it never changes.
const numTombs = 1024

// tombs are revisions that keys leave behind, whether they exist or not. All keys there
// can be are spread over them by a hash. The first numTombs hold the revision of the last
// Delete of a key of theirs, the others the revision at which a Resend for a key of theirs
// was last looked at; 0 if there was none.
//
// To remember every deleted key would take memory without end, and one revision for all
// keys would refuse every conditional creation of a key while others delete other keys.
// In between, a tomb is never too old, and seldom too new.
type tombs [2 * numTombs]uint64

// tombOf returns the number of the tomb of a key's deletes.
func tombOf(key string) int { return int(xxhash.Sum64String(key) % numTombs) }

// resendOf returns the number of the tomb of a key's resends.
func resendOf(key string) int { return numTombs + tombOf(key) }

// earliest returns the lowest revision that tomb i can hold: a key is created before it is
// deleted, so that takes two revisions; a resend takes none.
func earliest(i uint64) uint64 {
	if i < numTombs {
		return firstRevision + 2
	}
	return firstRevision
}

// hash is what tomb i adds to the hash of the state.
func (t *tombs) hash(i int) uint64 {
	if t[i] == 0 {
		return 0
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(i))
	binary.LittleEndian.PutUint64(b[8:], t[i])
	return xxhash.Sum64(b[:])
}

// inUse returns how many tombs hold a revision.
func (t *tombs) inUse() (n int) {
	for _, revision := range t {
		if revision != 0 {
			n++
		}
	}
	return n
}
