package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/vfs"
)

// from fetches files of another machine in the same process.
type from struct{ *state.Machine }

func (f from) Fetch(_ context.Context, _ raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	return f.OpenFile(name, offset)
}

// sent is what a member sends of its durable state, and where in the log that is.
func sent(t *testing.T, m *state.Machine) (raft.SnapshotMeta, []byte) {
	t.Helper()
	stream, err := m.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Data.Close()
	b, err := io.ReadAll(stream.Data)
	if err != nil {
		t.Fatal(err)
	}
	return stream.Position, b
}

func checkpoint(m *state.Machine, index raft.Index) error {
	_, err := m.Checkpoint(raft.SnapshotMeta{Index: index, Term: 1})(context.Background())
	return err
}

// TestAStateThatIsNotInstalled: a follower receives a state, and then gets the same by the log. Its
// checkpoints go on from there. Before that they would go back.
func TestAStateThatIsNotInstalled(t *testing.T) {
	leader, _ := openMachine(t, crashfs.NewCrashableMem())
	fs := crashfs.NewCrashableMem()
	follower, _ := openMachine(t, fs)
	follower.UseFetcher(from{leader})
	for range 10 {
		leader.DoOp(set("key", "value"))
	}
	if err := checkpoint(leader, 10); err != nil {
		t.Fatal(err)
	}
	stream, err := leader.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	if err := follower.ReceiveState(context.Background(), stream.Position, 0, 0, stream.Data); err != nil {
		t.Fatal(err)
	}
	if err := stream.Data.Close(); err != nil {
		t.Fatal(err)
	}
	for i := raft.Index(1); i <= 12; i++ {
		follower.DoOp(set("key", "value"))
		if err := checkpoint(follower, i); (err != nil) != (i < 10) {
			t.Errorf("checkpoint at %d, with a state at 10 that was received: %v", i, err)
		}
	}
	hash := follower.Hash()
	opened, position := openMachine(t, fs)
	if position.Index != 12 || opened.Hash() != hash {
		t.Errorf("opened at %s with hash %x, want 12 and %x", position, opened.Hash(), hash)
	}
}

// TestAStateIsTakenGently: what a member fetches of another one's state, and then loads, is done gently, and nothing else is.
func TestAStateIsTakenGently(t *testing.T) {
	leader, _ := openMachine(t, crashfs.NewCrashableMem())
	gently := 0
	follower := state.New(state.Config{
		FS: crashfs.NewCrashableMem(), Dir: "state", Cluster: 7, ID: 2, RunBytes: 8 << 10, CacheBytes: -1,
		Gently: func(f func()) { gently++; f() },
	})
	if _, _, err := follower.Open(); err != nil {
		t.Fatal(err)
	}
	follower.UseFetcher(from{leader})
	leader.DoOp(set("key", "value"))
	follower.DoOp(set("key", "value"))
	if err := errors.Join(checkpoint(leader, 10), checkpoint(follower, 1)); err != nil {
		t.Fatal(err)
	}
	stream, err := leader.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	if gently != 0 {
		t.Errorf("%d works were gentle before the state came", gently)
	}
	if err := follower.ReceiveState(context.Background(), stream.Position, 0, 0, stream.Data); err != nil || gently != 1 {
		t.Errorf("received gently %d times, want 1: %v", gently, err)
	}
	if position, err := follower.InstallState(stream.Position); err != nil || position.Index != 10 || gently != 2 {
		t.Errorf("installed at %s, gently %d times, want 2: %v", position, gently, err)
	}
}

// lastOpen is a file system that fails the first open of a run after it was made, written and synced.
type lastOpen struct {
	vfs.FS
	made, synced bool
	err          error
}

func (l *lastOpen) Create(name string) (vfs.File, error) {
	l.made = l.made || strings.Contains(name, "run-")
	return l.FS.Create(name)
}

func (l *lastOpen) OpenDir(name string) (vfs.Dir, error) {
	l.synced = l.made
	return l.FS.OpenDir(name)
}

func (l *lastOpen) Open(name string) (vfs.File, error) {
	if l.synced && strings.Contains(name, "run-") {
		l.made, l.synced = false, false
		return nil, l.err
	}
	return l.FS.Open(name)
}

