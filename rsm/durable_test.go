package rsm_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// durableCounter is a counter that keeps its own state on a counterDisk.
type durableCounter struct {
	counter
	disk *counterDisk
}

// counterDisk is what a durableCounter finds after a restart.
type counterDisk struct {
	mu        sync.Mutex
	state     durableState
	received  durableState // its data may be a part of the stream
	whole     bool         // received is all there
	streams   rsm.StreamID // the last that was given out
	failure   error        // of each checkpoint, if not nil
	attempts  int          // to checkpoint
	brokenOff error        // of each install, if not nil
	offsets   []int64      // at which received data began
	closed    int          // streams that were opened and closed
	opened    int
	bad       error // of each read of the first stream that was opened, if not nil
}

type durableState struct {
	position raft.SnapshotMeta
	id       rsm.StreamID
	data     []byte
}

// stateBytes is the size of a stream.
const stateBytes = 1000

func (d *counterDisk) saved(position raft.SnapshotMeta, n int64) durableState {
	d.streams++
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(n)), make([]byte, stateBytes-8)...)
	return durableState{position, uint64(position.Index)<<16 | d.streams, data}
}

func (d *counterDisk) index() raft.Index {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.position.Index
}

func (m *durableCounter) load() {
	m.counter.mu.Lock()
	defer m.counter.mu.Unlock()
	if len(m.disk.state.data) > 0 {
		m.n = int64(binary.LittleEndian.Uint64(m.disk.state.data))
	}
}

func (m *durableCounter) Open() (raft.SnapshotMeta, int64, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.install()
	return m.disk.state.position, stateBytes, nil
}

func (m *durableCounter) install() {
	if m.disk.whole {
		m.disk.state, m.disk.received, m.disk.whole = m.disk.received, durableState{}, false
	}
	m.load()
}

func (m *durableCounter) Checkpoint(position raft.SnapshotMeta) rsm.CheckpointWork {
	n := m.get()
	return func(context.Context) (int64, error) {
		time.Sleep(time.Millisecond)
		m.disk.mu.Lock()
		defer m.disk.mu.Unlock()
		m.disk.attempts++
		if m.disk.failure != nil {
			return 0, m.disk.failure
		}
		m.disk.state = m.disk.saved(position, n)
		return 8, nil
	}
}

func (m *durableCounter) OpenState() (rsm.StateStream, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	s, d := m.disk.state, m.disk
	d.opened++
	return rsm.StateStream{Position: s.position, ID: s.id, Data: &openStream{bytes.NewReader(s.data), d, d.opened == 1}}, nil
}

type openStream struct {
	*bytes.Reader
	disk  *counterDisk
	first bool
}

func (s *openStream) Read(b []byte) (int, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.first && s.disk.bad != nil {
		return 0, s.disk.bad
	}
	return s.Reader.Read(b)
}

func (s *openStream) Close() error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.closed++
	return nil
}

func (m *durableCounter) StateOffset(_ raft.SnapshotMeta, stream rsm.StreamID) int64 {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.received.id != stream {
		return 0
	}
	return int64(len(m.disk.received.data))
}

func (m *durableCounter) ReceiveState(_ context.Context, position raft.SnapshotMeta, stream rsm.StreamID, offset int64, data io.Reader) error {
	if have := m.StateOffset(position, stream); have != offset {
		return fmt.Errorf("stream %x from %d: %d bytes are there", stream, offset, have)
	}
	b, err := io.ReadAll(data)
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.disk.offsets = append(m.disk.offsets, offset)
	m.disk.received = durableState{position, stream, append(m.disk.received.data[:offset:offset], b...)}
	m.disk.whole = err == nil
	return err
}

func (m *durableCounter) InstallState(raft.SnapshotMeta) (raft.SnapshotMeta, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.brokenOff != nil {
		return raft.SnapshotMeta{}, m.disk.brokenOff
	}
	m.install()
	return m.disk.state.position, nil
}

