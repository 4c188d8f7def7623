package server

import (
	"time"

	"balsa.example/vfs"
)

// timedFS is a file system that tells how long syncs of files took.
type timedFS struct {
	vfs.FS
	observe func(took time.Duration)
}

// Create implements vfs.FS.
func (t timedFS) Create(name string) (vfs.File, error) { return t.timed(t.FS.Create(name)) }

// OpenReadWrite implements vfs.FS.
func (t timedFS) OpenReadWrite(name string) (vfs.File, error) {
	return t.timed(t.FS.OpenReadWrite(name))
}

func (t timedFS) timed(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return timedFile{f, t.observe}, nil
}

type timedFile struct {
	vfs.File
	observe func(took time.Duration)
}

// Sync implements vfs.File.
func (f timedFile) Sync() error { return f.time(f.File.Sync) }

// SyncData implements vfs.File.
func (f timedFile) SyncData() error { return f.time(f.File.SyncData) }

func (f timedFile) time(sync func() error) error {
	began := time.Now()
	err := sync()
	f.observe(time.Since(began))
	return err
}

// Uncached implements vfs.UncachedFile. Writes take no time of syncs.
func (f timedFile) Uncached() (vfs.UncachedWriter, error) { return vfs.Uncached(f.File) }
