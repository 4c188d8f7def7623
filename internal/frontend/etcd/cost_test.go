package etcd_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd"
)

func TestExpect(t *testing.T) {
	a, z := []byte("a"), []byte("z")
	all := &pb.RangeRequest{Key: a, RangeEnd: z}
	inTxn := func(r *pb.RangeRequest) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
	}
	for name, tt := range map[string]struct {
		req  proto.Message
		want int64
	}{
		"one key":               {&pb.RangeRequest{Key: a}, 0},
		"one key, as a range":   {&pb.RangeRequest{Key: a, RangeEnd: []byte("a\x00")}, 0},
		"all keys":              {all, 1 << 20},
		"two keys":              {&pb.RangeRequest{Key: a, RangeEnd: z, Limit: 2}, 8 << 10},
		"many keys":             {&pb.RangeRequest{Key: a, RangeEnd: z, Limit: 1 << 40}, 1 << 20},
		"a count":               {&pb.RangeRequest{Key: a, RangeEnd: z, CountOnly: true}, 0},
		"a put":                 {&pb.PutRequest{Key: a, PrevKv: true}, 0},
		"what is deleted":       {&pb.DeleteRangeRequest{Key: a, RangeEnd: z, PrevKv: true}, 1 << 20},
		"how much is deleted":   {&pb.DeleteRangeRequest{Key: a, RangeEnd: z}, 0},
		"a transaction":         {&pb.TxnRequest{Success: []*pb.RequestOp{inTxn(&pb.RangeRequest{Key: a})}, Failure: []*pb.RequestOp{inTxn(all), inTxn(all)}}, 1 << 20},
		"the keys of a lease":   {&pb.LeaseTimeToLiveRequest{Keys: true}, 1 << 20},
		"how long it lives":     {&pb.LeaseTimeToLiveRequest{}, 0},
		"nothing that is known": {&pb.StatusRequest{}, 0},
	} {
		if got := etcd.Expect(tt.req); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}