// runDurable runs a cluster of durableCounters, whose disks survive restarts.
func runDurable(t *testing.T, n int, f func(t *testing.T, c *cluster, disks map[raft.NodeID]*counterDisk)) {
	run(t, n, 200, func(t *testing.T, c *cluster) {
		disks := map[raft.NodeID]*counterDisk{}
		c.settings = func(cfg *rsm.Config[int64, int64]) {
			if disks[cfg.ID] == nil {
				disks[cfg.ID] = &counterDisk{}
			}
			cfg.Durable, cfg.Machine, cfg.Snapshots = &durableCounter{disk: disks[cfg.ID]}, nil, nil
		}
		for _, id := range c.ids {
			c.stop(id)
			c.disks[id] = &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(c.ids...))}
			c.start(id)
		}
		f(t, c, disks)
	})
}

// A restart begins at the position: no operation is executed twice, and the log below the
// position is gone.
func TestRestartBeginsAtThePosition(t *testing.T) {
	runDurable(t, 3, func(t *testing.T, c *cluster, disks map[raft.NodeID]*counterDisk) {
		for range 100 {
			c.inc()
		}
		time.Sleep(time.Second)
		for _, id := range c.ids {
			s := c.nodes[id].Status()
			if position := disks[id].state.position.Index; position < 50 || s.FirstIndex < 20 || s.FirstIndex > position+1 {
				t.Errorf("%s: the position is %d, the log begins at %d", id, position, s.FirstIndex)
			}
		}
		c.restartAll()
		if got := c.inc(); got != 101 {
			t.Errorf("after a restart the sum is %d, want 101", got)
		}
	})
}

// cutShort is a Receiver to which the first snapshot arrives in part only.
type cutShort struct {
	*node
	once sync.Once
}

func (r *cutShort) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	r.once.Do(func() { data = io.MultiReader(io.LimitReader(data, stateBytes/2), cutReader{}) })
	return r.node.ReceiveSnapshot(m, data)
}

type cutReader struct{}

func (cutReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A follower without the log gets the state. The stream breaks off, and goes on from there,
// though the leader has moved on meanwhile. Each stream that was opened is closed.
func TestStreamOfAStateIsResumed(t *testing.T) {
	runDurable(t, 3, func(t *testing.T, c *cluster, disks map[raft.NodeID]*counterDisk) {
		leader, f := c.leaveBehind()
		c.receiver = func(n *node) rsm.Receiver { return &cutShort{node: n} }
		c.start(f)
		time.Sleep(100 * time.Millisecond)
		for first := disks[leader].index(); disks[leader].index() == first; {
			c.incAt(leader)
		}
		time.Sleep(5 * time.Second)
		d := disks[f]
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.offsets) != 2 || d.offsets[0] != 0 || d.offsets[1] != stateBytes/2 {
			t.Errorf("the state arrived from the offsets %d, want 0 and %d", d.offsets, stateBytes/2)
		}
		if l, s := c.nodes[leader].Status(), c.nodes[f].Status(); s.Applied < l.Applied {
			t.Errorf("it is at %d, the leader at %d", s.Applied, l.Applied)
		}
		if closed := disks[leader].closed; closed != 1 {
			t.Errorf("%d streams were closed, want 1", closed)
		}
	})
}

// A machine that was told to stop breaks off what takes long. That is no failure of the replica, which ends by it.
func TestAnInstallIsBrokenOff(t *testing.T) {
	for _, why := range []error{fmt.Errorf("load the index: %w", context.Canceled), errors.New("input/output error")} {
		runDurable(t, 3, func(t *testing.T, c *cluster, disks map[raft.NodeID]*counterDisk) {
			_, f := c.leaveBehind()
			disks[f].brokenOff = why
			c.start(f)
			<-c.nodes[f].Done()
			if err := c.nodes[f].Err(); errors.Is(why, context.Canceled) != (err == nil) {
				t.Errorf("%v: the replica has failed with %v", why, err)
			}
		})
	}
}

