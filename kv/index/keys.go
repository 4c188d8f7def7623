package index

import (
	"encoding/binary"
	"unsafe"
)

const (
	// keyUnit divides the place of each key in a chunk, so that 32 bits reach 16 GiB.
	keyUnit = 4
	// keyChunk is how many bytes of keys are allocated at a time. A key that takes more than a
	// quarter of it has a chunk of its own.
	keyChunk = 16 << 10
	keyUnits = keyChunk / keyUnit
)

// keyPlace is where a key is, in units: the number of its chunk and the place in it. 0 is
// no place.
type keyPlace uint32

// keys has the bytes of all keys, each after its length. New keys go to the end of the last
// chunk; what a removed key leaves is counted.
type keys struct {
	chunks [][]byte
	dead   []uint32 // of each chunk: the bytes that no key uses
	spare  []uint32 // the numbers of chunks that are empty
	active uint32   // the chunk that new keys go to
	used   int      // the bytes in use there
	bytes  int64    // of all chunks
}

// newKeys returns what has no keys. Its chunk 0 stays empty, so that no key is at place 0.
func newKeys() keys { return keys{chunks: [][]byte{nil}, dead: []uint32{0}, used: keyChunk} }

// get returns the key at p. The string is valid until the key is removed or moved.
func (k *keys) get(p keyPlace) string {
	record := k.chunks[p/keyUnits][p%keyUnits*keyUnit:]
	if n := record[0]; n < 0x80 {
		return unsafe.String(&record[1], int(n))
	}
	n, size := binary.Uvarint(record)
	return unsafe.String(&record[size], int(n))
}

// recordSize returns how many bytes a key takes up.
func recordSize(key string) int {
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(key))) + len(key)
	return (n + keyUnit - 1) &^ (keyUnit - 1)
}

func (k *keys) add(key string) keyPlace {
	size := recordSize(key)
	if size > keyChunk/4 {
		chunk := k.chunk(size)
		put(k.chunks[chunk], key)
		return keyPlace(chunk * keyUnits)
	}
	if k.used+size > keyChunk {
		k.rotate()
	}
	place := keyPlace(k.active*keyUnits) + keyPlace(k.used/keyUnit)
	put(k.chunks[k.active][k.used:], key)
	k.used += size
	return place
}

func put(record []byte, key string) {
	copy(record[binary.PutUvarint(record, uint64(len(key))):], key)
}

// rotate makes an empty chunk the active one.
func (k *keys) rotate() {
	full := k.active
	k.dead[full] += uint32(keyChunk - k.used)
	k.active, k.used = k.chunk(keyChunk), 0
	k.retire(full)
}

// chunk returns the number of an empty chunk.
func (k *keys) chunk(size int) uint32 {
	k.bytes += int64(size)
	if n := len(k.spare); n > 0 {
		chunk := k.spare[n-1]
		k.spare = k.spare[:n-1]
		k.chunks[chunk] = make([]byte, size)
		return chunk
	}
	if len(k.chunks) == 1<<32/keyUnits {
		panic("index: more than 16 GiB of keys")
	}
	k.chunks = append(k.chunks, make([]byte, size))
	k.dead = append(k.dead, 0)
	return uint32(len(k.chunks) - 1)
}

// remove counts a key's bytes as unused.
func (k *keys) remove(p keyPlace) {
	chunk := uint32(p / keyUnits)
	k.dead[chunk] += uint32(recordSize(k.get(p)))
	k.retire(chunk)
}

// retire gives a chunk back in which no byte is used.
func (k *keys) retire(chunk uint32) {
	if chunk == k.active || int(k.dead[chunk]) < len(k.chunks[chunk]) || chunk == 0 {
		return
	}
	k.bytes -= int64(len(k.chunks[chunk]))
	k.chunks[chunk], k.dead[chunk] = nil, 0
	k.spare = append(k.spare, chunk)
}

func (k *keys) memory() int64 {
	return k.bytes + int64(cap(k.chunks))*24 + int64(cap(k.dead)+cap(k.spare))*4
}
