package state_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv/run"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// lineOf counts what is fetched of another machine.
type lineOf struct {
	*state.Machine
	bytes int64
	// cut, if not 0, is after how many bytes a fetch breaks off.
	cut int64
	// breaks, if not 0, is after how many fetches the next one breaks off. fetches counts them.
	breaks, fetches int
}

func (l *lineOf) Fetch(_ context.Context, _ raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	if l.fetches++; l.breaks > 0 && l.fetches > l.breaks {
		l.fetches = 0
		return nil, errors.New("the line breaks")
	}
	data, err := l.OpenFile(name, offset)
	if err != nil {
		return nil, err
	}
	var r io.Reader = data
	if l.cut > 0 {
		r = io.MultiReader(io.LimitReader(data, l.cut), iotest.ErrReader(errors.New("the line is cut")))
	}
	return &counted{r, data, &l.bytes}, nil
}

type counted struct {
	io.Reader
	io.Closer
	bytes *int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.bytes += int64(n)
	return n, err
}

// pair is a leader and a follower that gets its states.
type pair struct {
	t                *testing.T
	leader, follower *state.Machine
	line             *lineOf
	fs               *crashfs.Mem // the follower's
	index            raft.Index
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, fs: crashfs.NewCrashableMem()}
	p.leader, _ = openMachine(t, crashfs.NewCrashableMem())
	p.line = &lineOf{Machine: p.leader}
	p.follower, _ = openMachine(t, p.fs)
	p.follower.UseFetcher(p.line)
	return p
}

// write lets machines execute the next commands.
func (p *pair) write(commands int, ms ...*state.Machine) {
	for range commands {
		p.index++
		for _, m := range ms {
			m.DoOp(set(keyOf(int(p.index)), valueOf(int(p.index))))
		}
	}
}

func (p *pair) checkpoint(m *state.Machine) {
	p.t.Helper()
	if err := checkpoint(m, p.index); err != nil {
		p.t.Fatal(err)
	}
}

// transfer sends the leader's durable state, and returns how many bytes of runs were fetched for it.
func (p *pair) transfer() (fetched int64, err error) {
	p.t.Helper()
	stream, err := p.leader.OpenState()
	if err != nil {
		p.t.Fatal(err)
	}
	defer stream.Data.Close()
	before := p.line.bytes
	err = p.follower.ReceiveState(context.Background(), stream.Position, 0, 0, stream.Data)
	return p.line.bytes - before, err
}

// lastRun is the last one of the leader's durable state.
func (p *pair) lastRun() run.Info {
	p.t.Helper()
	stream, err := p.leader.OpenState()
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(stream.Data)
	if err = errors.Join(err, stream.Data.Close()); err != nil {
		p.t.Fatal(err)
	}
	image, err := state.DecodeImage(b, 7)
	if err != nil {
		p.t.Fatal(err)
	}
	runs := image.Runs()
	return runs[len(runs)-1]
}

func (p *pair) install() {
	p.t.Helper()
	if _, err := p.follower.InstallState(raft.SnapshotMeta{Index: p.index, Term: 1}); err != nil {
		p.t.Fatal(err)
	}
	p.wantEqual(p.follower)
}

// wantEqual compares a machine with the leader.
func (p *pair) wantEqual(m *state.Machine) {
	p.t.Helper()
	if got, want := m.Hash(), p.leader.Hash(); got != want {
		p.t.Fatalf("hash %x, want %x", got, want)
	}
	for i := 1; i <= int(p.index); i++ {
		if r := m.Get(keyOf(i)); r.Err() != nil || string(r.Value) != valueOf(i) {
			p.t.Fatalf("%s: %v", keyOf(i), r.Err())
		}
	}
}

