package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"balsa.example/internal/doctor"
	"balsa.example/internal/machine"
	"balsa.example/vfs"
)

const (
	// A probe of a disk makes up to probeSyncs syncs in up to probeTime, of probeBytes each: what a put
	// of a small value writes.
	probeSyncs = 500
	probeTime  = 2 * time.Second
	probeBytes = 512
	probeFile  = ".balsa-doctor"
)

// examineMachine looks at this machine, and at the disk that a directory is on.
func (p *program) examineMachine(ctx context.Context, dir string) *doctor.Machine {
	m := &doctor.Machine{Dir: dir, Processors: runtime.GOMAXPROCS(0)}
	if n := machine.DescriptorLimit(); n < math.MaxInt32 {
		m.OpenFiles = uint64(n)
	}
	if n := machine.Memory("/"); n < math.MaxInt64 {
		m.Memory = uint64(n)
	}
	if n := machine.MemoryLimit("/"); n < math.MaxInt64 {
		m.MemoryLimit = uint64(n)
	}
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		dir = filepath.Dir(filepath.Clean(dir)) // in which a server would make it
	}
	m.FileSystem = machine.FileSystem(dir)
	free, err := vfs.OS.Available(dir)
	if m.ProbeErr = err; err != nil {
		return m
	}
	m.Free = free
	p.note("syncing a small file in %s for up to %s", dir, probeTime)
	m.Syncs, m.ProbeErr = probe(ctx, vfs.OS, dir)
	return m
}

// probe writes and syncs a file in a directory as a server does with its log, and removes it. It returns how
// long each sync took, sorted.
func probe(ctx context.Context, fs vfs.FS, dir string) (took []time.Duration, err error) {
	name := filepath.Join(dir, fmt.Sprintf("%s-%d", probeFile, os.Getpid()))
	f, err := fs.Create(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = cmp.Or(err, f.Close(), fs.Remove(name))
		slices.Sort(took)
	}()
	block := make([]byte, probeBytes)
	// The file has its length before it is measured, as a segment of the log has.
	for i := range probeSyncs {
		if _, err := f.WriteAt(block, int64(i)*probeBytes); err != nil {
			return nil, err
		}
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	block[0] = 1
	for deadline := time.Now().Add(probeTime); len(took) < probeSyncs && ctx.Err() == nil && time.Now().Before(deadline); {
		if _, err := f.WriteAt(block, int64(len(took))*probeBytes); err != nil {
			return took, err
		}
		began := time.Now()
		if err := f.SyncData(); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}
