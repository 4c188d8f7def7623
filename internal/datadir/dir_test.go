package datadir

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// A process that was killed may have made the data directory and not synced its name.
func TestDataDirectoryKeepsItsNameAfterAKill(t *testing.T) {
	mem := crashfs.NewCrashableMem()
	if err := mem.MkdirAll("a/data", 0o700); err != nil { // and here it was killed
		t.Fatal(err)
	}
	if err := vfs.MakeDir(mem, "a"); err != nil { // the state that MakeDir leaves: one level unsynced
		t.Fatal(err)
	}
	if err := vfs.MakeDir(mem, "a/data"); err != nil {
		t.Fatal(err)
	}
	lost := mem.CrashClone(crashfs.Crash{})
	if _, err := lost.Stat("a/data"); err != nil {
		t.Errorf("after a power loss: %v", err)
	}
}

// The log of another incarnation of the same member, an empty one maybe, does not belong
// to this directory: it lacks what this incarnation has promised.
func TestTheLogOfAnotherIncarnationIsRefused(t *testing.T) {
	fs := crashfs.NewMem()
	cfg := Config{Path: "data", Owner: alone, Log: wal.Options{FS: fs}}
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	id := d.Members.Identity()
	if err := errors.Join(d.Close(), fs.RemoveAll("data/wal")); err != nil {
		t.Fatal(err)
	}
	id.Incarnation = secondLife
	if err := wal.Create("data/wal", cfg.Log, id, raft.NewConfiguration(1)); err != nil {
		t.Fatal(err)
	}
	if d, err := Open(cfg); !errors.Is(err, ErrDamaged) {
		t.Errorf("an empty log of another incarnation: %v", err)
		if err == nil {
			d.Close()
		}
	}
}

// alone owns a directory without waiting for others: its cluster has one member.
var alone = Owner{ID: 1, Members: []raft.NodeID{1}, NameOf: raft.NodeID.String}

func TestADirectoryThatMustExist(t *testing.T) {
	fs := crashfs.NewMem()
	cfg := Config{Path: "data", Owner: alone, Log: wal.Options{FS: fs}, MustExist: true}
	if _, err := Open(cfg); !errors.Is(err, ErrEmpty) {
		t.Fatalf("a new directory: %v", err)
	}
	if _, err := fs.Stat("data"); err == nil {
		t.Error("it was made")
	}
	cfg.MustExist = false
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	cfg.MustExist = true
	if d, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	d.Close()
}

func TestACondemnedDirectoryIsRefused(t *testing.T) {
	cfg := Config{Path: "data", Owner: alone, Log: wal.Options{FS: crashfs.NewMem()}}
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Condemn(rsm.ErrDiverged), d.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, rsm.ErrDiverged) {
		t.Errorf("opened: %v", err)
	}
}

// lockless is a file system whose Lock fails.
type lockless struct {
	vfs.FS
	err error
}

func (l lockless) Lock(string) (io.Closer, error) { return nil, l.err }

// Only a lock that another process holds means that the directory is in use: who reads that
// looks for a process, and not for a full disk.
func TestALockThatCannotBeMadeIsNotHeld(t *testing.T) {
	for err, inUse := range map[error]bool{
		vfs.ErrLocked: true, syscall.ENOSPC: false, syscall.EROFS: false, syscall.EMFILE: false, syscall.ENOLCK: false,
	} {
		_, got := Open(Config{Path: "data", Owner: alone, Log: wal.Options{FS: lockless{crashfs.NewMem(), err}}})
		if !errors.Is(got, err) || errors.Is(got, ErrInUse) != inUse {
			t.Errorf("%v: %v", err, got)
		}
	}
	cfg := Config{Path: "data", Owner: alone, Log: wal.Options{FS: crashfs.NewMem()}}
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := Open(cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
}

// Who reads a directory holds its lock, where there is one, and gives up that alone. A disk on which it cannot be held may have
// all that is left.
func TestADirectoryIsHeldWhileItIsRead(t *testing.T) {
	mem := crashfs.NewMem()
	cfg := Config{Path: "data", Owner: alone, Log: wal.Options{FS: mem}}
	start := func() *Dir {
		d, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := start()
	if _, _, err := Hold(mem, "data"); !errors.Is(err, ErrInUse) {
		t.Errorf("beside a server: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for failure, want := range map[error]error{
		vfs.ErrLocked: ErrInUse, syscall.EMFILE: syscall.EMFILE, syscall.ENFILE: syscall.ENFILE,
		syscall.EIO: nil, syscall.EROFS: nil, syscall.EACCES: nil, syscall.ENOSPC: nil, syscall.EDQUOT: nil, syscall.ENOLCK: nil, errors.ErrUnsupported: nil,
	} {
		_, unheld, err := Hold(lockless{mem, failure}, "data")
		if !errors.Is(err, want) || want == nil && !errors.Is(unheld, failure) {
			t.Errorf("%v: %v, want %v; unheld: %v", failure, err, want, unheld)
		}
	}
	release, unheld, err := Hold(mem, "data")
	if err != nil || unheld != nil {
		t.Fatal(err, unheld)
	}
	if _, err := Open(cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("a server that starts meanwhile: %v", err)
	}
	release()
	d = start()
	release()
	if _, _, err := Hold(mem, "data"); !errors.Is(err, ErrInUse) {
		t.Errorf("released twice: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// Who reads a copy without LOCK, perhaps as another user, and is killed, leaves none that the server's user cannot open.
func TestNoLockIsMadeWhereOneReads(t *testing.T) {
	mem := crashfs.NewMem()
	d, err := Open(Config{Path: "data", Owner: alone, Log: wal.Options{FS: mem}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Close(), mem.Remove("data/LOCK")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"data", "missing"} {
		if _, unheld, err := Hold(mem, path); err != nil || unheld != nil { // and no release
			t.Errorf("%s: %v, %v", path, err, unheld)
		}
		if _, err := mem.Stat(path + "/LOCK"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has a LOCK: %v", path, err)
		}
	}
}

// A cluster that begins with a restored state remembers which one, and its first directory is not strange.
func TestADirectoryWithARestoredState(t *testing.T) {
	fs := crashfs.NewMem()
	if err := fs.MkdirAll("data/state", 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Path: "data", Owner: alone, Log: wal.Options{FS: fs}}
	if _, err := Open(cfg); !errors.Is(err, ErrForeign) {
		t.Errorf("a directory with a state that is not restored: %v", err)
	}
	cfg.Owner.Origin = [16]byte{1, 2, 3}
	for range 2 {
		d, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Members.Origin(); got != [16]byte{1, 2, 3} {
			t.Errorf("the origin is %x", got)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Owner.Origin = [16]byte{} // the state is as any other now
	}
}
