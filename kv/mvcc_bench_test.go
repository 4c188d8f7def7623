package kv_test

import (
	"bytes"
	"context"
	"testing"

	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/vfs"
)

type noLeases struct{}

func (noLeases) Room(int64) (int, error)    { return 0, kv.ErrNoLease }
func (noLeases) Attach(int64, string) error { return nil }
func (noLeases) Detach(int64, string)       {}

func benchMVCC(b *testing.B) (s *kv.MVCC, h *run.History, keys []string) {
	h, err := run.Open(run.Options{FS: vfs.OS, Dir: b.TempDir()}, nil, 0)
	if err != nil {
		b.Fatal(err)
	}
	s, keys = kv.NewMVCC(h, noLeases{}), make([]string, benchKeys)
	value := bytes.Repeat([]byte("v"), 256)
	for i := range keys {
		keys[i] = benchKey(i)
		s.DoOp(kv.Op{Kind: kv.Put, Key: keys[i], Value: value}, 0)
		if i%100000 == 0 {
			flush(b, h)
		}
	}
	flush(b, h)
	b.ReportAllocs()
	b.ResetTimer()
	return s, h, keys
}

func flush(b *testing.B, h *run.History) {
	if _, _, err := h.Flush(context.Background(), h.Mark(), nil); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkMVCCPut(b *testing.B) {
	s, h, keys := benchMVCC(b)
	op := kv.Op{Kind: kv.Put, Value: bytes.Repeat([]byte("w"), 256), Unconditional: true}
	for i := range b.N {
		op.Key = keys[i*7919%benchKeys]
		s.DoOp(op, 0)
		if i%200000 == 199999 {
			b.StopTimer()
			flush(b, h)
			b.StartTimer()
		}
	}
}

func BenchmarkMVCCGet(b *testing.B) {
	s, _, keys := benchMVCC(b)
	for i := range b.N {
		if r := s.Get(keys[i*7919%benchKeys]); r.Version == 0 {
			b.Fatal(r)
		}
	}
}
