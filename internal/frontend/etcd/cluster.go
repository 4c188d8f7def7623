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

// MemberAdd makes a place for a member that has not started. Unlike in etcd it does not count for a
// majority until it has started and is caught up.
func (f *Face) MemberAdd(ctx context.Context, _ *Caller, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	if len(r.PeerURLs) == 0 || slices.ContainsFunc(r.PeerURLs, isBadURL) {
		return nil, translate.ErrMemberBadURLs
	}
	var id uint64
	all, err := f.changeMembers(ctx, func(ctx context.Context) (err error) {
		id, err = f.cfg.Member.AddMember(ctx, r.PeerURLs, r.IsLearner)
		return err
	})
	if err != nil {
		return nil, err
	}
	resp := &pb.MemberAddResponse{Header: f.origin().Header(0), Members: all}
	if i := slices.IndexFunc(all, func(m *pb.Member) bool { return m.ID == id }); i >= 0 {
		resp.Member = all[i]
	}
	return resp, nil
}

// MemberRemove removes a member for good.
func (f *Face) MemberRemove(ctx context.Context, _ *Caller, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	all, err := f.changeMembers(ctx, func(ctx context.Context) error { return f.cfg.Member.RemoveMember(ctx, r.ID) })
	return &pb.MemberRemoveResponse{Header: f.origin().Header(0), Members: all}, err
}

// MemberUpdate changes the addresses of a member.
func (f *Face) MemberUpdate(ctx context.Context, _ *Caller, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	if len(r.PeerURLs) == 0 || slices.ContainsFunc(r.PeerURLs, isBadURL) {
		if !slices.ContainsFunc(f.cfg.Member.Members(), func(m translate.Member) bool { return m.ID == r.ID }) {
			return nil, translate.ErrMemberNotFound
		}
		return nil, translate.ErrMemberBadURLs
	}
	all, err := f.changeMembers(ctx, func(ctx context.Context) error { return f.cfg.Member.UpdateMember(ctx, r.ID, r.PeerURLs) })
	return &pb.MemberUpdateResponse{Header: f.origin().Header(0), Members: all}, err
}

// MemberPromote lets a learner vote that is caught up.
func (f *Face) MemberPromote(ctx context.Context, _ *Caller, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	all, err := f.changeMembers(ctx, func(ctx context.Context) error { return f.cfg.Member.PromoteMember(ctx, r.ID) })
	return &pb.MemberPromoteResponse{Header: f.origin().Header(0), Members: all}, err
}

// changeMembers makes a change, and returns the members after it.
func (f *Face) changeMembers(ctx context.Context, change func(context.Context) error) ([]*pb.Member, error) {
	limited, cancel := context.WithTimeout(ctx, f.requestTimeout())
	defer cancel()
	if err := change(limited); err != nil {
		return nil, failed(err, func(err error) error { return err })
	}
	if err := f.fresh(ctx); err != nil { // this member may lag behind the leader, which has made the change
		return nil, err
	}
	return translate.Members(f.cfg.Member.Members()), nil
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
