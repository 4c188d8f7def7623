package kv

import (
	"encoding/binary"
	"iter"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/btree"
)

// Store is the state machine: an ordered index of keys in memory.
//
// DoOp, Snapshot and Restore are for one goroutine, the one that executes the log. All
// other methods may be called by any goroutine meanwhile. The lock serves those
// readers, and the writer holds it only to touch the index, never while it allocates,
// copies or hashes. The alternative without a lock, to publish a clone of the index
// after each operation, makes each put copy a path of index nodes: see
// BenchmarkPublishedClone for what that costs.
type Store struct {
	mu    sync.RWMutex
	state state
}

// state is everything that a snapshot holds.
type state struct {
	index    *btree.Map[string, *record]
	revision uint64
	// bytes is the size of all keys and values.
	bytes int64
	// sum is the sum of the hashes of all records and of all tombs, modulo 2^64.
	sum   uint64
	tombs tombs
}

// record is what a key holds. It never changes: readers and images share it.
type record struct {
	value          []byte
	version        uint64
	createRevision uint64
	modRevision    uint64
	// sum is what the record adds to state.sum: kept, since to compute it again would
	// read the whole value.
	sum uint64
}

// firstRevision is the revision of an empty store, as in etcd.
const firstRevision = 1

// NewStore returns an empty store, at revision 1.
func NewStore() *Store { return &Store{state: newState()} }

func newState() state {
	return state{index: btree.NewMap[string, *record](0), revision: firstRevision}
}

// DoOp executes op. It is total: an operation that makes no sense is refused, the same
// way everywhere, and changes nothing. It keeps no part of op.Key and
// op.Value.
func (s *Store) DoOp(op Op) Result {
	if !op.Kind.valid() {
		return Result{Code: CodeUnknownKind, Revision: s.state.revision}
	}
	if op.Key == "" {
		return Result{Code: CodeEmptyKey, Revision: s.state.revision}
	}
	// No lock to read: this goroutine is the only writer.
	old, _ := s.state.index.Get(op.Key)
	if op.Kind == Get {
		return s.state.describe(old)
	}
	if code := s.state.condition(op, old); code != CodeOK {
		r := s.state.describe(old)
		r.Code, r.Value = code, nil
		return r
	}
	if op.Kind == Delete {
		return s.delete(op.Key, old)
	}
	return s.put(op, old)
}

// condition tells whether a Put or Delete may change the key that holds old, nil
// meaning absent.
func (st *state) condition(op Op, old *record) Code {
	switch {
	case old == nil && (op.Kind == Delete || op.Version > 0 && !op.Unconditional):
		return CodeNoKey
	case old != nil && op.Version != old.version && !op.Unconditional:
		return CodeVersion
	case op.UnchangedSince > 0 && st.lastChange(op.Key, old) > op.UnchangedSince:
		return CodeChanged
	}
	return CodeOK
}

// lastChange returns the revision of the last change of the key that holds old, nil
// meaning absent; of an absent one perhaps a later revision.
func (st *state) lastChange(key string, old *record) uint64 {
	if old == nil {
		return st.tombs[tombOf(key)]
	}
	return old.modRevision
}

func (s *Store) put(op Op, old *record) Result {
	revision := s.state.revision + 1
	key, value := keep(op.Key, op.Value)
	r := &record{value: value, version: 1, createRevision: revision, modRevision: revision}
	sum, size := s.state.sum, s.state.bytes+r.size(op.Key)
	if old != nil {
		r.version, r.createRevision = old.version+1, old.createRevision
		sum -= old.sum
		size -= old.size(op.Key)
	}
	r.sum = r.hash(op.Key)
	sum += r.sum

	s.mu.Lock()
	s.state.index.Set(key, r)
	s.state.revision, s.state.sum, s.state.bytes = revision, sum, size
	s.mu.Unlock()

	result := s.state.describe(r)
	result.Value = nil
	return result
}

