package wal

import (
	"fmt"
	"testing"

	"balsa/raft"
)

// BenchmarkSave saves batches of entries of 256 bytes on the real file system.
func BenchmarkSave(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint("entries=", n), func(b *testing.B) {
			dir := b.TempDir()
			if err := Create(dir, Options{}, testID, testConf); err != nil {
				b.Fatal(err)
			}
			l, err := Open(dir, Options{}, testID)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			es := entries(1, 1, make([]int, n)...)
			for i := range es {
				es[i].Data = make([]byte, 256)
			}
			ps := []raft.Persist{{Entries: es}}
			b.SetBytes(int64(n) * 256)
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Save(ps); err != nil {
					b.Fatal(err)
				}
				for i := range es {
					es[i].Index += raft.Index(n)
				}
			}
		})
	}
}

// BenchmarkEncode is what a Save of 100 entries costs besides the disk.
func BenchmarkEncode(b *testing.B) {
	es := entries(1, 1, make([]int, 100)...)
	for i := range es {
		es[i].Data = make([]byte, 256)
	}
	ps := []raft.Persist{{Entries: es}}
	l := &Log{cur: &segment{stamp: newStamp(0xa5a5a5a5a5a5a5a5, 1)}}
	b.SetBytes(100 * 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.encode(ps, false); err != nil {
			b.Fatal(err)
		}
		l.buf = l.cur.stamp.finish(l.buf, 1)
	}
}