// The run that is being written is fetched once, however many states are sent.
func TestATransferCostsWhatIsNew(t *testing.T) {
	p := newPair(t)
	p.write(10, p.leader)
	p.checkpoint(p.leader)
	first, err := p.transfer()
	if err != nil {
		t.Fatal(err)
	}
	p.install()
	perCommand := first / 10
	for range 200 { // runs are sealed meanwhile
		before := p.leader.Figures()
		p.write(1, p.leader)
		p.checkpoint(p.leader)
		fetched, err := p.transfer()
		if err != nil {
			t.Fatal(err)
		}
		if sealed := p.leader.Figures().Runs > before.Runs; fetched > 2*perCommand && !sealed {
			t.Fatalf("one command of %d bytes: %d bytes were fetched", perCommand, fetched)
		}
		p.install()
	}
	if p.line.bytes > 2*p.leader.Figures().RunBytes {
		t.Errorf("%d bytes were fetched in all, of runs of %d", p.line.bytes, p.leader.Figures().RunBytes)
	}
	m, _ := openMachine(t, p.fs.CrashClone(crashfs.Crash{}))
	p.wantEqual(m)
}

// A fetch that broke off goes on, though the run has grown at the sender.
func TestATransferGoesOnInALongerRun(t *testing.T) {
	p := newPair(t)
	p.write(30, p.leader)
	p.checkpoint(p.leader)
	p.line.cut = 2 << 10
	if _, err := p.transfer(); err == nil {
		t.Fatal("the state was received through a line that is cut")
	}
	p.line.cut = 0
	p.write(1, p.leader)
	p.checkpoint(p.leader)
	fetched, err := p.transfer()
	if size := p.leader.Figures().RunBytes; err != nil || fetched > size-1500 {
		t.Fatalf("%d bytes of %d were fetched: %v", fetched, size, err)
	}
	p.install()
}

// The line breaks more often than the state has files. What was fetched whole is not asked for again.
func TestATransferOfManyFilesEndsOverALineThatBreaks(t *testing.T) {
	p := newPair(t)
	for range 40 {
		p.write(10, p.leader)
		p.checkpoint(p.leader)
	}
	p.line.breaks = 2
	runs := p.leader.Figures().Runs
	if _, err := p.transfer(); err == nil {
		t.Fatal("the state was received over a line that breaks")
	}
	p.checkpoint(p.follower) // it removes what no manifest names
	if runs < 5 {
		t.Fatalf("%d runs", runs)
	}
	for tries := 1; ; tries++ {
		_, err := p.transfer()
		if err == nil {
			break
		}
		if tries > runs {
			t.Fatalf("%d runs are not there after %d transfers: %v", runs, tries, err)
		}
	}
	p.install()
}

