package etcd

import (
	"bytes"
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/frontend/etcd/v3electionpb"
)

var electionMethods = []Method{
	byClient(unary("/v3electionpb.Election/Campaign", ByKeys, (*Face).Campaign)),
	byClient(unary("/v3electionpb.Election/Proclaim", ByKeys, (*Face).Proclaim)),
	byClient(unary("/v3electionpb.Election/Leader", ByKeys, (*Face).ElectionLeader)),
	stream[v3electionpb.LeaderRequest]("/v3electionpb.Election/Observe", ByKeys, false, (*Face).Observe),
	byClient(unary("/v3electionpb.Election/Resign", ByKeys, (*Face).Resign)),
}

// Errors of elections, as etcd has them.
var (
	errMissingLeaderKey  = &translate.Error{Code: translate.Unknown, Text: `"leader" field must be provided`}
	errElectionNotLeader = &translate.Error{Code: translate.Unknown, Text: "election: not leader"}
	errElectionNoLeader  = &translate.Error{Code: translate.Unknown, Text: "election: no leader"}
)

// Campaign waits until the caller leads.
func (f *Face) Campaign(ctx context.Context, c *Caller, r *v3electionpb.CampaignRequest) (*v3electionpb.CampaignResponse, error) {
	p, resp, err := f.enqueue(ctx, c, r.Name, r.Lease, r.Value)
	if err != nil {
		return nil, err
	}
	if !p.ours && !bytes.Equal(resp.Responses[0].GetResponseRange().Kvs[0].Value, r.Value) {
		if _, err := f.proclaim(ctx, c, &p, r.Value); err != nil {
			return nil, err
		}
	}
	h, err := f.awaitTurn(ctx, c, &p)
	if errors.Is(err, errPlaceLost) {
		return nil, errElectionNotLeader
	}
	if err != nil {
		return nil, err
	}
	leader := &v3electionpb.LeaderKey{Name: r.Name, Key: []byte(p.key), Rev: p.created, Lease: p.lease}
	return &v3electionpb.CampaignResponse{Header: h, Leader: leader}, nil
}

// placeOf is the place of a leader.
func placeOf(leader *v3electionpb.LeaderKey) place {
	return place{key: string(leader.Key), lease: leader.Lease, created: leader.Rev}
}

// Proclaim replaces the value of a leader. As in etcd it has a lease in any case.
func (f *Face) Proclaim(ctx context.Context, c *Caller, r *v3electionpb.ProclaimRequest) (*v3electionpb.ProclaimResponse, error) {
	if r.Leader == nil {
		return nil, errMissingLeaderKey
	}
	p := placeOf(r.Leader)
	var err error
	if p.lease, err = f.leaseFor(ctx, c, p.lease); err != nil {
		return nil, err
	}
	h, err := f.proclaim(ctx, c, &p, r.Value)
	if err != nil {
		return nil, err
	}
	return &v3electionpb.ProclaimResponse{Header: h}, nil
}

func (f *Face) proclaim(ctx context.Context, c *Caller, p *place, value []byte) (*pb.ResponseHeader, error) {
	put := &pb.PutRequest{Key: []byte(p.key), Value: value, Lease: p.lease}
	resp, err := f.ifUnchanged(ctx, c, p, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	switch {
	case err != nil:
		return nil, err
	case !resp.Succeeded:
		return nil, errElectionNotLeader
	}
	return resp.Header, nil
}

// Resign gives a leadership up. One that has ended is no error.
func (f *Face) Resign(ctx context.Context, c *Caller, r *v3electionpb.ResignRequest) (*v3electionpb.ResignResponse, error) {
	if r.Leader == nil {
		return nil, errMissingLeaderKey
	}
	p := placeOf(r.Leader)
	resp, err := f.remove(ctx, c, &p)
	if err != nil {
		return nil, err
	}
	return &v3electionpb.ResignResponse{Header: resp.Header}, nil
}

// ElectionLeader returns who leads.
func (f *Face) ElectionLeader(ctx context.Context, c *Caller, r *v3electionpb.LeaderRequest) (*v3electionpb.LeaderResponse, error) {
	h, kv, err := f.first(ctx, c, r.Name)
	switch {
	case err != nil:
		return nil, err
	case kv == nil:
		return nil, errElectionNoLeader
	}
	return &v3electionpb.LeaderResponse{Header: h, Kv: kv}, nil
}

// Observe streams who leads, and the values of each leader in order.
func (f *Face) Observe(c *Caller, s Stream) error {
	r := new(v3electionpb.LeaderRequest)
	if err := s.Receive(r); err != nil {
		return err
	}
	send := func(h *pb.ResponseHeader, kv *mvccpb.KeyValue) error {
		h = proto.CloneOf(h)
		h.Revision = max(h.Revision, kv.ModRevision)
		return s.Send(&v3electionpb.LeaderResponse{Header: h, Kv: kv})
	}
	for {
		h, kv, err := f.first(s.Context(), c, r.Name)
		if err != nil {
			return err
		}
		if kv == nil {
			if err := f.awaitCandidate(s.Context(), c, r.Name, h.Revision); err != nil {
				return err
			}
			continue
		}
		if err := send(h, kv); err != nil {
			return err
		}
		err = f.watch(s.Context(), c, &pb.WatchCreateRequest{Key: kv.Key, StartRevision: h.Revision + 1}, func(w *pb.WatchResponse) (bool, error) {
			for _, e := range w.Events {
				if e.Type == mvccpb.Event_DELETE {
					return false, nil
				}
				if err := send(w.Header, e.Kv); err != nil {
					return false, err
				}
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
}

// awaitCandidate returns when somebody campaigns after a revision.
func (f *Face) awaitCandidate(ctx context.Context, c *Caller, name []byte, revision int64) error {
	prefix := rangeOfPrefix(string(name) + "/")
	return f.watch(ctx, c, &pb.WatchCreateRequest{
		Key: prefix.Key, RangeEnd: prefix.RangeEnd, StartRevision: revision + 1,
		Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE},
	}, func(*pb.WatchResponse) (bool, error) { return false, nil })
}
