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

// Wires is a network of replicas in one process. A message to one that is not there
// yet is lost, as on any network.
type Wires struct{ nodes sync.Map }

func (w *Wires) to(id raft.NodeID) (*rsm.Node[int64, int64], bool) {
	n, ok := w.nodes.Load(id)
	if !ok {
		return nil, false
	}
	return n.(*rsm.Node[int64, int64]), true
}

func (w *Wires) Send(ms []raft.Message) {
	for _, m := range ms {
		if n, ok := w.to(m.Head().To); ok {
			n.Receive(m)
		}
	}
}

func (w *Wires) SendSnapshot(_ context.Context, m *raft.InstallSnapshot, data io.Reader) error {
	if n, ok := w.to(m.To); ok {
		return n.ReceiveSnapshot(m, data)
	}
	return errors.New("nobody there")
}

// startTallies starts replicas 1 to n of a counter. stop ends them.
func startTallies(n int) (nodes []*rsm.Node[int64, int64], stop func()) {
	var ids []raft.NodeID
	for i := range n {
		ids = append(ids, raft.NodeID(i+1))
	}
	wires := &Wires{}
	for _, id := range ids {
		storage := rsm.NewMemoryStorage(raft.NewConfiguration(ids...))
		node, err := rsm.Start(rsm.Config[int64, int64]{
			ID: id, Machine: &Tally{}, Codec: Varint{}, Log: storage, Snapshots: storage, Transport: wires,
		})
		if err != nil {
			panic(err)
		}
		wires.nodes.Store(id, node)
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
