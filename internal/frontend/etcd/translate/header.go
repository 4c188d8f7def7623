//balsa:pure

package translate

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// Origin is what the header of each response says of the member that answers.
type Origin struct{ ClusterID, MemberID, Term uint64 }

// Header is the header of a response, at a revision of the store.
func (o Origin) Header(revision uint64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: o.ClusterID, MemberId: o.MemberID, Revision: int64(revision), RaftTerm: o.Term}
}
