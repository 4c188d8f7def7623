package server

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/gateway"
	"balsa.example/internal/frontend/etcd/overgrpc"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/frontend/watching"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
	"balsa.example/kv"
	"balsa.example/member"
	"balsa.example/raft"
)

// grpcOverhead is what a message to the etcd API may have besides the largest request, in bytes, as
// in etcd. One to the native API may have more.
const grpcOverhead = 512 << 10

// etcdBounds are those of calls of the etcd API, by gRPC and by the gateway.
func (c Config) etcdBounds() clients.Bounds {
	tooMany := translate.ErrTooManyRequests
	return clients.Bounds{
		MessageBytes: cmp.Or(c.Limits.MaxValueBytes, kv.DefaultLimits.MaxValueBytes) + grpcOverhead,
		Expect:       etcd.Expect,
		TooMany:      status.Error(codes.Code(tooMany.Code), tooMany.Text),
	}
}

// clientCodec encodes what clients get. Both APIs have messages that are encoded already.
func clientCodec() encoding.CodecV2 { return overgrpc.Codec(api.Codec()) }

func newEtcdRequests() *metrics.EtcdRequests {
	var names []string
	for _, m := range etcd.Methods {
		names = append(names, m.Name)
	}
	return metrics.NewEtcdRequests(names)
}

// openEtcd registers the etcd API. Requests wait until startEtcd.
func (s *Server) openEtcd() {
	face := overgrpc.New(s.etcd)
	face.Bounds = func(ctx context.Context) (watching.Bounds, func()) { return s.port.ClientOf(ctx) }
	face.Requests = s.asked
	face.Register(s.port.Within(s.cfg.etcdBounds()), etcd.Methods)
	overgrpc.RegisterReflection(s.port)
	s.port.AddValues(face.WithCaller)
}

// newGateway is the etcd API as JSON.
func (s *Server) newGateway() *gateway.Gateway {
	return gateway.New(gateway.Config{
		Methods: etcd.Methods, Bounds: s.cfg.etcdBounds(), Calls: s.calls, Requests: s.asked, Origins: s.cfg.Origins,
		Named: s.named, Client: s.clientOf, Entrance: s.etcd,
	})
}

func (s *Server) clientOf(ctx context.Context) (*clients.Client, func()) { return s.port.ClientOf(ctx) }

// addressOf is where the client of a call is.
func (s *Server) addressOf(ctx context.Context) string {
	cl, done := s.port.ClientOf(ctx)
	defer done()
	return cl.Address()
}

func (s *Server) waiting() string { return s.native.Waiting() }

// startEtcd lets requests of the etcd API through to a replica.
func (s *Server) startEtcd(r *replica.Replica) {
	s.etcd.Open(etcd.New(etcd.Config{
		Node: etcdNode{r.Anywhere(), r}, Member: etcdMember{s, r},
		ClusterID: s.member.ClusterID(), MemberID: uint64(s.id()),
		Limits: s.cfg.Limits, ElectionTimeout: s.cfg.ElectionTimeout, Access: r.Access, SnapshotDir: s.cfg.DataDir,
		Requests: s.asked, Recorder: s.recorder, Stages: r.Node.Stages, Client: s.addressOf, Source: s.port.SourceOf,
		OnSnapshot: s.beginBackup,
		Watches:    etcd.Watches{Hub: r.Watches.Hub, Leaderless: r.Watches.Leaderless, Stopping: s.ctx.Done(), ProgressInterval: s.cfg.WatchProgress},
	}))
}

// etcdNode is an etcd.Node.
type etcdNode struct {
	*replica.Anywhere
	replica *replica.Replica
}

// Store implements etcd.Node.
func (n etcdNode) Store() etcd.Store { return n.replica.State }

// etcdMember is an etcd.Member.
type etcdMember struct {
	s       *Server
	replica *replica.Replica
}

