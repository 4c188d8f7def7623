package etcd_test

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/frontend/etcd/v3electionpb"
	"balsa.example/internal/frontend/etcd/v3lockpb"
)

// In etcd locks and elections are made of requests of a client, whose errors lose their codes. Without a leader they are
// refused before.
func TestErrorsOfLocksAndElectionsHaveNoCode(t *testing.T) {
	w := newWorld(t)
	leader := &v3electionpb.LeaderKey{}
	for method, r := range map[string]proto.Message{
		"/v3lockpb.Lock/Unlock":         &v3lockpb.UnlockRequest{},
		"/v3lockpb.Lock/Lock":           &v3lockpb.LockRequest{Name: []byte("n"), Lease: 404},
		"/v3electionpb.Election/Resign": &v3electionpb.ResignRequest{Leader: leader},
	} {
		for _, m := range etcd.Methods {
			if m.Name != method {
				continue
			}
			_, err := m.Call(w.Face, t.Context(), w.any, r)
			if e, ok := err.(*translate.Error); !ok || e.Code != translate.Unknown {
				t.Errorf("%s: %v", method, err)
			}
			w.node.leader = 0
			need := *w.any
			need.RequireLeader = true
			_, err = m.Call(w.Face, t.Context(), &need, r)
			refused(t, err, translate.ErrNoLeader)
			w.node.leader = 1
		}
	}
}

// What is not there is told before what is wrong with the addresses.
func TestAnUpdateOfNoMemberSaysSo(t *testing.T) {
	w := newWorld(t)
	for _, urls := range [][]string{nil, {"x"}} {
		_, err := w.MemberUpdate(t.Context(), w.any, &pb.MemberUpdateRequest{ID: 404, PeerURLs: urls})
		refused(t, err, translate.ErrMemberNotFound)
	}
}
