//balsa:pure

package translate

import (
	"unsafe"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/kv"
)

// SpanOf is the one meaning of a key and a range_end:
//
//	no range_end       the key alone
//	one zero byte      all keys from key on
//	anything else      the keys from key on below range_end
//
// The span shares the memory of both.
func SpanOf(key, rangeEnd []byte) kv.Span {
	switch {
	case len(rangeEnd) == 0:
		return kv.Single(kv.Alias(key))
	case len(rangeEnd) == 1 && rangeEnd[0] == 0:
		return kv.Span{From: kv.Alias(key)}
	}
	return kv.Span{From: kv.Alias(key), To: kv.Alias(rangeEnd)}
}

// KeyValues are entries as clients get them, in one piece of memory. Keys and values must not be written to:
// they are the store's.
func KeyValues(entries []kv.Entry) []*mvccpb.KeyValue {
	if len(entries) == 0 {
		return nil
	}
	all, list := make([]mvccpb.KeyValue, len(entries)), make([]*mvccpb.KeyValue, len(entries))
	for i := range entries {
		e, m := &entries[i], &all[i]
		m.Key, m.Value = bytesOf(e.Key), e.Value
		m.Version, m.CreateRevision, m.ModRevision = int64(e.Version), int64(e.CreateRevision), int64(e.ModRevision)
		m.Lease = e.Lease
		list[i] = m
	}
	return list
}

// bytesOf returns the bytes of a string, which must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// PrefixEnd is the range_end of all keys with a prefix.
func PrefixEnd(prefix string) []byte {
	if end := kv.Prefix(prefix).To; end != "" {
		return []byte(end)
	}
	return []byte{0}
}
