//balsa:pure

package translate

import (
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"

	"balsa.example/kv"
)

// HashStore is what HashKV needs of a store.
type HashStore interface {
	Ranger
	Revision() uint64
	Compacted() uint64
	Scan(from uint64, yield func(revision uint64, events []kv.Event) bool) error
}

// Hash is a hash of the history from one revision to another.
type Hash struct {
	Hash                uint32
	Compacted, Revision uint64
}

// hashAttempts is how often a history is hashed while compactions come in between.
const hashAttempts = 3

// hashPage is about how many bytes are read at once.
const hashPage = 1 << 20

// HashKV hashes the history up to a revision, 0: the present one. It has the keys as they were at the
// revision to which the store is compacted, and all events since. A revision below 0, which clients
// get back, is that of no event.
func HashKV(store HashStore, revision int64) (h Hash, err error) {
	for range hashAttempts {
		h.Compacted, h.Revision = store.Compacted(), uint64(revision)
		switch present := store.Revision(); {
		case revision < 0:
			h.Revision = h.Compacted
		case revision == 0:
			h.Revision = present
		case h.Revision > present:
			return h, ErrFutureRev
		}
		if h.Revision < h.Compacted {
			return h, ErrCompacted
		}
		if h.Hash, err = hashHistory(store, h.Compacted, h.Revision); !errors.Is(err, kv.ErrCompacted) {
			break
		}
	}
	if err != nil {
		return h, ReadFailed(err)
	}
	return h, nil
}

// historyHash hashes entries.
type historyHash struct {
	hash.Hash32
	buf []byte
}

func hashHistory(store HashStore, compacted, last uint64) (uint32, error) {
	h := historyHash{Hash32: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	op := kv.RangeOp{Revision: compacted, MaxBytes: hashPage, NoCount: true}
	for more := compacted > 0; more; {
		r, err := store.Range(op)
		if err != nil {
			return 0, err
		}
		for i := range r.Entries {
			h.add(&r.Entries[i])
		}
		if more = r.More; more {
			op.From = r.Entries[len(r.Entries)-1].Key + "\x00"
		}
	}
	err := store.Scan(compacted+1, func(revision uint64, events []kv.Event) bool {
		for i := range events {
			if revision <= last {
				h.add(&events[i].Entry) // that of a delete has no version
			}
		}
		return revision < last
	})
	return h.Sum32(), err
}

func (h *historyHash) add(e *kv.Entry) {
	h.buf = binary.AppendUvarint(h.buf[:0], uint64(len(e.Key)))
	h.buf = append(h.buf, e.Key...)
	h.buf = binary.AppendUvarint(h.buf, uint64(len(e.Value)))
	h.buf = append(h.buf, e.Value...)
	for _, n := range []uint64{e.Version, e.CreateRevision, e.ModRevision, uint64(e.Lease)} {
		h.buf = binary.AppendUvarint(h.buf, n)
	}
	_, _ = h.Write(h.buf) // a hash takes everything
}
