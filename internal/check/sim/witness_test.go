package sim

import (
	"testing"
	"time"

	"balsa.example/raft"
)

// With a disk that hangs a witness gets full, and is needed: not before it is full, and not where the
// others are a majority.
func TestNeedsFullWitness(t *testing.T) {
	for _, voters := range []int{3, 4} {
		w := newWorld(Options{Seed: 7, Faults: []Fault{}, Disk: ModelledDisk, Edit: func(m *Mix) {
			m.Voters, m.Witnesses, m.Learners, m.Clients, m.Streams, m.Keys = voters, 1, 0, 4, 2, 4
			m.Reads, m.Padding, m.MaxWitness, m.MaxPendingBytes = 0.1, 400, 20_000, 2400
			m.StateDisk = false // a state that arrives there makes room in the witness
			m.Think, m.Distance, m.Latency, m.DiskWrite, m.Apply = 20*time.Millisecond, 0, time.Millisecond, time.Millisecond, 0
		}})
		for _, n := range w.nodes {
			n.start()
		}
		for _, c := range w.clients {
			c.next()
		}
		w.runUntil(5*time.Second, nil)
		hung := w.node(1)
		if w.needsFullWitness(hung) {
			t.Errorf("%d voters: before anything is wrong", voters)
		}
		hung.hungUntil = time.Hour
		w.runUntil(w.now+20*time.Second, nil)
		if !w.needsFullWitness(hung) {
			t.Errorf("%d voters: with the disk of %s: %s", voters, hung.id, w.describe())
		}
		if !w.node(raft.NodeID(voters)).replica.Status().WitnessFull || w.needsFullWitness(nil) {
			t.Errorf("%d voters: without any that hangs: %s", voters, w.describe())
		}
		if w.runUntil(w.now+5*time.Second, w.progress()) {
			t.Errorf("%d voters: it goes on", voters)
		}
	}
}
