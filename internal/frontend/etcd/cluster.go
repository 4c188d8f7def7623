package etcd

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"

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

// MemberAdd is refused: see errFixedMembers. So are the next three, of members that there are.
func (f *Face) MemberAdd(_ context.Context, _ *Caller, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	if len(r.PeerURLs) == 0 || slices.ContainsFunc(r.PeerURLs, isBadURL) {
		return nil, translate.ErrMemberBadURLs
	}
	return nil, errFixedMembers
}

// MemberRemove is refused.
func (f *Face) MemberRemove(_ context.Context, _ *Caller, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	return nil, f.changeMember(r.ID)
}

// MemberUpdate is refused.
func (f *Face) MemberUpdate(_ context.Context, _ *Caller, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	return nil, f.changeMember(r.ID)
}

// MemberPromote is refused.
func (f *Face) MemberPromote(_ context.Context, _ *Caller, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	return nil, f.changeMember(r.ID)
}

func (f *Face) changeMember(id uint64) error {
	if slices.ContainsFunc(f.cfg.Member.Members(), func(m translate.Member) bool { return m.ID == id }) {
		return errFixedMembers
	}
	return translate.ErrMemberNotFound
}

// isBadURL tells whether etcd would not take a text for the address of a member.
func isBadURL(text string) bool {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return true
	}
	switch u.Scheme {
	case "http", "https":
		_, _, err := net.SplitHostPort(u.Host)
		return err != nil || u.Path != ""
	case "unix", "unixs":
		return false
	}
	return true
}
