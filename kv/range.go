package kv

// RangeOp reads the keys of a span, as they were at one revision.
type RangeOp struct {
	Span
	// Revision is the one to read at; 0: the present one.
	Revision uint64
	// Limit is how many keys to return at most; 0: all.
	Limit int64
	// MaxBytes ends the result, if not 0, after the key with which its keys and values reach so
	// many bytes. RangeResult.More then tells that there is more. It works as Limit does.
	MaxBytes int64
	Sort     Sort
	Descend  bool
	// LimitFirst applies Limit before Sort: the first Limit+1 keys are sorted, and Limit of them
	// returned. So does etcd where no order is asked for. The order of keys is as without it.
	LimitFirst bool
	// KeysOnly leaves the values out, and CountOnly returns no keys at all.
	KeysOnly, CountOnly bool
	// NoCount spares the count where Limit or MaxBytes end the result: Count may then be too
	// low. It is for readers that go on from page to page.
	NoCount bool
	// The bounds are inclusive. 0 means none. They and Limit do not change the count.
	MinMod, MaxMod, MinCreate, MaxCreate uint64
}

// bounded tells whether there are bounds on revisions.
func (op *RangeOp) bounded() bool {
	return op.MinMod != 0 || op.MaxMod != 0 || op.MinCreate != 0 || op.MaxCreate != 0
}

// Sort is what the keys of a range are ordered by, before Limit is applied, unless LimitFirst is set. Keys that do not
// differ in it are in the ascending order of keys, whatever Descend says.
type Sort uint8

const (
	SortByKey Sort = iota
	SortByVersion
	SortByCreate
	SortByMod
	SortByValue
)

// RangeResult is what a RangeOp found.
type RangeResult struct {
	Entries []Entry
	// Count is how many keys of the span there are at the revision, whatever Limit, MaxBytes
	// and the bounds on revisions left out.
	Count int64
	// More tells that Limit or MaxBytes left something out.
	More bool
	// Revision is the store's when the range was read, not the one that was asked for.
	Revision uint64
}
