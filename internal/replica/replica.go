package replica

import (
	"context"
	"log/slog"
	"time"

	"balsa.example/api"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// Config says how to run one replica of the key/value store. ID, Storage and
// Transport are required; zero fields have the defaults of rsm.Config and kv.
type Config struct {
	ID        raft.NodeID
	Storage   rsm.Storage
	Transport rsm.Transport

	MaxRaftState      int64 // bytes of log; see rsm.Config
	HeartbeatInterval time.Duration
	ElectionTimeout   time.Duration
	LeaseReads        bool
	Limits            kv.Limits
	Seed              uint64
	Logger            *slog.Logger

	// Leader describes a member to clients, for the hint that comes with
	// WRONG_LEADER. May be nil.
	Leader func(raft.NodeID) *api.Leader
	// LowSpace tells that the disk is almost full. A leader then answers writes with BUSY,
	// and reads as ever. May be nil.
	LowSpace func() bool
}

// Replica is one running replica of the key/value store. Its Handler answers requests of
// the native API.
type Replica struct {
	translate.Handler
	// Node is also the rsm.Receiver of what other replicas send.
	Node *rsm.Node[kv.Op, kv.Result]
	// Keys is the store.
	Keys *kv.Store
	// Watches are those who watch; nil if nobody can.
	Watches *Watches

	readers readers
}

// New restores the store from cfg.Storage and runs it until Stop, or until
// its storage fails (see rsm.Node.Done).
func New(cfg Config) (*Replica, error) {
	store := kv.NewStore()
	node, err := rsm.Start(rsm.Config[kv.Op, kv.Result]{
		ID:                cfg.ID,
		Machine:           store,
		Codec:             kv.Codec{},
		Log:               cfg.Storage,
		Snapshots:         cfg.Storage,
		Transport:         cfg.Transport,
		MaxRaftState:      cfg.MaxRaftState,
		HeartbeatInterval: cfg.HeartbeatInterval,
		ElectionTimeout:   cfg.ElectionTimeout,
		LeaseReads:        cfg.LeaseReads,
		Seed:              cfg.Seed,
		Logger:            cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	h := translate.OnKeys(node, store)
	h.NewReply, h.Limits, h.Leader = new(slab).take, cfg.Limits, cfg.Leader
	h.LowSpace = func() bool { return cfg.LowSpace != nil && cfg.LowSpace() && node.Leads() }
	r := &Replica{Handler: h, Node: node, Keys: store}
	r.Background = r.readers.run
	return r, nil
}

// Stop ends the replica and returns when nothing of it runs any more. Writes in
// progress are answered with UNKNOWN.
func (r *Replica) Stop() {
	r.Node.Stop()
	r.readers.wait()
}

// Do is Handle for callers that wait. If ctx ends first the error is that of ctx, and
// whether the request was executed is unknown.
func (r *Replica) Do(ctx context.Context, req *api.Request) (*api.Reply, error) {
	replies := make(chan *api.Reply, 1)
	r.Handle(req, func(reply *api.Reply) { replies <- reply })
	select {
	case reply := <-replies:
		return reply, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
