package etcd

import (
	"context"
	"sync"
	"time"

	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/watching"
	"balsa.example/internal/metrics"
	"balsa.example/internal/tracing"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/auth"
	"balsa.example/state/lease"
)

// Face answers requests of the etcd v3 API at one member. All its methods may be called by any
// goroutine.
type Face struct {
	cfg       Config
	access    *access.Control
	deadlines deadlines      // of requests
	room      room           // for large responses
	snapshots sync.Mutex     // held by the one that is made
	receivers sync.WaitGroup // goroutines that receive requests of streams
}

// Config says what a Face stands on.
type Config struct {
	Node Node
	// ClusterID and MemberID are in the header of each response.
	ClusterID, MemberID uint64
	Limits              kv.Limits
	Member              Member
	// ElectionTimeout is that of the member. Requests without a deadline get one by it.
	ElectionTimeout time.Duration
	// Access proves users, and decides what they may read; nil: one with the defaults.
	Access  *access.Control
	Watches Watches
	// Recorder takes requests that were slow; nil: nobody asks. Stages returns when an entry of the log
	// came how far, and Client returns the address of who called; both may be nil without a Recorder.
	Recorder *tracing.Recorder
	// Requests counts and times what is asked; nil: nobody does.
	Requests *metrics.EtcdRequests
	Stages   func(raft.Index) rsm.Stages
	Client   func(context.Context) string
	// Source is from where who called connects, for what clients share by that (package fair); nil: all are
	// alike.
	Source func(context.Context) string
	// SnapshotDir is where the file of a snapshot is made, which has no name there; empty: there are
	// no snapshots.
	SnapshotDir string
	// OnSnapshot is told of a snapshot that begins, and what it returns is called with how that ended;
	// nil: nobody is told.
	OnSnapshot func() (end func(error))
}

// New returns a Face.
func New(cfg Config) *Face {
	f := &Face{cfg: cfg, access: cfg.Access, room: newRoom(maxResponseBytes / roomUnit)}
	if f.access == nil {
		f.access = access.New(member{cfg.Node}, access.Config{})
	}
	if f.cfg.Watches.Rights == nil {
		f.cfg.Watches.Rights = watchRights{f}
	}
	return f
}

// member is a Node as access control sees it.
type member struct{ Node }

// Read is part of access.Member.
func (m member) Read(ctx context.Context) error { return m.Node.Read(ctx, nil) }

// Auth is part of access.Member.
func (m member) Auth() (*auth.Table, <-chan struct{}) { return m.Store().Auth() }

// NextLeaseKey is part of access.Member.
func (m member) NextLeaseKey(id int64, from string) (string, bool) {
	return m.Store().NextLeaseKey(id, from)
}

// Node is the member that a Face stands on. Any member will do, whoever leads.
type Node interface {
	// Submit executes a command and returns its result. Errors are those of
	// rsm.Node.SubmitAnywhere: rsm.ErrWrongLeader says that the command was not executed, since
	// there was no leader in time; rsm.ErrBusy, rsm.ErrAlarm and rsm.ErrTooLarge say so as well.
	// With any other the outcome is unknown.
	// It tells the entry of the log that held the command. It ends as well when late is closed, with
	// context.DeadlineExceeded.
	Submit(ctx context.Context, late <-chan struct{}, c state.Command) (state.Result, rsm.EntryID, error)
	// Read returns when Store has all that any member acknowledged before Read was called, and ends as
	// Submit does.
	Read(ctx context.Context, late <-chan struct{}) error
	// KeepAlive lets a lease live on. done gets what the lease has left then in nanoseconds, 0 if
	// there is no such lease, and must not block.
	KeepAlive(id int64, done func(ttl int64, err error))
	// Term is the term of the member, Leader who leads in it, raft.None if that is not known.
	Term() raft.Term
	Leader() raft.NodeID
	Store() Store
}

// Store is what a member has executed so far.
type Store interface {
	Revision() uint64
	Compacted() uint64
	Get(key string) kv.Result
	Range(op kv.RangeOp) (kv.RangeResult, error)
	// EncodeRange reads a span, and returns what add makes of the entries, each of which it appends to b.
	// An entry is good until add returns.
	EncodeRange(op kv.RangeOp, b []byte, add func(b []byte, e *kv.Entry) []byte) ([]byte, kv.RangeResult, error)
	ReadTxn(t *kv.Txn, maxBytes int64) (kv.TxnResult, error)
	Lease(id int64, keys bool) (info lease.Info, attached []string, ok bool)
	Leases() []int64
	// Auth and NextLeaseKey are those of access.Member.
	Auth() (t *auth.Table, replaced <-chan struct{})
	NextLeaseKey(id int64, from string) (key string, ok bool)
	// Scan yields the events of each revision from one on: see kv.Store.Scan.
	Scan(from uint64, yield func(revision uint64, events []kv.Event) bool) error
	// Hash is a hash of all state.
	Hash() uint64
}

// Caller is who sends a request, as the transport knows it.
type Caller struct {
	// Token is what the client sent as "token" or "authorization", empty if nothing.
	Token string
	// CommonName is that of the client's certificate, which was verified; empty without one, and
	// always for requests by way of the JSON gateway: its own certificate names nobody.
	CommonName string
	// Traceparent names the span of the client that the request belongs to, as W3C has it; empty: none.
	Traceparent string
	// RequireLeader is the metadata "hasleader": without a leader the request is refused.
	RequireLeader bool
	// Bounds count what the client has; nil: nothing is bounded.
	Bounds watching.Bounds
	// Requests counts what clients of its version ask; nil: nobody does.
	Requests *metrics.EtcdClient

	user access.User // as admit has proved it
	way  way
	// denied is why a stream of watchers has no user, although the client says so.
	denied error
}

func (c *Caller) bounds() watching.Bounds {
	if c.Bounds == nil {
		return unbounded{}
	}
	return c.Bounds
}

// unbounded is for callers whose transport has bounds of its own.
type unbounded struct{}

func (unbounded) AddWatcher() error  { return nil }
func (unbounded) RemoveWatchers(int) {}
func (unbounded) Reserve(int64) bool { return true }
func (unbounded) Release(int64)      {}
