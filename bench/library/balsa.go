package library

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"

	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/transport"
	"balsa.example/wal"
)

// clusterID is any number: there is only one cluster.
const clusterID = 1

var errNoSnapshots = errors.New("snapshots are turned off")

// balsaReplica is an rsm.Node with balsa's own log and transport.
type balsaReplica struct {
	table     *table
	log       *wal.Log
	transport *transport.Transport
	node      *rsm.Node[putOp, struct{}]
}

// Balsa opens a cluster of balsa's rsm package.
func Balsa(dir string, log io.Writer) (*Cluster, error) {
	var listeners []net.Listener
	peers := map[raft.NodeID]string{}
	var ids []raft.NodeID
	for i := range members {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
		ids = append(ids, raft.NodeID(i+1))
		peers[ids[i]] = l.Addr().String()
	}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return open(dir, func(member int, dir string) (replica, error) {
		return startBalsa(ids[member], dir, raft.NewConfiguration(ids...), transport.Config{
			ID: ids[member], Group: clusterID, Listener: listeners[member], Peers: peers, Logger: logger,
		})
	})
}

func startBalsa(id raft.NodeID, dir string, conf raft.Configuration, network transport.Config) (replica, error) {
	identity := wal.Identity{ClusterID: clusterID, NodeID: id}
	options := wal.Options{Logger: network.Logger}
	if err := wal.Create(dir, options, identity, conf); err != nil {
		return nil, err
	}
	r := &balsaReplica{table: newTable()}
	var err error
	if r.log, err = wal.Open(dir, options, identity); err != nil {
		return nil, err
	}
	if r.transport, err = transport.New(network); err != nil {
		return nil, errors.Join(err, r.log.Close())
	}
	r.node, err = rsm.Start(rsm.Config[putOp, struct{}]{
		ID: id, Machine: balsaMachine{r.table}, Codec: putCodec{}, Log: r.log, Snapshots: r.log, Transport: r.transport,
		MaxRaftState: -1, Logger: network.Logger,
	})
	if err != nil {
		r.transport.Close()
		return nil, errors.Join(err, r.log.Close())
	}
	r.transport.Start(r.node)
	return r, nil
}

func (r *balsaReplica) leads() bool { return r.node.Status().Role == raft.Leader }

func (r *balsaReplica) put(ctx context.Context, key string, value []byte) error {
	_, err := r.node.Submit(ctx, putOp{key, value})
	return err
}

func (r *balsaReplica) get(ctx context.Context, key string) error {
	if err := r.node.Read(ctx, raft.ReadByIndex); err != nil {
		return err
	}
	r.table.get(key)
	return nil
}

func (r *balsaReplica) close() error {
	r.transport.Close()
	r.node.Stop()
	return r.log.Close()
}

// putOp is the operation that is submitted.
type putOp struct {
	key   string
	value []byte
}

type putCodec struct{}

func (putCodec) Append(dst []byte, op putOp) []byte {
	if dst == nil {
		return command(op.key, op.value)
	}
	return appendCommand(dst, op.key, op.value)
}

func (putCodec) Decode(data []byte) (op putOp, err error) {
	op.key, op.value, err = decode(data)
	return op, err
}

// balsaMachine is a table as rsm's StateMachine.
type balsaMachine struct{ *table }

func (m balsaMachine) DoOp(op putOp) struct{} {
	m.set(op.key, op.value)
	return struct{}{}
}

func (balsaMachine) Snapshot() (io.WriterTo, error) { return nil, errNoSnapshots }
func (balsaMachine) Restore(io.Reader) error        { return errNoSnapshots }
