package overgrpc

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"balsa.example/internal/frontend/etcd"
)

// Codec is codec, but for messages that are encoded already. It is for grpc.ForceServerCodecV2.
func Codec(codec encoding.CodecV2) encoding.CodecV2 { return encodedCodec{codec} }

type encodedCodec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c encodedCodec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case etcd.Whole:
		return mem.BufferSlice{mem.SliceBuffer(m.Bytes())}, nil
	case etcd.Encoded:
		return buffersOf(m), nil
	}
	return c.CodecV2.Marshal(v)
}

// sharedPart is how large a part must be to be sent without a copy.
const sharedPart = 8 << 10

// buffersOf returns the wire form of a message: large parts as they are, and copies of the others.
func buffersOf(m etcd.Encoded) (all mem.BufferSlice) {
	own, shared := m.Wire()
	copied := m.Size()
	for _, part := range shared {
		if len(part) >= sharedPart {
			copied -= len(part)
		}
	}
	small := append(make([]byte, 0, copied), own...)
	for _, part := range shared {
		if len(part) < sharedPart {
			small = append(small, part...)
			continue
		}
		if len(small) > 0 {
			all = append(all, mem.SliceBuffer(small))
		}
		all = append(all, bufferOf(m, part))
		small = small[len(small):]
	}
	if len(small) > 0 {
		all = append(all, mem.SliceBuffer(small))
	}
	return all
}

// bufferOf is a large part of a message.
func bufferOf(m etcd.Encoded, part []byte) mem.Buffer {
	if lent, ok := m.(etcd.Lent); ok {
		return mem.NewBuffer(&part, owner{lent})
	}
	return mem.SliceBuffer(part)
}

// owner is a mem.BufferPool that gets back the memory of one message, of which one part is large.
type owner struct{ message etcd.Lent }

// Get implements mem.BufferPool.
func (owner) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}

// Put implements mem.BufferPool.
func (o owner) Put(*[]byte) { o.message.Free() }
