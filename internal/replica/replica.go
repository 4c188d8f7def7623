package replica

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"balsa.example/api"
	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// Config says how to run one replica of the service. ID, Log, State.FS, State.Dir and Transport
// are required; zero fields have the defaults of rsm.Config and kv.
type Config struct {
	ID  raft.NodeID
	Log rsm.Log
	// State says where the state is kept. Its ID and Pace are set by New, and MaxUnwritten and CacheBytes if they are 0.
	State     state.Config
	Transport rsm.Transport

	// Memory is how much memory the process may use, in bytes; 0: any. With less than some 3 GiB there are lower defaults
	// of what is held in memory.
	Memory            int64
	MaxRaftState      int64 // bytes of log; see rsm.Config. Default: 64 MiB, or a 32nd of Memory
	HeartbeatInterval time.Duration
	ElectionTimeout   time.Duration
	LeaseReads        bool
	Limits            kv.Limits
	Seed              uint64
	Logger            *slog.Logger

	// Leader describes a member to clients, for the hint that comes with
	// WRONG_LEADER. May be nil.
	Leader func(raft.NodeID) *api.Leader
	// LowSpace tells that the log has no room for its next segment. A leader then answers
	// writes that do not only delete with BUSY, and reads as ever. May be nil.
	LowSpace func() bool
	// MaxIndexBytes is how much memory the index of all keys may take. Beyond it a leader answers
	// what would add to it with BUSY. 0: any.
	MaxIndexBytes int64
	// OnConfiguration is rsm.Config's. May be nil.
	OnConfiguration func(latest, committed raft.Configuration)
	// Access says how users are proved.
	Access access.Config
	// Retention says how much history is kept. The zero value keeps all of it.
	Retention state.Retention
	// KnownVersion returns the version of commands that another member knows (state.Version), false
	// while this one has not heard it. nil: the version of the cluster is never raised.
	KnownVersion func(raft.NodeID) (version uint64, ok bool)
	// Quota is proposed while this replica leads and the state has no quota. 0: none is.
	Quota int64
}

// Replica is one running replica of the service. Its Handler answers requests of the native
// API.
type Replica struct {
	translate.Handler
	// Node is also the rsm.Receiver of what other replicas send.
	Node *rsm.Node[state.Command, state.Result]
	// State is the replicated machine.
	State *state.Machine
	// Access proves users, and decides what they may read.
	Access *access.Control
	// Watches are those who watch.
	Watches *Watches

	id       raft.NodeID
	time     *timekeeper
	anywhere Anywhere
	upkeep   upkeep
	duties   duties
	space    space
	index    indexRoom
	readers  readers
	watching background
}

// complete sets what has a default, and what the state is told of the rest.
func (cfg *Config) complete() {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ElectionTimeout == 0 {
		cfg.ElectionTimeout = 500 * time.Millisecond
	}
	bounds := boundsOf(cfg.Memory)
	cfg.MaxRaftState = cmp.Or(cfg.MaxRaftState, bounds.raftState)
	cfg.State.ID = cfg.ID
	cfg.State.MaxIndexBytes = max(cfg.MaxIndexBytes, 0)
	cfg.State.MaxUnwritten = cmp.Or(cfg.State.MaxUnwritten, max(bounds.unwritten, 2*cfg.MaxRaftState))
	cfg.State.CacheBytes = cmp.Or(cfg.State.CacheBytes, bounds.cache)
}

