package api

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Batches of requests and replies are what the service spends its time on, so they are
// encoded and decoded by hand: the same bytes as package proto's, at a third of the cost
// and without an allocation for each request. So are sessions, leases, and the results of ranges
// (wire_hot.go), and requests for ranges (wire_read.go). Everything else is left to package proto: other calls of a request, and the
// leader and other results of a reply, too.

// appendRequests appends the wire form of b to dst.
func appendRequests(dst []byte, b *RequestBatch) ([]byte, error) {
	for _, r := range b.Requests {
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeRequest(r)))
		var err error
		if dst, err = appendRequest(dst, r); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func sizeRequests(b *RequestBatch) (size int) {
	for _, r := range b.Requests {
		size += 1 + protowire.SizeBytes(sizeRequest(r))
	}
	return size
}

func sizeRequest(r *Request) int {
	if r == nil {
		return 0
	}
	return sizeNumber(r.Id) + sizeNumber(uint64(r.Kind)) + sizeBytes(r.Key) + sizeBytes(r.Value) +
		sizeNumber(protowire.EncodeBool(r.Unconditional)) + sizeNumber(r.Version) + sizeNumber(uint64(r.Consistency)) +
		sizeNumber(uint64(r.TimeoutMs)) + sizeNumber(r.UnchangedSince) + sizeNumber(uint64(r.Attempt)) +
		sizeRequestRest(r)
}

func appendRequest(dst []byte, r *Request) ([]byte, error) {
	if r == nil {
		return dst, nil
	}
	dst = appendNumber(dst, 1, r.Id)
	dst = appendNumber(dst, 2, uint64(r.Kind))
	dst = appendBytes(dst, 3, r.Key)
	dst = appendBytes(dst, 4, r.Value)
	dst = appendNumber(dst, 6, r.Version)
	dst = appendNumber(dst, 7, uint64(r.Consistency))
	dst = appendNumber(dst, 8, uint64(r.TimeoutMs))
	dst = appendNumber(dst, 9, r.UnchangedSince)
	dst = appendNumber(dst, 10, uint64(r.Attempt))
	dst = appendNumber(dst, 11, protowire.EncodeBool(r.Unconditional))
	if r.Session != nil {
		dst = protowire.AppendTag(dst, 12, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeSession(r.Session)))
		dst = appendSession(dst, r.Session)
	}
	if len(r.Trace) > 0 {
		dst = protowire.AppendTag(dst, traceField, protowire.BytesType)
		dst = protowire.AppendBytes(dst, r.Trace)
	}
	switch call := r.Call.(type) {
	case nil:
		return dst, nil
	case *Request_Lease:
		dst = protowire.AppendTag(dst, leaseCall, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeLease(call.Lease)))
		return appendLease(dst, call.Lease), nil
	case *Request_Range:
		dst = protowire.AppendTag(dst, rangeCall, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeRead(call.Range)))
		return appendRead(dst, call.Range), nil
	default:
		return proto.MarshalOptions{}.MarshalAppend(dst, &Request{Call: call})
	}
}

// rangeCall is the number of the call of a request for a range.
const rangeCall = 14

// The numbers of fields whose tags take two bytes.
const (
	leaseCall   = 18 // of a request
	traceField  = 20 // of a request
	leaseResult = 17 // of a reply
	keyLease    = 19 // of a reply
)

// sizeRequestRest is the size of what only some requests have.
func sizeRequestRest(r *Request) (size int) {
	if r.Session != nil {
		size += 1 + protowire.SizeBytes(sizeSession(r.Session))
	}
	if len(r.Trace) > 0 {
		size += 2 + protowire.SizeBytes(len(r.Trace))
	}
	switch call := r.Call.(type) {
	case nil:
	case *Request_Lease:
		size += 2 + protowire.SizeBytes(sizeLease(call.Lease))
	case *Request_Range:
		size += 1 + protowire.SizeBytes(sizeRead(call.Range))
	default:
		size += proto.Size(&Request{Call: call})
	}
	return size
}

// mergeRest reads a field of what package proto decodes. A copy of its bytes is made.
func mergeRest(f field, to proto.Message, left *parts) error {
	data := protowire.AppendBytes(protowire.AppendTag(nil, f.number, f.kind), f.bytes)
	if err := left.takeFrom(data, to.ProtoReflect().Descriptor(), 0); err != nil {
		return err
	}
	return merge(data, to)
}

const (
	// maxBatchRequests and maxBatchReplies are how many a batch may have. On the wire one
	// that says nothing takes 2 bytes, in memory it takes a hundred times as much.
	maxBatchRequests = 1 << 16
	maxBatchReplies  = 1 << 16
)

