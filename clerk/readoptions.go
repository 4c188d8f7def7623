package clerk

import "balsa.example/api"

// RangeOption says what of a span is read, and how.
type RangeOption interface{ setRange(*reading) }

// ReadOption says how fresh a read must be, or of which revision. The default sees every write
// that was acknowledged before, and trusts no clock. It is for a Get, and for a Range, too.
type ReadOption interface {
	RangeOption
	ofGet()
}

type (
	rangeOption func(*reading)
	readOption  struct{ rangeOption }
)

func (o rangeOption) setRange(r *reading) { o(r) }
func (readOption) ofGet()                 {}

// ByLease makes a read cheaper: as fresh, as long as the servers' clocks drift less
// than they are configured to tolerate.
func ByLease() ReadOption {
	return readOption{func(r *reading) { r.consistency = api.Request_LEASE }}
}

// Local makes a read ask one server only, which answers with what it has. It may be old, and
// older than what the same Clerk read before.
func Local() ReadOption {
	return readOption{func(r *reading) { r.consistency = api.Request_LOCAL }}
}

// AtRevision reads what there was at a revision of the store. It fails with ErrCompacted if that
// is forgotten, and with ErrFutureRevision if the store has not reached it.
func AtRevision(revision uint64) ReadOption {
	return readOption{func(r *reading) { r.message.Revision = revision }}
}

// Limit is how many keys to read at most; 0: all.
func Limit(keys uint64) RangeOption {
	return rangeOption(func(r *reading) { r.message.Limit = keys })
}

// KeysOnly leaves the values out.
func KeysOnly() RangeOption {
	return rangeOption(func(r *reading) { r.message.KeysOnly = true })
}

// Descending reads in falling order.
func Descending() RangeOption {
	return rangeOption(func(r *reading) { r.message.Descend = true })
}

// PageBytes is how many bytes of keys and values a Range holds at a time, about. A server has a
// limit of its own, 1 MiB.
func PageBytes(n uint64) RangeOption {
	return rangeOption(func(r *reading) { r.message.MaxBytes = n })
}

// Sort is what the keys of a range are ordered by, before its limit applies.
type Sort api.Range_Sort

// The orders of a range. Keys that are equal by it are in the order of the keys.
const (
	SortByKey            = Sort(api.Range_KEY)
	SortByVersion        = Sort(api.Range_VERSION)
	SortByCreateRevision = Sort(api.Range_CREATE_REVISION)
	SortByModRevision    = Sort(api.Range_MOD_REVISION)
	SortByValue          = Sort(api.Range_VALUE)
)

// OrderBy reads in another order than that of the keys.
func OrderBy(by Sort) RangeOption {
	return rangeOption(func(r *reading) { r.message.Sort = api.Range_Sort(by) })
}

// ModifiedBetween reads only keys that were last changed at a revision between two, which are
// included. 0 is no bound.
func ModifiedBetween(first, last uint64) RangeOption {
	return rangeOption(func(r *reading) { r.message.MinModRevision, r.message.MaxModRevision = first, last })
}

// CreatedBetween reads only keys that were created at a revision between two, which are
// included. 0 is no bound.
func CreatedBetween(first, last uint64) RangeOption {
	return rangeOption(func(r *reading) { r.message.MinCreateRevision, r.message.MaxCreateRevision = first, last })
}
