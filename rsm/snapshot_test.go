package rsm_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// fullDisk has no room for snapshots.
type fullDisk struct {
	*slowDisk
	attempts atomic.Int64
}

func (d *fullDisk) SaveSnapshot(raft.SnapshotMeta, func(io.Writer) error) error {
	d.attempts.Add(1)
	time.Sleep(time.Millisecond)
	return errors.New("no space left on device")
}

// A snapshot that cannot be saved is tried again, but not at once and for ever: each
// attempt writes the whole state.
func TestFailedSnapshotIsNotRetriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &fullDisk{slowDisk: &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(1))}}
		net := memnet.New(1)
		defer net.Close()
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: 1, Machine: &counter{}, Codec: codec{}, Log: disk, Snapshots: disk, Transport: net.Node(1), MaxRaftState: 100,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		time.Sleep(2 * time.Second)
		for range 10 {
			if _, err := n.Submit(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		if a := disk.attempts.Load(); a < 2 || a > 30 {
			t.Errorf("%d attempts in 10 s", a)
		}
	})
}

// deafPeer is a network on which a snapshot never arrives, as when its receiver is down.
type deafPeer struct {
	rsm.Transport
	attempts atomic.Int64
}

func (d *deafPeer) SendSnapshot(context.Context, *raft.InstallSnapshot, io.Reader) error {
	d.attempts.Add(1)
	return errors.New("connection refused")
}

// A member that is down for long and needs a snapshot is not offered one with every
// heartbeat: each offer opens the snapshot, dials, and writes a line to the log.
func TestFailedOfferOfASnapshotIsNotRepeatedAtOnce(t *testing.T) {
	run(t, 3, 100, func(t *testing.T, c *cluster) {
		leader := c.leader()
		down := c.others(leader)[0]
		c.stop(down)
		net := &deafPeer{Transport: c.ends[leader]}
		c.stop(leader)
		c.ends[leader] = c.net.Node(leader)
		net.Transport = c.ends[leader]
		c.machines[leader] = &counter{}
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: leader, Machine: c.machines[leader], Codec: codec{}, Log: c.disks[leader], Snapshots: c.disks[leader], Transport: net, MaxRaftState: 100,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.ends[leader].Start(n)
		c.nodes[leader] = n
		for now := c.leader(); now != leader; now = c.leader() {
			if err := c.nodes[now].TransferLeadership(t.Context(), leader); err != nil {
				t.Fatal(err)
			}
		}
		for range 30 {
			c.inc()
		}
		before := net.attempts.Load()
		time.Sleep(10 * time.Second)
		if a := net.attempts.Load() - before; a < 2 || a > 25 {
			t.Errorf("%d attempts in 10 s", a)
		}
	})
}

// A leader that was deposed, and does not know it yet, may hold a snapshot of its
// successor already. Who is still in the old term could not store it in its log: the
// last entry would be of a term that it has not reached.
func TestSnapshotOfALaterTermIsRefused(t *testing.T) {
	run(t, 3, -1, func(t *testing.T, c *cluster) {
		c.inc()
		leader := c.leader()
		follower := c.others(leader)[0]
		n := c.nodes[follower]
		status := n.Status()
		m := &raft.InstallSnapshot{
			Header: raft.Header{From: leader, To: follower, Term: status.Term},
			Meta:   raft.SnapshotMeta{Index: 100, Term: status.Term + 1, Configuration: status.Configuration},
		}
		if err := n.ReceiveSnapshot(m, strings.NewReader("anything")); err == nil {
			t.Error("it was taken")
		}
		if c.disks[follower].SnapshotBytes() != 0 {
			t.Error("it was stored")
		}
	})
}

// endless is a machine whose image takes very long to write, and swallows errors.
type endless struct{ counter }

func (*endless) Snapshot() (io.WriterTo, error) { return endlessImage{}, nil }

type endlessImage struct{}

func (endlessImage) WriteTo(w io.Writer) (n int64, err error) {
	for err == nil && n < 1e5 {
		time.Sleep(10 * time.Millisecond)
		_, err = w.Write([]byte{0})
		n++
	}
	return n, nil
}

// Stop does not wait for all of a snapshot to be written.
func TestStopBreaksOffASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{MemoryStorage: rsm.NewMemoryStorage(raft.NewConfiguration(1))}
		net := memnet.New(1)
		defer net.Close()
		n, err := rsm.Start(rsm.Config[int64, int64]{
			ID: 1, Machine: &endless{}, Codec: codec{}, Log: disk, Snapshots: disk, Transport: net.Node(1), MaxRaftState: 100,
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for range 10 {
			if _, err := n.Submit(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // it is being written
		began := time.Now()
		n.Stop()
		if d := time.Since(began); d > time.Second {
			t.Errorf("Stop took %v", d)
		}
		if disk.SnapshotBytes() != 0 {
			t.Error("a part of a snapshot was stored")
		}
	})
}
