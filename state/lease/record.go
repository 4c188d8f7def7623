package lease

import (
	"encoding/binary"

	"balsa.example/state/logtime"

	"github.com/cespare/xxhash/v2"
)

// record is one lease. What belongs to few leases is behind pointers, so that a page of records
// is cheap to copy.
type record struct {
	id     int64 // 0: nothing is here
	ttl    int64
	expiry logtime.Time
	// keys and session may belong to an image too: see Table.ownKeys and Table.ownSession.
	keys    *keySet  // nil if no key is attached
	session *session // nil if the lease is no session
}

// hash covers what belongs to the record alone. Keys and outcomes have sums of their own.
func (r *record) hash() uint64 {
	kind := uint64(hashLease)
	if r.session != nil {
		kind = hashSessionLease
	}
	return mix(kind, uint64(r.id), uint64(r.ttl), uint64(r.expiry), 0)
}

// The kinds of what is hashed, so that no two of them have the same words.
const (
	hashLease = iota + 1
	hashSessionLease
	hashKey
	hashFloor
	hashOutcome
	hashShortOutcome
	hashLimits
	hashStamp
)

// mix is a hash of five words.
func mix(kind, a, b, c, d uint64) uint64 {
	var words [40]byte
	binary.LittleEndian.PutUint64(words[0:], kind)
	binary.LittleEndian.PutUint64(words[8:], a)
	binary.LittleEndian.PutUint64(words[16:], b)
	binary.LittleEndian.PutUint64(words[24:], c)
	binary.LittleEndian.PutUint64(words[32:], d)
	return xxhash.Sum64(words[:])
}

// pageLen is small, since the first change of a page after an image copies it.
const pageLen = 64

// page is a part of the records. It belongs to a table as long as its generation is the table's.
// Otherwise images share it, and nobody may change it.
type page struct {
	generation uint64
	records    [pageLen]record
}
