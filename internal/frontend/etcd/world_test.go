package etcd_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/lease"
	"balsa.example/state/logtime"
)

// node is a member without Raft, over the real machine: it executes at once, or fails as told.
type node struct {
	mu      sync.Mutex // of what executes
	machine *state.Machine
	now     logtime.Time
	leader  raft.NodeID

	submitErr, readErr, keepAliveErr error
	reads                            int
	// submitted, if not nil, gets each command, and read is called for each read.
	submitted func(state.Command)
	read      func()
	status    translate.Status
	members   []translate.Member // nil: two of them
	moved     []uint64           // where MoveLeader was asked to move leadership to
	moveErr   error

	// silent: keep-alives get no answer.
	silent bool
}

// world is a Face over a node.
type world struct {
	*etcd.Face
	node *node
	any  *etcd.Caller
}

func newWorld(t testing.TB) *world { return newWorldWith(t, func(*etcd.Config) {}) }

func newWorldWith(t testing.TB, change func(*etcd.Config)) *world {
	t.Helper()
	m := state.New(state.Config{FS: crashfs.NewMem(), Dir: "state", Cluster: 7, ID: 1})
	if _, _, err := m.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	n := &node{machine: m, leader: 1, now: 1}
	cfg := etcd.Config{Node: n, Member: n, ClusterID: 7, MemberID: 8, ElectionTimeout: time.Second, SnapshotDir: t.TempDir()}
	change(&cfg)
	return &world{node: n, any: &etcd.Caller{}, Face: etcd.New(cfg)}
}

func (n *node) Submit(ctx context.Context, late <-chan struct{}, c state.Command) (state.Result, rsm.EntryID, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.submitErr != nil {
		return state.Result{}, rsm.EntryID{}, n.submitErr
	}
	// As the log carries it, so that nothing shares the memory of a request.
	c, err := state.Codec{}.Decode(state.Codec{}.Append(nil, c))
	if err != nil {
		return state.Result{}, rsm.EntryID{}, err
	}
	if n.submitted != nil {
		n.submitted(c)
	}
	return n.machine.DoOp(c), rsm.EntryID{}, ctx.Err()
}

func (n *node) Read(context.Context, <-chan struct{}) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reads++
	if n.read != nil {
		n.read()
	}
	return n.readErr
}

func (n *node) KeepAlive(id int64, done func(ttl int64, err error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.silent:
	case n.keepAliveErr != nil:
		done(0, n.keepAliveErr)
	default:
		r := n.machine.DoOp(state.Command{More: &state.More{Kind: state.KindTick, Leases: []int64{id}, Stamp: logtime.Stamp{Log: n.now}}})
		done(r.TTL[0], nil)
	}
}

// pass lets log time go on, and leases expire. Two Ticks before tell the leases that were granted
// without a stamp what time it is.
func (n *node) pass(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range 2 {
		n.machine.DoOp(state.Command{More: &state.More{Kind: state.KindTick, Stamp: logtime.Stamp{Log: n.now, Wall: 1}}})
	}
	n.now += logtime.Time(d)
	n.machine.DoOp(state.Command{More: &state.More{Kind: state.KindTick, Stamp: logtime.Stamp{Log: n.now}}})
}

func (n *node) Term() raft.Term     { return 9 }
func (n *node) Leader() raft.NodeID { return n.leader }
func (n *node) Store() etcd.Store   { return n.machine }

func (n *node) Status() translate.Status {
	s := n.status
	s.Raised, s.AtQuota = n.machine.Alarms(), n.machine.Figures().AtQuota()
	return s
}

func (n *node) Members() []translate.Member {
	if n.members == nil {
		n.members = []translate.Member{
			{ID: 8, Name: "n1", PeerURLs: []string{"http://a:1"}, ClientURLs: []string{"http://a:2", "http://b:2"}},
			{ID: 9, Name: "n2", PeerURLs: []string{"http://c:1"}},
		}
	}
	return n.members
}

func (n *node) member(id uint64) (int, error) {
	for i, m := range n.Members() {
		if m.ID == id {
			return i, nil
		}
	}
	return 0, translate.ErrMemberNotFound
}

func (n *node) AddMember(_ context.Context, peers []string, learner bool) (uint64, error) {
	n.members = append(n.Members(), translate.Member{ID: 10, PeerURLs: peers, Learner: learner})
	return 10, nil
}

func (n *node) RemoveMember(_ context.Context, id uint64) error {
	i, err := n.member(id)
	if err == nil {
		n.members = slices.Delete(n.members, i, i+1)
	}
	return err
}

func (n *node) UpdateMember(_ context.Context, id uint64, peers []string) error {
	i, err := n.member(id)
	if err == nil {
		n.members[i].PeerURLs = peers
	}
	return err
}

func (n *node) PromoteMember(_ context.Context, id uint64) error {
	i, err := n.member(id)
	if err == nil {
		n.members[i].Learner = false
	}
	return err
}

func (n *node) MoveLeader(_ context.Context, to uint64) error {
	n.moved = append(n.moved, to)
	return n.moveErr
}

var _ etcd.Store = (*state.Machine)(nil)

// refused fails the test unless err is the one that clients know.
func refused(t testing.TB, err error, want *translate.Error) {
	t.Helper()
	var got *translate.Error
	if !errors.As(err, &got) || *got != *want {
		t.Errorf("error %v, want %v", err, want)
	}
}

// do fails the test where a request is refused.
func do[Req, Resp any](t testing.TB, w *world, call func(context.Context, *etcd.Caller, Req) (Resp, error), r Req) Resp {
	t.Helper()
	caller := *w.any // calls go on at the same time, and each has one
	resp, err := call(t.Context(), &caller, r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

var (
	_ = lease.MaxTTL
	_ = kv.CodeOK
)
