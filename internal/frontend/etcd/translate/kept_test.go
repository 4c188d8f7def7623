package translate_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
)

// keeping is a list of n puts that keep the value of their key.
func keeping(n int) (ops []*pb.RequestOp) {
	for i := range n {
		put := &pb.PutRequest{Key: fmt.Appendf(nil, "key %d", i), IgnoreValue: true}
		ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	return ops
}

// nestedIn is a list of a transaction.
func nestedIn(t *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: t}}
}

// A transaction of a few KiB must not have gigabytes written anew: it would be executed by all members, and by none
// of them to its end.
func TestPutsThatKeepTheirValueAreBounded(t *testing.T) {
	half := &pb.TxnRequest{Success: keeping(60), Failure: keeping(60)}
	for _, test := range []struct {
		name   string
		txn    *pb.TxnRequest
		limits kv.Limits
		want   error
	}{
		{"as many as a list may have", &pb.TxnRequest{Success: keeping(128), Failure: keeping(128)}, kv.Limits{}, nil},
		{"a long list", &pb.TxnRequest{Success: keeping(171)}, kv.Limits{MaxTxnOps: 1000}, translate.ErrRequestTooLarge},
		{"of small values", &pb.TxnRequest{Success: keeping(171)}, kv.Limits{MaxTxnOps: 1000, MaxValueBytes: 1 << 20}, nil},
		{"nested, two times", &pb.TxnRequest{Failure: []*pb.RequestOp{nestedIn(half), nestedIn(half)}}, kv.Limits{}, translate.ErrDuplicateKey},
		{"nested, three times", &pb.TxnRequest{Failure: []*pb.RequestOp{nestedIn(half), nestedIn(half), nestedIn(half)}}, kv.Limits{}, translate.ErrRequestTooLarge},
		{"of values larger than all", &pb.TxnRequest{Success: keeping(1)}, kv.Limits{MaxValueBytes: 1 << 30}, nil},
	} {
		_, err := translate.Txn(test.txn, test.limits)
		if err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
