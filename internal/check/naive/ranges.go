package naive

import (
	"bytes"
	"cmp"
	"slices"

	"balsa.example/kv"
)

// keys returns the entries of a span at a revision, in the order of keys.
func (s *store) keys(span kv.Span, revision uint64) (entries []kv.Entry) {
	first, _ := slices.BinarySearch(s.order, span.From)
	for _, key := range s.order[first:] {
		if !span.Contains(key) {
			break
		}
		if e, ok := s.at(key, revision); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// ranges executes a RangeOp whose revision is readable.
func (c *change) ranges(op *kv.RangeOp) *kv.RangeResult {
	revision := op.Revision
	if revision == 0 {
		revision = now
	}
	entries := c.keys(op.Span, revision)
	r := &kv.RangeResult{Count: int64(len(entries)), Revision: c.seen()}
	if op.CountOnly {
		return r
	}
	entries = slices.DeleteFunc(entries, func(e kv.Entry) bool {
		return op.MinMod > 0 && e.ModRevision < op.MinMod || op.MaxMod > 0 && e.ModRevision > op.MaxMod ||
			op.MinCreate > 0 && e.CreateRevision < op.MinCreate || op.MaxCreate > 0 && e.CreateRevision > op.MaxCreate
	})
	if op.LimitFirst && op.Limit > 0 && op.Sort != kv.SortByKey {
		entries = entries[:min(int64(len(entries))-1, op.Limit)+1]
	}
	slices.SortStableFunc(entries, func(a, b kv.Entry) int {
		order := compare(op.Sort, a, b)
		if op.Descend {
			return -order
		}
		return order
	})
	var bytes int64
	for _, e := range entries {
		full := op.Limit > 0 && int64(len(r.Entries)) == op.Limit
		full = full || op.MaxBytes > 0 && bytes >= op.MaxBytes
		if full {
			r.More = true
			break
		}
		if op.KeysOnly {
			e.Value = nil
		}
		bytes += int64(len(e.Key) + len(e.Value))
		r.Entries = append(r.Entries, e)
	}
	return r
}

func compare(sort kv.Sort, a, b kv.Entry) int {
	switch sort {
	case kv.SortByVersion:
		return cmp.Compare(a.Version, b.Version)
	case kv.SortByCreate:
		return cmp.Compare(a.CreateRevision, b.CreateRevision)
	case kv.SortByMod:
		return cmp.Compare(a.ModRevision, b.ModRevision)
	case kv.SortByValue:
		return bytes.Compare(a.Value, b.Value)
	}
	return cmp.Compare(a.Key, b.Key)
}

// At returns all entries at a revision, whatever was compacted.
func (m *Machine) At(revision uint64) []kv.Entry { return m.keys(kv.Span{}, revision) }
