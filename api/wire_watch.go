package api

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Events go to many watchers, so they are encoded by hand, too, and once for all of them.

// EncodeEvents returns the encoded form of a batch of events, as a field of a WatchUpdate.
func EncodeEvents(b *EventBatch) []byte {
	size := sizeEventBatch(b)
	dst := make([]byte, 0, 1+protowire.SizeBytes(size))
	dst = protowire.AppendTag(dst, 7, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendNumber(dst, 1, b.Revision)
	for _, e := range b.Events {
		dst = protowire.AppendTag(dst, 2, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeEvent(e)))
		dst = appendPart(dst, 1, e.Entry)
		dst = appendNumber(dst, 2, protowire.EncodeBool(e.Deleted))
		dst = appendPart(dst, 3, e.Prev)
	}
	return appendNumber(dst, 3, protowire.EncodeBool(b.More))
}

func sizeEventBatch(b *EventBatch) int {
	size := sizeNumber(b.Revision) + sizeNumber(protowire.EncodeBool(b.More))
	for _, e := range b.Events {
		size += 1 + protowire.SizeBytes(sizeEvent(e))
	}
	return size
}

func sizeEvent(e *Event) int {
	return sizePart(e.Entry) + sizeNumber(protowire.EncodeBool(e.Deleted)) + sizePart(e.Prev)
}

// sizePart is the size of a field that is an entry; 0 if there is none.
func sizePart(e *Entry) int {
	if e == nil {
		return 0
	}
	return 1 + protowire.SizeBytes(sizeEntry(e))
}

func appendPart(dst []byte, number protowire.Number, e *Entry) []byte {
	if e == nil {
		return dst
	}
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return appendEntry(protowire.AppendVarint(dst, uint64(sizeEntry(e))), e)
}

// WatchMessage is a WatchReply that is put together from parts that are encoded already. It is
// for SendMsg, after which it may be reset and used again.
type WatchMessage struct {
	own    []byte // what was encoded for this message
	pieces []piece
	size   int
}

// piece is some of a WatchMessage: own bytes up to a place, and a large part behind them.
type piece struct {
	own    int
	shared []byte
}

// sharedPart is how large a part must be to be sent without a copy.
const sharedPart = 8 << 10

// Size is that of the message in bytes.
func (m *WatchMessage) Size() int { return m.size }

// Reset makes the message empty.
func (m *WatchMessage) Reset() {
	clear(m.pieces)
	m.own, m.pieces, m.size = m.own[:0], m.pieces[:0], 0
}

// Add adds an update, with events that EncodeEvents has encoded in place of its own. Their
// bytes must not change any more.
func (m *WatchMessage) Add(u *WatchUpdate, events [][]byte) error {
	size := proto.Size(u)
	for _, e := range events {
		size += len(e)
	}
	m.size += 1 + protowire.SizeBytes(size)
	m.own = protowire.AppendVarint(protowire.AppendTag(m.own, 2, protowire.BytesType), uint64(size))
	own, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(m.own, u)
	if err != nil {
		return err
	}
	m.own = own
	for _, e := range events {
		if len(e) < sharedPart {
			m.own = append(m.own, e...)
			continue
		}
		m.pieces = append(m.pieces, piece{len(m.own), e})
	}
	return nil
}

// buffers returns what gRPC sends.
func (m *WatchMessage) buffers() (all mem.BufferSlice) {
	from := 0
	for _, p := range append(m.pieces, piece{own: len(m.own)}) {
		if p.own > from {
			buf := buffers.Get(p.own - from)
			copy(*buf, m.own[from:p.own])
			all = append(all, mem.NewBuffer(buf, &buffers))
			from = p.own
		}
		if p.shared != nil {
			all = append(all, mem.SliceBuffer(p.shared))
		}
	}
	return all
}

// decodeCounted reads a message that has no more parts than a batch may have.
func decodeCounted(data []byte, to proto.Message) error {
	left := parts(maxBatchParts)
	if err := left.takeFrom(data, to.ProtoReflect().Descriptor(), 0); err != nil {
		return err
	}
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, to)
}
