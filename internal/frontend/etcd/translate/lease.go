//balsa:pure

package translate

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/state"
	"balsa.example/state/lease"
)

const (
	second = 1_000_000_000
	// maxTTL is the longest time to live in seconds.
	maxTTL = lease.MaxTTL / second
)

// MinTTL is the shortest time to live of a lease in seconds: one and a half election timeouts,
// given in nanoseconds, rounded up.
func MinTTL(electionTimeout int64) int64 {
	return max((electionTimeout*3/2+second-1)/second, 1)
}

// Grant is the command of a request. Without an id the lease gets the one that draw returns.
func Grant(r *pb.LeaseGrantRequest, minTTL int64, draw func() int64) (state.Command, error) {
	if r.TTL > maxTTL {
		return state.Command{}, ErrLeaseTTLTooLarge
	}
	id := r.ID
	for id == 0 {
		id = draw()
	}
	return state.Command{More: &state.More{Kind: state.KindGrant, Lease: id, TTL: max(r.TTL, minTTL) * second}}, nil
}

// GrantResponse is the response to what Grant made.
func GrantResponse(o Origin, c state.Command, r *state.Result) (*pb.LeaseGrantResponse, error) {
	if err := Refusal(r.Code); err != nil {
		return nil, err
	}
	return &pb.LeaseGrantResponse{Header: o.Header(r.Revision), ID: c.More.Lease, TTL: c.More.TTL / second}, nil
}

// Revoke is the command of a request.
func Revoke(r *pb.LeaseRevokeRequest) (state.Command, error) {
	if r.ID == 0 { // no lease has this id
		return state.Command{}, ErrLeaseNotFound
	}
	return state.Command{More: &state.More{Kind: state.KindRevoke, Lease: r.ID}}, nil
}

// RevokeResponse is the response to what Revoke made.
func RevokeResponse(o Origin, r *state.Result) (*pb.LeaseRevokeResponse, error) {
	if err := Refusal(r.Code); err != nil {
		return nil, err
	}
	return &pb.LeaseRevokeResponse{Header: o.Header(r.Revision)}, nil
}

// KeepAliveResponse says what a lease has left, in nanoseconds; 0 if there is no such lease. A
// lease that lives has at least 1 s: a client takes 0 as the end.
func KeepAliveResponse(h *pb.ResponseHeader, id, ttl int64) *pb.LeaseKeepAliveResponse {
	m := &pb.LeaseKeepAliveResponse{Header: h, ID: id}
	if ttl > 0 {
		m.TTL = max(ttl/second, 1)
	}
	return m
}

// TimeToLiveResponse describes a lease, and has its keys. If there is none, its time to live is -1.
func TimeToLiveResponse(h *pb.ResponseHeader, id int64, info lease.Info, keys []string, ok bool) *pb.LeaseTimeToLiveResponse {
	m := &pb.LeaseTimeToLiveResponse{Header: h, ID: id, TTL: -1}
	if !ok {
		return m
	}
	m.TTL, m.GrantedTTL = info.Remaining/second, info.TTL/second
	for _, key := range keys {
		m.Keys = append(m.Keys, bytesOf(key))
	}
	return m
}

// LeasesResponse lists leases.
func LeasesResponse(h *pb.ResponseHeader, ids []int64) *pb.LeaseLeasesResponse {
	all, list := make([]pb.LeaseStatus, len(ids)), make([]*pb.LeaseStatus, len(ids))
	for i, id := range ids {
		all[i].ID = id
		list[i] = &all[i]
	}
	return &pb.LeaseLeasesResponse{Header: h, Leases: list}
}