// A read of the own disk that fails says nothing of the member that has sent the file.
func TestTheSenderIsNotBlamedForTheOwnDisk(t *testing.T) {
	for _, failure := range []error{syscall.EMFILE, syscall.EIO} {
		leader, _ := openMachine(t, crashfs.NewCrashableMem())
		leader.DoOp(set("key", "value"))
		if err := checkpoint(leader, 10); err != nil {
			t.Fatal(err)
		}
		fs := &lastOpen{FS: crashfs.NewCrashableMem(), err: failure}
		follower, _ := openMachine(t, fs)
		follower.UseFetcher(from{leader})
		for _, want := range []error{failure, nil} {
			stream, err := leader.OpenState()
			if err != nil {
				t.Fatal(err)
			}
			err = follower.ReceiveState(t.Context(), stream.Position, 0, 0, stream.Data)
			if !errors.Is(err, want) || errors.Is(err, state.ErrManifest) {
				t.Errorf("%v: %v", failure, err)
			}
			if err := stream.Data.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The manifest of another member becomes the own one, and a start refuses one with runs that no history can have. So it
// is refused before, by the member's name, and the own state is as it was.
func TestAManifestThatNoHistoryCanHaveIsRefused(t *testing.T) {
	leader, _ := openMachine(t, crashfs.NewCrashableMem())
	fs := crashfs.NewCrashableMem()
	follower, _ := openMachine(t, fs)
	follower.UseFetcher(from{leader})
	follower.DoOp(set("own", "value"))
	if err := checkpoint(follower, 1); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 { // a run that is full, and the next
		leader.DoOp(set(keyOf(i), valueOf(i)))
	}
	if err := checkpoint(leader, 3000); err != nil {
		t.Fatal(err)
	}
	position, b := sent(t, leader)
	image, err := state.DecodeImage(b, 7)
	if err != nil {
		t.Fatal(err)
	}
	runs, next := image.Runs(), uint32(1000)
	if len(runs) < 2 || !runs[0].Sealed || !runs[1].Sealed {
		t.Fatalf("%d runs, want two that are full", len(runs))
	}
	receive := func(runs []run.Info, next uint32) error {
		sent := image.WithRuns(runs, next).Encode()
		copy(sent, b[:8]) // the sender's id
		return follower.ReceiveState(context.Background(), position, 0, 0, bytes.NewReader(sent))
	}
	for name, spoil := range map[string]func([]run.Info) []run.Info{
		"a file twice":               func(r []run.Info) []run.Info { r[1].File = r[0].File; return r },
		"no file":                    func(r []run.Info) []run.Info { r[0].File = 0; return r },
		"a file that is to come":     func(r []run.Info) []run.Info { r[0].File = next; return r },
		"another order":              func(r []run.Info) []run.Info { r[0], r[1] = r[1], r[0]; return r },
		"revisions twice":            func(r []run.Info) []run.Info { r[1].First = r[0].Last; return r },
		"a gap":                      func(r []run.Info) []run.Info { return append(r[:1], r[2:]...) },
		"a length below nothing":     func(r []run.Info) []run.Info { r[0].Bytes = -1; return r },
		"a length beyond a run":      func(r []run.Info) []run.Info { r[0].Bytes = run.MaxRunBytes + 1; return r },
		"records below nothing":      func(r []run.Info) []run.Info { r[0].Records = -1; return r },
		"one that is not sealed":     func(r []run.Info) []run.Info { r[0].Sealed = false; return r },
		"another end of the history": func(r []run.Info) []run.Info { r[len(r)-1].ChainAfter++; return r },
		"revisions that are ahead":   func(r []run.Info) []run.Info { r[len(r)-1].Last = 1 << 40; return r },
		"the same bytes twice": func(r []run.Info) []run.Info {
			r[1].Checksum, r[1].Bytes = r[0].Checksum, r[0].Bytes
			return r
		},
	} {
		err := receive(spoil(slices.Clone(runs)), next)
		if !errors.Is(err, state.ErrManifest) || !strings.Contains(err.Error(), "of member "+raft.NodeID(1).String()+": ") {
			t.Errorf("%s: received: %v", name, err)
		}
	}
	hash := follower.Hash()
	if opened, position := openMachine(t, fs); position.Index != 1 || opened.Hash() != hash {
		t.Errorf("opened at %s with hash %x, want 1 and %x", position, opened.Hash(), hash)
	}
	if err := receive(runs, next); err != nil {
		t.Errorf("as it is: %v", err)
	}
	other := slices.Clone(runs) // of a file that the follower has by now
	if other[0].Records++; !errors.Is(receive(other, next), state.ErrManifest) {
		t.Error("a run that has other records than its file is taken")
	}
}

// breaking is a fetcher of which a file breaks off whose beginning is not there yet.
type breaking struct{ from }

func (b breaking) Fetch(ctx context.Context, id raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	data, err := b.from.Fetch(ctx, id, name, offset)
	if err != nil || offset > 0 {
		return data, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(data, 1000), data}, nil
}

// A state was received and is not installed yet, as a later one arrives of which a file breaks off. The numbers of files go
// on from those of the state that is installed, so that the number of that file is given again. The next state that
// arrives does not go on with it: it was removed for that one, when it was a file of this member's own history.
func TestAFileThatBrokeOffBeforeAnotherStateWasInstalled(t *testing.T) {
	leader, _ := openMachine(t, crashfs.NewCrashableMem())
	fs := crashfs.NewCrashableMem()
	follower, _ := openMachine(t, fs)
	other := state.New(state.Config{FS: crashfs.NewCrashableMem(), Dir: "state", Cluster: 7, ID: 3, RunBytes: 5 << 10, CacheBytes: -1})
	if _, _, err := other.Open(); err != nil {
		t.Fatal(err)
	}
	do := func(m *state.Machine, first, last int) {
		for i := first; i <= last; i++ {
			m.DoOp(set(keyOf(i), valueOf(i)))
		}
		if err := checkpoint(m, raft.Index(last)); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(sender *state.Machine) (raft.SnapshotMeta, error) {
		stream, err := sender.OpenState()
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Data.Close()
		return stream.Position, follower.ReceiveState(t.Context(), stream.Position, 0, 0, stream.Data)
	}
	do(leader, 1, 200)
	follower.UseFetcher(from{leader})
	first, err := receive(leader)
	if err != nil {
		t.Fatal(err)
	}
	do(leader, 201, 400)
	follower.UseFetcher(breaking{from{leader}})
	if _, err := receive(leader); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("received: %v, want a file that breaks off", err)
	}
	if _, err := follower.InstallState(first); err != nil {
		t.Fatal(err)
	}
	do(follower, 201, 400)
	do(other, 1, 800)
	follower.UseFetcher(breaking{from{other}})
	if _, err := receive(other); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("received: %v, want a file that breaks off", err)
	}
	if opened, position := openMachine(t, fs); position.Index != 400 || opened.Hash() != leader.Hash() {
		t.Errorf("opened at %s with hash %x, want 400 and %x", position, opened.Hash(), leader.Hash())
	}
}

// endless counts how many of its zeros are read.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += len(p)
	return len(p), nil
}

// A stream is read as far as its manifest says, and not until it ends: so it may be as long as it has to, and no other
// member fills the memory.
func TestAStreamIsReadAsFarAsItSays(t *testing.T) {
	leader, _ := openMachine(t, crashfs.NewCrashableMem())
	follower, _ := openMachine(t, crashfs.NewCrashableMem())
	follower.UseFetcher(from{leader})
	leader.DoOp(set("key", "value"))
	if err := checkpoint(leader, 1); err != nil {
		t.Fatal(err)
	}
	position, b := sent(t, leader)
	for end, want := range map[int]error{0: state.ErrManifest, 20: state.ErrManifest, len(b): state.ErrSmall} {
		rest := new(endless)
		err := follower.ReceiveState(t.Context(), position, 0, 0, io.MultiReader(bytes.NewReader(b[:end]), rest))
		if !errors.Is(err, want) || rest.read > 64<<10 {
			t.Errorf("%d bytes of %d and zeros without end: %d are read: %v, want %v", end, len(b), rest.read, err, want)
		}
	}
	for end := range len(b) {
		if err := follower.ReceiveState(t.Context(), position, 0, 0, bytes.NewReader(b[:end])); err == nil {
			t.Errorf("%d bytes of %d are a state", end, len(b))
		}
	}
	broken := fmt.Errorf("the line: %w", io.EOF)
	for end := range len(b) {
		line := io.MultiReader(bytes.NewReader(b[:end]), iotest.ErrReader(broken))
		if err := follower.ReceiveState(t.Context(), position, 0, 0, line); !errors.Is(err, broken) {
			t.Errorf("the line breaks after %d bytes of %d: %v", end, len(b), err)
		}
	}
	if err := follower.ReceiveState(t.Context(), position, 0, 0, bytes.NewReader(b)); err != nil {
		t.Error(err)
	}
}

// hanging is a fetcher whose member does not answer. Its channel, of one place, has a token when it was asked.
type hanging struct{ asked chan struct{} }

func (h hanging) Fetch(ctx context.Context, _ raft.NodeID, _ []byte, _ int64) (io.ReadCloser, error) {
	select {
	case h.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A reception that is given up lets the next checkpoint be taken.
func TestAReceptionEndsWithItsContext(t *testing.T) {
	leader, _ := openMachine(t, crashfs.NewCrashableMem())
	follower, _ := openMachine(t, crashfs.NewCrashableMem())
	line := hanging{make(chan struct{}, 1)}
	follower.UseFetcher(line)
	leader.DoOp(set("key", "value"))
	follower.DoOp(set("key", "value"))
	if err := checkpoint(leader, 1); err != nil {
		t.Fatal(err)
	}
	stream, err := leader.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- follower.ReceiveState(ctx, stream.Position, 0, 0, stream.Data) }()
	<-line.asked
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("received: %v", err)
	}
	if err := checkpoint(follower, 1); err != nil {
		t.Error(err)
	}
}
