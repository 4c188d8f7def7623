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

// decodeRange adds what data says to r. Its entries share the memory of one copy of data: who
// keeps one of them keeps the whole range.
func decodeRange(data []byte, r *RangeReply, left *parts) error {
	n, err := count(data, 1)
	if err == nil {
		err = left.take(n)
	}
	if err != nil {
		return err
	}
	array := make([]Entry, n)
	r.Entries = append(make([]*Entry, 0, len(r.Entries)+n), r.Entries...)
	return fields(bytes.Clone(data), func(f field) error {
		switch {
		case f.is(1, protowire.BytesType):
			e := &array[0]
			array = array[1:]
			r.Entries = append(r.Entries, e)
			return decodeEntry(f.bytes, e)
		case f.is(2, protowire.VarintType):
			r.Count = f.value
		case f.is(3, protowire.VarintType):
			r.More = protowire.DecodeBool(f.value)
		}
		return nil
	})
}

func decodeEntry(data []byte, e *Entry) error {
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.BytesType):
			e.Key = f.bytes
		case f.is(2, protowire.BytesType):
			e.Value = f.bytes
		case f.is(3, protowire.VarintType):
			e.Version = f.value
		case f.is(4, protowire.VarintType):
			e.CreateRevision = f.value
		case f.is(5, protowire.VarintType):
			e.ModRevision = f.value
		case f.is(6, protowire.VarintType):
			e.Lease = int64(f.value)
		}
		return nil
	})
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

func sizeLease(l *Lease) int {
	if l == nil {
		return 0
	}
	return sizeNumber(uint64(l.Id)) + sizeNumber(l.TtlMs) + sizeNumber(protowire.EncodeBool(l.Session)) +
		sizeNumber(protowire.EncodeBool(l.Keys))
}

func appendLease(dst []byte, l *Lease) []byte {
	if l == nil {
		return dst
	}
	dst = appendNumber(dst, 1, uint64(l.Id))
	dst = appendNumber(dst, 2, l.TtlMs)
	dst = appendNumber(dst, 3, protowire.EncodeBool(l.Session))
	return appendNumber(dst, 4, protowire.EncodeBool(l.Keys))
}

func decodeLease(data []byte, l *Lease) error {
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
	return size + sizeNumber(protowire.EncodeBool(l.More))
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
	return appendNumber(dst, 6, protowire.EncodeBool(l.More))
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
		}
		return nil
	})
}
