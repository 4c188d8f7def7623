package native

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
)

// Membership is what the native API needs to know of the members, and to change them. The errors of
// its methods are those of package status.
type Membership interface {
	// Known are the members whom clients may ask.
	Known() []*api.Leader
	Members(ctx context.Context, req *api.MembersRequest) (*api.MembersReply, error)
	ChangeMembers(ctx context.Context, change *api.MembersChange) (*api.MembersReply, error)
}

// news wakes all who wait for it.
type news struct {
	mu sync.Mutex
	c  chan struct{}
}

// next returns a channel that is closed when there is news.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.c == nil {
		n.c = make(chan struct{})
	}
	return n.c
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.c != nil {
		close(n.c)
		n.c = nil
	}
}

// heralds tell the client of one stream when the members have changed.
type heralds struct {
	changed <-chan struct{}
	// greet says Hello once more, and returns the next channel.
	greet func() (<-chan struct{}, error)
}

// MembersChanged tells all clients who the members are now.
func (s *Server) MembersChanged() { s.members.tell() }

var errNoMembers = status.Error(codes.Unimplemented, "this server knows nothing of members")

// Members implements api.KVServer.
func (s *Server) Members(ctx context.Context, req *api.MembersRequest) (*api.MembersReply, error) {
	if _, _, err := s.require(ctx, false); err != nil {
		return nil, err
	}
	if s.cfg.Membership == nil {
		return nil, errNoMembers
	}
	return s.cfg.Membership.Members(ctx, req)
}

// ChangeMembers implements api.KVServer.
func (s *Server) ChangeMembers(ctx context.Context, change *api.MembersChange) (*api.MembersReply, error) {
	if _, _, err := s.require(ctx, true); err != nil {
		return nil, err
	}
	if s.cfg.Membership == nil {
		return nil, errNoMembers
	}
	return s.cfg.Membership.ChangeMembers(ctx, change)
}
