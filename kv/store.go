package kv

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"
)

// Store is the state machine: all keys in memory, with an index to find one and an
// ordered one.
//
// DoOp, Snapshot and Restore are for one goroutine, the one that executes the log. All
// other methods may be called by any goroutine meanwhile.
//
// The lock is for these readers and for images. The writer holds it only while it changes
// what they can see, never while it copies or hashes a value. Without a lock the writer
// would publish a clone of an index after each operation, so that each Put copies a path of
// index nodes: BenchmarkPublishedClone shows what that costs.
type Store struct {
	mu    sync.RWMutex
	state *state
}

// state is all that a Store holds. Restore replaces it as a whole.
type state struct {
	totals
	// slots finds a key. Most operations need no other index.
	slots map[string]*slot
	// order has the same slots in the order of their keys.
	order  *btree.Map[string, *slot]
	images images
}

// NewStore returns an empty store, at revision 1.
func NewStore() *Store { return &Store{state: newState()} }

func newState() *state {
	return &state{
		totals: totals{revision: firstRevision},
		slots:  map[string]*slot{},
		order:  btree.NewMap[string, *slot](0),
	}
}

// DoOp executes op. An operation that makes no sense is refused, in the same way on each
// replica, and changes nothing. DoOp keeps no reference to op.Key and op.Value.
func (s *Store) DoOp(op Op) Result {
	if !op.Kind.valid() {
		return Result{Code: CodeUnknownKind, Revision: s.state.revision}
	}
	if op.Key == "" {
		return Result{Code: CodeEmptyKey, Revision: s.state.revision}
	}
	// No lock to read: this goroutine is the only writer.
	old := s.state.slots[op.Key]
	if op.Kind == Get {
		return s.state.describe(old)
	}
	if op.Attempt == Resend {
		s.markResend(op.Key)
	}
	if code := s.state.condition(op, old); code != CodeOK {
		r := s.state.describe(old)
		r.Code, r.Value, r.DeleteRevision = code, nil, s.state.deleteMarks.of(op.Key)
		return r
	}
	switch {
	case op.Kind == Delete:
		return s.delete(old)
	case old == nil:
		return s.create(op)
	default:
		return s.update(old, op)
	}
}

// condition returns CodeOK if a Put or Delete may change the key, else why not. old is the
// key's slot, nil if the key is absent.
func (st *state) condition(op Op, old *slot) Code {
	switch {
	case old == nil && (op.Kind == Delete || op.Version > 0 && !op.Unconditional):
		return CodeNoKey
	case old != nil && op.Version != old.version && !op.Unconditional:
		return CodeVersion
	case st.guarded(op) && st.lastChange(op.Key, old) > op.UnchangedSince:
		return CodeChanged
	}
	return CodeOK
}

// guarded tells whether op is executed only if its key is unchanged since a revision. A
// FirstAttempt is not, unless a Resend has come before it: see Attempt.
func (st *state) guarded(op Op) bool {
	return op.UnchangedSince > 0 &&
		(op.Attempt != FirstAttempt || st.resendMarks.of(op.Key) >= op.UnchangedSince)
}

// markResend notes that a Resend for the key came at the present revision.
func (s *Store) markResend(key string) {
	s.mu.Lock()
	s.state.setMark(firstResendMark+markOf(key), s.state.revision)
	s.mu.Unlock()
}

// lastChange returns the revision of the last change of a key. old is the key's slot, nil
// if the key is absent; then the revision may be too high (see marks).
func (st *state) lastChange(key string, old *slot) uint64 {
	if old == nil {
		return st.deleteMarks.of(key)
	}
	return old.modRevision
}

func (s *Store) create(op Op) Result {
	st, revision := s.state, s.state.revision+1
	sl := &slot{
		key:    strings.Clone(op.Key),
		record: record{value: bytes.Clone(op.Value), version: 1, createRevision: revision, modRevision: revision},
	}
	sl.sum = sl.hash(sl.key)

	s.mu.Lock()
	st.slots[sl.key] = sl
	st.order.Set(sl.key, sl)
	st.revision = revision
	st.sum += sl.sum
	st.bytes += sl.size(sl.key)
	s.mu.Unlock()

	return st.changed(sl)
}

func (s *Store) update(sl *slot, op Op) Result {
	st, revision := s.state, s.state.revision+1
	r := record{
		value: bytes.Clone(op.Value), version: sl.version + 1,
		createRevision: sl.createRevision, modRevision: revision,
	}
	r.sum = r.hash(sl.key)
	sum, size := r.sum-sl.sum, r.size(sl.key)-sl.size(sl.key)

	s.mu.Lock()
	sl.replace(r, &st.images)
	st.revision = revision
	st.sum += sum
	st.bytes += size
	s.mu.Unlock()

	return st.changed(sl)
}

func (s *Store) delete(sl *slot) Result {
	st, revision := s.state, s.state.revision+1
	sum, size, mark := sl.sum, sl.size(sl.key), markOf(sl.key)

	s.mu.Lock()
	delete(st.slots, sl.key)
	st.order.Delete(sl.key)
	sl.replace(record{modRevision: revision}, &st.images)
	st.setMark(mark, revision)
	st.revision = revision
	st.sum -= sum
	st.bytes -= size
	s.mu.Unlock()

	return Result{Revision: revision}
}

// changed returns the result of a Put that has filled the slot.
func (st *state) changed(sl *slot) Result {
	r := st.describe(sl)
	r.Value = nil
	return r
}

// Get returns what DoOp of a Get would, without the log: CodeNoKey if the key is absent.
// The caller knows whether the state is fresh enough.
func (s *Store) Get(key string) Result {
	if key == "" {
		return Result{Code: CodeEmptyKey, Revision: s.Revision()}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.describe(s.state.slots[key])
}

// describe returns the result of a Get that found a slot, nil if the key is absent.
func (st *state) describe(sl *slot) Result {
	if sl == nil {
		return Result{Code: CodeNoKey, Revision: st.revision}
	}
	return Result{
		Value:          sl.value,
		Version:        sl.version,
		CreateRevision: sl.createRevision,
		ModRevision:    sl.modRevision,
		Revision:       st.revision,
	}
}

// Revision returns the store's revision.
func (s *Store) Revision() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.revision
}

// Len returns the number of keys.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.state.slots)
}

// Bytes returns the size of all keys and values. The memory in use is larger: count
// about 170 bytes more for each key.
func (s *Store) Bytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.bytes
}

// Hash returns a hash of the whole state, its revision included. Replicas that executed
// the same operations have the same hash. States that differ have the same hash with
// probability 2^-64.
//
// The hash is kept as a sum over the records and marks. So a Put hashes only the record
// that it replaces and the one that it installs, and a snapshot is checked record by
// record when it is written and when it is restored. The hash guards against faults, not
// against somebody who chooses keys and values to collide.
func (s *Store) Hash() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.hash()
}

func (t *totals) hash() uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], t.revision)
	binary.LittleEndian.PutUint64(b[8:], t.sum)
	return xxhash.Sum64(b[:])
}
