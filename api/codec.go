package api

import (
	"bytes"
	"encoding/binary"
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec for everything else
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// MaxReplyBytes is how large a ReplyBatch or a WatchReply is at most.
const MaxReplyBytes = 64 << 20

// Codec is for grpc.ForceServerCodecV2 and grpc.ForceCodecV2: that of package proto, but
// for batches, which it encodes to the same bytes with less work. The keys and values of
// requests that it has decoded share the memory of their message, which has no more parts than a
// batch may have. So does a reply's value or range of 8 KiB or more, which is most of a batch.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

type codec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch b := v.(type) {
	case *RequestBatch:
		buf := buffers.Get(sizeRequests(b))
		data, err := appendRequests((*buf)[:0], b)
		if err != nil {
			buffers.Put(buf)
			return nil, err
		}
		*buf = data
		return mem.BufferSlice{mem.NewBuffer(buf, &buffers)}, nil
	case *ReplyBatch:
		if large := largeRange(b); large != nil {
			head, err := beforeRange(make([]byte, 0, rangeHead), b.Replies[0], large.Range)
			if err != nil {
				return nil, err
			}
			return mem.BufferSlice{mem.SliceBuffer(head), large.buffer()}, nil
		}
		buf := buffers.Get(sizeReplies(b))
		data, err := appendReplies((*buf)[:0], b)
		if err != nil {
			buffers.Put(buf)
			return nil, err
		}
		*buf = data
		return mem.BufferSlice{mem.NewBuffer(buf, &buffers)}, nil
	case *WatchMessage:
		return b.buffers(), nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch b := v.(type) {
	case *RequestBatch:
		return decodeRequests(kept(data), b)
	case *ReplyBatch:
		if data.Len() > keptBuffer || data.Len() >= sharedPart && hasOneReply(data) {
			return decodeReplies(joined(data), b, true)
		}
		buf := data.MaterializeToBuffer(&buffers)
		defer buf.Free()
		return decodeReplies(buf.ReadOnlyData(), b, false)
	case *Request:
		b.Reset()
		left := parts(maxBatchParts)
		return decodeRequest(data.Materialize(), b, &left)
	case *WatchRequest, *WatchReply:
		return decodeCounted(data.Materialize(), b.(proto.Message))
	}
	return c.CodecV2.Unmarshal(data, v)
}

// kept returns data in memory that may be kept: that of a mem.SliceBuffer is not used again.
func kept(data mem.BufferSlice) []byte {
	if len(data) == 1 {
		if b, ok := data[0].(mem.SliceBuffer); ok {
			return b
		}
	}
	return data.Materialize()
}

// hasOneReply tells whether a batch of replies has one, and nothing else, which is how large ones come.
func hasOneReply(data mem.BufferSlice) bool {
	var array [1 + binary.MaxVarintLen64]byte
	head := array[:0]
	for i := 0; i < len(data) && len(head) < cap(head); i++ {
		part := data[i].ReadOnlyData()
		head = append(head, part[:min(len(part), cap(head)-len(head))]...)
	}
	if len(head) == 0 || head[0] != 2<<3|byte(protowire.BytesType) {
		return false
	}
	size, n := binary.Uvarint(head[1:])
	return n > 0 && size == uint64(data.Len()-1-n)
}

// joined is mem.BufferSlice.Materialize, but the memory is not cleared before it is written.
func joined(data mem.BufferSlice) []byte {
	parts := make([][]byte, len(data))
	for i, b := range data {
		parts[i] = b.ReadOnlyData()
	}
	return bytes.Join(parts, nil)
}

// buffers is a mem.BufferPool for batches. Unlike gRPC's own it does not clear what it
// gives out, and it keeps no buffer that is larger than almost all batches are.
//
// gRPC holds 64 KiB of batches for a peer that does not read, counted without what their
// buffers have to spare. So small batches get buffers of their own size.
var buffers bufferPool

const (
	keptBuffer  = 32 << 10
	smallBuffer = 4 << 10
)

type bufferPool struct{ pool sync.Pool }

// Get implements mem.BufferPool.
func (p *bufferPool) Get(length int) *[]byte {
	if length < smallBuffer || length > keptBuffer {
		b := make([]byte, length)
		return &b
	}
	b, ok := p.pool.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, keptBuffer)
		b = &fresh
	}
	*b = (*b)[:length]
	return b
}

// Put implements mem.BufferPool.
func (p *bufferPool) Put(b *[]byte) {
	if cap(*b) == keptBuffer {
		p.pool.Put(b)
	}
}
