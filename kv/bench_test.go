package kv_test

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"balsa.example/kv"

	"github.com/tidwall/btree"
)

const benchKeys = 1 << 20

// benchKey spreads i over the keys in an order that is as good as random.
func benchKey(i int) string { return fmt.Sprintf("key-%016x", uint64(i%benchKeys)*0x9e3779b97f4a7c15) }

func benchStore(b *testing.B) (s *kv.Store, keys []string) {
	b.Helper()
	s, keys = kv.NewStore(), make([]string, benchKeys)
	value := bytes.Repeat([]byte("v"), 256)
	for i := range keys {
		keys[i] = benchKey(i)
		s.DoOp(kv.Op{Kind: kv.Put, Key: keys[i], Value: value})
	}
	b.ReportAllocs()
	b.ResetTimer()
	return s, keys
}

func BenchmarkPut(b *testing.B) {
	s, keys := benchStore(b)
	op := kv.Op{Kind: kv.Put, Value: bytes.Repeat([]byte("w"), 256), Unconditional: true}
	for i := range b.N {
		op.Key = keys[i*7919%benchKeys]
		s.DoOp(op)
	}
}

func BenchmarkGet(b *testing.B) {
	s, keys := benchStore(b)
	for i := range b.N {
		s.Get(keys[i*7919%benchKeys])
	}
}

// BenchmarkPutWhileRead is BenchmarkPut with another goroutine that reads all the time.
func BenchmarkPutWhileRead(b *testing.B) {
	s, keys := benchStore(b)
	var stop atomic.Bool
	reads := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			s.Get(keys[n*104729%benchKeys])
		}
		reads <- n
	}()
	op := kv.Op{Kind: kv.Put, Value: bytes.Repeat([]byte("w"), 256), Unconditional: true}
	for i := range b.N {
		op.Key = keys[i*7919%benchKeys]
		s.DoOp(op)
	}
	b.StopTimer()
	stop.Store(true)
	b.ReportMetric(float64(<-reads)/float64(b.N), "reads/op")
}

// BenchmarkPublishedClone is what Store does not do: an index without a lock, of which
// each put publishes a clone for the readers.
func BenchmarkPublishedClone(b *testing.B) {
	type record struct{ value []byte }
	_, keys := benchStore(b)
	index := btree.NewMap[string, *record](0)
	for _, key := range keys {
		index.Set(key, &record{})
	}
	var published atomic.Pointer[btree.Map[string, *record]]
	value := bytes.Repeat([]byte("w"), 256)
	b.ResetTimer()
	for i := range b.N {
		index.Set(keys[i*7919%benchKeys], &record{value: bytes.Clone(value)})
		published.Store(index.Copy())
	}
}

func BenchmarkSnapshot(b *testing.B) {
	s, _ := benchStore(b)
	for range b.N {
		image, _ := s.Snapshot()
		n, err := image.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		image.(io.Closer).Close()
		b.SetBytes(n)
	}
}

func BenchmarkRestore(b *testing.B) {
	s, _ := benchStore(b)
	data := snapshot(b, s)
	b.SetBytes(int64(len(data)))
	b.ResetTimer()
	for range b.N {
		if err := s.Restore(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	op := kv.Op{Kind: kv.Put, Key: "key-0123456789abcdef", Value: make([]byte, 256), Version: 7}
	var buf []byte
	b.ReportAllocs()
	for range b.N {
		buf = kv.Codec{}.Append(buf[:0], op)
		if _, err := (kv.Codec{}).Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}
