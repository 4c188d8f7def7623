package state

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/rsm"
	"balsa.example/state/lease"
	"balsa.example/state/logtime"
)

// Machine is the replicated machine of the service. It is an rsm.DurableMachine[Command,
// Result]: see there which goroutine calls what. All methods that read may be called by any
// goroutine at any time.
type Machine struct {
	cfg     Config
	fetcher rsm.Fetcher // nil: no state can be received

	// present is the state that commands are executed on. InstallState replaces it as a whole.
	present atomic.Pointer[present]
	files   files
	failure atomic.Pointer[error]
	scrubs  scrubs
	// compared is the revision at which a member has compared the newest manifest with its own, last.
	compared atomic.Uint64
	// awaited is the index that the durable state of this member must have for another one that asked last; 0: the
	// checkpoint has begun since. It may be any number, and is worth one checkpoint.
	awaited atomic.Uint64
	// purging holds a token while versions are purged, or must not be.
	purging chan struct{}
	// leisure says how much rewrites rest. It is Maintain's.
	leisure leisure
	// flushes says how much checkpoints rest. It is whose turn it is to write files (see files.begin).
	flushes flushes
	// waits: commands wait for what is written in the background, which does not rest meanwhile (see pause).
	waits atomic.Bool
	// gentle: what is written in the background rests as long as anything does, as of the last piece.
	gentle atomic.Bool
	// executed counts commands; nil: nobody asks.
	executed *executed

	// ctx ends with Interrupt.
	ctx       context.Context
	interrupt context.CancelFunc
}

// Cluster stands in all files.
func (m *Machine) Cluster() uint64 { return m.cfg.Cluster }

// Interrupt ends what takes long: files of other members that are fetched, runs that are
// rewritten, the index that is loaded. It is called before the replica is stopped.
func (m *Machine) Interrupt() { m.interrupt() }

// Done is closed by Interrupt.
func (m *Machine) Done() <-chan struct{} { return m.ctx.Done() }

// Interrupted tells whether Interrupt was called.
func (m *Machine) Interrupted() bool { return m.ctx.Err() != nil }

// Close closes all files. Nobody may be using the Machine any more.
func (m *Machine) Close() error {
	m.interrupt()
	if p := m.present.Load(); p != nil {
		return p.history.Close()
	}
	return nil
}

// present is all replicated state.
type present struct {
	history *run.History
	// historyID is that of the manifest.
	historyID uint64
	keys      *kv.Store
	leases    guardedLeases
	quota     atomic.Int64
	version   atomic.Uint64 // see Version; 0: it was never raised
	refused   atomic.Int64  // see Figures.Refused
	alarms    alarms
	times     times
	users     users
	deletes   deletes
	// looked is how much was appended to the history when it was looked last whether too much of it is in memory alone.
	// It is that of the goroutine that executes commands.
	looked int64
	// indexFreed is set before the index is: see makeRoom.
	indexFreed atomic.Bool
	// due is up to where a checkpoint that was asked for, and has not ended, writes the history; nil: there is none.
	due atomic.Pointer[run.Mark]
}

// guardedLeases lets readers see the leases while commands are executed.
type guardedLeases struct {
	mu    sync.Mutex
	table *lease.Table
	// ever counts since this replica has its state; guarded by mu.
	ever LeaseCounts
}

func (g *guardedLeases) Room(id int64) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.Room(id)
}

func (g *guardedLeases) Attach(id int64, key string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.Attach(id, key)
}

func (g *guardedLeases) Detach(id int64, key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table.Detach(id, key)
}

// NextKey is an auth.LeaseKeys.
func (g *guardedLeases) NextKey(id int64, from string) (key string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.NextKey(id, from)
}

// Hash is part of rsm.Hasher.
func (m *Machine) Hash() uint64 { return m.present.Load().hash() }

func (p *present) hash() uint64 { return p.hashWith(p.keys.Hash()) }

// hashWith is hash where that of the store is known.
func (p *present) hashWith(keys uint64) uint64 {
	p.leases.mu.Lock()
	leases := p.leases.table.Hash()
	p.leases.mu.Unlock()
	numbers := []uint64{keys, leases, uint64(p.quota.Load())}
	if users := p.users.table(); users.Revision() > 1 { // else as before there were users
		numbers = append(numbers, users.Hash())
	}
	if version := p.version.Load(); version != 0 {
		numbers = append(numbers, version)
	}
	if version := p.version.Load(); version >= alarmVersion {
		numbers = append(append(numbers, uint64(p.refused.Load())), p.alarms.numbers()...)
	}
	return mix(numbers...)
}

