package api

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// These are encoded by hand, too: ranges, since there are many entries in one; sessions, since one
// is in each write of a Clerk that has one; and leases, since there are many keep-alives.

func sizeRange(r *RangeReply) (size int) {
	if r == nil {
		return 0
	}
	for _, e := range r.Entries {
		size += 1 + protowire.SizeBytes(sizeEntry(e))
	}
	return size + sizeNumber(r.Count) + sizeNumber(protowire.EncodeBool(r.More))
}

func appendRange(dst []byte, r *RangeReply) []byte {
	if r == nil {
		return dst
	}
	for _, e := range r.Entries {
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeEntry(e)))
		dst = appendEntry(dst, e)
	}
	dst = appendNumber(dst, 2, r.Count)
	return appendNumber(dst, 3, protowire.EncodeBool(r.More))
}

func sizeEntry(e *Entry) int {
	if e == nil {
		return 0
	}
	return sizeBytes(e.Key) + sizeBytes(e.Value) + sizeNumber(e.Version) + sizeNumber(e.CreateRevision) +
		sizeNumber(e.ModRevision) + sizeNumber(uint64(e.Lease))
}

func appendEntry(dst []byte, e *Entry) []byte {
	if e == nil {
		return dst
	}
	dst = appendBytes(dst, 1, e.Key)
	dst = appendBytes(dst, 2, e.Value)
	dst = appendNumber(dst, 3, e.Version)
	dst = appendNumber(dst, 4, e.CreateRevision)
	dst = appendNumber(dst, 5, e.ModRevision)
	return appendNumber(dst, 6, uint64(e.Lease))
}

func sizeSession(s *Session) int {
	return sizeNumber(uint64(s.Id)) + sizeNumber(s.Seq) + sizeNumber(s.Acked)
}

func appendSession(dst []byte, s *Session) []byte {
	dst = appendNumber(dst, 1, uint64(s.Id))
	dst = appendNumber(dst, 2, s.Seq)
	return appendNumber(dst, 3, s.Acked)
}

func decodeSession(data []byte, s *Session) error {
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.VarintType):
			s.Id = int64(f.value)
		case f.is(2, protowire.VarintType):
			s.Seq = f.value
		case f.is(3, protowire.VarintType):
			s.Acked = f.value
		}
		return nil
	})
}

// NewLeaseCall returns the call of a request for a lease. It is one allocation, where the two structs
// by themselves are two.
func NewLeaseCall() *Request_Lease {
	var both struct {
		call  Request_Lease
		lease Lease
	}
	both.call.Lease = &both.lease
	return &both.call
}

// NewLeaseResult returns the result of a request for a lease, as NewLeaseCall does.
func NewLeaseResult() *Reply_Lease {
	var both struct {
		result Reply_Lease
		lease  LeaseReply
	}
	both.result.Lease = &both.lease
	return &both.result
}

func sizeLease(l *Lease) int {
	if l == nil {
		return 0
	}
	return sizeNumber(uint64(l.Id)) + sizeNumber(l.TtlMs) + sizeNumber(protowire.EncodeBool(l.Session)) +
		sizeNumber(protowire.EncodeBool(l.Keys)) + sizeNumbers(l.Others)
}

func appendLease(dst []byte, l *Lease) []byte {
	if l == nil {
		return dst
	}
	dst = appendNumber(dst, 1, uint64(l.Id))
	dst = appendNumber(dst, 2, l.TtlMs)
	dst = appendNumber(dst, 3, protowire.EncodeBool(l.Session))
	dst = appendNumber(dst, 4, protowire.EncodeBool(l.Keys))
	return appendNumbers(dst, 5, l.Others)
}

func decodeLease(data []byte, l *Lease, left *parts) error {
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.VarintType):
			l.Id = int64(f.value)
		case f.is(2, protowire.VarintType):
			l.TtlMs = f.value
		case f.is(3, protowire.VarintType):
			l.Session = protowire.DecodeBool(f.value)
		case f.is(4, protowire.VarintType):
			l.Keys = protowire.DecodeBool(f.value)
		case f.number == 5:
			return decodeNumbers(f, &l.Others, left)
		}
		return nil
	})
}

func sizeLeaseReply(l *LeaseReply) int {
	if l == nil {
		return 0
	}
	size := sizeNumber(uint64(l.Id)) + sizeNumber(l.TtlMs) + sizeNumber(l.GrantedMs) + sizeNumber(protowire.EncodeBool(l.Session))
	for _, key := range l.Keys {
		size += 1 + protowire.SizeBytes(len(key))
	}
	return size + sizeNumber(protowire.EncodeBool(l.More)) + sizeNumbers(l.OthersTtlMs)
}

func appendLeaseReply(dst []byte, l *LeaseReply) []byte {
	if l == nil {
		return dst
	}
	dst = appendNumber(dst, 1, uint64(l.Id))
	dst = appendNumber(dst, 2, l.TtlMs)
	dst = appendNumber(dst, 3, l.GrantedMs)
	dst = appendNumber(dst, 4, protowire.EncodeBool(l.Session))
	for _, key := range l.Keys {
		dst = protowire.AppendBytes(protowire.AppendTag(dst, 5, protowire.BytesType), key)
	}
	dst = appendNumber(dst, 6, protowire.EncodeBool(l.More))
	return appendNumbers(dst, 7, l.OthersTtlMs)
}

func decodeLeaseReply(data []byte, l *LeaseReply, left *parts) error {
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.VarintType):
			l.Id = int64(f.value)
		case f.is(2, protowire.VarintType):
			l.TtlMs = f.value
		case f.is(3, protowire.VarintType):
			l.GrantedMs = f.value
		case f.is(4, protowire.VarintType):
			l.Session = protowire.DecodeBool(f.value)
		case f.is(5, protowire.BytesType):
			l.Keys = append(l.Keys, bytes.Clone(f.bytes))
			return left.take(1)
		case f.is(6, protowire.VarintType):
			l.More = protowire.DecodeBool(f.value)
		case f.number == 7:
			return decodeNumbers(f, &l.OthersTtlMs, left)
		}
		return nil
	})
}

// Lists of numbers are packed: one field has all of them. A decoder takes them one by one, too.

func packedBytes[T int64 | uint64](list []T) (size int) {
	for _, v := range list {
		size += protowire.SizeVarint(uint64(v))
	}
	return size
}

func sizeNumbers[T int64 | uint64](list []T) int {
	if len(list) == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(packedBytes(list))
}

func appendNumbers[T int64 | uint64](dst []byte, number protowire.Number, list []T) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(packedBytes(list)))
	for _, v := range list {
		dst = protowire.AppendVarint(dst, uint64(v))
	}
	return dst
}

func decodeNumbers[T int64 | uint64](f field, list *[]T, left *parts) error {
	switch f.kind {
	case protowire.VarintType:
		*list = append(*list, T(f.value))
		return left.take(1)
	case protowire.BytesType:
		for data := f.bytes; len(data) > 0; {
			v, n := protowire.ConsumeVarint(data)
			if n < 0 {
				return malformed(n)
			}
			if err := left.take(1); err != nil {
				return err
			}
			*list, data = append(*list, T(v)), data[n:]
		}
	}
	return nil
}
