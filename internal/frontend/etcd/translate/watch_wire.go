//balsa:pure

package translate

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// Events go to many watchers, each of which gets a message of its own. So they are encoded once for
// all of them, and by hand.

// The numbers of fields in the published definitions.
const (
	fieldHeader   = 1 // of WatchResponse
	fieldWatchID  = 2
	fieldCreated  = 3
	fieldCanceled = 4
	fieldCompact  = 5
	fieldReason   = 6
	fieldFragment = 7
	fieldEvents   = 11

	fieldCluster  = 1 // of ResponseHeader
	fieldMember   = 2
	fieldRevision = 3
	fieldTerm     = 4

	fieldType = 1 // of Event
	fieldKV   = 2
	fieldPrev = 3

	fieldKey     = 1 // of KeyValue
	fieldCreate  = 2
	fieldMod     = 3
	fieldVersion = 4
	fieldValue   = 5
	fieldLease   = 6
)

// maxPartBytes is how large a part of the events of a revision gets, unless it is a single event. A
// fragment has one part at least.
const maxPartBytes = 64 << 10

// WatchEvents encodes a batch for all who get it, as fields of a WatchResponse. A part has whole
// events.
func WatchEvents(b *watch.Batch) (parts [][]byte) {
	var part []byte
	for i := range b.Events {
		e := &b.Events[i]
		size := sizeEvent(e)
		if whole := 1 + protowire.SizeBytes(size); len(part) > 0 && len(part)+whole > maxPartBytes {
			parts, part = append(parts, part), nil
		}
		if part == nil {
			part = make([]byte, 0, roomFor(b.Events[i:]))
		}
		part = protowire.AppendVarint(protowire.AppendTag(part, fieldEvents, protowire.BytesType), uint64(size))
		part = appendEvent(part, e)
	}
	return append(parts, part)
}

// roomFor is the size of the part that begins with the first of some events.
func roomFor(events []kv.Event) (size int) {
	for i := range events {
		whole := 1 + protowire.SizeBytes(sizeEvent(&events[i]))
		if size > 0 && size+whole > maxPartBytes {
			break
		}
		size += whole
	}
	return size
}

func sizeEvent(e *kv.Event) int {
	size := 1 + protowire.SizeBytes(sizeKV(&e.Entry))
	if e.Deleted {
		size += 2
	}
	if e.Prev != nil {
		size += 1 + protowire.SizeBytes(sizeKV(e.Prev))
	}
	return size
}

func appendEvent(dst []byte, e *kv.Event) []byte {
	if e.Deleted {
		dst = appendNumber(dst, fieldType, 1)
	}
	dst = appendKV(dst, fieldKV, &e.Entry)
	if e.Prev != nil {
		dst = appendKV(dst, fieldPrev, e.Prev)
	}
	return dst
}

func sizeKV(e *kv.Entry) int {
	return sizeBytes(len(e.Key)) + sizeNumber(e.CreateRevision) + sizeNumber(e.ModRevision) + sizeNumber(e.Version) +
		sizeBytes(len(e.Value)) + sizeNumber(uint64(e.Lease))
}

func appendKV(dst []byte, field protowire.Number, e *kv.Entry) []byte {
	dst = protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(sizeKV(e)))
	if e.Key != "" {
		dst = protowire.AppendString(protowire.AppendTag(dst, fieldKey, protowire.BytesType), e.Key)
	}
	dst = appendNumber(dst, fieldCreate, e.CreateRevision)
	dst = appendNumber(dst, fieldMod, e.ModRevision)
	dst = appendNumber(dst, fieldVersion, e.Version)
	if len(e.Value) > 0 {
		dst = protowire.AppendBytes(protowire.AppendTag(dst, fieldValue, protowire.BytesType), e.Value)
	}
	return appendNumber(dst, fieldLease, uint64(e.Lease))
}

