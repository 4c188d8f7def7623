package run

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// forgetful is a file system after a sync that failed, as Linux has it: what was written before is read
// from memory, is on no disk, and no sync writes it. The disk has only what is written from now on.
type forgetful struct {
	vfs.FS
	disk vfs.FS
}

func (f forgetful) OpenReadWrite(name string) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name)
	disk, diskErr := f.disk.OpenReadWrite(name)
	return forgetfulFile{file, disk}, errors.Join(err, diskErr)
}

type forgetfulFile struct {
	vfs.File
	disk vfs.File
}

func (f forgetfulFile) WriteAt(p []byte, at int64) (int, error) {
	_, diskErr := f.disk.WriteAt(p, at)
	n, err := f.File.WriteAt(p, at)
	return n, errors.Join(err, diskErr)
}

// TestWhatMayBeInMemoryOnlyIsWrittenAgain: where a sync failed, the next process reads what was written
// before, and a power loss takes that. So who goes on with the file writes it again, also if the file is
// whole.
func TestWhatMayBeInMemoryOnlyIsWrittenAgain(t *testing.T) {
	sender := filledWorld(t, testOptions(newMem(t)), 60, 300)
	info, ctx := sender.durable.infos[1], context.Background()
	whole := fileOf(sender.opts.FS.(*crashfs.Mem), sender, info)
	for _, test := range []struct {
		name           string
		known, written int64
	}{
		{name: "received", known: 0, written: 1500},
		{name: "received as a whole", known: 0, written: info.Bytes},
		{name: "extended", known: 700, written: 1500},
		{name: "extended as a whole", known: 700, written: info.Bytes},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem, failing := newMem(t), false
			files := Files{Dir: testDir, Cluster: 0xc1, FS: crashfs.Inject(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if failing && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
					return errorfs.ErrInjected
				}
				return nil
			}))}
			if _, err := files.Receive(ctx, 40, info, Part{}, bytes.NewReader(whole[:700]), nil); err == nil {
				t.Fatal("700 bytes are a run")
			}
			there, err := files.Received(40, info, 0)
			if err != nil {
				t.Fatal(err)
			}
			there.Known = min(test.known, there.Have)
			failing = true
			_, err = files.Extend(ctx, 40, info, there, bytes.NewReader(whole[there.Have:test.written]), nil)
			if !errors.Is(err, ErrFailed) {
				t.Fatal(err)
			}
			disk := mem.CrashClone(crashfs.Crash{})
			files.FS = forgetful{mem, disk}
			if there, err = files.Received(40, info, there.Known); err != nil || there.Have < min(test.written, info.RecordBytes)-400 {
				t.Fatalf("%d bytes, %v", there.Have, err)
			}
			if test.written == info.Bytes {
				if holds, err := files.Holds(ctx, 40, info); !holds || err != nil {
					t.Fatal(holds, err)
				}
				there.Have = info.Bytes
			}
			got, err := files.Extend(ctx, 40, info, there, bytes.NewReader(whole[there.Have:]), nil)
			if err != nil {
				t.Fatal(err)
			}
			files.FS = disk
			if err := files.Verify(ctx, got, nil); err != nil {
				t.Errorf("after a power loss: %v", err)
			}
		})
	}
}

// bypassed is a file system that can write past the cache, and counts what comes there.
type bypassed struct {
	vfs.FS
	bytes, open *int
}

func (b bypassed) Create(name string) (vfs.File, error) {
	f, err := b.FS.Create(name)
	return bypassedFile{f, b}, err
}

type bypassedFile struct {
	vfs.File
	fs bypassed
}

func (f bypassedFile) Uncached() (vfs.UncachedWriter, error) {
	*f.fs.open++
	return uncached(f), nil
}

type uncached bypassedFile

func (u uncached) WriteAt(p []byte, at int64) (int, error) {
	*u.fs.bytes += len(p)
	return u.File.WriteAt(p, at)
}

func (u uncached) Close() error {
	*u.fs.open--
	return nil
}

// TestWhatIsReceivedBypassesTheCache: where the file system can do that.
func TestWhatIsReceivedBypassesTheCache(t *testing.T) {
	sender := filledWorld(t, testOptions(newMem(t)), 60, 300)
	info := sender.durable.infos[1]
	whole := fileOf(sender.opts.FS.(*crashfs.Mem), sender, info)
	bytesThere, open := 0, 0
	files := Files{Dir: testDir, Cluster: 0xc1, FS: bypassed{newMem(t), &bytesThere, &open}}
	got, err := files.Receive(context.Background(), 40, info, Part{}, bytes.NewReader(whole), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.Verify(context.Background(), got, nil); err != nil {
		t.Error(err)
	}
	if bytesThere != len(whole) || open != 0 {
		t.Errorf("%d of %d bytes bypassed it, and %d writers are open", bytesThere, len(whole), open)
	}
}
