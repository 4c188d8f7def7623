package rsm_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// BenchmarkSubmit is the cost of replication without disks and sockets: three
// replicas in this process, on a network that calls.
func BenchmarkSubmit(b *testing.B) {
	benchmarkCallers(b, func(leader *rsm.Node[int64, int64]) error {
		_, err := leader.Submit(b.Context(), 1)
		return err
	})
}

// BenchmarkRead is the same for linearizable reads at the leader.
func BenchmarkRead(b *testing.B) {
	benchmarkCallers(b, func(leader *rsm.Node[int64, int64]) error { return leader.Read(b.Context(), raft.ReadByIndex) })
}

// BenchmarkLeaseRead is the same for reads that the leader's lease answers.
func BenchmarkLeaseRead(b *testing.B) {
	benchmarkCallers(b, func(leader *rsm.Node[int64, int64]) error { return leader.Read(b.Context(), raft.ReadByLease) })
}

func benchmarkCallers(b *testing.B, call func(leader *rsm.Node[int64, int64]) error) {
	for _, callers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			leader := startTrio(b)
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error, callers)
			for range callers {
				go func() {
					var err error
					for err == nil && left.Add(-1) >= 0 {
						err = call(leader)
					}
					done <- err
				}()
			}
			for range callers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
}

// forgetful is a storage whose Save costs nothing.
type forgetful struct{ *rsm.MemoryStorage }

func (forgetful) Save([]raft.Persist) error { return nil }

// startTrio returns the leader of three replicas that run until b ends.
func startTrio(b *testing.B) (leader *rsm.Node[int64, int64]) {
	network, ids := &Network{}, []raft.NodeID{1, 2, 3}
	for _, id := range ids {
		storage := forgetful{rsm.NewMemoryStorage(raft.NewConfiguration(ids...))}
		node, err := rsm.Start(rsm.Config[int64, int64]{
			ID: id, Machine: &Tally{}, Codec: Varint{}, Transport: network,
			Log: storage, Snapshots: storage, LeaseReads: true,
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(node.Stop)
		network.nodes.Store(id, node)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, id := range ids {
			node, _ := network.to(id)
			switch _, err := node.Submit(b.Context(), 1); {
			case err == nil:
				return node
			case !errors.Is(err, rsm.ErrWrongLeader):
				b.Fatal(err)
			}
		}
	}
	b.Fatal("no leader")
	return nil
}
