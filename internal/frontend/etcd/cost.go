package etcd

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

const (
	// expectedPage is what a response with any number of keys is expected to take, in bytes, and
	// expectedKey what each of a few keys is.
	expectedPage = 1 << 20
	expectedKey  = 4 << 10
)

// Expect is what the response to a request will about take, in bytes. A transport bounds by it how
// many requests are answered at once. The value of a single key is not expected.
func Expect(req proto.Message) int64 {
	switch r := req.(type) {
	case *pb.RangeRequest:
		return expectRange(r)
	case *pb.DeleteRangeRequest:
		if r.PrevKv && len(r.RangeEnd) > 0 {
			return expectedPage
		}
	case *pb.TxnRequest:
		return max(expectOps(r.Success), expectOps(r.Failure))
	case *pb.LeaseTimeToLiveRequest:
		if r.Keys {
			return expectedPage
		}
	}
	return 0
}

func expectRange(r *pb.RangeRequest) int64 {
	if r.CountOnly || len(r.RangeEnd) == 0 || bytes.Equal(r.RangeEnd, append(bytes.Clone(r.Key), 0)) {
		return 0
	}
	if r.Limit > 0 {
		return min(r.Limit, expectedPage/expectedKey) * expectedKey
	}
	return expectedPage
}

// expectOps is for one branch of a transaction. All that it reads counts as one page at most.
func expectOps(ops []*pb.RequestOp) (sum int64) {
	for _, op := range ops {
		switch op := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			sum += Expect(op.RequestRange)
		case *pb.RequestOp_RequestDeleteRange:
			sum += Expect(op.RequestDeleteRange)
		case *pb.RequestOp_RequestTxn:
			sum += Expect(op.RequestTxn)
		}
	}
	return min(sum, expectedPage)
}
