package kv_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"balsa.example/internal/machine"
	"balsa.example/kv"
)

const benchKeys = 1 << 20

// benchKey spreads i over the keys in an order that is as good as random.
func benchKey(i int) string { return fmt.Sprintf("key-%016x", uint64(i%benchKeys)*0x9e3779b97f4a7c15) }

// filled returns a store with benchKeys keys, all of them in files.
func filled(b *testing.B) (s *world, keys []string) {
	b.Helper()
	s, keys = onDisk(b), make([]string, benchKeys)
	value := bytes.Repeat([]byte("v"), 256)
	for i := range keys {
		keys[i] = benchKey(i)
		s.do(kv.Op{Kind: kv.Put, Key: keys[i], Value: value})
		if i%100_000 == 0 {
			s.flush()
		}
	}
	s.flush()
	b.ReportAllocs()
	b.ResetTimer()
	return s, keys
}

// flushSometimes bounds the memory of a benchmark. It takes no part in its time.
func (w *world) flushSometimes(b *testing.B, i int) {
	if i%200_000 == 199_999 {
		b.StopTimer()
		w.flush()
		b.StartTimer()
	}
}

func BenchmarkPut(b *testing.B) {
	s, keys := filled(b)
	op := kv.Op{Kind: kv.Put, Value: bytes.Repeat([]byte("w"), 256), Unconditional: true}
	for i := range b.N {
		op.Key = keys[i*7919%benchKeys]
		s.do(op)
		s.flushSometimes(b, i)
	}
}

func BenchmarkGet(b *testing.B) {
	s, keys := filled(b)
	for i := range b.N {
		if r := s.Get(keys[i*7919%benchKeys]); r.Version == 0 {
			b.Fatal(r)
		}
	}
}

// BenchmarkPutWhileRead is BenchmarkPut with another goroutine that reads all the time.
func BenchmarkPutWhileRead(b *testing.B) {
	s, keys := filled(b)
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
		s.do(op)
		s.flushSometimes(b, i)
	}
	b.StopTimer()
	stop.Store(true)
	b.ReportMetric(float64(<-reads)/float64(b.N), "reads/op")
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

// BenchmarkRangeEach reads 10,000 keys in memory, which were written in another order than theirs. Its
// entries are appended to memory, as those of a reply are.
func BenchmarkRangeEach(b *testing.B) {
	const keys = 10_000
	s := onDisk(b) // with runs as long as those of a server
	value := bytes.Repeat([]byte("v"), 256)
	for i := range keys {
		s.do(kv.Op{Kind: kv.Put, Key: benchKey(i), Value: value})
	}
	var out []byte
	b.ReportAllocs()
	before, _ := machine.ProcessorTime()
	for b.Loop() {
		out = out[:0]
		if _, err := s.RangeEach(kv.RangeOp{}, func(e *kv.Entry) { out = append(append(out, e.Key...), e.Value...) }); err != nil {
			b.Fatal(err)
		}
	}
	after, _ := machine.ProcessorTime()
	b.ReportMetric(float64((after-before).Nanoseconds())/float64(b.N*keys), "cpu-ns/key")
}
