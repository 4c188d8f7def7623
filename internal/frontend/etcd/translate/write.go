//balsa:pure

package translate

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/kv"
	"balsa.example/state"
)

// Commands share the memory of requests. The most frequent ones are operations on one key, the
// others transactions.

// tooLarge tells whether a write is longer than a member takes. The bound is on the whole of it,
// as in etcd, so no value in it can be over it either.
func tooLarge(m proto.Message, limits kv.Limits) bool {
	return proto.Size(m) > cmp.Or(limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes)
}

// Put is the command of a request.
func Put(r *pb.PutRequest, limits kv.Limits) (state.Command, error) {
	if err := checkPut(r); err != nil {
		return state.Command{}, err
	}
	if r.Lease != 0 || r.IgnoreValue || r.IgnoreLease || r.PrevKv {
		return txnOfOne(kv.TxnOp{Put: putOf(r)}, r, limits)
	}
	op := kv.Op{Kind: kv.Put, Key: kv.Alias(r.Key), Value: r.Value, Unconditional: true}
	if tooLarge(r, limits) {
		return state.Command{}, ErrRequestTooLarge
	}
	if err := op.Validate(limits); err != nil {
		return state.Command{}, invalid(err)
	}
	return state.Command{Op: op}, nil
}

func checkPut(r *pb.PutRequest) error {
	switch {
	case len(r.Key) == 0:
		return ErrEmptyKey
	case r.IgnoreValue && len(r.Value) != 0:
		return ErrValueProvided
	case r.IgnoreLease && r.Lease != 0:
		return ErrLeaseProvided
	}
	return nil
}

func putOf(r *pb.PutRequest) *kv.PutOp {
	return &kv.PutOp{
		Key: kv.Alias(r.Key), Value: r.Value, Lease: r.Lease,
		IgnoreValue: r.IgnoreValue, IgnoreLease: r.IgnoreLease, Prev: r.PrevKv,
	}
}

// PutResponse is the response to what Put made.
func PutResponse(o Origin, r *state.Result) (*pb.PutResponse, error) {
	if err := Refusal(r.Code); err != nil {
		return nil, err
	}
	m := &pb.PutResponse{Header: o.Header(r.Revision)}
	if r.Txn != nil {
		m.PrevKv = prevOf(r.Txn.Responses[0].Put)
	}
	return m, nil
}

func prevOf(r *kv.PutResult) *mvccpb.KeyValue {
	if r.Prev == nil {
		return nil
	}
	return KeyValue(r.Prev)
}

// Delete is the command of a request.
func Delete(r *pb.DeleteRangeRequest, limits kv.Limits) (state.Command, error) {
	if err := checkDelete(r); err != nil {
		return state.Command{}, err
	}
	d := deleteOf(r)
	key, one := d.One()
	if !one || r.PrevKv {
		return txnOfOne(kv.TxnOp{Delete: d}, r, limits)
	}
	op := kv.Op{Kind: kv.Delete, Key: key, Unconditional: true}
	if err := op.Validate(limits); err != nil {
		return state.Command{}, invalid(err)
	}
	return state.Command{Op: op}, nil
}

func checkDelete(r *pb.DeleteRangeRequest) error {
	if len(r.Key) == 0 {
		return ErrEmptyKey
	}
	return nil
}

func deleteOf(r *pb.DeleteRangeRequest) *kv.DeleteOp {
	return &kv.DeleteOp{Span: SpanOf(r.Key, r.RangeEnd), Prev: r.PrevKv}
}

// DeleteResponse is the response to what Delete made.
func DeleteResponse(o Origin, r *state.Result) (*pb.DeleteRangeResponse, error) {
	switch {
	case r.Txn != nil:
		return deleteResponse(o.Header(r.Revision), r.Txn.Responses[0].Delete), nil
	case r.Code == kv.CodeOK:
		return &pb.DeleteRangeResponse{Header: o.Header(r.Revision), Deleted: 1}, nil
	case r.Code == kv.CodeNoKey:
		return &pb.DeleteRangeResponse{Header: o.Header(r.Revision)}, nil
	}
	return nil, Refusal(r.Code)
}

func deleteResponse(h *pb.ResponseHeader, r *kv.DeleteResult) *pb.DeleteRangeResponse {
	return &pb.DeleteRangeResponse{Header: h, Deleted: r.Deleted, PrevKvs: keyValues(r.Prev)}
}

// txnOfOne is the command of a request that is a transaction of one operation.
func txnOfOne(op kv.TxnOp, r proto.Message, limits kv.Limits) (state.Command, error) {
	if tooLarge(r, limits) {
		return state.Command{}, ErrRequestTooLarge
	}
	t := &kv.Txn{Then: []kv.TxnOp{op}}
	if err := t.Validate(limits); err != nil {
		return state.Command{}, invalid(err)
	}
	return TxnCommand(t), nil
}

// Compact is the command of a request.
func Compact(r *pb.CompactionRequest) (state.Command, error) {
	if r.Revision <= 0 { // what nothing was compacted to is compacted, as in etcd
		return state.Command{}, ErrCompacted
	}
	return state.Command{More: &state.More{Kind: state.KindCompact, Revision: uint64(r.Revision)}}, nil
}

// CompactResponse is the response to what Compact made.
func CompactResponse(o Origin, r *state.Result) (*pb.CompactionResponse, error) {
	if err := Refusal(r.Code); err != nil {
		return nil, err
	}
	return &pb.CompactionResponse{Header: o.Header(r.Revision)}, nil
}
