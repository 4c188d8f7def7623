package memclerk

import (
	"context"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
)

// Look returns what a watcher is told next, as soon as there is something, and after a while in any
// case. The first time it is CREATED. From then on w has the first revision that the watcher has
// not been told of.
type Look func(ctx context.Context, w *api.WatchCreate, created bool) (*api.WatchUpdate, error)

// Watch is clerk.WatchCaller's Watch over a network in memory. look is the server with the id to.
// Each update is a call of its own: one that is lost ends the watcher, as a stream that breaks does.
func Watch(net *memnet.Network, client string, to raft.NodeID, create *api.WatchCreate, look Look) clerk.Subscription {
	return &subscription{net: net, client: client, to: to, look: look, create: proto.CloneOf(create)}
}

// subscription implements clerk.Subscription.
type subscription struct {
	net     *memnet.Network
	client  string
	to      raft.NodeID
	look    Look
	create  *api.WatchCreate
	created bool
}

func (s *subscription) Next(ctx context.Context) (*api.WatchUpdate, error) {
	w, created := proto.CloneOf(s.create), s.created // a call that was given up goes on
	u, err := memnet.Call(ctx, s.net, s.client, s.to, func(ctx context.Context) (*api.WatchUpdate, error) {
		return s.look(ctx, w, created)
	})
	if err != nil {
		return nil, err
	}
	switch u.Kind {
	case api.WatchUpdate_CREATED:
		if s.created = true; s.create.Revision == 0 {
			s.create.Revision = u.Revision + 1
		}
	case api.WatchUpdate_EVENTS:
		s.create.Revision = u.Batches[len(u.Batches)-1].Revision + 1
	case api.WatchUpdate_PROGRESS:
		s.create.Revision = u.Revision + 1
	}
	return u, nil
}

func (s *subscription) Close() {}
