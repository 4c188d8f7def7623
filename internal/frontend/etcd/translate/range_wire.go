//balsa:pure

package translate

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"balsa.example/kv"
)

// A range may have thousands of keys. So each is encoded when it is read, and no message is made of any.

// The numbers of fields in the published definition of RangeResponse.
const (
	fieldRangeKey   = 2
	fieldRangeMore  = 3
	fieldRangeCount = 4
)

// AppendRangeEntry appends an entry to those of a RangeMessage.
func AppendRangeEntry(dst []byte, e *kv.Entry) []byte { return appendKV(dst, fieldRangeKey, e) }

// RangeMessage is a RangeResponse that is encoded already.
type RangeMessage struct {
	own    []byte // the header
	shared []byte // all else
}

// NewRangeMessage is the response to a range, of which the entries were appended by AppendRangeEntry. It
// keeps their memory, and appends to it.
func NewRangeMessage(o Origin, r *kv.RangeResult, entries []byte) RangeMessage {
	entries = appendNumber(entries, fieldRangeMore, protowire.EncodeBool(r.More))
	return RangeMessage{own: appendHeader(nil, o, r.Revision), shared: appendNumber(entries, fieldRangeCount, uint64(r.Count))}
}

// RangeMessageOf is the response to a range whose entries were kept.
func RangeMessageOf(o Origin, r *kv.RangeResult) RangeMessage {
	var entries []byte
	for i := range r.Entries {
		entries = AppendRangeEntry(entries, &r.Entries[i])
	}
	return NewRangeMessage(o, r, entries)
}

// Size is that of the message in bytes.
func (m *RangeMessage) Size() int { return len(m.own) + len(m.shared) }

// Wire is the wire form of the message, in two parts.
func (m *RangeMessage) Wire() (own []byte, shared [][]byte) { return m.own, [][]byte{m.shared} }

// ProtoReflect implements proto.Message for those who do not know Wire: it decodes the message.
func (m *RangeMessage) ProtoReflect() protoreflect.Message { return m.Response().ProtoReflect() }

// Response returns the message as others know it.
func (m *RangeMessage) Response() *pb.RangeResponse {
	r := new(pb.RangeResponse)
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(m.own, r); err != nil {
		panic("translate: the header of a range cannot be decoded: " + err.Error())
	}
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(m.shared, r); err != nil {
		panic("translate: a range cannot be decoded: " + err.Error())
	}
	return r
}
