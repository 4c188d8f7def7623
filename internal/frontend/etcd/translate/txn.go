//balsa:pure

package translate

import (
	"cmp"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
	"balsa.example/state"
)

// Txn is the transaction that a request asks for. Errors come in the order of etcd's checks: the
// shape of all of the request, its size, and keys that are changed twice.
func Txn(r *pb.TxnRequest, limits kv.Limits) (*kv.Txn, error) {
	if err := checkTxn(r, cmp.Or(limits.MaxTxnOps, kv.DefaultLimits.MaxTxnOps)); err != nil {
		return nil, err
	}
	t, err := txnOf(r)
	if err != nil {
		return nil, err
	}
	if tooLarge(r, mostOfTxn(r), limits) {
		return nil, ErrRequestTooLarge
	}
	if err := t.Validate(limits); err != nil {
		return nil, invalid(err)
	}
	return t, nil
}

// mostOfTxn is at least the size of a request whose shape is right, in bytes.
func mostOfTxn(r *pb.TxnRequest) (size int) {
	for _, c := range r.Compare {
		size += otherFields + len(c.Key) + len(c.RangeEnd) + len(c.GetValue())
	}
	for _, list := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range list {
			switch op := op.Request.(type) {
			case *pb.RequestOp_RequestRange:
				size += otherFields + len(op.RequestRange.Key) + len(op.RequestRange.RangeEnd)
			case *pb.RequestOp_RequestPut:
				size += mostOfPut(op.RequestPut)
			case *pb.RequestOp_RequestDeleteRange:
				size += mostOfDelete(op.RequestDeleteRange)
			case *pb.RequestOp_RequestTxn:
				size += otherFields + mostOfTxn(op.RequestTxn)
			}
		}
	}
	return size
}

// TxnCommand is the command of a transaction.
func TxnCommand(t *kv.Txn) state.Command {
	return state.Command{More: &state.More{Kind: state.KindTxn, Txn: t}}
}

// Serializable tells whether a transaction that only reads may read what one member has: it has
// ranges, and all of them say so.
func Serializable(r *pb.TxnRequest) bool {
	for _, list := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range list {
			if !op.GetRequestRange().GetSerializable() {
				return false
			}
		}
	}
	return len(r.Success)+len(r.Failure) > 0
}

