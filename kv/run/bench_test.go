package run

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"balsa.example/vfs"
)

const benchRecords = 1 << 20

func benchKey(i int) []byte {
	return fmt.Appendf(nil, "key-%016x", uint64(i%benchRecords)*0x9e3779b97f4a7c15)
}

// benchHistory returns a history of n records with values of 256 bytes, in files, and where they
// are.
func benchHistory(b *testing.B, n int, cache int64) (*History, []Ref) {
	b.Helper()
	h, err := Open(Options{FS: vfs.OS, Dir: b.TempDir(), Cluster: 1, CacheBytes: cache}, nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Close() })
	refs, value := make([]Ref, n), bytes.Repeat([]byte("v"), 256)
	for i := range refs {
		mod := uint64(i + 2)
		refs[i] = h.Append(&Record{Key: benchKey(i), Value: value, Mod: mod, Create: mod, Version: 1, Wall: 1_795_000_000_000, Last: true})
		if h.UnflushedBytes() > 64<<20 {
			flushAll(b, h)
		}
	}
	flushAll(b, h)
	b.ReportAllocs()
	b.ResetTimer()
	return h, refs
}

// cpu returns a function that reports the processor time since, of the whole process, per operation.
// On a machine that does other work it says more than the time that passes.
func cpu(b *testing.B, ops int) func() {
	before := cpuTime(b)
	return func() { b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N*ops), "cpu-ns/record") }
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func flushAll(b *testing.B, h *History) (written int64) {
	_, written, err := h.Flush(context.Background(), h.Mark(), nil)
	if err != nil {
		b.Fatal(err)
	}
	return written
}

// BenchmarkAppend does not count what Flush takes.
func BenchmarkAppend(b *testing.B) {
	h, _ := benchHistory(b, 0, -1)
	keys, value := make([][]byte, 1<<16), bytes.Repeat([]byte("v"), 256)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	b.ResetTimer()
	before, flushing := cpuTime(b), time.Duration(0)
	for i := range b.N {
		mod := uint64(i + 2)
		h.Append(&Record{Key: keys[i%len(keys)], Value: value, Mod: mod, Create: mod, Version: 1, Wall: 1_795_000_000_000, Last: true})
		if h.UnflushedBytes() > 256<<20 {
			b.StopTimer()
			start := cpuTime(b)
			flushAll(b, h)
			flushing += cpuTime(b) - start
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(cpuTime(b)-before-flushing)/float64(b.N), "cpu-ns/record")
}

func benchmarkRead(b *testing.B, cache int64) {
	h, refs := benchHistory(b, benchRecords/4, cache)
	defer cpu(b, 1)()
	for i := range b.N {
		if _, err := h.Read(refs[i*7919%len(refs)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadMemory(b *testing.B) { benchmarkRead(b, 1<<40) }
func BenchmarkReadFile(b *testing.B)   { benchmarkRead(b, -1) }

func benchmarkScan(b *testing.B, cache int64) {
	h, refs := benchHistory(b, benchRecords/4, cache)
	b.SetBytes(int64(len(refs)) * int64(refs[0].Size))
	defer cpu(b, len(refs))()
	for range b.N {
		n := 0
		if err := h.Scan(0, func(*Record) bool { n++; return true }); err != nil || n != len(refs) {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkScanMemory(b *testing.B) { benchmarkScan(b, 1<<40) }
func BenchmarkScanFile(b *testing.B)   { benchmarkScan(b, -1) }

// BenchmarkFlush writes 64 MiB, with their footers and syncs.
func BenchmarkFlush(b *testing.B) {
	h, _ := benchHistory(b, 0, -1)
	value, mod := bytes.Repeat([]byte("v"), 256), uint64(2)
	records := 0
	var used time.Duration
	for range b.N {
		b.StopTimer()
		for ; h.UnflushedBytes() < 64<<20; mod++ {
			h.Append(&Record{Key: benchKey(int(mod)), Value: value, Mod: mod, Create: mod, Version: 1, Last: true})
			records++
		}
		before := cpuTime(b)
		b.StartTimer()
		b.SetBytes(flushAll(b, h))
		used += cpuTime(b) - before
	}
	b.ReportMetric(float64(used)/float64(records), "cpu-ns/record")
}

// BenchmarkLoad reads the indexes of 40 runs.
func BenchmarkLoad(b *testing.B) {
	h, refs := benchHistory(b, 4*benchRecords, -1)
	defer cpu(b, len(refs))()
	for range b.N {
		n := 0
		if err := h.Load(func(*Entry) bool { n++; return true }); err != nil || n != len(refs) {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkRewrite rewrites runs of which half is live.
func BenchmarkRewrite(b *testing.B) {
	h, _ := benchHistory(b, benchRecords/4, -1)
	infos := h.Runs()
	files := []uint32{infos[0].File, infos[1].File}
	b.SetBytes(infos[0].Bytes + infos[1].Bytes)
	defer cpu(b, int(infos[0].Records+infos[1].Records))()
	for range b.N {
		w, err := h.Rewrite(context.Background(), files, func(rec *Record, _ Ref) bool { return rec.Mod%2 == 0 }, nil)
		if err != nil {
			b.Fatal(err)
		}
		w.Discard()
	}
}

func BenchmarkVerify(b *testing.B) {
	h, _ := benchHistory(b, benchRecords/4, -1)
	info := h.Runs()[0]
	b.SetBytes(info.Bytes)
	defer cpu(b, int(info.Records))()
	for range b.N {
		if err := h.Files().Verify(context.Background(), info, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSyncBesideFlush is how long a small write with a sync takes, such as the log's, while
// runs are flushed to the same disk: without a pace, and at 64 MiB a second.
func BenchmarkSyncBesideFlush(b *testing.B) {
	b.Run("no flush", func(b *testing.B) { syncBeside(b, false, nil) })
	b.Run("flush", func(b *testing.B) { syncBeside(b, true, nil) })
	b.Run("paced", func(b *testing.B) {
		syncBeside(b, true, func(bytes int) { time.Sleep(time.Duration(bytes) * time.Second / (64 << 20)) })
	})
}

func syncBeside(b *testing.B, flush bool, pace func(int)) {
	h, _ := benchHistory(b, 0, -1)
	var stop atomic.Bool
	var wg sync.WaitGroup
	if flush {
		wg.Go(func() {
			value := bytes.Repeat([]byte("v"), 4096)
			for mod := uint64(2); !stop.Load(); {
				for ; h.UnflushedBytes() < 64<<20; mod++ {
					h.Append(&Record{Key: benchKey(int(mod)), Value: value, Mod: mod, Create: mod, Version: 1, Last: true})
				}
				if _, _, err := h.Flush(context.Background(), h.Mark(), pace); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	f, err := vfs.OS.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range took {
		start := time.Now()
		if _, err := f.WriteAt(make([]byte, 4096), int64(i%1024)*4096); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(start)
	}
	stop.Store(true)
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-us")
}