// Failed is part of rsm.Failer: it tells why the last command could not be executed as on the
// other replicas.
func (m *Machine) Failed() error {
	if err := m.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Get reads a key as it is now on this replica.
func (m *Machine) Get(key string) kv.Result {
	r, err := reading(m, func(keys *kv.Store) (kv.Result, error) { return keys.GetEntry(key) })
	if errors.Is(err, kv.ErrUnreadable) {
		return kv.Result{Code: kv.CodeUnreadable, Revision: m.Revision()}
	}
	return r
}

// reading reads the present state by its index. If that was freed meanwhile what was read counts for nothing: the next state
// is read if it is there, and else the error is kv.ErrUnreadable, so that clients ask another member.
func reading[T any](m *Machine, read func(*kv.Store) (T, error)) (T, error) {
	return readingHistory(m, func(p *present) (v T, err error) {
		v, err = read(p.keys)
		if p.indexFreed.Load() {
			return *new(T), kv.ErrUnreadable
		}
		return v, err
	})
}

// readingHistory reads the present state. One that was replaced meanwhile has closed its history, and perhaps has no index:
// then it reads the next one.
func readingHistory[T any](m *Machine, read func(*present) (T, error)) (T, error) {
	for {
		p := m.present.Load()
		v, err := read(p)
		if !errors.Is(err, run.ErrGone) && !errors.Is(err, kv.ErrUnreadable) || m.present.Load() == p {
			return v, m.noticed(err)
		}
	}
}

// TryGets is Get for many keys, where neither the disk nor a state that is being installed is needed: see
// kv.Store.TryGets.
func (m *Machine) TryGets(keys []string, each func(i int, r kv.Result, ok bool)) {
	p := m.present.Load()
	p.keys.TryGets(keys, func(i int, r kv.Result, ok bool) { each(i, r, ok && !p.indexFreed.Load()) })
}

// Range reads a span on this replica: see kv.Store.Range.
func (m *Machine) Range(op kv.RangeOp) (kv.RangeResult, error) {
	return reading(m, func(keys *kv.Store) (kv.RangeResult, error) { return keys.Range(op) })
}

// EncodeRange reads a span on this replica, as kv.Store.RangeEach does, and returns what add makes of
// the entries, each of which it appends to b. An entry is good until add returns.
func (m *Machine) EncodeRange(op kv.RangeOp, b []byte, add func(b []byte, e *kv.Entry) []byte) (encoded []byte, r kv.RangeResult, err error) {
	r, err = reading(m, func(keys *kv.Store) (kv.RangeResult, error) {
		encoded = b // it may be called again
		return keys.RangeEach(op, func(e *kv.Entry) { encoded = add(encoded, e) })
	})
	return encoded, r, err
}

// ReadTxn executes a transaction that changes nothing on this replica: see kv.Store.ReadTxn.
func (m *Machine) ReadTxn(t *kv.Txn, maxBytes int64) (kv.TxnResult, error) {
	return reading(m, func(keys *kv.Store) (kv.TxnResult, error) { return keys.ReadTxn(t, maxBytes) })
}

// Revision returns the store's revision on this replica.
func (m *Machine) Revision() uint64 { return m.present.Load().keys.Revision() }

// Lease tells about one lease, as this replica knows it, and its keys if they are wanted.
func (m *Machine) Lease(id int64, keys bool) (info lease.Info, attached []string, ok bool) {
	g := &m.present.Load().leases
	g.mu.Lock()
	defer g.mu.Unlock()
	if info, ok = g.table.Lookup(id); ok && keys {
		attached = g.table.KeysOf(id)
	}
	return info, attached, ok
}

// NextLeaseKey returns the first key of a lease from one on, and false if there is none.
func (m *Machine) NextLeaseKey(id int64, from string) (key string, ok bool) {
	return m.present.Load().leases.NextKey(id, from)
}

// TimeView is what the leader's clock has to know. written tells whether there are revisions since
// the last stamp.
func (m *Machine) TimeView() (v logtime.View, written bool) {
	p := m.present.Load()
	revision := p.keys.Revision()
	p.leases.mu.Lock()
	defer p.leases.mu.Unlock()
	v.Now = p.leases.table.Stamp().Log
	v.Running, v.Due = p.leases.table.Len() > 0, p.leases.table.Due(v.Now) && !p.alarms.corrupt.Load()
	return v, p.times.last() < revision
}

// Leases returns the ids of all leases in rising order.
func (m *Machine) Leases() []int64 {
	g := &m.present.Load().leases
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.Leases()
}

// Wall returns the wall time that the next record gets, in milliseconds since 1970: the latest of all
// stamps. 0: there was none.
func (m *Machine) Wall() int64 {
	t := &m.present.Load().times
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wall
}

// Compacted returns the lowest revision that can be read on this replica, 0 if there was no
// compaction.
func (m *Machine) Compacted() uint64 { return m.present.Load().keys.Compacted() }

// Scan reads the history on this replica: see kv.Store.Scan. Where the state is replaced meanwhile, it goes on in that
// of the next one.
func (m *Machine) Scan(from uint64, yield func(revision uint64, events []kv.Event) bool) error {
	_, err := readingHistory(m, func(p *present) (struct{}, error) {
		return struct{}{}, p.keys.Scan(from, func(revision uint64, events []kv.Event) bool {
			from = revision + 1
			return yield(revision, events)
		})
	})
	return err
}

// Previous reads what a key held before a revision: see kv.Store.Previous.
func (m *Machine) Previous(key string, revision uint64) (*kv.Entry, error) {
	return reading(m, func(keys *kv.Store) (*kv.Entry, error) { return keys.Previous(key, revision) })
}
