package kv

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// numTombs is how many revisions a store keeps in memory of deleted keys. It is part of
// the state that all replicas share, so it never changes.
const numTombs = 1024

// tombs tell of the keys that are no more: all keys there can be are spread over them,
// and each holds the revision of the last Delete of a key of its own, 0 if there was none.
//
// To remember every deleted key would take memory without end, and one revision for all
// keys would refuse every conditional creation of a key while others delete other keys.
// In between, a tomb is never too old, and seldom too new.
type tombs [numTombs]uint64

// tombOf returns the number of the key's tomb.
func tombOf(key string) int { return int(xxhash.Sum64String(key) % numTombs) }

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
