package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/raft/quorum"
	"balsa.example/rsm"
)

// fakeReplica is a Replica without a log. What configures it has every change committed at once, on
// all replicas.
type fakeReplica struct {
	leads    bool
	executes chan struct{} // closed when it has executed all
	damaged  atomic.Bool
	all      *fakeLog
}

type fakeLog struct {
	mu      sync.Mutex
	latest  raft.Configuration
	members []*Member
}

// tell tells all members of the configuration. Caller holds mu.
func (l *fakeLog) tell() {
	for _, m := range l.members {
		m.OnConfiguration(l.latest, l.latest)
	}
}

func (r *fakeReplica) Leads() bool                                            { return r.leads }
func (r *fakeReplica) Leader() raft.NodeID                                    { return r.all.members[0].ID() }
func (r *fakeReplica) TransferLeadership(context.Context, raft.NodeID) error  { return nil }
func (r *fakeReplica) Receive(raft.Message)                                   {}
func (r *fakeReplica) ReceiveSnapshot(*raft.InstallSnapshot, io.Reader) error { return nil }
func (r *fakeReplica) Done() <-chan struct{}                                  { return nil }

// Status tells that all others are caught up with the log.
func (r *fakeReplica) Status() (s rsm.Status) {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	s.ID, s.Damaged = r.Leader(), r.damaged.Load()
	for _, id := range r.all.latest.Members() {
		if r.leads && id != r.Leader() {
			s.Peers = append(s.Peers, raft.PeerStatus{ID: id, Part: r.all.latest.Part(id), Active: true, CaughtUp: true})
		}
	}
	return s
}

// ReadAnywhere implements Replica.
func (r *fakeReplica) ReadAnywhere(ctx context.Context, _ raft.ReadMode) (raft.Index, error) {
	select {
	case <-r.executes:
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (r *fakeReplica) ChangeConfiguration(_ context.Context, edit func(raft.Configuration) (raft.Configuration, error)) (raft.Configuration, error) {
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	next, err := edit(r.all.latest)
	if err != nil {
		return next, fmt.Errorf("change: %w", err)
	}
	r.all.latest = next
	r.all.tell()
	return next, nil
}

// open starts a member with a replica. The first has its cluster for itself.
func (l *fakeLog) open(t *testing.T, cfg Config, r *fakeReplica) *Member {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dir, cfg.Listener, cfg.ElectionTimeout = t.TempDir(), listener, 100*time.Millisecond
	cfg.Peers = []string{listener.Addr().String()}
	if len(cfg.Join) == 0 {
		if cfg.Cluster, err = NewCluster("", map[string]string{cfg.Name: listener.Addr().String()}); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.AwaitAdmission(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.members = append(l.members, m)
	if len(l.members) == 1 {
		l.latest = m.Beginning()
	}
	l.tell()
	l.mu.Unlock()
	r.all = l
	m.Start(r)
	return m
}

// newPair starts a member that leads, and one that has joined it as a learner that is to vote.
func newPair(t *testing.T) (leader, learner *Member, log *fakeLog, executes chan struct{}) {
	t.Helper()
	log, executes = new(fakeLog), make(chan struct{})
	leader = log.open(t, Config{Name: "n1"}, &fakeReplica{leads: true})
	learner = log.open(t, Config{Name: "n2", Join: leader.cfg.Peers}, &fakeReplica{executes: executes})
	return leader, learner, log, executes
}

func (l *fakeLog) votes(m *Member) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest.Voters.Contains(m.ID())
}

// A learner that has all of the log, and has not executed it, does not vote yet: as the leader it would
// let clients wait. When it has, nobody has to ask again.
func TestALearnerVotesWhenItCouldServe(t *testing.T) {
	leader, learner, log, executes := newPair(t)
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for {
			_, err := leader.lead(ctx, *leader.replica.Load(), request{Change: &roster.Change{Kind: roster.Promote, ID: learner.ID()}})
			if err == nil || strings.Contains(err.Error(), "has not executed") || !pause(ctx, ctx, time.Millisecond) {
				return err
			}
		}
	}
	if err := ask(); !errors.Is(err, ErrNotCaughtUp) {
		t.Errorf("it has executed nothing: %v", err)
	}
	if log.votes(learner) {
		t.Fatal("it votes, and has executed nothing")
	}
	if _, err := leader.call(t.Context(), learner.ID(), request{}); !errors.Is(err, ErrBadChange) {
		t.Errorf("a member of a version that does not know the question answers %v", err)
	}
	close(executes)
	for deadline := time.Now().Add(10 * time.Second); !log.votes(learner); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it has executed all, and does not vote: %v", ask())
		}
	}
}

