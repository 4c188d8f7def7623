package state_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"

	"github.com/cespare/xxhash/v2"
)

// ruined is a file system of which some files cannot be read: with the error of their names.
type ruined struct {
	vfs.FS
	files map[string]error
	// once: the error comes once.
	once bool
	// removals, if not nil, is closed when the removal of a file begins, and none ends.
	removals chan struct{}
}

func (r *ruined) Remove(name string) error {
	if r.removals != nil {
		close(r.removals)
		select {}
	}
	return r.FS.Remove(name)
}

func (r *ruined) Open(name string) (vfs.File, error) {
	f, err := r.FS.Open(name)
	if err != nil {
		return f, err
	}
	return ruinedFile{f, r, name}, nil
}

// Rename replaces a file, with its bad sectors.
func (r *ruined) Rename(from, to string) error {
	delete(r.files, to)
	return r.FS.Rename(from, to)
}

type ruinedFile struct {
	vfs.File
	fs   *ruined
	name string
}

func (f ruinedFile) err() error {
	err := f.fs.files[f.name]
	if f.fs.once {
		delete(f.fs.files, f.name)
	}
	return err
}

func (f ruinedFile) Read(b []byte) (int, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.File.Read(b)
}

func (f ruinedFile) ReadAt(b []byte, at int64) (int, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}

// damages are the kinds of damage to a file, of which a byte is given.
var damages = map[string]func(s *scrubbed, name string, at int) error{
	"a bit": func(s *scrubbed, name string, at int) error {
		b := s.read(name)
		b[at]++
		return vfs.WriteFile(s.fs, filepath.Join("state", name), b)
	},
	"missing": func(s *scrubbed, name string, _ int) error { return s.fs.Remove(filepath.Join("state", name)) },
	"cut": func(s *scrubbed, name string, at int) error {
		return vfs.WriteFile(s.fs, filepath.Join("state", name), s.read(name)[:at])
	},
	"unreadable": func(s *scrubbed, name string, _ int) error {
		s.ruined.files[filepath.Join("state", name)] = syscall.EIO
		return nil
	},
}

// reads are those who read files of the history.
func reads(t *testing.T) map[string]func(m *state.Machine) error {
	return map[string]func(m *state.Machine) error{
		"get": func(m *state.Machine) error { return m.Get(keyOf(100)).Err() },
		"range": func(m *state.Machine) error {
			_, err := m.Range(kv.RangeOp{})
			return err
		},
		"previous": func(m *state.Machine) error {
			_, err := m.Previous(keyOf(100), 300)
			return err
		},
		"another member that needs the run": func(m *state.Machine) error { return sendTo(t, m, crashfs.NewCrashableMem()) },
		"scan": func(m *state.Machine) error {
			return m.Scan(2, func(uint64, []kv.Event) bool { return true })
		},
	}
}

// sendTo sends the state to a new member.
func sendTo(t *testing.T, m *state.Machine, fsys vfs.FS) error {
	peer, _ := openMachine(t, fsys)
	peer.UseFetcher(from{m})
	stream, err := m.OpenState()
	if err != nil {
		return err
	}
	defer stream.Data.Close()
	return peer.ReceiveState(context.Background(), stream.Position, 1, 0, stream.Data)
}

func scrubIsWanted(m *state.Machine) bool {
	select {
	case <-m.ScrubWanted():
		return true
	default:
		return false
	}
}

// nameOf is how members call a sealed run.
func nameOf(content []byte) []byte {
	name := binary.LittleEndian.AppendUint64(nil, xxhash.Sum64(content))
	return binary.LittleEndian.AppendUint64(name, uint64(len(content)))
}

// last returns the file with the highest number.
func (s *scrubbed) last(prefix string) (last string) {
	names, err := s.fs.List("state")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && (len(name) > len(last) || name > last) {
			last = name
		}
	}
	return last
}

