package naive

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"

	"balsa.example/kv"
)

// store is the keys with all that they ever held.
type store struct {
	// past has all changes of each key, in their order, whatever was compacted; order has these
	// keys in their order.
	past  map[string][]kv.Event
	order []string
	// revisions has all changes in their order: those of revision r at r-2.
	revisions [][]kv.Event
	compacted uint64
	// deleted and resent are the marks of kv: by the hash of a key, the revision of the last
	// delete, and of the last Resend.
	deleted, resent [1024]uint64
}

// revision is 1 when the store is empty.
func (s *store) revision() uint64 { return uint64(len(s.revisions)) + 1 }

func mark(key string) uint64 { return xxhash.Sum64String(key) % 1024 }

// at returns what a key held at a revision.
func (s *store) at(key string, revision uint64) (kv.Entry, bool) {
	past := s.past[key]
	for i := len(past) - 1; i >= 0; i-- {
		if e := &past[i]; e.ModRevision <= revision {
			return e.Entry, !e.Deleted
		}
	}
	return kv.Entry{}, false
}

// now is the revision of what a transaction has written so far, and everything before.
const now = ^uint64(0)

// change is the revision that a command makes. Its events are those so far.
type change struct {
	*store
	events []kv.Event
}

func (s *store) begin() *change { return &change{store: s} }

// commit ends the revision, if anything has changed.
func (c *change) commit() {
	if len(c.events) > 0 {
		c.revisions = append(c.revisions, c.events)
	}
}

// seen is the revision that an operation of the change tells: the next one as soon as there is
// a change.
func (c *change) seen() uint64 {
	if len(c.events) > 0 {
		return c.revision() + 1
	}
	return c.revision()
}

func (c *change) add(e kv.Event) kv.Event {
	e.ModRevision = c.revision() + 1
	if prev, ok := c.at(e.Key, now); ok {
		e.Prev = &prev
	}
	c.events = append(c.events, e)
	if _, known := c.past[e.Key]; !known {
		i, _ := slices.BinarySearch(c.order, e.Key)
		c.order = slices.Insert(c.order, i, e.Key)
	}
	c.past[e.Key] = append(c.past[e.Key], e)
	return e
}

func (c *change) put(key string, value []byte, lease int64) kv.Event {
	e := kv.Entry{Key: key, Value: bytes.Clone(value), Version: 1, CreateRevision: c.revision() + 1, Lease: lease}
	if old, ok := c.at(key, now); ok {
		e.Version, e.CreateRevision = old.Version+1, old.CreateRevision
	}
	return c.add(kv.Event{Entry: e})
}

func (c *change) delete(key string) kv.Event {
	c.deleted[mark(key)] = c.revision() + 1
	return c.add(kv.Event{Entry: kv.Entry{Key: key}, Deleted: true})
}

// do executes an operation on one key.
func (s *store) do(op kv.Op) kv.Result {
	switch {
	case op.Kind < kv.Get || op.Kind > kv.Delete:
		return kv.Result{Code: kv.CodeUnknownKind, Revision: s.revision()}
	case op.Key == "":
		return kv.Result{Code: kv.CodeEmptyKey, Revision: s.revision()}
	case op.Kind == kv.Get:
		return s.get(op.Key)
	}
	if op.Attempt == kv.Resend {
		s.resent[mark(op.Key)] = s.revision()
	}
	if code := s.refuses(op); code != kv.CodeOK {
		r := s.get(op.Key)
		r.Code, r.Value, r.DeleteRevision = code, nil, s.deleted[mark(op.Key)]
		return r
	}
	c := s.begin()
	if op.Kind == kv.Delete {
		c.delete(op.Key)
		c.commit()
		return kv.Result{Revision: s.revision()}
	}
	c.put(op.Key, op.Value, 0)
	c.commit()
	r := s.get(op.Key)
	r.Value = nil
	return r
}

// refuses tells why an operation does not change its key.
func (s *store) refuses(op kv.Op) kv.Code {
	e, present := s.at(op.Key, now)
	if !present && op.Kind == kv.Delete || !present && !op.Unconditional && op.Version > 0 {
		return kv.CodeNoKey
	}
	if present && !op.Unconditional && op.Version != e.Version {
		return kv.CodeVersion
	}
	if op.UnchangedSince == 0 || op.Attempt == kv.FirstAttempt && s.resent[mark(op.Key)] < op.UnchangedSince {
		return kv.CodeOK
	}
	if present && e.ModRevision > op.UnchangedSince || !present && s.deleted[mark(op.Key)] > op.UnchangedSince {
		return kv.CodeChanged
	}
	return kv.CodeOK
}

func (s *store) get(key string) kv.Result {
	e, present := s.at(key, now)
	switch {
	case key == "":
		return kv.Result{Code: kv.CodeEmptyKey, Revision: s.revision()}
	case !present:
		return kv.Result{Code: kv.CodeNoKey, Revision: s.revision()}
	}
	return kv.Result{
		Value: e.Value, Version: e.Version, CreateRevision: e.CreateRevision,
		ModRevision: e.ModRevision, Lease: e.Lease, Revision: s.revision(),
	}
}

// compact forgets what is below a revision. Here it only says that it did.
func (s *store) compact(revision uint64) kv.Code {
	if code := s.readable(revision); code != kv.CodeOK {
		return code
	}
	if revision <= s.compacted {
		return kv.CodeCompacted
	}
	s.compacted = revision
	return kv.CodeOK
}

// readable tells whether a revision can be read.
func (s *store) readable(revision uint64) kv.Code {
	switch {
	case revision > s.revision():
		return kv.CodeFutureRevision
	case revision < s.compacted:
		return kv.CodeCompacted
	}
	return kv.CodeOK
}