// keep copies a key and its value, into one piece of memory: they come and go together.
func keep(key string, value []byte) (string, []byte) {
	b := make([]byte, len(key)+len(value))
	n := copy(b, key)
	copy(b[n:], value)
	if value != nil {
		value = b[n:]
	}
	return Alias(b[:n]), value
}

func (s *Store) delete(key string, old *record) Result {
	revision, tomb := s.state.revision+1, tombOf(key)
	sum := s.state.sum - old.sum - s.state.tombs.hash(tomb)

	s.mu.Lock()
	s.state.index.Delete(key)
	s.state.tombs[tomb] = revision
	s.state.revision, s.state.sum = revision, sum+s.state.tombs.hash(tomb)
	s.state.bytes -= old.size(key)
	s.mu.Unlock()

	return Result{Revision: revision}
}

// Get returns what DoOp of a Get would, without the log: a key that is absent gives
// CodeNoKey. Whether that is fresh enough is for the caller to know.
func (s *Store) Get(key string) Result {
	if key == "" {
		return Result{Code: CodeEmptyKey, Revision: s.Revision()}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, _ := s.state.index.Get(key)
	return s.state.describe(r)
}

// describe is the result of having found r, nil meaning absent.
func (st *state) describe(r *record) Result {
	if r == nil {
		return Result{Code: CodeNoKey, Revision: st.revision}
	}
	return Result{
		Value:          r.value,
		Version:        r.version,
		CreateRevision: r.createRevision,
		ModRevision:    r.modRevision,
		Revision:       st.revision,
	}
}

// Entry is one key with all that it holds. Its Value must not be written to.
type Entry struct {
	Key            string
	Value          []byte
	Version        uint64
	CreateRevision uint64
	ModRevision    uint64
}

// Ascend returns the entries with from <= key < to in key order, of the one revision
// that the store is at now; an empty to means no upper end. Operations go on while the
// caller iterates.
func (s *Store) Ascend(from, to string) iter.Seq[Entry] {
	st := s.clone()
	return func(yield func(Entry) bool) {
		st.index.Ascend(from, func(key string, r *record) bool {
			if to != "" && key >= to {
				return false
			}
			return yield(Entry{key, r.value, r.version, r.createRevision, r.modRevision})
		})
	}
}

// clone returns the present state. It costs O(1) now, and later a copy of each index
// node at the first change to it.
func (s *Store) clone() state {
	s.mu.Lock() // to clone an index marks it
	defer s.mu.Unlock()
	st := s.state
	st.index = s.state.index.Copy()
	return st
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
	return s.state.index.Len()
}

// Bytes returns the size of all keys and values. The memory in use is larger: count
// about 100 bytes more for each key.
func (s *Store) Bytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.bytes
}

// Hash returns a hash of the whole state. Replicas that executed the same operations
// have the same hash; those whose states differ in anything, the revision included,
// have different ones but for a chance of 2^-64.
//
// It is kept as a sum over the records and tombs, so that a put costs the hashing of what
// it replaces and of what it installs, and that a snapshot can be checked against it
// record by record, both when it is written and when it is restored. It guards against
// faults, not against somebody who chooses keys and values to collide.
func (s *Store) Hash() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.hash()
}

func (st *state) hash() uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], st.revision)
	binary.LittleEndian.PutUint64(b[8:], st.sum)
	return xxhash.Sum64(b[:])
}

// hash covers the key and all that it holds. The key's length keeps the bytes of key
// and value apart.
func (r *record) hash(key string) uint64 {
	var head [32]byte
	binary.LittleEndian.PutUint64(head[0:], r.version)
	binary.LittleEndian.PutUint64(head[8:], r.createRevision)
	binary.LittleEndian.PutUint64(head[16:], r.modRevision)
	binary.LittleEndian.PutUint64(head[24:], uint64(len(key)))
	var d xxhash.Digest
	d.Reset()
	d.Write(head[:])
	d.WriteString(key)
	d.Write(r.value)
	return d.Sum64()
}

func (r *record) size(key string) int64 { return int64(len(key) + len(r.value)) }