// A read that meets damage is refused, and has its run read next.
func TestARunIsScrubbedNextWhereAReadMetDamage(t *testing.T) {
	for kind, damage := range damages {
		for name, read := range reads(t) {
			s := newScrubbed(t)
			file, at := s.find(valueOf(100))
			if err := damage(s, file, at); err != nil {
				t.Fatal(err)
			}
			if err := read(s.m); err == nil {
				t.Fatalf("%s, %s: the damaged value was served", kind, name)
			}
			if !scrubIsWanted(s.m) {
				t.Errorf("%s, %s: no scrub is wanted", kind, name)
			}
			done, err := s.m.Scrub()
			c := new(run.CorruptError)
			if err != nil || filepath.Base(done.Path) != file || !errors.As(done.Damage, &c) || kind == "a bit" && c.Offset > int64(at) {
				t.Errorf("%s, %s: scrubbed %+v, %v; want %s", kind, name, done, err, file)
			}
			if err := read(s.m); err != nil {
				t.Errorf("%s, %s, after the repair: %v", kind, name, err)
			}
			s.wantWhole()
		}
	}
}

// Whoever gets a part of a run gets none of its damage unnoticed, and is not told that this member does not have it any
// more: it would ask again at once.
func TestDamageIsNoticedInAPartThatIsSent(t *testing.T) {
	for kind, damage := range damages {
		if kind == "a bit" { // the checksum is that of the whole, which the other member will ask for
			continue
		}
		s := newScrubbed(t)
		if err := damage(s, "run-2", 300); err != nil {
			t.Fatal(err)
		}
		data, err := s.m.OpenFile(nameOf(s.whole["run-2"]), 200)
		if err == nil {
			_, err = io.Copy(io.Discard, data)
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) && kind == "missing" {
			t.Errorf("%s: %v", kind, err)
		}
		if !scrubIsWanted(s.m) {
			t.Errorf("%s: no scrub is wanted", kind)
		}
		if err := s.scrub(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		s.wantWhole()
	}
}

// The run that is appended to needs no other member, the manifest neither, and the small file is another one after the
// next checkpoint.
func TestFilesThatChangeAreRepaired(t *testing.T) {
	position := raft.SnapshotMeta{Index: scrubbedKeys + 1, Term: 1, Configuration: raft.NewConfiguration(1, 2)}
	for kind, damage := range damages {
		for _, prefix := range []string{"run-", "MANIFEST", "small-"} {
			s := newScrubbed(t)
			s.m.UseFetcher(nil)
			name := s.last(prefix)
			if err := damage(s, name, 20); err != nil {
				t.Fatal(err)
			}
			if prefix != "MANIFEST" {
				if err := sendTo(t, s.m, crashfs.NewCrashableMem()); err == nil {
					t.Errorf("%s, %s: it was sent", kind, name)
				}
				if !scrubIsWanted(s.m) {
					t.Errorf("%s, %s: no scrub is wanted", kind, name)
				}
			}
			done, err := s.m.Scrub()
			if filepath.Base(done.Path) != name || done.Damage == nil || !strings.Contains(done.Damage.Error(), name) {
				t.Errorf("%s, %s: scrubbed %+v", kind, name, done)
			}
			if waits := prefix == "small-"; waits != (err != nil) || waits != s.m.Damaged() || waits != s.m.CheckpointWanted() || waits != (s.m.Figures().Damaged == 1) {
				t.Errorf("%s, %s: scrub: %v; damaged %t, a checkpoint is wanted: %t", kind, name, err, s.m.Damaged(), s.m.CheckpointWanted())
			} else if waits {
				if err := sendTo(t, s.m, crashfs.NewCrashableMem()); err == nil {
					t.Errorf("%s: it was sent", kind)
				}
				if _, err := s.m.Checkpoint(position)(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if s.m.Damaged() || s.m.CheckpointWanted() || s.m.Figures().Damaged > 0 {
				t.Errorf("%s, %s: it is damaged still", kind, name)
			}
			if err := s.scrub(); err != nil {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
			s.ruined.FS = s.fs.CrashClone(crashfs.Crash{})
			s.m, _ = openMachine(t, s.ruined)
			s.wantWhole()
		}
	}
}

// An error that passes raises no alarm, and neither does a file that was rewritten and removed while somebody wanted it.
func TestFalseAlarms(t *testing.T) {
	s := newScrubbed(t)
	s.m.UseFetcher(nil)
	for _, name := range []string{"run-2", s.last("small-")} {
		path := filepath.Join("state", name)
		s.ruined.files[path] = syscall.EIO
		if err := sendTo(t, s.m, crashfs.NewCrashableMem()); err == nil || !scrubIsWanted(s.m) {
			t.Errorf("%s: %v, and no scrub", name, err)
		}
		delete(s.ruined.files, path)
		if err := s.scrub(); err != nil || s.m.Damaged() {
			t.Errorf("%s: %v, damaged %t", name, err, s.m.Damaged())
		}
		s.ruined.files[path] = fmt.Errorf("open: %w", syscall.EMFILE)
		if err := sendTo(t, s.m, crashfs.NewCrashableMem()); err == nil {
			t.Errorf("%s was sent", name)
		}
		if err := s.scrub(); err == nil || s.m.Damaged() {
			t.Errorf("%s: %v, damaged %t", name, err, s.m.Damaged())
		}
		delete(s.ruined.files, path)
	}
	manifest := filepath.Join("state", "MANIFEST")
	s.ruined.files[manifest] = syscall.EMFILE
	if err := s.scrub(); err == nil || s.ruined.files[manifest] == nil || s.m.Figures().Repaired > 0 {
		t.Errorf("MANIFEST: %v, and it is written anew: %t", err, s.ruined.files[manifest] == nil)
	}
	delete(s.ruined.files, manifest)
	s.ruined.once = true
	for _, name := range []string{"run-2", s.last("small-"), "MANIFEST"} {
		path := filepath.Join("state", name)
		s.ruined.files[path] = syscall.EIO
		if err := s.scrub(); err != nil || s.m.Damaged() || s.m.Figures().Repaired > 0 || s.ruined.files[path] != nil {
			t.Errorf("%s: the scrub itself meets an error once: %v, damaged %t", name, err, s.m.Damaged())
		}
	}
	if _, err := s.m.OpenFile([]byte("of another history"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that it never had: %v", err)
	}
	if scrubIsWanted(s.m) {
		t.Error("a scrub is wanted")
	}
}

// A stream of a state ends without an error where a file of it has vanished.
func TestAStreamOfWhichAFileVanished(t *testing.T) {
	s := newScrubbed(t)
	stream, err := s.m.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	for i := range scrubbedKeys { // so that the first runs are rewritten, and removed with the stream
		s.m.DoOp(set(keyOf(i), "new"))
	}
	s.m.DoOp(compact(2*scrubbedKeys + 1))
	position := raft.SnapshotMeta{Index: 2*scrubbedKeys + 1, Term: 1, Configuration: raft.NewConfiguration(1, 2)}
	if _, err := s.m.Checkpoint(position)(context.Background()); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		if more, err = s.m.Maintain(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.fs.Remove("state/run-1"); err != nil {
		t.Fatal(err)
	}
	if err := stream.Data.Close(); err != nil {
		t.Error(err)
	}
	if _, err := vfs.ReadFile(s.fs, "state/run-2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file of the stream is there still: %v", err)
	}
}

// The loop of a replica asks with each tick whether the state is damaged, and may be asked for figures; others ask whether a
// checkpoint is wanted. None of them must wait for a disk that hangs, whatever that is doing.
func TestDamageIsToldWhileTheDiskHangs(t *testing.T) {
	s := newScrubbed(t)
	s.ruined.removals = make(chan struct{})
	go func() { // does not end
		_, _ = s.m.Checkpoint(raft.SnapshotMeta{Index: scrubbedKeys + 1, Term: 1, Configuration: raft.NewConfiguration(1, 2)})(context.Background())
	}()
	<-s.ruined.removals
	told := make(chan bool)
	go func() { told <- s.m.Damaged() || s.m.Figures().Damaged > 0 || s.m.CheckpointWanted() }()
	select {
	case damaged := <-told:
		if damaged {
			t.Error("it is damaged, or a checkpoint is wanted")
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the disk")
	}
}