// A stream that cannot be read is given up: another one may be good.
func TestStreamThatCannotBeReadIsNotResumed(t *testing.T) {
	runDurable(t, 3, func(t *testing.T, c *cluster, disks map[raft.NodeID]*counterDisk) {
		leader, f := c.leaveBehind()
		d := disks[leader]
		d.mu.Lock()
		d.bad = errors.New("input/output error")
		d.mu.Unlock()
		c.start(f)
		time.Sleep(5 * time.Second)
		if l, s := c.nodes[leader].Status(), c.nodes[f].Status(); s.Applied < l.Applied {
			t.Errorf("it is at %d, the leader at %d", s.Applied, l.Applied)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.opened != 2 || d.closed != 2 {
			t.Errorf("%d streams were opened and %d closed, want 2", d.opened, d.closed)
		}
	})
}

// A stream that is kept for a member is closed when the node stops.
func TestKeptStreamIsClosedInTheEnd(t *testing.T) {
	runDurable(t, 3, func(t *testing.T, c *cluster, disks map[raft.NodeID]*counterDisk) {
		leader, f := c.leaveBehind()
		c.receiver = func(n *node) rsm.Receiver { return noRoom{n} }
		c.start(f)
		time.Sleep(2100 * time.Millisecond)
		c.stop(leader)
		if closed := disks[leader].closed; closed != 1 {
			t.Errorf("%d streams were closed, want the one that was kept", closed)
		}
	})
}

// noRoom is a Receiver that stores no snapshot.
type noRoom struct{ *node }

func (noRoom) ReceiveSnapshot(*raft.InstallSnapshot, io.Reader) error {
	return errors.New("no room")
}

// startAlone starts the only voter of a cluster, whose log is at most logged, and whose
// machine is on disk.
func startAlone(t *testing.T, log rsm.Log, disk *counterDisk) (*node, error) {
	t.Helper()
	net := memnet.New(1)
	t.Cleanup(net.Close)
	return rsm.Start(rsm.Config[int64, int64]{
		ID: 1, Durable: &durableCounter{disk: disk}, Codec: codec{}, Log: log, Transport: net.Node(1), MaxRaftState: 200,
	})
}

func at(index raft.Index, term raft.Term) raft.SnapshotMeta {
	return raft.SnapshotMeta{Index: index, Term: term, Configuration: raft.NewConfiguration(1)}
}

// filledLog returns a log with entries of one term.
func filledLog(t *testing.T, term raft.Term, last raft.Index) *rsm.MemoryStorage {
	t.Helper()
	log := rsm.NewMemoryStorage(raft.NewConfiguration(1))
	p := raft.Persist{Seq: 1, HardState: &raft.HardState{Term: term, Vote: 1}}
	for i := range last {
		p.Entries = append(p.Entries, raft.Entry{Index: i + 1, Term: term, Kind: raft.EntryCommand, Data: codec{}.Append(nil, 1)})
	}
	if err := log.Save([]raft.Persist{p}); err != nil {
		t.Fatal(err)
	}
	return log
}

// A machine may be ahead of its own log, or be contradicted by it: then the log begins anew
// behind the position. Else the log is executed from there.
func TestLogCountsOnlyIfItHoldsThePosition(t *testing.T) {
	for _, test := range []struct {
		name     string
		position raft.SnapshotMeta
		want     int64 // the sum after one more
	}{
		{"the log goes on behind the position", at(3, 2), 100 + 2 + 1},
		{"the position is ahead of the log", at(8, 2), 100 + 1},
		{"the log has another term there", at(3, 3), 100 + 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &counterDisk{}
				disk.state = disk.saved(test.position, 100)
				n, err := startAlone(t, filledLog(t, 2, 5), disk)
				if err != nil {
					t.Fatal(err)
				}
				defer n.Stop()
				time.Sleep(2 * time.Second)
				if got, err := n.Submit(t.Context(), 1); err != nil || got != test.want {
					t.Errorf("the sum is %d (%v), want %d", got, err, test.want)
				}
			})
		})
	}
}

