package sim

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/state"
)

// etcdCalls are what callers say that speak the API of etcd: what a call asks for as a request, and the response
// as the answer that the history is checked with. What is between the two is the server's translation. A
// refusal has no revision there, so it tells no more than that the command was not executed.

// errEtcdRefused is the answer to a request that was refused.
var errEtcdRefused = errors.New("refused by the API of etcd")

// forEtcd changes what was drawn into what the API can say. It returns false if it cannot.
func (x *call) forEtcd() bool {
	if x.Range != nil {
		x.Range.MaxBytes = 0
		return true
	}
	switch x.kind() {
	case state.KindGrant:
		const second = 1_000_000_000
		m := x.Command.More
		m.IsSession = false
		m.TTL = max((m.TTL+second-1)/second, translate.MinTTL(int64(x.caller.w.mix.ElectionTimeout))) * second
		x.caller.w.check.leaseLives.granted(m.Lease, m.TTL)
		return true
	case state.KindTxn:
		withoutBytes(x.Command.More.Txn)
		return true
	case state.KindRevoke, state.KindCompact:
		return true
	}
	return false
}

func withoutBytes(t *kv.Txn) {
	for _, ops := range [][]kv.TxnOp{t.Then, t.Else} {
		for _, op := range ops {
			if op.Range != nil {
				op.Range.MaxBytes = 0
			}
			if op.Txn != nil {
				withoutBytes(op.Txn)
			}
		}
	}
}

// etcdCommand is the command that a server makes of the request, and respond makes an answer of its result.
func (x *call) etcdCommand() (c state.Command, respond func(state.Result) (state.Result, error), err error) {
	limits := kv.Limits{}
	switch m := x.Command.More; m.Kind {
	case state.KindGrant:
		c, err = translate.Grant(&pb.LeaseGrantRequest{ID: m.Lease, TTL: m.TTL / 1e9}, 1, nil)
		respond = func(r state.Result) (state.Result, error) {
			resp, err := translate.GrantResponse(translate.Origin{}, c, &r)
			if err != nil {
				return r, err
			}
			return state.Result{Result: revisionOf(resp.Header), TTL: []int64{resp.TTL * 1e9}}, nil
		}
	case state.KindRevoke:
		c, err = translate.Revoke(&pb.LeaseRevokeRequest{ID: m.Lease})
		respond = func(r state.Result) (state.Result, error) {
			resp, err := translate.RevokeResponse(translate.Origin{}, &r)
			return state.Result{Result: revisionOf(resp.GetHeader())}, err
		}
	case state.KindCompact:
		c, err = translate.Compact(&pb.CompactionRequest{Revision: int64(m.Revision)})
		respond = func(r state.Result) (state.Result, error) {
			resp, err := translate.CompactResponse(translate.Origin{}, &r)
			return state.Result{Result: revisionOf(resp.GetHeader())}, err
		}
	default:
		var t *kv.Txn
		if t, err = translate.Txn(etcdTxn(m.Txn), limits); err == nil {
			c = translate.TxnCommand(t)
		}
		respond = func(r state.Result) (state.Result, error) {
			m, err := translate.TxnResponse(translate.Origin{}, &r)
			if err != nil {
				return r, err
			}
			resp := m.Response()
			txn := txnHeard(resp)
			return state.Result{Result: revisionOf(resp.Header), Txn: &txn}, nil
		}
	}
	if err == nil {
		c.More.User, c.More.UserStamp = x.Command.More.User, x.Command.More.UserStamp
	}
	return c, respond, err
}

func revisionOf(h *pb.ResponseHeader) kv.Result { return kv.Result{Revision: uint64(h.GetRevision())} }

// etcdRange is the read that a server makes of the request.
func (x *call) etcdRange() (kv.RangeOp, error) {
	op, err := translate.RangeOf(etcdRange(x.Range), kv.Limits{})
	if err != nil {
		return kv.RangeOp{}, err
	}
	return *op, nil
}

// Requests.

func etcdSpan(s kv.Span) (key, end []byte) {
	if one, ok := s.One(); ok {
		return []byte(one), nil
	}
	if s.To == "" {
		return []byte(s.From), []byte{0}
	}
	return []byte(s.From), []byte(s.To)
}

func etcdRange(op *kv.RangeOp) *pb.RangeRequest {
	r := &pb.RangeRequest{
		Limit: op.Limit, Revision: int64(op.Revision), KeysOnly: op.KeysOnly, CountOnly: op.CountOnly,
		SortTarget: pb.RangeRequest_SortTarget(op.Sort), SortOrder: pb.RangeRequest_ASCEND,
		MinModRevision: int64(op.MinMod), MaxModRevision: int64(op.MaxMod), MinCreateRevision: int64(op.MinCreate), MaxCreateRevision: int64(op.MaxCreate),
	}
	if op.Descend {
		r.SortOrder = pb.RangeRequest_DESCEND
	}
	r.Key, r.RangeEnd = etcdSpan(op.Span)
	return r
}

// etcdTargets are in the order of kv.Target, etcdRelations in that of kv.Relation.
var (
	etcdTargets   = [...]pb.Compare_CompareTarget{pb.Compare_VERSION, pb.Compare_CREATE, pb.Compare_MOD, pb.Compare_VALUE, pb.Compare_LEASE}
	etcdRelations = [...]pb.Compare_CompareResult{pb.Compare_EQUAL, pb.Compare_GREATER, pb.Compare_LESS, pb.Compare_NOT_EQUAL}
)

