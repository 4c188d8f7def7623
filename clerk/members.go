package clerk

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
)

// Refusals of changes of the members. Nothing changed.
var (
	// ErrNoMember: there is no such member.
	ErrNoMember = errors.New("no such member")

	// ErrMemberExists: the name, or an address, is that of another member.
	ErrMemberExists = errors.New("name or address is another member's")

	// ErrNotCaughtUp: a learner that is to vote lacks too much. It can be asked for again.
	ErrNotCaughtUp = errors.New("the member is not caught up")

	// ErrMemberChange: the change makes no sense, or would do harm: the text says why.
	ErrMemberChange = errors.New("the members are not changed")
)

// MemberAdmin is an interface that a Caller may implement too. The Clerk's own does.
type MemberAdmin interface {
	Members(ctx context.Context, address string, req *api.MembersRequest) (*api.MembersReply, error)
	ChangeMembers(ctx context.Context, address string, change *api.MembersChange) (*api.MembersReply, error)
}

// Member is one member of the cluster.
type Member struct {
	ID   uint64
	Name string // empty: it was added by its addresses, and has not started
	// PeerURLs are where other members find it, ClientURLs where clients do.
	PeerURLs, ClientURLs []string
	// Voter tells that it votes, Promote that it will as soon as it is caught up.
	Voter, Promote bool
	// Witness tells that it keeps no state, and answers no requests.
	Witness  bool
	Started  bool
	Replaces uint64 // the member that leaves when this one votes; 0: none

	// What the leader knows of it: whether it answers, and how many entries of the log and about
	// how many bytes it has yet to get.
	Active, CaughtUp           bool
	BehindEntries, BehindBytes uint64
}

// Members is who the members are.
type Members struct {
	All    []Member
	Leader uint64 // 0: none is known
	// FromLeader tells that the leader has answered, and not another server on its own.
	FromLeader bool
}

// MemberChange is one change of the members. ID or, if that is 0, Name says of which member, except
// where one is added.
type MemberChange struct {
	ID      uint64
	Name    string
	NewName string // of a member that is added, or that replaces another
	// PeerURLs and ClientURLs are the addresses of a member that is added, or its new ones.
	PeerURLs, ClientURLs []string
	Learner              bool // of a member that is added: it never votes, unless it is promoted
}

// Members returns who the members are. A server asks the leader; with local it answers alone, which
// helps where there is no leader.
func (c *Clerk) Members(ctx context.Context, local bool) (Members, error) {
	reply, err := membersAnywhere(ctx, c, true, func(admin MemberAdmin, address string) (*api.MembersReply, error) {
		return admin.Members(ctx, address, &api.MembersRequest{Local: local})
	})
	if err != nil {
		return Members{}, fmt.Errorf("read members: %w", err)
	}
	all := Members{Leader: reply.LeaderId, FromLeader: reply.FromLeader}
	for _, m := range reply.Members {
		all.All = append(all.All, memberOf(m))
	}
	return all, nil
}

func memberOf(m *api.Member) Member {
	return Member{
		ID: m.GetNodeId(), Name: m.GetName(), PeerURLs: m.GetPeerUrls(), ClientURLs: m.GetClientUrls(),
		Voter: m.GetVoter(), Promote: m.GetPromote(), Witness: m.GetWitness(), Started: m.GetStarted(), Replaces: m.GetReplacesId(),
		Active: m.GetActive(), CaughtUp: m.GetCaughtUp(), BehindEntries: m.GetBehindEntries(), BehindBytes: m.GetBehindBytes(),
	}
}

// AddMember makes a place for a member that has not started: of a name, or at addresses. It votes
// when it has started and is caught up. A server that is started to join needs no such place.
func (c *Clerk) AddMember(ctx context.Context, m MemberChange) (Member, error) {
	return c.changeMembers(ctx, api.MembersChange_ADD, m)
}

// PromoteMember lets a learner vote. The error is ErrNotCaughtUp while it lacks too much.
func (c *Clerk) PromoteMember(ctx context.Context, m MemberChange) (Member, error) {
	return c.changeMembers(ctx, api.MembersChange_PROMOTE, m)
}

// RemoveMember removes a member for good.
func (c *Clerk) RemoveMember(ctx context.Context, m MemberChange) (Member, error) {
	return c.changeMembers(ctx, api.MembersChange_REMOVE, m)
}

// UpdateMember changes addresses of a member.
func (c *Clerk) UpdateMember(ctx context.Context, m MemberChange) (Member, error) {
	return c.changeMembers(ctx, api.MembersChange_UPDATE, m)
}