// New opens the state and runs the replica until Stop, or until its disk fails (see
// rsm.Node.Done). If ctx ends before New does the result is an error, and nothing runs: a large state takes long to open.
// Later ctx has no meaning.
func New(ctx context.Context, cfg Config) (*Replica, error) {
	cfg.complete()
	r := &Replica{id: cfg.ID}
	r.duties.quota = cfg.Quota
	r.space.logLow = cfg.LowSpace
	p := new(pace)
	cfg.State.Pace = p.pause
	r.Watches = NewWatches(history{r}, 1, 0, watchLimits(cfg.Limits))
	cfg.State.Publisher = r.Watches.Hub
	r.State = state.New(cfg.State)
	p.done = r.State.Done()
	mayRun := context.AfterFunc(ctx, r.State.Interrupt)
	var err error
	r.Node, err = rsm.Start(rsm.Config[state.Command, state.Result]{
		ID:                cfg.ID,
		Durable:           machine{r.State, p},
		Codec:             state.Codec{Version: cfg.State.Version},
		Refuse:            r.State.Refuse,
		Log:               cfg.Log,
		Transport:         cfg.Transport,
		MaxRaftState:      cfg.MaxRaftState,
		MaxPendingBytes:   boundsOf(cfg.Memory).pending,
		MaxOpBytes:        rsm.MaxOpBytesLimit, // whatever this server takes itself: others forward what they take
		HeartbeatInterval: cfg.HeartbeatInterval,
		ElectionTimeout:   cfg.ElectionTimeout,
		LeaseReads:        cfg.LeaseReads,
		Admit:             r.admitsForwarded,
		First:             r.firstCommand,
		OnConfiguration:   cfg.OnConfiguration,
		Seed:              cfg.Seed,
		Logger:            cfg.Logger,
	})
	if !mayRun() && err == nil { // what was interrupted stays so
		r.Node.Stop()
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, r.State.Close())
	}
	r.anywhere = Anywhere{r, newForwardedKeepAlives(r.Node)}
	r.time = newTimekeeper(r.Node, r.State.TimeView, cfg.ElectionTimeout)
	r.Handler = translate.Handler{
		Replica: r.Node, Store: store{r.State}, Time: r.time, Limits: cfg.Limits,
		MinTTL: minTTL(cfg.ElectionTimeout), Draw: drawLease,
		NewReply: new(slab).take, Leader: cfg.Leader, Users: r.State,
		Shortage: r.shortage, Now: monotonic(),
	}
	r.space.start(func(ctx context.Context) { r.space.run(ctx, cfg.State.FS, cfg.State.Dir) })
	r.Background = r.readers.run
	cfg.Access.Cluster = r.State.Cluster()
	r.Access = access.New(member{r.State, r}, cfg.Access)
	r.watching.start(func(ctx context.Context) { r.Watches.Run(ctx, r.Node, cfg.ElectionTimeout) })
	log := cfg.Logger.With("id", cfg.ID)
	r.upkeep.replica, r.upkeep.log = r, log
	r.duties.replica, r.duties.keep, r.duties.known, r.duties.log = r, cfg.Retention, cfg.KnownVersion, log
	r.index.figures, r.index.max, r.index.log = r.State.Figures, cfg.MaxIndexBytes, log
	r.index.start(r.index.run)
	r.duties.start(r.duties.run)
	r.upkeep.start(r.upkeep.run)
	return r, nil
}

// machine is the state as the Node sees it: checkpoints that are urgent do not pause.
type machine struct {
	*state.Machine
	pace *pace
}

// ExpediteSnapshots is part of rsm.Expediter.
func (m machine) ExpediteSnapshots(urgent bool) { m.pace.urgent.Store(urgent) }

// Stop ends the replica and returns when nothing of it runs any more. Writes in
// progress are answered with UNKNOWN.
func (r *Replica) Stop() {
	r.time.stop()
	r.anywhere.keepAlives.stop()
	r.watching.stop()
	r.State.Interrupt()
	r.Node.Stop()
	r.upkeep.stop()
	r.duties.stop()
	r.index.stop()
	r.space.stop()
	r.readers.wait()
	// Nothing is written any more, so a file that cannot be closed has no consequence.
	_ = r.State.Close()
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

// minTTL is the shortest life of a lease: 1.5 election timeouts, as in etcd. Within a shorter one
// its owner could not renew it at the next leader.
func minTTL(electionTimeout time.Duration) int64 { return int64(electionTimeout * 3 / 2) }

// drawLease returns an id for a new lease, which is never given out again.
func drawLease() int64 { return rand.Int64N(math.MaxInt64-1) + 1 }
