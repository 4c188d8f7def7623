package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// steadyBench is a log that is compacted all the time.
type steadyBench struct {
	*Log
	size   int
	first  raft.Index
	logged int64
	took   []time.Duration
	// written is how many bytes this process has given to the kernel to write.
	written int64
}

func newSteadyBench(b *testing.B, size int, noReuse bool) *steadyBench {
	opts := Options{NoSnapshots: true, noReuse: noReuse}
	dir := filepath.Join(b.TempDir(), "wal")
	if err := Create(dir, opts, testID, testConf); err != nil {
		b.Fatal(err)
	}
	l, err := open(dir, opts, testID, raft.SnapshotMeta{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return &steadyBench{Log: l, size: size}
}

// save saves so many bytes.
func (s *steadyBench) save(b *testing.B, bytes int) {
	before := bytesWritten()
	for n := 0; n < bytes; n += s.size {
		s.first++
		begin := time.Now()
		if err := s.Save([]raft.Persist{{Entries: entries(s.first, 1, s.size)}}); err != nil {
			b.Fatal(err)
		}
		s.took, s.logged = append(s.took, time.Since(begin)), s.logged+int64(s.size)
		if s.first%raft.Index(64<<20/s.size) == 0 {
			if err := s.Compact(s.first - 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	s.written += bytesWritten() - before
}

func (s *steadyBench) report(b *testing.B, name string) {
	slices.Sort(s.took)
	b.ReportMetric(float64(s.written)/float64(s.logged), name+"-written/byte")
	for q, of := range map[string]int{"p50": 500, "p99": 990, "p999": 999} {
		b.ReportMetric(float64(s.took[len(s.took)*of/1000].Microseconds()), name+"-"+q+"-us")
	}
}

// BenchmarkReuse compares a log that uses the files of its segments again with one that does
// not. They take turns, so that both see the same disk.
func BenchmarkReuse(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			reuse, zeros := newSteadyBench(b, size, false), newSteadyBench(b, size, true)
			for _, s := range []*steadyBench{reuse, zeros} {
				s.save(b, 160<<20)
				*s = steadyBench{Log: s.Log, size: size, first: s.first}
			}
			for b.Loop() {
				reuse.save(b, 4<<20)
				zeros.save(b, 4<<20)
			}
			reuse.report(b, "reuse")
			zeros.report(b, "zeros")
		})
	}
}

// bytesWritten is how many bytes this process has given to the kernel to write.
func bytesWritten() (n int64) {
	b, _ := os.ReadFile("/proc/self/io")
	_, rest, _ := strings.Cut(string(b), "wchar: ")
	fmt.Sscan(rest, &n)
	return n
}
