package wal

import (
	"fmt"
	"testing"
	"time"

	"balsa.example/raft"
)

// benchLog is a log on the real file system.
func benchLog(b *testing.B) *Log {
	dir := b.TempDir()
	if err := Create(dir, Options{}, testID, testConf); err != nil {
		b.Fatal(err)
	}
	l, err := Open(dir, Options{}, testID)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { mustClose(b, l) })
	return l
}

// saver returns a function that saves the next n entries of 256 bytes.
func saver(b *testing.B, n int) func() {
	l, es := benchLog(b), entries(1, 1, make([]int, n)...)
	for i := range es {
		es[i].Data = make([]byte, 256)
	}
	ps := []raft.Persist{{Entries: es}}
	return func() {
		if err := l.Save(ps); err != nil {
			b.Error(err)
		}
		for i := range es {
			es[i].Index += raft.Index(n)
		}
	}
}

// BenchmarkSave saves batches of entries on the real file system.
func BenchmarkSave(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint("entries=", n), func(b *testing.B) {
			save := saver(b, n)
			b.SetBytes(int64(n) * 256)
			b.ReportAllocs()
			for b.Loop() {
				save()
			}
		})
	}
}

// BenchmarkSaveTogether is how long two of three logs take, on one disk, that save at the
// same time: what a put waits for at least where three members share a disk.
func BenchmarkSaveTogether(b *testing.B) {
	var begin [3]chan struct{}
	ended := make(chan struct{}, len(begin))
	for i := range begin {
		begin[i] = make(chan struct{})
		save := saver(b, 1)
		go func() {
			for range begin[i] {
				save()
				ended <- struct{}{}
			}
		}()
	}
	var majority time.Duration
	for b.Loop() {
		start := time.Now()
		for _, c := range begin {
			c <- struct{}{}
		}
		<-ended
		<-ended
		majority += time.Since(start)
		<-ended
	}
	b.ReportMetric(float64(majority.Nanoseconds())/float64(b.N), "ns/majority")
	for _, c := range begin {
		close(c)
	}
}

// BenchmarkEncode is what a Save of 100 entries costs besides the disk.
func BenchmarkEncode(b *testing.B) {
	es := entries(1, 1, make([]int, 100)...)
	for i := range es {
		es[i].Data = make([]byte, 256)
	}
	ps := []raft.Persist{{Entries: es}}
	w := newLog(nil, Options{}.withDefaults(), nil).writer
	w.mu.segment = &segment{stamp: newStamp(0xa5a5a5a5a5a5a5a5, 1)}
	b.SetBytes(100 * 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.encode(ps, false); err != nil {
			b.Fatal(err)
		}
		w.mu.buf = w.mu.segment.stamp.finish(w.mu.buf, 1)
	}
}