// A state shares files with an earlier one, which this member still sends to another member. Those files are not of
// its newest state, and go when that is sent.
func TestAFileThatIsToGoIsFetchedAgain(t *testing.T) {
	p := newPair(t)
	receive := func() {
		t.Helper()
		if _, err := p.transfer(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		p.write(10, p.leader)
		p.checkpoint(p.leader)
	}
	receive()
	p.install()
	sent, err := p.follower.OpenState()
	if err != nil {
		t.Fatal(err)
	}
	leader := p.leader
	p.leader, _ = openMachine(t, crashfs.NewCrashableMem())
	p.line.Machine = p.leader
	p.leader.DoOp(set("another", "history"))
	p.checkpoint(p.leader)
	receive()
	if _, err := p.follower.InstallState(raft.SnapshotMeta{Index: p.index, Term: 1}); err != nil {
		t.Fatal(err)
	}
	p.leader, p.line.Machine = leader, leader
	receive()
	if err := sent.Data.Close(); err != nil {
		t.Fatal(err)
	}
	p.install()
}

// A follower whose own beginning of a run is not the sender's gets the whole.
func TestARunThatWasDamagedIsNotExtended(t *testing.T) {
	p := newPair(t)
	p.write(10, p.leader, p.follower)
	p.checkpoint(p.leader)
	p.checkpoint(p.follower)
	s := &scrubbed{t: t, fs: p.fs, whole: map[string][]byte{}}
	s.whole["run-1"] = s.read("run-1")
	s.damage("run-1", 200)
	p.write(10, p.leader)
	p.checkpoint(p.leader)
	fetched, err := p.transfer()
	if size := p.leader.Figures().RunBytes; err != nil || fetched < size {
		t.Fatalf("%d bytes of %d were fetched: %v", fetched, size, err)
	}
	p.install()
}

// A state that was received, and that the log has made needless, has extended a file that the own
// history writes to.
func TestACheckpointAfterAnExtendedRun(t *testing.T) {
	for _, commands := range []int{3, 100} { // within a run; and beyond its end
		p := newPair(t)
		p.write(10, p.leader, p.follower)
		p.checkpoint(p.follower)
		p.write(commands, p.leader, p.follower)
		p.checkpoint(p.leader)
		if _, err := p.transfer(); err != nil {
			t.Fatal(err)
		}
		p.write(2, p.leader, p.follower)
		fs := p.fs
		p.checkpoint(p.follower)
		p.write(100, p.leader, p.follower)
		p.checkpoint(p.follower)
		p.wantEqual(p.follower)
		m, position := openMachine(t, fs.CrashClone(crashfs.Crash{}))
		if position.Index != p.index {
			t.Fatalf("opened at %s, want %d", position, p.index)
		}
		p.wantEqual(m)
	}
}

// The leader has begun another run before its checkpoint was written, which ends with the run before. The follower has
// executed up to there, and nothing since that would begin the other run.
func TestACheckpointAfterARunThatIsJustFull(t *testing.T) {
	p := newPair(t)
	p.write(10, p.leader, p.follower)
	p.checkpoint(p.follower)
	for {
		p.write(1, p.leader, p.follower)
		work := p.leader.Checkpoint(raft.SnapshotMeta{Index: p.index, Term: 1})
		next := set(keyOf(int(p.index+1)), valueOf(int(p.index+1)))
		p.leader.DoOp(next)
		if _, err := work(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p.lastRun().Sealed {
			if _, err := p.transfer(); err != nil {
				t.Fatal(err)
			}
			p.checkpoint(p.follower)
			p.follower.DoOp(next)
			p.index++
			break
		}
		p.follower.DoOp(next)
		p.index++
	}
	p.write(100, p.leader, p.follower)
	p.checkpoint(p.follower)
	p.wantEqual(p.follower)
	if m, position := openMachine(t, p.fs.CrashClone(crashfs.Crash{})); position.Index != p.index {
		t.Errorf("opened at %s, want %d", position, p.index)
	} else {
		p.wantEqual(m)
	}
}

// A follower that differs does not write over what it has received.
func TestACheckpointOfOtherRecordsIsRefused(t *testing.T) {
	for _, commands := range []int{3, 100} {
		p := newPair(t)
		p.write(10, p.leader, p.follower)
		p.checkpoint(p.follower)
		p.follower.DoOp(set("other", "value"))
		p.write(commands, p.leader, p.follower)
		p.checkpoint(p.leader)
		if _, err := p.transfer(); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint(p.follower, p.index); !errors.Is(err, rsm.ErrMachineFailed) {
			t.Fatalf("the checkpoint: %v", err)
		}
		m, _ := openMachine(t, p.fs)
		p.wantEqual(m)
	}
}

// A crash at any operation while a run is extended leaves the old state or the new one.
func TestCrashWhileARunIsExtended(t *testing.T) {
	p := newPair(t)
	p.write(10, p.leader, p.follower)
	p.checkpoint(p.follower)
	old, random := p.follower.Hash(), rand.New(rand.NewPCG(1, 2))
	var crashes []*crashfs.Mem
	p.follower, _ = openMachine(t, crashfs.Inject(p.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			for _, percent := range []int{0, 50, 100} {
				crashes = append(crashes, p.fs.CrashClone(crashfs.Crash{UnsyncedPercent: percent, Rand: random}))
			}
		}
		return nil
	})))
	p.follower.UseFetcher(p.line)
	p.write(100, p.leader)
	p.checkpoint(p.leader)
	crashes = nil
	if _, err := p.transfer(); err != nil {
		t.Fatal(err)
	}
	p.install()
	after := 0
	for i, fs := range crashes {
		checkDir(t, fs)
		m, _ := openMachine(t, fs)
		switch m.Hash() {
		case old:
		case p.leader.Hash():
			after++
		default:
			t.Fatalf("crash %d of %d: neither the old state nor the new one", i, len(crashes))
		}
	}
	if after == 0 || len(crashes) < 24 {
		t.Errorf("%d crashes, %d of them with the new state", len(crashes), after)
	}
}

