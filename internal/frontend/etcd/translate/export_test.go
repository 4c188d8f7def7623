package translate

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/kv"
)

// RangeResponse is what RangeMessageOf encodes.
func RangeResponse(o Origin, r *kv.RangeResult) *pb.RangeResponse {
	return rangeResponse(o.Header(r.Revision), r)
}
