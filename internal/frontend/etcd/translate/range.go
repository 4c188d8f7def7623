//balsa:pure

package translate

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
)

// RangeOf is the read that a request asks for. It shares the memory of its keys.
func RangeOf(r *pb.RangeRequest, limits kv.Limits) (*kv.RangeOp, error) {
	if err := checkRange(r); err != nil {
		return nil, err
	}
	op := rangeOf(r)
	if err := op.Validate(limits); err != nil {
		return nil, invalid(err)
	}
	return op, nil
}

func checkRange(r *pb.RangeRequest) error {
	if len(r.Key) == 0 {
		return ErrEmptyKey
	}
	_, knownOrder := pb.RangeRequest_SortOrder_name[int32(r.SortOrder)]
	_, knownTarget := pb.RangeRequest_SortTarget_name[int32(r.SortTarget)]
	if !knownOrder || !knownTarget {
		return ErrInvalidSortOption
	}
	return nil
}

// sorts gives what the keys of a range are ordered by.
var sorts = map[pb.RangeRequest_SortTarget]kv.Sort{
	pb.RangeRequest_KEY:     kv.SortByKey,
	pb.RangeRequest_VERSION: kv.SortByVersion,
	pb.RangeRequest_CREATE:  kv.SortByCreate,
	pb.RangeRequest_MOD:     kv.SortByMod,
	pb.RangeRequest_VALUE:   kv.SortByValue,
}

// rangeOf takes numbers below 0 as etcd does: there is no limit, the revision is the present one,
// and the bounds exclude nothing from below and everything from above.
func rangeOf(r *pb.RangeRequest) *kv.RangeOp {
	return &kv.RangeOp{
		Span:     SpanOf(r.Key, r.RangeEnd),
		Revision: positive(r.Revision), Limit: max(r.Limit, 0),
		// No order means the rising one, and that a limit comes first, unless there are bounds.
		Sort: sorts[r.SortTarget], Descend: r.SortOrder == pb.RangeRequest_DESCEND,
		LimitFirst: r.SortOrder == pb.RangeRequest_NONE && r.SortTarget != pb.RangeRequest_KEY && r.Limit > 0 &&
			r.MinModRevision == 0 && r.MaxModRevision == 0 && r.MinCreateRevision == 0 && r.MaxCreateRevision == 0,
		KeysOnly: r.KeysOnly, CountOnly: r.CountOnly,
		MinMod: positive(r.MinModRevision), MaxMod: upper(r.MaxModRevision),
		MinCreate: positive(r.MinCreateRevision), MaxCreate: upper(r.MaxCreateRevision),
	}
}

func positive(n int64) uint64 { return uint64(max(n, 0)) }

// upper is a bound that 0 takes away. The lowest revision that a key can have is 2, so 1 excludes
// as much as any number below 0.
func upper(n int64) uint64 {
	if n < 0 {
		return 1
	}
	return uint64(n)
}
