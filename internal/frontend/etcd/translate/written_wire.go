//balsa:pure

package translate

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"balsa.example/kv"
)

// Responses to writes are encoded by hand as well. Package proto takes long for a transaction, each of whose
// operations is one of several kinds.

// The numbers of fields in the published definitions of the responses.
const (
	fieldPutPrev     = 2 // of PutResponse
	fieldDeleted     = 2 // of DeleteRangeResponse
	fieldDeletedPrev = 3
	fieldSucceeded   = 2 // of TxnResponse
	fieldResponses   = 3

	fieldOpRange  = 1 // of ResponseOp
	fieldOpPut    = 2
	fieldOpDelete = 3
	fieldOpTxn    = 4
)

// Message is a response of type T that is encoded already.
type Message[T any, P interface {
	*T
	proto.Message
}] struct{ wire []byte }

// The responses to writes.
type (
	PutMessage    = Message[pb.PutResponse, *pb.PutResponse]
	DeleteMessage = Message[pb.DeleteRangeResponse, *pb.DeleteRangeResponse]
	TxnMessage    = Message[pb.TxnResponse, *pb.TxnResponse]
)

// Size is that of the message in bytes.
func (m *Message[T, P]) Size() int { return len(m.wire) }

// Bytes is the wire form of the message, which must not be written to.
func (m *Message[T, P]) Bytes() []byte { return m.wire }

// ProtoReflect implements proto.Message for those who do not know Bytes: it decodes the message.
func (m *Message[T, P]) ProtoReflect() protoreflect.Message { return m.Response().ProtoReflect() }

// Response returns the message as others know it.
func (m *Message[T, P]) Response() P {
	r := P(new(T))
	if err := proto.Unmarshal(m.wire, r); err != nil {
		panic("translate: a response that cannot be decoded: " + err.Error())
	}
	return r
}

// sizeHeader is the size of the header of a response. Of one inside of a transaction's the Origin is empty.
func (o Origin) sizeHeader(revision uint64) int {
	return sizeMessage(sizeNumber(o.ClusterID) + sizeNumber(o.MemberID) + sizeNumber(revision) + sizeNumber(o.Term))
}

// sizeMessage is the size of a field, whose number is below 16, with a message of so many bytes.
func sizeMessage(n int) int { return 1 + protowire.SizeBytes(n) }

// appendMessage appends what stands ahead of a message of so many bytes.
func appendMessage(dst []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(n))
}

func sizeEntries(entries []kv.Entry) (size int) {
	for i := range entries {
		size += sizeMessage(sizeKV(&entries[i]))
	}
	return size
}

func appendEntries(dst []byte, field protowire.Number, entries []kv.Entry) []byte {
	for i := range entries {
		dst = appendKV(dst, field, &entries[i])
	}
	return dst
}

func sizePut(o Origin, r *kv.PutResult) int {
	size := o.sizeHeader(r.Revision)
	if r.Prev != nil {
		size += sizeMessage(sizeKV(r.Prev))
	}
	return size
}

func appendPut(dst []byte, o Origin, r *kv.PutResult) []byte {
	dst = appendHeader(dst, o, r.Revision)
	if r.Prev != nil {
		dst = appendKV(dst, fieldPutPrev, r.Prev)
	}
	return dst
}

func sizeDelete(o Origin, r *kv.DeleteResult) int {
	return o.sizeHeader(r.Revision) + sizeNumber(uint64(r.Deleted)) + sizeEntries(r.Prev)
}

func appendDelete(dst []byte, o Origin, r *kv.DeleteResult) []byte {
	dst = appendNumber(appendHeader(dst, o, r.Revision), fieldDeleted, uint64(r.Deleted))
	return appendEntries(dst, fieldDeletedPrev, r.Prev)
}

func sizeRange(o Origin, r *kv.RangeResult) int {
	return o.sizeHeader(r.Revision) + sizeEntries(r.Entries) + sizeNumber(protowire.EncodeBool(r.More)) + sizeNumber(uint64(r.Count))
}

func appendRange(dst []byte, o Origin, r *kv.RangeResult) []byte {
	dst = appendEntries(appendHeader(dst, o, r.Revision), fieldRangeKey, r.Entries)
	dst = appendNumber(dst, fieldRangeMore, protowire.EncodeBool(r.More))
	return appendNumber(dst, fieldRangeCount, uint64(r.Count))
}

// txnSizes are the sizes of the responses inside of a transaction's, in the order in which they begin: each
// stands behind its size, and transactions may be nested deeply.
type txnSizes []int

func (s *txnSizes) txn(o Origin, revision uint64, r *kv.TxnResult) int {
	size := o.sizeHeader(revision) + sizeNumber(protowire.EncodeBool(r.Succeeded))
	for i := range r.Responses {
		at := len(*s)
		*s = append(*s, 0)
		n := s.op(&r.Responses[i])
		(*s)[at] = n
		size += sizeMessage(sizeMessage(n))
	}
	return size
}

func (s *txnSizes) op(r *kv.OpResult) int {
	switch {
	case r.Range != nil:
		return sizeRange(Origin{}, r.Range)
	case r.Put != nil:
		return sizePut(Origin{}, r.Put)
	case r.Delete != nil:
		return sizeDelete(Origin{}, r.Delete)
	}
	return s.txn(Origin{}, 0, r.Txn)
}

// append appends a response, and takes the sizes of those inside of it.
func (s *txnSizes) append(dst []byte, o Origin, revision uint64, r *kv.TxnResult) []byte {
	dst = appendNumber(appendHeader(dst, o, revision), fieldSucceeded, protowire.EncodeBool(r.Succeeded))
	for i := range r.Responses {
		n := (*s)[0]
		*s = (*s)[1:]
		dst = s.appendOp(appendMessage(dst, fieldResponses, sizeMessage(n)), n, &r.Responses[i])
	}
	return dst
}

func (s *txnSizes) appendOp(dst []byte, n int, r *kv.OpResult) []byte {
	switch {
	case r.Range != nil:
		return appendRange(appendMessage(dst, fieldOpRange, n), Origin{}, r.Range)
	case r.Put != nil:
		return appendPut(appendMessage(dst, fieldOpPut, n), Origin{}, r.Put)
	case r.Delete != nil:
		return appendDelete(appendMessage(dst, fieldOpDelete, n), Origin{}, r.Delete)
	}
	// The header of a nested transaction is there and empty, as in etcd.
	return s.append(appendMessage(dst, fieldOpTxn, n), Origin{}, 0, r.Txn)
}
