package rsm_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// Tally is a state machine: a number, and operations that add to it.
type Tally struct{ sum int64 }

func (t *Tally) DoOp(add int64) int64            { t.sum += add; return t.sum }
func (t *Tally) Snapshot() (io.WriterTo, error)  { return tallyImage(t.sum), nil }
func (t *Tally) Restore(r io.Reader) (err error) { _, err = fmt.Fscan(r, &t.sum); return err }
func (i tallyImage) WriteTo(w io.Writer) (int64, error) {
	n, err := fmt.Fprintln(w, int64(i))
	return int64(n), err
}

type tallyImage int64

// Varint is its codec.
type Varint struct{}

func (Varint) Append(dst []byte, add int64) []byte { return binary.AppendVarint(dst, add) }
func (Varint) Decode(b []byte) (int64, error)      { add, _ := binary.Varint(b); return add, nil }

// Network connects replicas in one process. A message to a replica that has not started yet
// is lost, as on any network.
type Network struct{ nodes sync.Map }

func (n *Network) to(id raft.NodeID) (*rsm.Node[int64, int64], bool) {
	node, ok := n.nodes.Load(id)
	if !ok {
		return nil, false
	}
	return node.(*rsm.Node[int64, int64]), true
}

func (n *Network) Send(ms []raft.Message) {
	for _, m := range ms {
		if node, ok := n.to(m.Head().To); ok {
			node.Receive(m)
		}
	}
}

func (n *Network) SendSnapshot(_ context.Context, m *raft.InstallSnapshot, data io.Reader) error {
	if node, ok := n.to(m.To); ok {
		return node.ReceiveSnapshot(m, data)
	}
	return errors.New("nobody there")
}

// startTallies starts replicas 1 to n of a counter. stop ends them.
func startTallies(n int) (nodes []*rsm.Node[int64, int64], stop func()) {
	var ids []raft.NodeID
	for i := range n {
		ids = append(ids, raft.NodeID(i+1))
	}
	network := &Network{}
	for _, id := range ids {
		storage := rsm.NewMemoryStorage(raft.NewConfiguration(ids...))
		node, err := rsm.Start(rsm.Config[int64, int64]{
			ID: id, Machine: &Tally{}, Codec: Varint{}, Log: storage, Snapshots: storage, Transport: network,
		})
		if err != nil {
			panic(err)
		}
		network.nodes.Store(id, node)
		nodes = append(nodes, node)
	}
	return nodes, func() {
		for _, node := range nodes {
			node.Stop()
		}
	}
}

// Three replicas of a counter. Any of them can be asked, from the beginning on.
func Example() {
	nodes, stop := startTallies(3)
	defer stop()
	for _, node := range nodes {
		sum, _, err := node.SubmitAnywhere(context.Background(), 14)
		fmt.Println(sum, err)
	}
	// Output:
	// 14 <nil>
	// 28 <nil>
	// 42 <nil>
}
