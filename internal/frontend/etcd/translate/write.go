//balsa:pure

package translate

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
	"balsa.example/state"
)

// Commands share the memory of requests. The most frequent ones are operations on one key, the
// others transactions.

// tooLarge tells whether a write is longer than a member takes. The bound is on the whole of it,
// as in etcd, so no value in it can be over it either. most is at least its size, which takes longer to find out.
func tooLarge(m proto.Message, most int, limits kv.Limits) bool {
	bound := cmp.Or(limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes)
	return most > bound && proto.Size(m) > bound
}

// otherFields is at least the size of all fields of an operation but its keys and values, in bytes. The largest is a
// range with a negative number in each.
const otherFields = 128

func mostOfPut(r *pb.PutRequest) int { return otherFields + len(r.Key) + len(r.Value) }

func mostOfDelete(r *pb.DeleteRangeRequest) int { return otherFields + len(r.Key) + len(r.RangeEnd) }

// Put is the command of a request.
func Put(r *pb.PutRequest, limits kv.Limits) (state.Command, error) {
	if err := checkPut(r); err != nil {
		return state.Command{}, err
	}
	if r.Lease != 0 || r.IgnoreValue || r.IgnoreLease || r.PrevKv {
		return txnOfOne(kv.TxnOp{Put: putOf(r)}, r, mostOfPut(r), limits)
	}
	op := kv.Op{Kind: kv.Put, Key: kv.Alias(r.Key), Value: r.Value, Unconditional: true}
	if tooLarge(r, mostOfPut(r), limits) {
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
func PutResponse(o Origin, r *state.Result) (*PutMessage, error) {
	if err := Refusal(r.Code); err != nil {
		return nil, err
	}
	put := kv.PutResult{Revision: r.Revision}
	if r.Txn != nil {
		put.Prev = r.Txn.Responses[0].Put.Prev
	}
	return &PutMessage{appendPut(make([]byte, 0, sizePut(o, &put)), o, &put)}, nil
}

// Delete is the command of a request.
func Delete(r *pb.DeleteRangeRequest, limits kv.Limits) (state.Command, error) {
	if err := checkDelete(r); err != nil {
		return state.Command{}, err
	}
	d := deleteOf(r)
	key, one := d.One()
	if !one || r.PrevKv {
		return txnOfOne(kv.TxnOp{Delete: d}, r, mostOfDelete(r), limits)
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
func DeleteResponse(o Origin, r *state.Result) (*DeleteMessage, error) {
	deleted := kv.DeleteResult{Revision: r.Revision}
	switch {
	case r.Txn != nil:
		deleted.Deleted, deleted.Prev = r.Txn.Responses[0].Delete.Deleted, r.Txn.Responses[0].Delete.Prev
	case r.Code == kv.CodeOK:
		deleted.Deleted = 1
	case r.Code != kv.CodeNoKey:
		return nil, Refusal(r.Code)
	}
	return &DeleteMessage{appendDelete(make([]byte, 0, sizeDelete(o, &deleted)), o, &deleted)}, nil
}

// txnOfOne is the command of a request that is a transaction of one operation.
func txnOfOne(op kv.TxnOp, r proto.Message, most int, limits kv.Limits) (state.Command, error) {
	if tooLarge(r, most, limits) {
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
