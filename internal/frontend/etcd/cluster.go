package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
)

var clusterMethods = []Method{
	unary("/etcdserverpb.Cluster/MemberList", User, (*Face).MemberList),
	unary("/etcdserverpb.Cluster/MemberAdd", Admin, (*Face).MemberAdd),
	unary("/etcdserverpb.Cluster/MemberRemove", Admin, (*Face).MemberRemove),
	unary("/etcdserverpb.Cluster/MemberUpdate", Admin, (*Face).MemberUpdate),
	unary("/etcdserverpb.Cluster/MemberPromote", Admin, (*Face).MemberPromote),
}

// MemberList lists the members. The headers of this service have no revision.
func (f *Face) MemberList(ctx context.Context, _ *Caller, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if r.Linearizable {
		if err := f.fresh(ctx); err != nil {
			return nil, err
		}
	}
	return &pb.MemberListResponse{Header: f.origin().Header(0), Members: translate.Members(f.cfg.Member.Members())}, nil
}

// errFixedMembers refuses to change the members.
var errFixedMembers = &translate.Error{
	Code: translate.Unimplemented, Text: "etcdserver: balsa cannot change the members of a running cluster yet",
}

// MemberAdd is refused: see errFixedMembers. So are the next three.
func (f *Face) MemberAdd(context.Context, *Caller, *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	return nil, errFixedMembers
}

// MemberRemove is refused.
func (f *Face) MemberRemove(context.Context, *Caller, *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	return nil, errFixedMembers
}

// MemberUpdate is refused.
func (f *Face) MemberUpdate(context.Context, *Caller, *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	return nil, errFixedMembers
}

// MemberPromote is refused.
func (f *Face) MemberPromote(context.Context, *Caller, *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	return nil, errFixedMembers
}