// sizeNumber is the size of a field with a number below 16, which is left out if it is zero.
func sizeNumber(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func sizeBytes(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(n)
}

func appendNumber(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

// WatchMessage is a WatchResponse to one watcher, of parts that are encoded already. It may be used
// for one response after the other.
type WatchMessage struct {
	// common is what all watchers get that are told the same, own what this one gets.
	common, own []byte
	events      [][]byte
	size        int // of events
}

// Begin makes it the response to what the hub hands out.
func (m *WatchMessage) Begin(out *watch.Output, o Origin) {
	m.common = appendHeader(m.common[:0], o, out.Revision)
	if out.Kind == watch.Created || out.Kind == watch.Refused {
		m.common = appendNumber(m.common, fieldCreated, 1)
	}
	if out.Kind == watch.Canceled || out.Kind == watch.Refused {
		m.common = appendCanceled(m.common, out)
	}
	m.events, m.size = m.events[:0], 0
	for _, b := range out.Batches {
		for _, part := range b.Encoded(watch.EtcdFace, WatchEvents) {
			m.events = append(m.events, part)
			m.size += len(part)
		}
	}
	m.own = append(m.own[:0], m.common...)
}

func appendHeader(dst []byte, o Origin, revision uint64) []byte {
	size := sizeNumber(o.ClusterID) + sizeNumber(o.MemberID) + sizeNumber(revision) + sizeNumber(o.Term)
	dst = protowire.AppendVarint(protowire.AppendTag(dst, fieldHeader, protowire.BytesType), uint64(size))
	dst = appendNumber(dst, fieldCluster, o.ClusterID)
	dst = appendNumber(dst, fieldMember, o.MemberID)
	dst = appendNumber(dst, fieldRevision, revision)
	return appendNumber(dst, fieldTerm, o.Term)
}

// appendCanceled says that there is no watcher, and why: by the revision of a compaction, or by a
// reason. There is neither if the client ended it. Else clients would take that for a revision which is
// to come.
func appendCanceled(dst []byte, out *watch.Output) []byte {
	dst = appendNumber(dst, fieldCanceled, 1)
	switch {
	case out.Compacted > 0:
		return appendNumber(dst, fieldCompact, out.Compacted)
	case errors.Is(out.Err, watch.ErrCanceled):
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, fieldReason, protowire.BytesType), reasonOf(out.Err))
}

// To makes it the response to a watcher.
func (m *WatchMessage) To(id int64) {
	m.own = appendNumber(m.own[:len(m.common)], fieldWatchID, uint64(id))
}

// Size is that of the message in bytes.
func (m *WatchMessage) Size() int { return len(m.own) + m.size }

// Reset lets go of the events.
func (m *WatchMessage) Reset() {
	clear(m.events[:cap(m.events)])
	m.events, m.size = m.events[:0], 0
}

// Fragments calls send with the message in fragments, each smaller than maxBytes unless one part is
// larger.
func (m *WatchMessage) Fragments(maxBytes int, send func(*WatchMessage) error) error {
	own := len(m.own)
	all, size := m.events, m.size
	defer func() { m.events, m.size, m.own = all, size, m.own[:own] }()
	for left := all; ; {
		m.own = appendNumber(m.own[:own], fieldFragment, 1)
		n := 0
		for m.size = 0; n < len(left) && (n == 0 || m.Size()+len(left[n]) < maxBytes); n++ {
			m.size += len(left[n])
		}
		m.events, left = left[:n], left[n:]
		if len(left) == 0 {
			m.own = m.own[:own]
			return send(m)
		}
		if err := send(m); err != nil {
			return err
		}
	}
}

// Wire is the wire form of the message: own, which is valid until the message is used again, and
// behind it shared, which never changes.
func (m *WatchMessage) Wire() (own []byte, shared [][]byte) { return m.own, m.events }

// ProtoReflect implements proto.Message for those who do not know Wire: it decodes the message.
func (m *WatchMessage) ProtoReflect() protoreflect.Message { return m.Response().ProtoReflect() }

// Response returns the message as others know it.
func (m *WatchMessage) Response() *pb.WatchResponse {
	r := new(pb.WatchResponse)
	own, shared := m.Wire()
	whole := append(make([]byte, 0, m.Size()), own...)
	for _, part := range shared {
		whole = append(whole, part...)
	}
	if err := proto.Unmarshal(whole, r); err != nil {
		panic("translate: a watch response that cannot be decoded: " + err.Error())
	}
	return r
}
