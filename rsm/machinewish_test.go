package rsm_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// A machine may want a checkpoint although the log is short.
func TestCheckpointOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &counterDisk{}
		n, err := startAlone(t, filledLog(t, 1, 3), disk) // far below MaxRaftState
		if err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		time.Sleep(3 * time.Second)
		if got := disk.index(); got != 0 {
			t.Fatalf("checkpoint at %d, though nobody wanted one", got)
		}
		n.Checkpoint()
		time.Sleep(time.Second)
		if got, want := disk.index(), n.Status().Applied; got != want {
			t.Errorf("checkpoint at %d, want one at %d", got, want)
		}
		attempts := disk.attempts
		time.Sleep(3 * time.Second)
		if disk.attempts != attempts {
			t.Errorf("%d checkpoints for one wish", disk.attempts)
		}
	})
}

// sickCounter tells what its test says of its files.
type sickCounter struct {
	durableCounter
	damaged atomic.Bool
}

func (m *sickCounter) Damaged() bool { return m.damaged.Load() }

// A machine whose files are damaged gets the checkpoint that it wants though nothing is executed meanwhile. One that is
// in order waits for the next command.
func TestCheckpointOfADamagedMachineThatIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &counterDisk{}
		machine := &sickCounter{durableCounter: durableCounter{disk: disk}}
		net := memnet.New(1)
		defer net.Close()
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: 1, Durable: machine, Codec: codec{}, Log: filledLog(t, 1, 3), Transport: net.Node(1), MaxRaftState: 200,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		time.Sleep(3 * time.Second)
		attempts := func() int {
			n.Checkpoint()
			time.Sleep(3 * time.Second)
			disk.mu.Lock()
			defer disk.mu.Unlock()
			return disk.attempts
		}
		if got := attempts(); got != 1 {
			t.Fatalf("%d checkpoints, want one", got)
		}
		if got := attempts(); got != 1 {
			t.Fatalf("%d checkpoints of one state that is in order", got)
		}
		machine.damaged.Store(true)
		for want := 2; want < 5; want++ { // the first was wanted already
			if got := attempts(); got < want || got > want+1 {
				t.Errorf("%d checkpoints, want %d", got, want)
			}
		}
		index := disk.index()
		if got := n.Status().Applied; got != index {
			t.Errorf("the state is at %d, and its checkpoint at %d", got, index)
		}
	})
}

// damagedCounter has a state that it can give to nobody.
type damagedCounter struct{ durableCounter }

func (*damagedCounter) Damaged() bool { return true }

func (*damagedCounter) OpenState() (rsm.StateStream, error) {
	return rsm.StateStream{}, errors.New("a file is damaged")
}

// A replica learns from its machine that it can give its state to nobody, and lets another one lead when
// that is needed.
func TestAReplicaWhoseStateIsDamagedHandsOver(t *testing.T) {
	runDurable(t, 3, func(t *testing.T, c *cluster, disks map[raft.NodeID]*counterDisk) {
		leader := c.leader()
		settings := c.settings
		c.settings = func(cfg *rsm.Config[int64, int64]) {
			if settings(cfg); cfg.ID == leader {
				cfg.Durable = &damagedCounter{durableCounter{disk: disks[leader]}}
			}
		}
		c.stop(leader)
		c.start(leader)
		time.Sleep(time.Second)
		if now := c.leader(); now != leader {
			if err := c.nodes[now].TransferLeadership(context.Background(), leader); err != nil {
				t.Fatal(err)
			}
		}
		late := c.others(leader)[0]
		c.stop(late)
		for range 100 {
			c.incAt(leader)
		}
		time.Sleep(time.Minute)
		if got := c.leader(); got != leader {
			t.Errorf("%s leads, though nobody needs the state of %s", got, leader)
		}
		c.start(late)
		time.Sleep(20 * time.Second)
		if got, s := c.leader(), c.nodes[late].Status(); got == leader || s.Applied < c.nodes[got].Status().Commit {
			t.Errorf("%s leads, and %s has executed %d", got, late, s.Applied)
		}
	})
}

// blindCounter cannot execute an operation that adds 13.
type blindCounter struct {
	durableCounter
	err error
}

var errBlind = errors.New("cannot read its disk")

func (m *blindCounter) DoOp(n int64) int64 {
	if n == 13 {
		m.err = errBlind
	}
	return m.durableCounter.DoOp(n)
}

func (m *blindCounter) Failed() error { return m.err }

// A machine that cannot tell what other replicas do stops its replica, and the result is
// given to nobody.
func TestMachineThatFailsStopsTheReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(1)
		defer net.Close()
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: 1, Durable: &blindCounter{durableCounter: durableCounter{disk: &counterDisk{}}}, Codec: codec{},
			Log: filledLog(t, 1, 3), Transport: net.Node(1), MaxRaftState: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		time.Sleep(3 * time.Second)
		if _, err := n.Submit(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		if got, err := n.Submit(context.Background(), 13); err == nil {
			t.Errorf("the result is %d", got)
		}
		<-n.Done()
		if err := n.Err(); !errors.Is(err, errBlind) {
			t.Errorf("the replica failed with %v", err)
		}
	})
}

// timedCounter notes what it is told of the time that operations took.
type timedCounter struct {
	durableCounter
	calls int // since the last Took
	told  [][2]int64
}

func (m *timedCounter) DoOp(op int64) int64 {
	time.Sleep(time.Duration(op) * time.Millisecond)
	m.calls++
	return m.durableCounter.DoOp(op)
}

func (m *timedCounter) Took(all time.Duration) {
	m.told, m.calls = append(m.told, [2]int64{int64(m.calls), all.Milliseconds()}), 0
}

// A machine is told how long its operations took, of each part of the log.
func TestMachineIsToldHowLongItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := &timedCounter{durableCounter: durableCounter{disk: &counterDisk{}}}
		net := memnet.New(1)
		defer net.Close()
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: 1, Durable: machine, Codec: codec{}, Log: filledLog(t, 1, 100), Transport: net.Node(1), MaxRaftState: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		n.Stop()
		var calls, took int64
		for _, part := range machine.told {
			if part[0] > 64 || part[1] != part[0] {
				t.Errorf("%d operations took %d ms", part[0], part[1])
			}
			calls, took = calls+part[0], took+part[1]
		}
		if calls < 99 || machine.calls != 0 {
			t.Errorf("told of %d operations in %d parts, %d are left", calls, len(machine.told), machine.calls)
		}
	})
}
