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
	// keyChunks is how many chunks there can be.
	keyChunks = 1 << 32 / keyUnits
)

// keyPlace is where a key is, in units: the number of its chunk and the place in it. 0 is
// no place.
type keyPlace uint32

func (p keyPlace) chunk() uint32 { return uint32(p / keyUnits) }
func (p keyPlace) offset() int   { return int(p % keyUnits * keyUnit) }

// keys has the bytes of all keys, each after its length. New keys go to the end of one chunk,
// and no byte is written twice. What removed keys leave is unused until the other keys of
// the chunk are gone too: see Index.tidy.
type keys struct {
	chunks [][]byte
	unused []uint32 // bytes, of each chunk
	spare  []uint32 // the numbers of chunks that are not allocated
	active uint32   // the chunk that new keys go to
	filled int      // the bytes written there

	bytes  int64 // of all chunks
	shared int64 // of those that keys share
	waste  int64 // the sum of unused

	moving keyPlace // the next key to be moved, 0 for none
	looked uint32   // the last chunk that was looked at for keys to be moved
}

// newKeys returns what has no keys. Its chunk 0 stays empty, so that no key is at place 0.
func newKeys() keys { return keys{chunks: [][]byte{nil}, unused: []uint32{0}, filled: keyChunk} }

// get returns the key at p, which aliases the chunk.
func (k *keys) get(p keyPlace) string {
	record := k.chunks[p.chunk()][p.offset():]
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
	if k.filled+size > keyChunk {
		k.rotate()
	}
	place := keyPlace(k.active*keyUnits) + keyPlace(k.filled/keyUnit)
	put(k.chunks[k.active][k.filled:], key)
	k.filled += size
	return place
}

func put(record []byte, key string) {
	copy(record[binary.PutUvarint(record, uint64(len(key))):], key)
}

// rotate makes an empty chunk the active one.
func (k *keys) rotate() {
	full, rest := k.active, keyChunk-k.filled
	k.active, k.filled = k.chunk(keyChunk), 0
	k.shared += keyChunk
	k.discard(full, rest)
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
	if len(k.chunks) == keyChunks {
		panic("index: no place for more keys")
	}
	k.chunks = append(k.chunks, make([]byte, size))
	k.unused = append(k.unused, 0)
	return uint32(len(k.chunks) - 1)
}

func (k *keys) remove(p keyPlace) { k.discard(p.chunk(), recordSize(k.get(p))) }

// discard counts bytes as unused, and gives a chunk back that has no others.
func (k *keys) discard(chunk uint32, bytes int) {
	k.unused[chunk] += uint32(bytes)
	k.waste += int64(bytes)
	size := len(k.chunks[chunk])
	if chunk == k.active || int(k.unused[chunk]) < size || size == 0 {
		return
	}
	if k.moving.chunk() == chunk {
		k.moving = 0
	}
	if bytes < size { // a key that has a chunk of its own goes at once
		k.shared -= keyChunk
	}
	k.bytes -= int64(size)
	k.waste -= int64(size)
	k.chunks[chunk], k.unused[chunk] = nil, 0
	k.spare = append(k.spare, chunk)
}

// tidy moves keys, about budget in cost at most, out of chunks that have much unused, while
// more than a quarter of the bytes that keys share is. It returns the cost.
func (x *Index) tidy(budget int) (cost int) {
	k := &x.table.bytes
	for ; cost < budget && (k.moving != 0 || k.lookForWaste()); cost += keyCost {
		p := k.moving
		key := k.get(p)
		if s := x.Find(key); s != 0 && x.table.at(s).key == p {
			x.table.at(s).key = k.add(key)
			k.remove(p)
		}
		if k.moving == p { // the chunk was not given back
			k.moving += keyPlace(recordSize(key) / keyUnit)
		}
	}
	return cost
}

// lookForWaste chooses a chunk to move the keys from, and tells whether there is one. The rest
// behind a chunk's last key is less than a quarter, so that no chunk is chosen for that alone.
func (k *keys) lookForWaste() bool {
	for range k.chunks {
		if (k.waste-int64(k.unused[k.active]))*4 <= k.shared { // else one chunk at least has as much, and not the active one
			return false
		}
		if k.looked++; int(k.looked) == len(k.chunks) {
			k.looked = 0
		}
		if c := k.looked; c != k.active && len(k.chunks[c]) == keyChunk && k.unused[c] >= keyChunk/4 {
			k.moving = keyPlace(c * keyUnits)
			return true
		}
	}
	return false
}

// Places returns which share is in use of the places that there are for keys, or for older versions if that is more. With
// all of them in use Insert and Replace panic. Keys have 16 GiB in chunks of 16 KiB, of which one of more than 4 KiB has
// one alone, and older versions about 4 billion.
func (x *Index) Places() float64 {
	k := &x.table.bytes
	return max(float64(len(k.chunks)-len(k.spare))/keyChunks, float64(x.older.nodes.len())/maxDistance)
}

func (k *keys) memory() int64 {
	return k.bytes + int64(cap(k.chunks))*24 + int64(cap(k.unused)+cap(k.spare))*4
}