// A leader that stops hands over to a voter that has executed what is committed, wherever that one stands
// among the voters, and names none if no voter has.
func TestALeaderHandsOverToAVoterThatCouldServe(t *testing.T) {
	leader, second, log, secondExecutes := newPair(t)
	thirdExecutes := make(chan struct{})
	third := log.open(t, Config{Name: "n3", Join: leader.cfg.Peers}, &fakeReplica{executes: thirdExecutes})
	for _, m := range []*Member{second, third} {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if p, ok := leader.Peer(m.ID()); ok && p.Connected {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("the leader is not connected to %s", m.cfg.Name)
			}
		}
	}
	log.mu.Lock()
	log.latest.Voters.Incoming, log.latest.Learners = quorum.NewMajority(log.latest.Members()...), nil
	log.tell()
	log.mu.Unlock()

	first, other := second, third // in the order in which they are asked
	executes := thirdExecutes
	if first.ID() > other.ID() {
		first, other, executes = third, second, secondExecutes
	}
	if got := leader.readyVoter(t.Context()); got != raft.None {
		t.Errorf("no other voter has executed all, and %x was named", got)
	}
	close(executes)
	for deadline := time.Now().Add(10 * time.Second); ; { // on a slow machine an answer may come too late
		got := leader.readyVoter(t.Context())
		if got == other.ID() {
			break
		}
		if got != raft.None || time.Now().After(deadline) {
			t.Fatalf("%x was named; %x has executed all, and %x has not", got, other.ID(), first.ID())
		}
	}

	damaged := (*other.replica.Load()).(*fakeReplica)
	damaged.damaged.Store(true)
	if got := leader.readyVoter(t.Context()); got != raft.None {
		t.Errorf("files of %x are damaged, and it was named", got)
	}
	damaged.damaged.Store(false)

	refuses := new(pickyLeader)
	leader.HandOver(t.Context(), refuses)
	if n := len(refuses.asked); n == 0 || refuses.asked[n-1] != raft.None {
		t.Errorf("the voter that is ready lacks a part of the log, and leadership was handed to %x", refuses.asked)
	}
}

// pickyLeader knows only one voter that has enough of the log, and that is not one of those named to it.
type pickyLeader struct{ asked []raft.NodeID }

func (*pickyLeader) Leads() bool { return true }

func (l *pickyLeader) TransferLeadership(_ context.Context, to raft.NodeID) error {
	l.asked = append(l.asked, to)
	if to != raft.None {
		return fmt.Errorf("transfer leadership: %w", raft.ErrNotCaughtUp)
	}
	return nil
}

// A learner that has gone is refused at once: to ask again and again, as where no leader is known, would let who asks
// wait for all of his time.
func TestALearnerThatIsAwayIsRefusedAtOnce(t *testing.T) {
	leader, learner, _, _ := newPair(t)
	learner.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if p, ok := leader.Peer(learner.ID()); ok && !p.Connected {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("the leader is connected to a member that has gone")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := leader.Promote(ctx, Who{ID: learner.ID()}); !errors.Is(err, ErrNotCaughtUp) || errors.Is(err, ErrNoLeader) || !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
}