// decodeRequests reads b from its wire form. Keys and values alias data.
func decodeRequests(data []byte, b *RequestBatch) error {
	b.Reset()
	n, err := count(data, 1)
	if err != nil || n == 0 {
		return err
	}
	if n > maxBatchRequests {
		return fmt.Errorf("api: a batch of %d requests is over the limit of %d", n, maxBatchRequests)
	}
	array := make([]Request, n)
	b.Requests = make([]*Request, 0, n)
	left := parts(maxBatchParts)
	return fields(data, func(f field) error {
		if f.number != 1 || f.kind != protowire.BytesType {
			return nil
		}
		r := &array[len(b.Requests)]
		b.Requests = append(b.Requests, r)
		return decodeRequest(f.bytes, r, &left)
	})
}

// decodeRequest reads r, which may have so many parts as left says, and takes them off.
func decodeRequest(data []byte, r *Request, left *parts) error {
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.VarintType):
			r.Id = f.value
		case f.is(2, protowire.VarintType):
			r.Kind = Request_Kind(f.value)
		case f.is(3, protowire.BytesType):
			r.Key = f.bytes
		case f.is(4, protowire.BytesType):
			r.Value = f.bytes
		case f.is(6, protowire.VarintType):
			r.Version = f.value
		case f.is(7, protowire.VarintType):
			r.Consistency = Request_Consistency(f.value)
		case f.is(8, protowire.VarintType):
			r.TimeoutMs = uint32(f.value)
		case f.is(9, protowire.VarintType):
			r.UnchangedSince = f.value
		case f.is(10, protowire.VarintType):
			r.Attempt = Request_Attempt(f.value)
		case f.is(11, protowire.VarintType):
			r.Unconditional = protowire.DecodeBool(f.value)
		case f.is(12, protowire.BytesType):
			if r.Session == nil {
				r.Session = new(Session)
			}
			return decodeSession(f.bytes, r.Session)
		case f.is(leaseCall, protowire.BytesType):
			call, ok := r.Call.(*Request_Lease)
			if !ok {
				call = NewLeaseCall()
				r.Call = call
			}
			return decodeLease(f.bytes, call.Lease, left)
		case f.is(rangeCall, protowire.BytesType):
			call, ok := r.Call.(*Request_Range)
			if !ok {
				call = &Request_Range{Range: new(Range)}
				r.Call = call
			}
			return decodeRead(f.bytes, call.Range, left)
		case f.is(traceField, protowire.BytesType):
			r.Trace = f.bytes
		case f.number > 12 && f.kind == protowire.BytesType:
			return mergeRest(f, r, left)
		}
		return nil
	})
}

// appendReplies appends the wire form of b to dst.
func appendReplies(dst []byte, b *ReplyBatch) ([]byte, error) {
	var err error
	if b.Hello != nil {
		if dst, err = appendMessage(dst, 1, b.Hello); err != nil {
			return nil, err
		}
	}
	for _, r := range b.Replies {
		dst = protowire.AppendTag(dst, 2, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeReply(r)))
		if dst, err = appendReply(dst, r); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func sizeReplies(b *ReplyBatch) (size int) {
	if b.Hello != nil {
		size += 1 + protowire.SizeBytes(proto.Size(b.Hello))
	}
	for _, r := range b.Replies {
		size += 1 + protowire.SizeBytes(sizeReply(r))
	}
	return size
}

func sizeReply(r *Reply) int {
	if r == nil {
		return 0
	}
	size := sizeNumber(r.Id) + sizeNumber(uint64(r.Code)) + sizeBytes(r.Message) + sizeBytes(r.Value) +
		sizeNumber(r.Version) + sizeNumber(r.CreateRevision) + sizeNumber(r.ModRevision) + sizeNumber(r.Revision) + sizeNumber(r.DeleteRevision) +
		sizeNumber(r.DoneAt) + sizeNumber(protowire.EncodeBool(r.Incomplete)) + sizeResult(r)
	if r.KeyLease != 0 {
		size += 2 + protowire.SizeVarint(uint64(r.KeyLease))
	}
	if r.Leader != nil {
		size += 1 + protowire.SizeBytes(proto.Size(r.Leader))
	}
	return size
}

func appendReply(dst []byte, r *Reply) ([]byte, error) {
	if r == nil {
		return dst, nil
	}
	dst, err := appendReplyFields(dst, r)
	if err != nil {
		return nil, err
	}
	return appendResult(dst, r)
}

// appendReplyFields appends all of a reply but its result.
func appendReplyFields(dst []byte, r *Reply) ([]byte, error) {
	if !utf8.ValidString(r.Message) {
		return nil, errNotUTF8
	}
	dst = appendNumber(dst, 1, r.Id)
	dst = appendNumber(dst, 2, uint64(r.Code))
	dst = appendBytes(dst, 3, r.Message)
	dst = appendBytes(dst, 4, r.Value)
	dst = appendNumber(dst, 5, r.Version)
	dst = appendNumber(dst, 6, r.CreateRevision)
	dst = appendNumber(dst, 7, r.ModRevision)
	dst = appendNumber(dst, 8, r.Revision)
	if r.Leader != nil {
		var err error
		if dst, err = appendMessage(dst, 9, r.Leader); err != nil {
			return nil, err
		}
	}
	dst = appendNumber(dst, 10, r.DeleteRevision)
	dst = appendNumber(dst, 11, r.DoneAt)
	dst = appendNumber(dst, 12, protowire.EncodeBool(r.Incomplete))
	if r.KeyLease != 0 {
		dst = protowire.AppendTag(dst, keyLease, protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(r.KeyLease))
	}
	return dst, nil
}

func appendResult(dst []byte, r *Reply) ([]byte, error) {
	switch result := r.Result.(type) {
	case nil:
		return dst, nil
	case *Reply_EncodedRange:
		return append(appendRangeHead(dst, result.Range), result.Range...), nil
	case *Reply_Range:
		dst = protowire.AppendTag(dst, 14, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeRange(result.Range)))
		return appendRange(dst, result.Range), nil
	case *Reply_Lease:
		dst = protowire.AppendTag(dst, leaseResult, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeLeaseReply(result.Lease)))
		return appendLeaseReply(dst, result.Lease), nil
	default:
		return proto.MarshalOptions{}.MarshalAppend(dst, &Reply{Result: result})
	}
}