// ReplaceMember makes a place for a server that takes that of a member, and returns the new member.
func (c *Clerk) ReplaceMember(ctx context.Context, m MemberChange) (Member, error) {
	return c.changeMembers(ctx, api.MembersChange_REPLACE, m)
}

// changeMembers makes a change at the first server that answers. It is not sent again: after
// ErrMaybe it may have been made.
func (c *Clerk) changeMembers(ctx context.Context, kind api.MembersChange_Kind, m MemberChange) (Member, error) {
	reply, err := membersAnywhere(ctx, c, false, func(admin MemberAdmin, address string) (*api.MembersReply, error) {
		return admin.ChangeMembers(ctx, address, &api.MembersChange{
			Kind: kind, NodeId: m.ID, Name: m.Name, NewName: m.NewName,
			PeerUrls: m.PeerURLs, ClientUrls: m.ClientURLs, Learner: m.Learner,
		})
	})
	if err != nil {
		return Member{}, fmt.Errorf("change members: %w", err)
	}
	return memberOf(reply.GetMember()), nil
}

// membersAnywhere asks one server after the other, until one answers or, unless it only reads, the
// question may have had an effect.
func membersAnywhere(ctx context.Context, c *Clerk, reads bool, call func(MemberAdmin, string) (*api.MembersReply, error)) (*api.MembersReply, error) {
	admin, ok := c.caller.(MemberAdmin)
	if !ok {
		return nil, errNoAdmin
	}
	var last error
	for address, err := range c.answering(ctx) {
		if ended := c.ended(ctx); ended != nil {
			return nil, ended
		}
		var reply *api.MembersReply
		if err == nil {
			reply, err = call(admin, address)
		}
		certain := status.Code(err) == codes.ResourceExhausted || errors.Is(err, ErrNotSent)
		switch code := status.Code(err); {
		case err == nil:
			return reply, nil
		case Denied(err):
			return nil, err
		case certain, reads && (code == codes.Unavailable || code == codes.Unknown):
			last = err
		case inDoubt(err):
			return nil, &maybeError{ended: ctx.Err(), last: err.Error()}
		default:
			return nil, memberError(err)
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, last)
}

// memberError is the error of a call that a server refused.
func memberError(err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch s.Code() {
	case codes.NotFound:
		return annotate(ErrNoMember, s.Message())
	case codes.AlreadyExists:
		return annotate(ErrMemberExists, s.Message())
	case codes.Aborted:
		return annotate(ErrNotCaughtUp, s.Message())
	case codes.FailedPrecondition:
		return annotate(ErrMemberChange, s.Message())
	}
	return errorOf(err)
}

// Members implements MemberAdmin.
func (n *network) Members(ctx context.Context, address string, req *api.MembersRequest) (*api.MembersReply, error) {
	return ofMembers(ctx, n, address, func(ctx context.Context, kv api.KVClient) (*api.MembersReply, error) { return kv.Members(ctx, req) })
}

// ChangeMembers implements MemberAdmin.
func (n *network) ChangeMembers(ctx context.Context, address string, change *api.MembersChange) (*api.MembersReply, error) {
	return ofMembers(ctx, n, address, func(ctx context.Context, kv api.KVClient) (*api.MembersReply, error) {
		return kv.ChangeMembers(ctx, change)
	})
}

// ofMembers calls a server, once it is known to be of this Clerk's cluster.
func ofMembers(ctx context.Context, n *network, address string, call func(context.Context, api.KVClient) (*api.MembersReply, error)) (*api.MembersReply, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, notSent(err)
	}
	about, err := n.Status(ctx, address)
	if err != nil {
		return nil, notSent(err)
	}
	if err := n.admit(&api.Hello{ClusterId: about.ClusterId, Name: about.Name}); err != nil {
		return nil, notSent(err)
	}
	if about.Role == api.Role_WAITING {
		return nil, notSent(errors.New(about.Waiting))
	}
	reply, err := unary(ctx, l, call)
	if err == nil && n.onMembers != nil {
		n.onMembers(serving(reply.Members), about.Revision)
	}
	return reply, err
}

// serving are those members that clients may ask.
func serving(all []*api.Member) (some []*api.Leader) {
	for _, m := range all {
		if m.GetStarted() && !m.GetPromote() && !m.GetWitness() && len(m.GetClientUrls()) > 0 {
			some = append(some, &api.Leader{NodeId: m.GetNodeId(), Name: m.GetName(), ClientUrls: m.GetClientUrls()})
		}
	}
	return some
}
