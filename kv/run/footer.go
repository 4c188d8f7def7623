//balsa:pure

package run

import (
	"encoding/binary"
	"errors"
	"math/bits"
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

// footer builds what follows the records of a sealed run: the index in blocks, the steps, the
// trailer. A block begins like a record: with a hash and a length.
type footer struct {
	salt  uint64
	first uint64
	start int64 // where the footer begins: the end of the records
	b     []byte
	pacing
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

// index appends the blocks of the index.
func (f *footer) index(list *packed) {
	f.b = slices.Grow(f.b, len(list.b))
	var last []byte
	block := -1
	for _, item := range list.sorted() {
		if block >= 0 && len(f.b)-block >= blockBytes {
			f.finish(block)
			block = -1
		}
		if block < 0 {
			block, last = f.begin(), nil
		}
		key, fields := list.entry(item.at)
		f.entry(last, key, fields)
		f.did(0)
		last = key
	}
	if block >= 0 {
		f.finish(block)
	}
}

// entry appends one entry, of whose key only what differs from the entry before.
func (f *footer) entry(last, key, fields []byte) {
	shared := commonPrefix(last, key)
	b := binary.AppendUvarint(f.b, uint64(shared))
	b = binary.AppendUvarint(b, uint64(len(key)-shared))
	b = append(b, key[shared:]...)
	f.b = append(b, fields...)
}

// appendFields appends what follows the key of an entry, in a run that begins with a revision. That is shorter than
// 64 bytes.
func (e *Entry) appendFields(b []byte, first uint64) []byte {
	flags := byte(0)
	if e.Deleted {
		flags = flagDeleted
	}
	b = append(b, flags)
	for _, v := range [...]uint64{e.Mod - first, e.Mod - e.Create, e.Version, uint64(e.Lease), uint64(e.At.Offset), uint64(e.At.Size)} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// commonPrefix returns how many bytes two keys have in common at their beginning.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// entries reads the entries of one block, whose hash was checked.
type entries struct {
	b     []byte
	first uint64
	file  uint32
	Entry
}

// next makes Entry the next one. Its Key is good until the call after. It returns false at the end,
// with an error if the block is malformed.
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
	e.b = e.b[rest:]
	if err := e.fields(); err != nil {
		return false, err
	}
	return true, nil
}

// fields reads what follows the key, of which there is a byte at least.
func (e *entries) fields() error {
	flags := e.b[0]
	if e.b = e.b[1:]; flags&^flagDeleted != 0 {
		return errFlags
	}
	e.Deleted = flags == flagDeleted
	var v [6]uint64
	for i := range v {
		var ok bool
		if v[i], ok = e.uvarint(); !ok {
			return errMalformed
		}
	}
	e.Mod = e.first + v[0]
	e.Create, e.Version, e.Lease = e.Mod-v[1], v[2], int64(v[3])
	e.At = Ref{Run: e.file, Offset: uint32(v[4]), Size: uint32(v[5])}
	return nil
}

func (e *entries) uvarint() (uint64, bool) {
	v, n := binary.Uvarint(e.b)
	if n <= 0 {
		return 0, false
	}
	e.b = e.b[n:]
	return v, true
}

// steps appends the block of steps, which are in the order of revisions.
func (f *footer) steps(steps []step) {
	block := f.begin()
	for _, s := range steps {
		f.b = binary.AppendUvarint(f.b, s.mod-f.first)
		f.b = binary.AppendUvarint(f.b, uint64(s.at))
	}
	f.finish(block)
}

// findStep returns where to begin to read for the records from a revision on: an offset of the block
// of steps, or start.
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

// blockLen returns the length of the block that b begins with. It is not to be believed before
// checkBlock was happy.
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

func entryOf(r *Record, at Ref) *Entry {
	return &Entry{Key: r.Key, Mod: r.Mod, Create: r.Create, Version: r.Version, Lease: r.Lease, Deleted: r.Deleted, At: at}
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
