package api

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// A range may have thousands of entries. So a server encodes each when it reads it, and a client
// decodes each when it is asked for: no message is made of any.

// Reply_EncodedRange is a RangeReply in its encoded form, as the result of a Reply. It stands for a
// Reply_Range: the codec encodes both to the same bytes, and decodes them to this one.
//
// Who keeps a key or value of one keeps all of it.
type Reply_EncodedRange struct {
	Range []byte
	// lent tells that the memory goes back to where RangeBuffer has it from when the reply has been
	// sent. So it is encoded once.
	lent bool
}

func (*Reply_EncodedRange) isReply_Result() {}

// ranges keeps memory to encode ranges in.
var ranges rangePool

type rangePool struct{ pool sync.Pool }

// Get implements mem.BufferPool.
func (p *rangePool) Get(int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

// Put implements mem.BufferPool.
func (p *rangePool) Put(b *[]byte) { p.pool.Put(b) }

// RangeBuffer returns empty memory to append a range to, which LendRange takes.
func RangeBuffer() []byte { return (*ranges.Get(0))[:0] }

// LendRange makes a result of a range that was encoded in a RangeBuffer. The memory is used again
// when the reply has been sent, or at once if the range takes up only a little of it.
func LendRange(encoded []byte) *Reply_EncodedRange {
	if len(encoded) < sharedPart || len(encoded) < cap(encoded)/2 {
		own := bytes.Clone(encoded)
		ranges.Put(&encoded)
		return &Reply_EncodedRange{Range: own}
	}
	return &Reply_EncodedRange{encoded, true}
}

// buffer is what gRPC sends, and frees when it is sent.
func (r *Reply_EncodedRange) buffer() mem.Buffer {
	if r.lent {
		return mem.NewBuffer(&r.Range, &ranges)
	}
	return mem.SliceBuffer(r.Range)
}

// AppendRangeEntry appends an entry to an encoded RangeReply. Of e it reads the fields only.
//
// How many bytes the length of an entry takes is known of nearly all of them, whatever their numbers are. So
// they are written in one go, without a look at how long each number is before.
func AppendRangeEntry(dst []byte, e *Entry) []byte {
	head := 0
	switch n := len(e.Key) + len(e.Value); {
	case n < 1<<7-entryRoom:
		head = 2
	case n >= 1<<7 && n < 1<<14-entryRoom:
		head = 3
	default:
		dst = append(dst, 1<<3|byte(protowire.BytesType))
		dst = protowire.AppendVarint(dst, uint64(sizeEntry(e)))
		return appendEntry(dst, e)
	}
	before := len(dst)
	dst = slices.Grow(dst, head+len(e.Key)+len(e.Value)+entryRoom)
	b := dst[before:cap(dst)]
	n := putBytes(b, head, 1, e.Key)
	n = putBytes(b, n, 2, e.Value)
	n = putNumber(b, n, 3, e.Version)
	n = putNumber(b, n, 4, e.CreateRevision)
	n = putNumber(b, n, 5, e.ModRevision)
	n = putNumber(b, n, 6, uint64(e.Lease))
	b[0] = 1<<3 | byte(protowire.BytesType)
	putVarint(b, 1, uint64(n-head))
	return dst[:before+n]
}

// entryRoom is what an entry has besides the bytes of its key and its value at most: the tags and lengths
// of those, and four numbers.
const entryRoom = 2*(1+binary.MaxVarintLen32) + 4*(1+binary.MaxVarintLen64)

// putBytes is appendBytes, to b from a place on, where there is room. It returns the place behind.
func putBytes(b []byte, at int, number byte, v []byte) int {
	if len(v) == 0 {
		return at
	}
	b[at] = number<<3 | byte(protowire.BytesType)
	at = putVarint(b, at+1, uint64(len(v)))
	return at + copy(b[at:], v)
}

// putNumber is appendNumber, as putBytes is appendBytes.
func putNumber(b []byte, at int, number byte, v uint64) int {
	if v == 0 {
		return at
	}
	b[at] = number << 3
	return putVarint(b, at+1, v)
}

func putVarint(b []byte, at int, v uint64) int {
	for ; v >= 0x80; v >>= 7 {
		b[at] = byte(v) | 0x80
		at++
	}
	b[at] = byte(v)
	return at + 1
}

// AppendRangeEnd appends what an encoded RangeReply says besides its entries.
func AppendRangeEnd(dst []byte, count uint64, more bool) []byte {
	return appendNumber(appendNumber(dst, 2, count), 3, protowire.EncodeBool(more))
}

// appendRangeHead appends what stands before an encoded range in a reply.
func appendRangeHead(dst, encoded []byte) []byte {
	dst = protowire.AppendTag(dst, 14, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(len(encoded)))
}

// largeRange returns the encoded range of a batch, if it is all that the batch has and is too large to
// be copied.
func largeRange(b *ReplyBatch) *Reply_EncodedRange {
	if b.Hello != nil || len(b.Replies) != 1 || b.Replies[0] == nil {
		return nil
	}
	if r, ok := b.Replies[0].Result.(*Reply_EncodedRange); ok && len(r.Range) >= sharedPart {
		return r
	}
	return nil
}

// rangeHead is room for what stands before the range of most batches.
const rangeHead = 64

// beforeRange appends what stands before the range in a batch that has nothing else.
func beforeRange(dst []byte, r *Reply, encoded []byte) ([]byte, error) {
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(sizeReply(r)))
	dst, err := appendReplyFields(dst, r)
	if err != nil {
		return nil, err
	}
	return appendRangeHead(dst, encoded), nil
}
