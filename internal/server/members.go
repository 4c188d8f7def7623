package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/native"
	"balsa.example/member"
	"balsa.example/raft"
)

// membership is a native.Membership.
type membership struct{ s *Server }

var _ native.Membership = membership{}

// Known implements native.Membership. A learner that is about to vote has just joined, and may not
// be able to answer anything.
func (m membership) Known() (all []*api.Leader) {
	for _, one := range m.s.member.Known().All {
		if urls := m.s.clientURLs(one); one.Started && !one.Promote && len(urls) > 0 {
			all = append(all, &api.Leader{NodeId: uint64(one.ID), Name: one.Name, ClientUrls: urls})
		}
	}
	return all
}

// Members implements native.Membership.
func (m membership) Members(ctx context.Context, req *api.MembersRequest) (*api.MembersReply, error) {
	if req.Local {
		return m.reply(m.s.member.Known()), nil
	}
	all, err := m.s.member.Members(ctx)
	if err != nil {
		return nil, memberStatus(err)
	}
	return m.reply(all), nil
}

func (m membership) reply(all member.Members) *api.MembersReply {
	r := &api.MembersReply{LeaderId: uint64(all.Leader), FromLeader: all.FromLeader}
	for _, one := range all.All {
		r.Members = append(r.Members, m.message(one))
	}
	return r
}

func (m membership) message(one member.Info) *api.Member {
	return &api.Member{
		NodeId: uint64(one.ID), Name: one.Name, PeerUrls: m.s.peerURLs(one), ClientUrls: m.s.clientURLs(one),
		Voter: one.Voter, Promote: one.Promote, Witness: one.Witness, Started: one.Started, ReplacesId: uint64(one.Replaces),
		Active: one.Active, CaughtUp: one.CaughtUp, BehindEntries: one.Behind, BehindBytes: one.BehindBytes,
	}
}

// ChangeMembers implements native.Membership.
func (m membership) ChangeMembers(ctx context.Context, c *api.MembersChange) (*api.MembersReply, error) {
	one, err := m.change(ctx, c)
	if err != nil {
		return nil, memberStatus(err)
	}
	r := m.reply(m.s.member.Known())
	r.Member = m.message(one)
	return r, nil
}

func (m membership) change(ctx context.Context, c *api.MembersChange) (member.Info, error) {
	who := member.Who{ID: raft.NodeID(c.NodeId), Name: c.Name}
	if c.Kind != api.MembersChange_ADD && who == (member.Who{}) {
		return member.Info{}, status.Error(codes.InvalidArgument, "the change names no member")
	}
	if err := m.s.checkURLs(c.PeerUrls, c.ClientUrls); err != nil {
		return member.Info{}, err
	}
	switch c.Kind {
	case api.MembersChange_ADD:
		if c.NewName == "" && len(c.PeerUrls) == 0 {
			return member.Info{}, status.Error(codes.InvalidArgument, "a new member needs a name, or addresses")
		}
		return m.s.member.Add(ctx, member.NewMember{Name: c.NewName, Peers: c.PeerUrls, Clients: c.ClientUrls, Learner: c.Learner, MaxLearners: m.s.cfg.MaxLearners})
	case api.MembersChange_PROMOTE:
		return m.s.promote(ctx, who)
	case api.MembersChange_REMOVE:
		return m.s.member.Remove(ctx, who)
	case api.MembersChange_UPDATE:
		if len(c.PeerUrls)+len(c.ClientUrls) == 0 {
			return member.Info{}, status.Error(codes.InvalidArgument, "an update needs addresses")
		}
		return m.s.member.Update(ctx, who, c.PeerUrls, c.ClientUrls)
	case api.MembersChange_REPLACE:
		return m.s.member.Replace(ctx, who, c.NewName)
	}
	return member.Info{}, status.Errorf(codes.InvalidArgument, "kind %d of a change is not known to this version", c.Kind)
}

// checkURLs refuses addresses that nobody could connect to, and peers' that are of TLS where this
// cluster has none, or the other way round.
func (s *Server) checkURLs(peers, clients []string) error {
	scheme := s.cfg.ListenPeer[0].Scheme
	for _, raw := range peers {
		u, err := ParseURL(raw)
		if err == nil {
			err = CheckDialable(u)
		}
		switch {
		case err != nil:
			return status.Error(codes.InvalidArgument, unconfigured(err).Error())
		case u.Scheme != scheme:
			return status.Errorf(codes.InvalidArgument, "the address %s of a member is %s, and the members of this cluster talk by %s", raw, u.Scheme, scheme)
		}
	}
	for _, raw := range clients {
		if _, err := ParseClientURLs(raw); err != nil {
			return status.Error(codes.InvalidArgument, unconfigured(err).Error())
		}
	}
	return nil
}

// memberCodes say how an error of package member is told to clients.
var memberCodes = []struct {
	err  error
	code codes.Code
}{
	{member.ErrNoMember, codes.NotFound},
	{member.ErrExists, codes.AlreadyExists},
	{member.ErrAddressTaken, codes.AlreadyExists},
	{member.ErrNotCaughtUp, codes.Aborted},
	{member.ErrAmbiguous, codes.InvalidArgument},
	{member.ErrBadChange, codes.InvalidArgument},
	{member.ErrTooMany, codes.FailedPrecondition},
	{member.ErrTooManyLearners, codes.FailedPrecondition},
	{member.ErrVotes, codes.FailedPrecondition},
	{member.ErrNotStarted, codes.FailedPrecondition},
	{member.ErrLastVoter, codes.FailedPrecondition},
	{member.ErrBeingReplaced, codes.FailedPrecondition},
	{member.ErrWitness, codes.FailedPrecondition},
	{member.ErrLosesQuorum, codes.FailedPrecondition},
	{member.ErrOlder, codes.FailedPrecondition},
	{member.ErrNoLeader, codes.ResourceExhausted},
}

func memberStatus(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, known := range memberCodes {
		if errors.Is(err, known.err) {
			return status.Error(known.code, err.Error())
		}
	}
	return status.Error(codes.Unknown, err.Error())
}