// An error at any operation while a run is extended, be it that the line breaks too, leaves the old state or the
// new one, and the next transfer brings the new one unless a sync has failed.
func TestErrorWhileARunIsExtended(t *testing.T) {
	for _, cut := range []int64{0, 100} {
		for at := 0; ; at++ {
			p, left := newPair(t), -1
			fs := crashfs.Inject(p.fs, errorfs.InjectorFunc(func(errorfs.Op) error {
				if left--; left == 0 {
					return errorfs.ErrInjected
				}
				return nil
			}))
			p.follower, _ = openMachine(t, fs)
			p.follower.UseFetcher(p.line)
			p.write(10, p.leader, p.follower)
			p.checkpoint(p.follower)
			old := p.follower.Hash()
			p.write(100, p.leader)
			p.checkpoint(p.leader)
			p.line.cut, left = cut, at+1
			_, err := p.transfer()
			all := left > 0
			p.line.cut, left = 0, -1
			for _, percent := range []int{0, 50, 100} {
				disk := p.fs.CrashClone(crashfs.Crash{UnsyncedPercent: percent, Rand: rand.New(rand.NewPCG(uint64(at), 2))})
				if m, _ := openMachine(t, disk); m.Hash() != old && m.Hash() != p.leader.Hash() {
					t.Fatalf("operation %d, cut at %d: neither the old state nor the new one", at, cut)
				}
			}
			if !errors.Is(err, rsm.ErrMachineFailed) {
				if _, err := p.transfer(); err != nil {
					t.Fatalf("operation %d, cut at %d: the next transfer: %v", at, cut, err)
				}
				p.install()
			}
			if all {
				break
			}
		}
	}
}

// flipping changes a byte of what is fetched.
type flipping struct{ *state.Machine }

func (f flipping) Fetch(_ context.Context, _ raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	data, err := f.OpenFile(name, offset)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	b, err := io.ReadAll(data)
	b[len(b)/2]++
	return io.NopCloser(bytes.NewReader(b)), err
}

// A checkpoint that failed behind its runs has written more of the last one than the manifest says. What is received
// must not be written over that, since the next checkpoint goes on behind it.
func TestWhatACheckpointHasWrittenIsNotExtended(t *testing.T) {
	p, full := newPair(t), false
	p.follower, _ = openMachine(t, crashfs.Inject(p.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full && op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "small-") {
			return syscall.ENOSPC
		}
		return nil
	})))
	p.follower.UseFetcher(flipping{p.leader})
	p.write(5, p.leader, p.follower)
	p.checkpoint(p.follower)
	p.write(100, p.leader, p.follower) // the run of the first is sealed
	full = true
	if err := checkpoint(p.follower, p.index); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	full = false
	p.write(3, p.leader)
	p.checkpoint(p.leader)
	if _, err := p.transfer(); err == nil {
		t.Fatal("a damaged state was received")
	}
	p.index -= 3
	p.write(3, p.follower)
	p.checkpoint(p.follower)
	m, _ := openMachine(t, p.fs.CrashClone(crashfs.Crash{}))
	p.wantEqual(m)
}

// TestWhatLoadsAnIndexIsBrokenOff: with many keys that takes long, and whoever stops must not wait for it.
func TestWhatLoadsAnIndexIsBrokenOff(t *testing.T) {
	p := newPair(t)
	p.write(10, p.leader)
	p.checkpoint(p.leader)
	if _, err := p.transfer(); err != nil {
		t.Fatal(err)
	}
	p.follower.Interrupt()
	if _, err := p.follower.InstallState(raft.SnapshotMeta{Index: p.index, Term: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("install: %v", err)
	}
	if err := p.follower.Close(); err != nil {
		t.Fatal(err)
	}
	again := state.New(state.Config{FS: p.fs, Dir: "state", Cluster: 7, ID: 1})
	again.Interrupt()
	if _, _, err := again.Open(); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	m, position := openMachine(t, p.fs)
	if p.wantEqual(m); position.Index != p.index {
		t.Errorf("the next start is at %d, want %d", position.Index, p.index)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := imageOf(t, m).Check(ctx, filesOf(p.fs)); !errors.Is(err, context.Canceled) {
		t.Errorf("check: %v", err)
	}
}