// sizeResult is the size of what only some replies have.
func sizeResult(r *Reply) int {
	switch result := r.Result.(type) {
	case nil:
		return 0
	case *Reply_EncodedRange:
		return 1 + protowire.SizeBytes(len(result.Range))
	case *Reply_Range:
		return 1 + protowire.SizeBytes(sizeRange(result.Range))
	case *Reply_Lease:
		return 2 + protowire.SizeBytes(sizeLeaseReply(result.Lease))
	default:
		return proto.Size(&Reply{Result: result})
	}
}

// decodeReplies reads b from its wire form. Values and ranges are copies: who keeps one of them should
// not keep a whole batch in memory. Only if data is b's own, large ones alias it.
func decodeReplies(data []byte, b *ReplyBatch, own bool) error {
	b.Reset()
	n, err := count(data, 2)
	if err != nil {
		return err
	}
	if n > maxBatchReplies {
		return fmt.Errorf("api: a batch of %d replies is over the limit of %d", n, maxBatchReplies)
	}
	array := make([]Reply, n)
	b.Replies = make([]*Reply, 0, n)
	left := parts(maxBatchParts)
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.BytesType):
			if b.Hello == nil {
				b.Hello = new(Hello)
			}
			return merge(f.bytes, b.Hello)
		case f.is(2, protowire.BytesType):
			r := &array[len(b.Replies)]
			b.Replies = append(b.Replies, r)
			return decodeReply(f.bytes, r, &left, own)
		}
		return nil
	})
}

// decodeReply reads r, which may have so many parts as left says, and takes them off.
func decodeReply(data []byte, r *Reply, left *parts, own bool) error {
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.VarintType):
			r.Id = f.value
		case f.is(2, protowire.VarintType):
			r.Code = Reply_Code(f.value)
		case f.is(3, protowire.BytesType):
			if !utf8.Valid(f.bytes) {
				return errNotUTF8
			}
			r.Message = string(f.bytes)
		case f.is(4, protowire.BytesType):
			r.Value = f.own(own)
		case f.is(5, protowire.VarintType):
			r.Version = f.value
		case f.is(6, protowire.VarintType):
			r.CreateRevision = f.value
		case f.is(7, protowire.VarintType):
			r.ModRevision = f.value
		case f.is(8, protowire.VarintType):
			r.Revision = f.value
		case f.is(9, protowire.BytesType):
			return mergeRest(f, r, left)
		case f.is(10, protowire.VarintType):
			r.DeleteRevision = f.value
		case f.is(11, protowire.VarintType):
			r.DoneAt = f.value
		case f.is(12, protowire.VarintType):
			r.Incomplete = protowire.DecodeBool(f.value)
		case f.is(keyLease, protowire.VarintType):
			r.KeyLease = int64(f.value)
		case f.is(14, protowire.BytesType):
			result, ok := r.Result.(*Reply_EncodedRange)
			switch {
			case ok: // a part that comes twice is the sum of both
				result.Range = append(result.Range, f.bytes...)
			default:
				r.Result = &Reply_EncodedRange{Range: f.own(own)}
			}
		case f.is(leaseResult, protowire.BytesType):
			result, ok := r.Result.(*Reply_Lease)
			if !ok {
				result = NewLeaseResult()
				r.Result = result
			}
			return decodeLeaseReply(f.bytes, result.Lease, left)
		case f.number > 12 && f.kind == protowire.BytesType:
			return mergeRest(f, r, left)
		}
		return nil
	})
}

// own returns a copy of the field's bytes, or these themselves if the memory may be kept and they are much
// of it.
func (f field) own(mayKeep bool) []byte {
	if mayKeep && len(f.bytes) >= sharedPart {
		return f.bytes
	}
	return append([]byte(nil), f.bytes...)
}

var errNotUTF8 = errors.New("api: a string is not UTF-8")
