package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// fakeReplica is a Replica without a log. What configures it has every change committed at once, on
// all replicas.
type fakeReplica struct {
	leads    bool
	executes chan struct{} // closed when it has executed all
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
	s.ID = r.Leader()
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

// newPair starts a member that leads, and one that has joined it as a learner that is to vote.
func newPair(t *testing.T) (leader, learner *Member, log *fakeLog, executes chan struct{}) {
	t.Helper()
	log, executes = new(fakeLog), make(chan struct{})
	open := func(cfg Config) *Member {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Dir, cfg.Listener, cfg.ElectionTimeout = t.TempDir(), l, 100*time.Millisecond
		cfg.Peers = []string{l.Addr().String()}
		if len(cfg.Join) == 0 {
			if cfg.Cluster, err = NewCluster("", map[string]string{cfg.Name: l.Addr().String()}); err != nil {
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
		log.mu.Lock()
		defer log.mu.Unlock()
		log.members = append(log.members, m)
		if len(log.members) == 1 {
			log.latest = m.Beginning()
		}
		log.tell()
		return m
	}
	leader = open(Config{Name: "n1"})
	leader.Start(&fakeReplica{leads: true, all: log})
	learner = open(Config{Name: "n2", Join: leader.cfg.Peers})
	learner.Start(&fakeReplica{all: log, executes: executes})
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
