//balsa:pure

package run

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"balsa.example/kv/index"

	"github.com/cespare/xxhash/v2"
)

// Ref says where a record is.
type Ref = index.Ref

// Record is one change of one key.
type Record struct {
	Key, Value []byte
	// Mod is the revision of the change, Create the one that created the key, and Version the number
	// of changes since, this one included.
	Mod, Create, Version uint64
	Lease                int64
	// Wall is in milliseconds since 1970. It is for people; nothing is decided by it.
	Wall    int64
	Deleted bool
	// Last marks the last record of its revision.
	Last bool
}

// The byte form of a record, as doc.go draws it.
const (
	recordHead = 8 + 4 // hash and length
	// minRecord is a record with numbers of one byte, an empty key and an empty value.
	minRecord = recordHead + 1 + 6
	// maxRecord bounds a record. What can be proposed is far smaller.
	maxRecord = 1 << 30

	flagDeleted = 1 << 0
	flagLast    = 1 << 1
	knownFlags  = flagDeleted | flagLast
)

// place is what the stored hash of anything at an offset is XORed with. So bytes that are whole, but
// were written for another place or another file, are seen. The salt is the file's own.
func place(salt uint64, offset uint32) uint64 {
	x := (salt ^ uint64(offset)) * 0x9e3779b97f4a7c15
	return x ^ x>>29
}

// size returns the length of the byte form.
func (r *Record) size() int {
	return recordHead + 1 + uvarintLen(r.Mod) + uvarintLen(r.Mod-r.Create) + uvarintLen(r.Version) +
		uvarintLen(uint64(r.Lease)) + uvarintLen(zigzag(r.Wall)) + uvarintLen(uint64(len(r.Key))) + len(r.Key) + len(r.Value)
}

// encode writes the byte form to b, which has exactly its length, and returns its hash. Key and
// Value then alias b.
func (r *Record) encode(b []byte, place uint64) (hash uint64) {
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-recordHead))
	b[recordHead] = 0
	if r.Deleted {
		b[recordHead] |= flagDeleted
	}
	if r.Last {
		b[recordHead] |= flagLast
	}
	at := recordHead + 1
	for _, v := range [...]uint64{r.Mod, r.Mod - r.Create, r.Version, uint64(r.Lease), zigzag(r.Wall), uint64(len(r.Key))} {
		at += binary.PutUvarint(b[at:], v)
	}
	value := at + copy(b[at:], r.Key)
	copy(b[value:], r.Value)
	r.Key, r.Value = b[at:value:value], b[value:len(b):len(b)]
	return sign(b, place)
}

// sign writes the hash of a record to its head, and returns it.
func sign(b []byte, place uint64) (hash uint64) {
	hash = xxhash.Sum64(b[8:])
	binary.LittleEndian.PutUint64(b, hash^place)
	return hash
}

var (
	errHash      = errors.New("wrong hash of a record")
	errCut       = errors.New("a record reaches over the end")
	errFlags     = errors.New("flags of a newer format")
	errMalformed = errors.New("a record has a right hash and no form")
)

// recordLen returns the length of the record that b begins with, of which at most limit bytes are
// there. It is not to be believed before decode was happy.
func recordLen(b []byte, limit int64) (int, error) {
	if len(b) < recordHead || limit < minRecord {
		return 0, errCut
	}
	n := int64(binary.LittleEndian.Uint32(b[8:])) + recordHead
	switch {
	case n < minRecord:
		return 0, errHash
	case n > limit || n > maxRecord:
		return 0, errCut
	}
	return int(n), nil
}

// decode reads the record that is all of b. Key and Value alias b.
func (r *Record) decode(b []byte, place uint64) (hash uint64, err error) {
	if n, err := recordLen(b, int64(len(b))); err != nil || n != len(b) {
		return 0, errHash
	}
	hash = xxhash.Sum64(b[8:])
	if binary.LittleEndian.Uint64(b) != hash^place {
		return 0, errHash
	}
	return hash, r.parse(b)
}

// parse is decode without a look at the hash, for bytes that were never out of memory.
func (r *Record) parse(b []byte) error {
	flags := b[recordHead]
	if flags&^knownFlags != 0 {
		return errFlags
	}
	r.Deleted, r.Last = flags&flagDeleted != 0, flags&flagLast != 0
	rest := b[recordHead+1:]
	var sinceCreate, lease, wall, keyLen uint64
	for _, v := range [...]*uint64{&r.Mod, &sinceCreate, &r.Version, &lease, &wall, &keyLen} {
		var n int
		if *v, n = binary.Uvarint(rest); n <= 0 {
			return errMalformed
		}
		rest = rest[n:]
	}
	if keyLen > uint64(len(rest)) {
		return errMalformed
	}
	r.Create, r.Lease, r.Wall = r.Mod-sinceCreate, int64(lease), unzigzag(wall)
	r.Key, r.Value = rest[:keyLen:keyLen], rest[keyLen:len(rest):len(rest)]
	return nil
}

// valueIn returns the value of a record of a revision, of which everything else is known. Like parse it
// is for bytes that were never out of memory. It returns false if they are none of such a record.
func valueIn(b []byte, mod uint64) (value []byte, ok bool) {
	rest := b[recordHead+1:]
	m, n := binary.Uvarint(rest)
	if n <= 0 || m != mod {
		return nil, false
	}
	rest = rest[n:]
	for numbers := 4; numbers > 0; rest = rest[1:] { // those between the revision and the length of the key
		if len(rest) == 0 {
			return nil, false
		}
		if rest[0] < 0x80 {
			numbers--
		}
	}
	key, n := binary.Uvarint(rest)
	if n <= 0 || key > uint64(len(rest)-n) {
		return nil, false
	}
	rest = rest[n+int(key):]
	return rest[:len(rest):len(rest)], true
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// link is the chain hash after one more record.
func link(chain, hash uint64) uint64 {
	x := (bits.RotateLeft64(chain, 23) ^ hash) * 0x9e3779b97f4a7c15
	return x ^ x>>32
}
