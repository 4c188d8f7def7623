package rsm

import (
	"context"
	"io"
	"testing"

	"balsa.example/internal/wake"
	"balsa.example/raft"
)

// sendFunc is a Transport.
type sendFunc func([]raft.Message)

func (f sendFunc) Send(ms []raft.Message) { f(ms) }

func (f sendFunc) SendSnapshot(context.Context, *raft.InstallSnapshot, io.Reader) error {
	return nil
}

// A Lease, and the end of one, is known before anybody can learn what went with it: of a
// commit, or that another one may be elected.
func TestLeaseIsKnownBeforeMessagesLeave(t *testing.T) {
	n := &Node[int, int]{}
	n.inbox.wake, n.disk.wake, n.apply.wake = wake.New(), wake.New(), wake.New()
	now := func() raft.Instant { return 50 }
	var want, sent bool
	check := func() {
		t.Helper()
		if _, got := n.lease.serves(now); got != want {
			t.Errorf("the lease serves: %t, want %t", got, want)
		}
	}
	n.cfg.Transport = sendFunc(func([]raft.Message) { sent = true; check() })
	for _, step := range []struct {
		lease   Lease
		applied uint64
		serves  bool
	}{
		{Lease{Until: 100, Commit: 7}, 7, true},
		{Lease{Until: 100, Commit: 8}, 7, false}, // 8 is acknowledged with what is sent now
		{Lease{Until: 100, Commit: 8}, 8, true},
		{Lease{}, 8, false}, // TimeoutNow leaves now
		{Lease{Until: 50, Commit: 8}, 8, false},
	} {
		n.lease.applied.Store(step.applied)
		want, sent = step.serves, false
		outcomes := 0
		n.perform(Effects[waiter[int]]{
			Lease: step.lease, Messages: []raft.Message{&raft.AppendEntries{}},
			Completions: []Completion[waiter[int]]{{Waiter: func(outcome[int]) { outcomes++; check() }}},
		})
		if !sent || outcomes != 1 {
			t.Fatalf("sent: %t, outcomes: %d", sent, outcomes)
		}
	}
}

// What is read of a lease is one lease, though another comes meanwhile: here one with an
// earlier commit index that lasts longer.
func TestReadersSeeWholeLeases(t *testing.T) {
	var s sharedLease
	s.applied.Store(5)
	s.set(Lease{Until: 100, Commit: 9})
	if _, ok := s.serves(func() raft.Instant { s.set(Lease{Until: 200, Commit: 5}); return 50 }); ok {
		t.Error("the end of one lease went with the commit index of another")
	}
	s.set(Lease{Until: 100, Commit: 5})
	if _, ok := s.serves(func() raft.Instant { s.set(Lease{Until: 200, Commit: 5}); return 150 }); ok {
		t.Error("a lease was over when its read was answered")
	}
}