// A machine that has not kept the configuration of its position is refused, at its start and
// as the source of a transfer: a member without voters never campaigns.
func TestPositionWithoutVotersIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &counterDisk{}
		disk.state = disk.saved(raft.SnapshotMeta{Index: 3, Term: 2}, 3)
		if n, err := startAlone(t, filledLog(t, 2, 5), disk); err == nil || !strings.Contains(err.Error(), "without voters") {
			t.Errorf("it starts: %v", err)
			n.Stop()
		}
	})
	m := &raft.InstallSnapshot{Header: raft.Header{From: 1, To: 2, Term: 2}, Meta: raft.SnapshotMeta{Index: 3, Term: 2}}
	if err := m.Check(); err == nil || !strings.Contains(err.Error(), "without voters") {
		t.Errorf("it is sent: %v", err)
	}
}

// A machine that has lost its state is refused: the log that would rebuild it is gone.
func TestPositionBelowTheLogIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := filledLog(t, 2, 5)
		if err := log.Compact(4); err != nil {
			t.Fatal(err)
		}
		for _, position := range []raft.SnapshotMeta{{}, at(3, 2)} {
			disk := &counterDisk{}
			disk.state = disk.saved(position, 3)
			if _, err := startAlone(t, log, disk); err == nil || !strings.Contains(err.Error(), "begins behind") {
				t.Errorf("at %s: %v", position, err)
			}
		}
	})
}

// A checkpoint that fails is tried again, and the log stays. Where the disk has failed the
// replica stops.
func TestCheckpointThatFails(t *testing.T) {
	full := errors.New("no space left on device")
	for _, failure := range []error{full, fmt.Errorf("sync: %w", rsm.ErrMachineFailed)} {
		t.Run(failure.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &counterDisk{failure: failure}
				n, err := startAlone(t, rsm.NewMemoryStorage(raft.NewConfiguration(1)), disk)
				if err != nil {
					t.Fatal(err)
				}
				defer n.Stop()
				time.Sleep(2 * time.Second)
				for range 30 {
					if _, err = n.Submit(t.Context(), 1); err != nil {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				if failure == full {
					if s := n.Status(); err != nil || s.FirstIndex != 1 || disk.attempts < 2 {
						t.Errorf("Submit: %v; the log begins at %d after %d attempts", err, s.FirstIndex, disk.attempts)
					}
					return
				}
				<-n.Done()
				if !errors.Is(n.Err(), rsm.ErrMachineFailed) || !errors.Is(cmp.Or(err, rsm.ErrStopped), rsm.ErrStopped) {
					t.Errorf("it ends with %v, Submit with %v", n.Err(), err)
				}
			})
		})
	}
}

// One of two kinds of machine is to be given.
func TestConfigHasOneMachine(t *testing.T) {
	storage := rsm.NewMemoryStorage(raft.NewConfiguration(1))
	cfg := rsm.Config[int64, int64]{ID: 1, Codec: codec{}, Log: storage, Transport: memnet.New(1).Node(1)}
	if _, err := rsm.Start(cfg); err == nil || !strings.Contains(err.Error(), "or Durable") {
		t.Errorf("without a machine: %v", err)
	}
	cfg.Machine, cfg.Snapshots, cfg.Durable = &counter{}, storage, &durableCounter{disk: &counterDisk{}}
	if _, err := rsm.Start(cfg); err == nil || !strings.Contains(err.Error(), "takes the place") {
		t.Errorf("with both: %v", err)
	}
}

// leaveBehind stops a follower, and executes so much that it needs the state when it starts again.
func (c *cluster) leaveBehind() (leader, follower raft.NodeID) {
	c.t.Helper()
	leader = c.leader()
	follower = c.others(leader)[0]
	c.stop(follower)
	for range 100 {
		c.incAt(leader)
	}
	time.Sleep(time.Second)
	return leader, follower
}