// Members implements etcd.Member.
func (m etcdMember) Members() (all []translate.Member) {
	for _, of := range m.s.member.Known().All {
		one := translate.Member{ID: uint64(of.ID), Name: of.Name, PeerURLs: m.s.peerURLs(of), Learner: staysLearner(of)}
		if !of.Witness { // clients of etcd would ask it for keys
			one.ClientURLs = m.s.clientURLs(of)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b translate.Member) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// staysLearner tells whether a member does not vote, and is not about to.
func staysLearner(m member.Info) bool { return !m.Voter && !m.Promote }

// isLearner tells whether this server is a learner, as clients of etcd know the word.
func (s *Server) isLearner() bool {
	all := s.member.Known().All
	i := slices.IndexFunc(all, func(m member.Info) bool { return m.ID == s.id() })
	return i >= 0 && staysLearner(all[i])
}

// Status implements etcd.Member.
func (m etcdMember) Status() translate.Status {
	st, figures := m.replica.Node.Status(), m.replica.State.Figures()
	status := translate.Status{
		Leader: uint64(st.Leader), Term: uint64(st.Term), Commit: uint64(st.Commit), Applied: uint64(st.Applied),
		FileBytes: max(figures.RunBytes, figures.HistoryBytes), LiveBytes: figures.HistoryBytes, Quota: figures.Quota,
		IsLearner: m.s.isLearner(),
		Raised:    m.replica.State.Alarms(), AtQuota: figures.AtQuota(), LowSpace: m.replica.LowSpace(),
	}
	for _, id := range st.Diverged {
		status.Corrupt = append(status.Corrupt, uint64(id))
	}
	if st.Alarm && len(status.Corrupt) == 0 {
		status.Corrupt = []uint64{uint64(m.s.id())}
	}
	return status
}

// MoveLeader implements etcd.Member.
func (m etcdMember) MoveLeader(ctx context.Context, to uint64) error {
	return m.replica.Node.TransferLeadership(ctx, raft.NodeID(to))
}

// AddMember implements etcd.Member.
func (m etcdMember) AddMember(ctx context.Context, peerURLs []string, learner bool) (uint64, error) {
	one, err := m.s.member.Add(ctx, member.NewMember{Peers: peerURLs, Learner: learner, MaxLearners: m.s.cfg.MaxLearners})
	return uint64(one.ID), etcdMemberError(ctx, err)
}

// RemoveMember implements etcd.Member.
func (m etcdMember) RemoveMember(ctx context.Context, id uint64) error {
	_, err := m.s.member.Remove(ctx, member.Who{ID: raft.NodeID(id)})
	return etcdMemberError(ctx, err)
}

// UpdateMember implements etcd.Member.
func (m etcdMember) UpdateMember(ctx context.Context, id uint64, peerURLs []string) error {
	_, err := m.s.member.Update(ctx, member.Who{ID: raft.NodeID(id)}, peerURLs, nil)
	return etcdMemberError(ctx, err)
}

// PromoteMember implements etcd.Member. As in etcd, a learner that has not started is not ready.
func (m etcdMember) PromoteMember(ctx context.Context, id uint64) error {
	_, err := m.s.promote(ctx, member.Who{ID: raft.NodeID(id)})
	return etcdMemberError(ctx, err)
}

// promote promotes a learner, and counts that.
func (s *Server) promote(ctx context.Context, who member.Who) (member.Info, error) {
	one, err := s.member.Promote(ctx, who)
	switch told := etcdMemberError(ctx, err); told {
	case nil:
		s.asked.Promoted("")
	case translate.ErrMemberNotFound: // of these two etcd counts other texts than those that it tells clients
		s.asked.Promoted("membership: ID not found")
	case translate.ErrMemberNotLearner:
		s.asked.Promoted("membership: can only promote a learner member")
	default:
		s.asked.Promoted(told.Error()) // one of few
	}
	return one, err
}

// etcdMemberErrors are what clients of etcd know of the errors of package member.
var etcdMemberErrors = []struct {
	err  error
	told *translate.Error
}{
	{member.ErrNoMember, translate.ErrMemberNotFound},
	{member.ErrAddressTaken, translate.ErrPeerURLExist},
	{member.ErrExists, translate.ErrPeerURLExist},
	{member.ErrVotes, translate.ErrMemberNotLearner},
	{member.ErrNotCaughtUp, translate.ErrLearnerNotReady},
	{member.ErrNotStarted, translate.ErrLearnerNotReady},
	{member.ErrLosesQuorum, translate.ErrMemberNotEnoughStarted},
	{member.ErrLastVoter, translate.ErrMemberNotEnoughStarted},
	{member.ErrBadChange, translate.ErrMemberBadURLs},
	{member.ErrTooMany, translate.ErrTooManyMembers},
	{member.ErrTooManyLearners, translate.ErrTooManyLearners},
	{member.ErrOlder, translate.ErrUnhealthy},
	{member.ErrNoLeader, translate.ErrNoLeader},
}

func etcdMemberError(ctx context.Context, err error) error {
	for _, known := range etcdMemberErrors {
		if errors.Is(err, known.err) {
			return known.told
		}
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return translate.ErrTimeout // which says that it may have been done
	}
	return nil
}