func etcdTxn(t *kv.Txn) *pb.TxnRequest {
	r := &pb.TxnRequest{Success: etcdOps(t.Then), Failure: etcdOps(t.Else)}
	for i := range t.If {
		c := &t.If[i]
		compare := &pb.Compare{Target: etcdTargets[c.Target], Result: etcdRelations[c.Relation]}
		compare.Key, compare.RangeEnd = etcdSpan(c.Span)
		switch c.Target {
		case kv.TargetVersion:
			compare.TargetUnion = &pb.Compare_Version{Version: int64(c.Number)}
		case kv.TargetCreate:
			compare.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: int64(c.Number)}
		case kv.TargetMod:
			compare.TargetUnion = &pb.Compare_ModRevision{ModRevision: int64(c.Number)}
		case kv.TargetValue:
			compare.TargetUnion = &pb.Compare_Value{Value: c.Value}
		case kv.TargetLease:
			compare.TargetUnion = &pb.Compare_Lease{Lease: int64(c.Number)}
		}
		r.Compare = append(r.Compare, compare)
	}
	return r
}

func etcdOps(ops []kv.TxnOp) (list []*pb.RequestOp) {
	for _, op := range ops {
		one := new(pb.RequestOp)
		switch {
		case op.Range != nil:
			one.Request = &pb.RequestOp_RequestRange{RequestRange: etcdRange(op.Range)}
		case op.Put != nil:
			one.Request = &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
				Key: []byte(op.Put.Key), Value: op.Put.Value, Lease: op.Put.Lease,
				IgnoreValue: op.Put.IgnoreValue, IgnoreLease: op.Put.IgnoreLease, PrevKv: op.Put.Prev,
			}}
		case op.Delete != nil:
			r := &pb.DeleteRangeRequest{PrevKv: op.Delete.Prev}
			r.Key, r.RangeEnd = etcdSpan(op.Delete.Span)
			one.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}
		default:
			one.Request = &pb.RequestOp_RequestTxn{RequestTxn: etcdTxn(op.Txn)}
		}
		list = append(list, one)
	}
	return list
}

// Responses.

func entryHeard(m *mvccpb.KeyValue) kv.Entry {
	return kv.Entry{
		Key: string(m.Key), Value: m.Value, Version: uint64(m.Version), Lease: m.Lease,
		CreateRevision: uint64(m.CreateRevision), ModRevision: uint64(m.ModRevision),
	}
}

func entriesHeard(list []*mvccpb.KeyValue) (entries []kv.Entry) {
	for _, m := range list {
		entries = append(entries, entryHeard(m))
	}
	return entries
}

// rangeSaid is the response to a range, as the API of etcd encodes it.
func rangeSaid(r *kv.RangeResult) *pb.RangeResponse {
	m := translate.RangeMessageOf(translate.Origin{}, r)
	return m.Response()
}

func rangeHeard(r *pb.RangeResponse) kv.RangeResult {
	return kv.RangeResult{Entries: entriesHeard(r.Kvs), Count: r.Count, More: r.More, Revision: uint64(r.Header.GetRevision())}
}

// txnHeard is the outcome of a whole transaction. Nested ones have no revision in their header: they are at that
// of the operation before.
func txnHeard(r *pb.TxnResponse) kv.TxnResult {
	at := uint64(r.Header.GetRevision())
	if changes(r) {
		at--
	}
	t := nestedHeard(r, &at)
	t.Revision = uint64(r.Header.GetRevision())
	return t
}

func nestedHeard(r *pb.TxnResponse, at *uint64) kv.TxnResult {
	t := kv.TxnResult{Succeeded: r.Succeeded}
	for _, op := range r.Responses {
		var one kv.OpResult
		switch {
		case op.GetResponseRange() != nil:
			found := rangeHeard(op.GetResponseRange())
			one.Range, *at = &found, found.Revision
		case op.GetResponsePut() != nil:
			put := op.GetResponsePut()
			one.Put = &kv.PutResult{Revision: uint64(put.Header.GetRevision())}
			if put.PrevKv != nil {
				prev := entryHeard(put.PrevKv)
				one.Put.Prev = &prev
			}
			*at = one.Put.Revision
		case op.GetResponseDeleteRange() != nil:
			d := op.GetResponseDeleteRange()
			one.Delete = &kv.DeleteResult{Deleted: d.Deleted, Prev: entriesHeard(d.PrevKvs), Revision: uint64(d.Header.GetRevision())}
			*at = one.Delete.Revision
		default:
			nested := nestedHeard(op.GetResponseTxn(), at)
			one.Txn = &nested
		}
		t.Responses = append(t.Responses, one)
	}
	t.Revision = *at
	return t
}

// changes tells whether a transaction has changed something.
func changes(r *pb.TxnResponse) bool {
	for _, op := range r.Responses {
		switch {
		case op.GetResponsePut() != nil, op.GetResponseDeleteRange().GetDeleted() > 0, op.GetResponseTxn() != nil && changes(op.GetResponseTxn()):
			return true
		}
	}
	return false
}
