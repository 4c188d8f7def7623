package kv

import (
	"errors"
	"fmt"
	"sync"

	"balsa.example/kv/index"
	"balsa.example/kv/run"
)

// Store is every change of every key since the last compaction, in the order of revisions. The
// changes themselves are in a history (package run), the newest in memory and the others in
// files; an index in memory (package index) says where each of them is.
//
// One goroutine, the one that executes the log, calls DoOp, Txn, DeleteKeys, Compact and Totals.
// Any goroutine may read meanwhile. Another one may call Durable, Purge and Move.
//
// The lock is for these readers. The goroutine that executes the log holds it only while it
// changes what they can see, never while it copies or hashes a value.
type Store struct {
	history *run.History
	leases  Leases
	// publish is told of every revision; may be nil.
	publish Publisher

	// writer is held by whoever changes the index: the goroutine that executes the log for a
	// whole command, and others for one step of their work. mu is locked inside of it, for what
	// readers can see.
	writer sync.Mutex
	mu     sync.RWMutex
	index  *index.Index
	totals
	chain uint64 // of the history, up to revision
	keys  int64
	// puts, putBytes and what follows are those of Figures.
	puts, putBytes, deletes, forgotten, ranges, txns uint64
	// live is how many bytes of each run the index refers to.
	live map[uint32]int64
	// deadDeletes is what DeadDeletes returns.
	deadDeletes map[uint32]int64
	// durable is compacted as the last durable checkpoint has it. The log is replayed from there
	// after a crash, so what could be read then must stay: Purge goes no further.
	durable uint64
	pins    pins
	// sortedBytes is the constant of that name, and deleteKeysBytes is maxDeleteKeysBytes. Less is for tests.
	sortedBytes     int
	deleteKeysBytes int64
}

// Leases are the leases that keys hang on.
type Leases interface {
	// Room returns how many more keys a lease may have. The error says that there is no such
	// lease.
	Room(lease int64) (keys int, err error)
	// Attach and Detach tell on which lease a key is. Attach is only called where there is room.
	Attach(lease int64, key string) error
	Detach(lease int64, key string)
}

// Publisher learns of each revision, in their order.
type Publisher interface {
	// Active tells whether anybody watches. If not, no events are made.
	Active() bool
	// Publish gets all events of a revision, or none of them if nobody was watching when it began, or if they are too
	// many: more than maxEvents.
	// They have no Prev, and never change.
	Publish(revision uint64, events []Event)
	// Compacted says that nothing below a revision will be readable soon. It is told before any of it is refused.
	Compacted(revision uint64)
	// Reset says that another state is there now: that which was opened, or one that was received.
	// It is at a revision, and nothing below compacted can be read.
	Reset(revision, compacted uint64)
}

// NewStore returns the empty store over an empty history.
func NewStore(history *run.History, leases Leases) *Store {
	return &Store{
		history: history, leases: leases, index: index.New(), live: map[uint32]int64{}, deadDeletes: map[uint32]int64{},
		totals: totals{revision: firstRevision}, sortedBytes: sortedBytes, deleteKeysBytes: maxDeleteKeysBytes,
	}
}

// PublishTo tells p of all changes from now on; nil: nobody. It is called before the first
// command.
func (s *Store) PublishTo(p Publisher) { s.publish = p }

// Bytes is the size of the present records of all keys. The goroutine that executes the log calls
// it.
func (s *Store) Bytes() int64 { return s.bytes }

// Revision returns the store's revision.
func (s *Store) Revision() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision
}

// Compacted returns the lowest revision that can be read, 0 if there was no compaction.
func (s *Store) Compacted() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.compacted
}

// Figures are for people.
type Figures struct {
	Revision, Compacted uint64
	Keys                int64   // that exist now
	Versions            int64   // older ones in the index
	Bytes               int64   // of the present records
	IndexBytes          int64   // memory of the index
	HistoryBytes        int64   // of all records that the index refers to
	IndexPlaces         float64 // the share of the places in the index that is in use; see index.Index.Places
	// Puts and Deletes are how many this store has executed, and PutBytes the size of the keys and values that were put.
	// A Delete is one, of a span and of a key that does not exist as well.
	Puts, Deletes, PutBytes uint64
	// Forgotten are the versions that this store has taken out of its index after compactions.
	Forgotten uint64
	// Ranges are those that transactions have read, Txns the transactions that had more than one operation to execute.
	// Reads by other ways are not counted: many do them at the same time.
	Ranges, Txns uint64
}

// Figures returns figures for people.
func (s *Store) Figures() Figures {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f := Figures{
		Revision: s.revision, Compacted: s.compacted, Keys: s.keys, Bytes: s.bytes,
		Versions: int64(s.index.Versions()), IndexBytes: s.index.Bytes(), IndexPlaces: s.index.Places(),
		Puts: s.puts, Deletes: s.deletes, PutBytes: s.putBytes, Forgotten: s.forgotten, Ranges: s.ranges, Txns: s.txns,
	}
	for _, n := range s.live {
		f.HistoryBytes += n
	}
	return f
}

// operations are what was executed, for Figures. What writes counts puts.
type operations struct{ deletes, ranges, txns uint64 }

// FreeIndex lets the memory of the index be used for that of another store, which takes the place of this one. Whoever reads
// finds no key from then on: so he looks afterwards whether he has read in an index. What needs none can be read as
// before, Scan too. Nothing may be executed any more, and no run be rewritten.
func (s *Store) FreeIndex() {
	s.writer.Lock()
	defer s.writer.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = index.New()
}

// count adds operations to Figures.
func (s *Store) count(o operations) {
	if o == (operations{}) {
		return
	}
	s.mu.Lock()
	s.deletes += o.deletes
	s.ranges += o.ranges
	s.txns += o.txns
	s.mu.Unlock()
}

// Hash returns a hash of the state that the log has led to: the chain over all records since
// the beginning, the revisions, and the marks. Replicas that executed the same commands have
// the same hash. It does not depend on what a replica has purged or rewritten.
func (s *Store) Hash() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hash(s.chain)
}

// Limits of what is read at once under the lock, so that operations do not wait long.
const scanChunk = 256

// read returns a record. ref is where it was; a rewrite may have moved it since. The record
// shares memory with the history, and must not be written to.
func (s *Store) read(key string, mod uint64, ref index.Ref) (run.Record, error) {
	for {
		rec, err := s.history.Read(ref)
		if !errors.Is(err, run.ErrGone) {
			if err == nil && rec.Mod != mod {
				err = fmt.Errorf("kv: the record of %q at revision %d is of revision %d", key, mod, rec.Mod)
			}
			return rec, err
		}
		s.mu.RLock()
		next, ok := s.index.Version(s.index.Find(key), mod)
		s.mu.RUnlock()
		if !ok {
			return run.Record{}, ErrCompacted
		}
		if next == ref {
			return run.Record{}, err
		}
		ref = next
	}
}
