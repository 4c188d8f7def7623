package library

import (
	"context"
	"io"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/plugin/tan"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"balsa.example/bench/loopback"
)

const shard = 1

// dragonboatReplica is a NodeHost with one shard.
type dragonboatReplica struct {
	id      uint64
	host    *dragonboat.NodeHost
	session *client.Session
}

// Dragonboat opens a cluster of github.com/lni/dragonboat. It logs to tan, the faster
// of its two storages for this.
func Dragonboat(dir string, log io.Writer) (*Cluster, error) {
	for _, name := range []string{"dragonboat", "raft", "rsm", "transport", "logdb", "tan", "grpc", "util", "config", "order", "registry"} {
		logger.GetLogger(name).SetLevel(logger.ERROR)
	}
	at, err := loopback.Free(members)
	if err != nil {
		return nil, err
	}
	targets := map[uint64]dragonboat.Target{}
	for i, address := range at {
		targets[uint64(i+1)] = address
	}
	return open(dir, func(member int, dir string) (replica, error) {
		return startDragonboat(uint64(member+1), dir, targets)
	})
}

func startDragonboat(id uint64, dir string, targets map[uint64]dragonboat.Target) (replica, error) {
	host, err := dragonboat.NewNodeHost(config.NodeHostConfig{
		WALDir: dir, NodeHostDir: dir, RaftAddress: targets[id], RTTMillisecond: 50,
		Expert: config.ExpertConfig{
			LogDBFactory: tan.Factory,
			LogDB:        config.GetDefaultLogDBConfig(),
			Engine:       config.GetDefaultEngineConfig(),
		},
	})
	if err != nil {
		return nil, err
	}
	err = host.StartReplica(targets, false,
		func(uint64, uint64) sm.IStateMachine { return dragonboatMachine{newTable()} },
		config.Config{ReplicaID: id, ShardID: shard, CheckQuorum: true, PreVote: true, ElectionRTT: 10, HeartbeatRTT: 1})
	if err != nil {
		host.Close()
		return nil, err
	}
	return &dragonboatReplica{id: id, host: host, session: host.GetNoOPSession(shard)}, nil
}

func (r *dragonboatReplica) leads() bool {
	leader, _, known, err := r.host.GetLeaderID(shard)
	return err == nil && known && leader == r.id
}

// put and get need a context with a deadline: the library demands one.

func (r *dragonboatReplica) put(ctx context.Context, key string, value []byte) error {
	_, err := r.host.SyncPropose(ctx, r.session, command(key, value))
	return err
}

func (r *dragonboatReplica) get(ctx context.Context, key string) error {
	_, err := r.host.SyncRead(ctx, shard, key)
	return err
}

func (r *dragonboatReplica) close() error {
	r.host.Close()
	return nil
}

// dragonboatMachine is a table as an IStateMachine.
type dragonboatMachine struct{ *table }

func (m dragonboatMachine) Update(e sm.Entry) (sm.Result, error) { return sm.Result{}, m.apply(e.Cmd) }

func (m dragonboatMachine) Lookup(key any) (any, error) { return m.get(key.(string)), nil }

func (dragonboatMachine) SaveSnapshot(io.Writer, sm.ISnapshotFileCollection, <-chan struct{}) error {
	return errNoSnapshots
}

func (dragonboatMachine) RecoverFromSnapshot(io.Reader, []sm.SnapshotFile, <-chan struct{}) error {
	return errNoSnapshots
}

func (dragonboatMachine) Close() error { return nil }
