package server

import (
	"context"

	"balsa.example/api"
	"balsa.example/internal/service"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// replicator is what a Service needs of an rsm.Node.
type replicator interface {
	service.Replica
	TransferLeadership(ctx context.Context, to raft.NodeID) error
	Status() rsm.Status
}

// Service answers requests, of clients and of operators.
type Service struct {
	service.Handler
	node replicator // Handler's
}

// Do is Handle for callers that want to wait. When ctx ends first the error is its
// own, and whether the request was executed is unknown.
func (s *Service) Do(ctx context.Context, req *api.Request) (*api.Reply, error) {
	replies := make(chan *api.Reply, 1)
	s.Handle(req, func(r *api.Reply) { replies <- r })
	select {
	case r := <-replies:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
