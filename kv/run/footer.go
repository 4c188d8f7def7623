//balsa:pure

package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Entry is what the index of a run says of one record.
type Entry struct {
	Key                  []byte
	Mod, Create, Version uint64
	Lease                int64
	Deleted              bool
	At                   Ref
}

const (
	// blockBytes is the length at which a block of the index ends. Entries are not split.
	blockBytes = 16 << 10
	// stepBytes is about how far apart the offsets are at which a scan may begin.
	stepBytes = 256 << 10
)

// keyed is a record of a run that is about to be sealed. The key aliases the run's memory.
type keyed struct {
	key          []byte
	offset, size uint32
}

// footer builds what follows the records of a sealed run: the index in blocks, the steps, the
// trailer. A block begins like a record: with a hash and a length.
type footer struct {
	salt  uint64
	first uint64
	start int64 // where the footer begins: the end of the records
	b     []byte
}

// at is the offset in the file of the next byte.
func (f *footer) at() int64 { return f.start + int64(len(f.b)) }

// footerPlace is place for what is no record, so that neither is taken for the other.
func footerPlace(salt uint64, offset int64) uint64 { return place(^salt, uint32(offset)) }

// begin opens a block; finish, given what begin returned, closes it.
func (f *footer) begin() (block int) {
	block = len(f.b)
	f.b = append(f.b, make([]byte, recordHead)...)
	return block
}

func (f *footer) finish(block int) {
	b := f.b[block:]
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-recordHead))
	binary.LittleEndian.PutUint64(b, xxhash.Sum64(b[8:])^footerPlace(f.salt, f.start+int64(block)))
}

// index appends the blocks of the index. The records are sorted by key and then by offset, which
// is by revision.
func (f *footer) index(records []keyed, decode func(keyed) *Record) {
	slices.SortFunc(records, func(a, b keyed) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return int(int64(a.offset) - int64(b.offset))
	})
	var last []byte
	block := -1
	for _, k := range records {
		if block >= 0 && len(f.b)-block >= blockBytes {
			f.finish(block)
			block = -1
		}
		if block < 0 {
			block, last = f.begin(), nil
		}
		f.entry(last, decode(k), k)
		last = k.key
	}
	if block >= 0 {
		f.finish(block)
	}
}

// entry appends one entry, of whose key only what differs from the entry before.
func (f *footer) entry(last []byte, r *Record, k keyed) {
	shared := 0
	for shared < len(last) && shared < len(k.key) && last[shared] == k.key[shared] {
		shared++
	}
	f.b = binary.AppendUvarint(f.b, uint64(shared))
	f.b = binary.AppendUvarint(f.b, uint64(len(k.key)-shared))
	f.b = append(f.b, k.key[shared:]...)
	flags := byte(0)
	if r.Deleted {
		flags = flagDeleted
	}
	f.b = append(f.b, flags)
	for _, v := range [...]uint64{r.Mod - f.first, r.Mod - r.Create, r.Version, uint64(r.Lease), uint64(k.offset), uint64(k.size)} {
		f.b = binary.AppendUvarint(f.b, v)
	}
}

// entries reads the entries of one block, whose hash was checked.
type entries struct {
	b     []byte
	first uint64
	file  uint32
	Entry
}

// next makes Entry the next one. Its Key is good until the call after. It returns false at the end, with an
// error if the block is malformed.
func (e *entries) next() (bool, error) {
	if len(e.b) == 0 {
		return false, nil
	}
	shared, ok1 := e.uvarint()
	rest, ok2 := e.uvarint()
	if !ok1 || !ok2 || shared > uint64(len(e.Key)) || rest >= uint64(len(e.b)) {
		return false, errMalformed
	}
	e.Key = append(e.Key[:shared], e.b[:rest]...)
	flags := e.b[rest]
	if e.b = e.b[rest+1:]; flags&^flagDeleted != 0 {
		return false, errFlags
	}
	e.Deleted = flags == flagDeleted
	var v [6]uint64
	for i := range v {
		var ok bool
		if v[i], ok = e.uvarint(); !ok {
			return false, errMalformed
		}
	}
	e.Mod = e.first + v[0]
	e.Create, e.Version, e.Lease = e.Mod-v[1], v[2], int64(v[3])
	e.At = Ref{Run: e.file, Offset: uint32(v[4]), Size: uint32(v[5])}
	return true, nil
}

func (e *entries) uvarint() (uint64, bool) {
	v, n := binary.Uvarint(e.b)
	if n <= 0 {
		return 0, false
	}
	e.b = e.b[n:]
	return v, true
}

// step is a record that a scan may begin with: the first one of its revision.
type step struct {
	mod    uint64
	offset uint32
}

// steps appends the block of steps, and then nothing but the trailer follows.
func (f *footer) steps(steps []step) {
	block := f.begin()
	for _, s := range steps {
		f.b = binary.AppendUvarint(f.b, s.mod-f.first)
		f.b = binary.AppendUvarint(f.b, uint64(s.offset))
	}
	f.finish(block)
}

// findStep returns where to begin to read for the records from a revision on: an offset of
// the block of steps, or start.
func findStep(b []byte, first, from uint64, start int64) (offset int64, err error) {
	offset = start
	for len(b) > 0 {
		mod, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, errMalformed
		}
		at, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return 0, errMalformed
		}
		if first+mod > from {
			break
		}
		offset, b = int64(at), b[n+m:]
	}
	return offset, nil
}

var errBlock = errors.New("wrong hash of a block of the index")

// blockLen returns the length of the block that b begins with. It is not to be believed before checkBlock was happy.
func blockLen(b []byte) (int64, error) {
	n := int64(binary.LittleEndian.Uint32(b[8:])) + recordHead
	if n == recordHead {
		return 0, errBlock
	}
	return n, nil
}

// checkBlock returns the content of the block that is all of b.
func checkBlock(b []byte, salt uint64, offset int64) ([]byte, error) {
	if len(b) < recordHead || int64(binary.LittleEndian.Uint32(b[8:])) != int64(len(b)-recordHead) ||
		binary.LittleEndian.Uint64(b) != xxhash.Sum64(b[8:])^footerPlace(salt, offset) {
		return nil, errBlock
	}
	return b[recordHead:], nil
}

// hash returns a hash of all that the entry says but the file.
func (e *Entry) hash() uint64 {
	deleted := uint64(0)
	if e.Deleted {
		deleted = 1
	}
	x := xxhash.Sum64(e.Key)
	for _, v := range [...]uint64{e.Mod, e.Create, e.Version, uint64(e.Lease), deleted, uint64(e.At.Offset), uint64(e.At.Size)} {
		x = link(x, v)
	}
	return x
}