// checkTxn lets each list have so many operations. What the longest one has is taken off for the
// transactions that are nested in it.
func checkTxn(r *pb.TxnRequest, maxOps int) error {
	most := max(len(r.Compare), len(r.Success), len(r.Failure))
	if most > maxOps {
		return ErrTooManyOps
	}
	for _, c := range r.Compare {
		if len(c.GetKey()) == 0 {
			return ErrEmptyKey
		}
	}
	for _, list := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range list {
			if err := checkOp(op, maxOps-most); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOp(op *pb.RequestOp, maxOps int) error {
	switch op := op.GetRequest().(type) {
	case *pb.RequestOp_RequestRange:
		if op.RequestRange != nil {
			return checkRange(op.RequestRange)
		}
	case *pb.RequestOp_RequestPut:
		if op.RequestPut != nil {
			return checkPut(op.RequestPut)
		}
	case *pb.RequestOp_RequestDeleteRange:
		if op.RequestDeleteRange != nil {
			return checkDelete(op.RequestDeleteRange)
		}
	case *pb.RequestOp_RequestTxn:
		if op.RequestTxn != nil {
			return checkTxn(op.RequestTxn, maxOps)
		}
	}
	return ErrKeyNotFound // the operation is missing, and etcd says it so
}

func txnOf(r *pb.TxnRequest) (*kv.Txn, error) {
	t := new(kv.Txn)
	for _, c := range r.Compare {
		t.If = append(t.If, compareOf(c))
	}
	var err error
	if t.Then, err = opsOf(r.Success); err != nil {
		return nil, err
	}
	t.Else, err = opsOf(r.Failure)
	return t, err
}

func opsOf(list []*pb.RequestOp) ([]kv.TxnOp, error) {
	ops := make([]kv.TxnOp, len(list))
	for i, op := range list {
		var err error
		switch op := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			if op.RequestRange.Revision < 0 { // etcd takes it for now in ranges alone
				return nil, ErrCompacted
			}
			ops[i].Range = rangeOf(op.RequestRange)
		case *pb.RequestOp_RequestPut:
			ops[i].Put = putOf(op.RequestPut)
		case *pb.RequestOp_RequestDeleteRange:
			ops[i].Delete = deleteOf(op.RequestDeleteRange)
		case *pb.RequestOp_RequestTxn:
			ops[i].Txn, err = txnOf(op.RequestTxn)
		}
		if err != nil {
			return nil, err
		}
	}
	return ops, nil
}

var targets = map[pb.Compare_CompareTarget]kv.Target{
	pb.Compare_VERSION: kv.TargetVersion,
	pb.Compare_CREATE:  kv.TargetCreate,
	pb.Compare_MOD:     kv.TargetMod,
	pb.Compare_VALUE:   kv.TargetValue,
	pb.Compare_LEASE:   kv.TargetLease,
}

var relations = map[pb.Compare_CompareResult]kv.Relation{
	pb.Compare_EQUAL:     kv.Equal,
	pb.Compare_GREATER:   kv.Greater,
	pb.Compare_LESS:      kv.Less,
	pb.Compare_NOT_EQUAL: kv.NotEqual,
}

// compareOf takes what the target is compared with as 0, or as no value, where the request has it
// for another target, as etcd does.
func compareOf(c *pb.Compare) kv.Compare {
	target, knownTarget := targets[c.Target]
	relation, knownRelation := relations[c.Result]
	if !knownTarget || !knownRelation {
		return unknownCompare(c, knownTarget)
	}
	compare := kv.Compare{Span: SpanOf(c.Key, c.RangeEnd), Target: target, Relation: relation}
	switch c.Target {
	case pb.Compare_VALUE:
		compare.Value = c.GetValue()
	case pb.Compare_LEASE:
		compare.Number = uint64(c.GetLease()) // leases can be below 0
	case pb.Compare_VERSION:
		compareNumber(&compare, c.GetVersion())
	case pb.Compare_CREATE:
		compareNumber(&compare, c.GetCreateRevision())
	case pb.Compare_MOD:
		compareNumber(&compare, c.GetModRevision())
	}
	return compare
}

// unknownCompare is what etcd makes of a compare that it does not know. All targets of an unknown kind are equal, and
// an unknown result holds, but for the value of a key that does not exist.
func unknownCompare(c *pb.Compare, knownTarget bool) kv.Compare {
	compare := kv.Compare{Span: SpanOf(c.Key, c.RangeEnd), Target: kv.TargetVersion}
	_, knownRelation := relations[c.Result]
	switch {
	case knownTarget && c.Target == pb.Compare_VALUE:
		compare.Relation, compare.Number = kv.Greater, 0 // the key exists
	case !knownRelation || c.Result == pb.Compare_EQUAL:
		compare.Relation, compare.Number = kv.NotEqual, math.MaxUint64 // always
	default:
		compare.Relation, compare.Number = kv.Equal, math.MaxUint64 // never
	}
	return compare
}

// compareNumber sets what a version or revision is compared with. Those are never below 0, so one
// that is below 0 is as good as one that no key ever has.
func compareNumber(c *kv.Compare, n int64) {
	if c.Number = uint64(n); n >= 0 {
		return
	}
	switch c.Number = math.MaxUint64; c.Relation {
	case kv.Greater:
		c.Relation = kv.NotEqual
	case kv.Less:
		c.Relation = kv.Equal
	}
}

// TxnResponse is the response to what TxnCommand made.
func TxnResponse(o Origin, r *state.Result) (*TxnMessage, error) {
	if err := Refusal(r.Code); err != nil {
		return nil, err
	}
	sizes := make(txnSizes, 0, fewResponses)
	wire := make([]byte, 0, sizes.txn(o, r.Revision, r.Txn))
	return &TxnMessage{sizes.append(wire, o, r.Revision, r.Txn)}, nil
}

// fewResponses is how many most transactions have at most.
const fewResponses = 8
