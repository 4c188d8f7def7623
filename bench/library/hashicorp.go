package library

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"balsa.example/bench/loopback"
)

// hashicorpPool is how many connections a transport keeps to each peer.
const hashicorpPool = 8

// hashicorpReplica is a raft.Raft over raft-wal and TCP.
type hashicorpReplica struct {
	table     *table
	log       *wal.WAL
	transport *raft.NetworkTransport
	raft      *raft.Raft
}

// Hashicorp opens a cluster of github.com/hashicorp/raft. Its defaults stand, but that
// it takes what has queued up in larger batches, which serves it better.
func Hashicorp(dir string, log io.Writer) (*Cluster, error) {
	at, err := loopback.Free(members)
	if err != nil {
		return nil, err
	}
	var servers []raft.Server
	for _, address := range at {
		servers = append(servers, raft.Server{ID: raft.ServerID(address), Address: raft.ServerAddress(address)})
	}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: log})
	return open(dir, func(member int, dir string) (replica, error) {
		conf := raft.DefaultConfig()
		conf.LocalID, conf.Logger = servers[member].ID, logger
		conf.BatchApplyCh, conf.MaxAppendEntries = true, 1024
		conf.SnapshotThreshold, conf.SnapshotInterval = 1<<60, time.Hour
		return startHashicorp(conf, dir, at[member], raft.Configuration{Servers: servers})
	})
}

func startHashicorp(conf *raft.Config, dir, address string, servers raft.Configuration) (replica, error) {
	dir = filepath.Join(dir, "wal")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	r := &hashicorpReplica{table: newTable()}
	var err error
	if r.log, err = wal.Open(dir, wal.WithLogger(conf.Logger)); err != nil {
		return nil, err
	}
	if r.transport, err = raft.NewTCPTransportWithLogger(address, nil, hashicorpPool, 10*time.Second, conf.Logger); err != nil {
		return nil, err
	}
	snapshots := raft.NewDiscardSnapshotStore()
	if err := raft.BootstrapCluster(conf, r.log, r.log, snapshots, r.transport, servers); err != nil {
		return nil, err
	}
	if r.raft, err = raft.NewRaft(conf, hashicorpMachine{r.table}, r.log, r.log, snapshots, r.transport); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *hashicorpReplica) leads() bool { return r.raft.State() == raft.Leader }

func (r *hashicorpReplica) put(_ context.Context, key string, value []byte) error {
	return r.raft.Apply(command(key, value), 0).Error()
}

// get reads the leader's table after a majority has confirmed that it leads. Each put
// that was acknowledged is in it, because only the leader's table acknowledges.
func (r *hashicorpReplica) get(_ context.Context, key string) error {
	if err := r.raft.VerifyLeader().Error(); err != nil {
		return err
	}
	r.table.get(key)
	return nil
}

func (r *hashicorpReplica) close() error {
	err := r.raft.Shutdown().Error()
	r.transport.Close()
	r.log.Close()
	return err
}

// hashicorpMachine is a table as an FSM that takes batches.
type hashicorpMachine struct{ *table }

func (m hashicorpMachine) Apply(l *raft.Log) any { return m.apply(l.Data) }

func (m hashicorpMachine) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			results[i] = m.apply(l.Data)
		}
	}
	return results
}

func (hashicorpMachine) Snapshot() (raft.FSMSnapshot, error) { return nil, errNoSnapshots }
func (hashicorpMachine) Restore(io.ReadCloser) error         { return errNoSnapshots }
