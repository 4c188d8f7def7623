package raft

import "testing"

// slowFollower is a cluster of three: leader 1; follower 2, whose state machine applies only when
// a test says so; and node 3, which is not there, but acknowledges everything at once.
type slowFollower struct {
	t                *testing.T
	leader, follower *Raft
	toApply          Index // what the follower's Effects have returned up to
	sent             int   // bytes of entries to the follower
	most             int   // bytes that the follower had to apply
}

func newSlowFollower(t *testing.T, appendBytes, maxUnappliedBytes int) *slowFollower {
	s := &slowFollower{t: t, leader: elect(t, newCore(t, 1, 3, State{})), follower: newCore(t, 2, 3, State{})}
	s.leader.cfg.MaxAppendBytes, s.follower.cfg.MaxUnappliedBytes = appendBytes, maxUnappliedBytes
	return s
}

// exchange delivers messages in both directions until there are no more.
func (s *slowFollower) exchange() {
	s.t.Helper()
	for range 1000 {
		ms := settle(s.leader)
		for _, m := range ms {
			a, ok := m.(*AppendEntries)
			switch {
			case !ok:
			case a.To == 2:
				s.sent += sizeOf(a.Entries)
				step(s.t, s.follower, a)
			default:
				step(s.t, s.leader, &AppendEntriesReply{Header: Header{From: 3, To: 1, Term: a.Term}, Match: s.leader.log.last(), Round: a.Round})
			}
		}
		answers := s.answers()
		for _, m := range answers {
			step(s.t, s.leader, m)
		}
		if len(ms)+len(answers) == 0 {
			return
		}
	}
	s.t.Fatal("leader and follower talk without end")
}

// answers carries out the follower's effects, with a disk that takes no time, and applies nothing.
func (s *slowFollower) answers() (sent []Message) {
	for {
		e := s.follower.Effects()
		if e.Empty() {
			return sent
		}
		sent = append(sent, e.Messages...)
		if e.Persist != nil {
			s.follower.Persisted(e.Persist.Seq)
		}
		if n := len(e.Committed); n > 0 {
			s.toApply = e.Committed[n-1].Index
		}
		s.most = max(s.most, s.follower.log.bytes(s.follower.applied+1, s.follower.log.last()))
	}
}

func (s *slowFollower) propose(n int) {
	for range n {
		if _, err := s.leader.Propose(make([]byte, 1000)); err != nil {
			s.t.Fatal(err)
		}
		s.exchange()
	}
}

func (s *slowFollower) heartbeat() {
	for range s.leader.cfg.HeartbeatTicks {
		s.leader.Tick(1)
	}
	s.exchange()
}

func TestFollowerThatAppliesSlowlyHoldsALimitedLog(t *testing.T) {
	const each, limit = 3000, 10_000
	s := newSlowFollower(t, each, limit)
	s.exchange()
	s.follower.Applied(s.toApply)
	s.propose(100)
	if s.most > limit {
		t.Errorf("the follower has %d bytes to apply, its limit is %d", s.most, limit)
	}

	// The leader stays in touch, and tries again with heartbeats, an append at a time.
	before, rounds := s.sent, s.follower.follower.seenRound
	const heartbeats = 20
	for range heartbeats {
		s.heartbeat()
	}
	if s.most > limit || s.follower.Leader() != 1 || s.leader.Role() != Leader {
		t.Errorf("%d bytes to apply, %s follows %s", s.most, s.follower.id, s.follower.Leader())
	}
	if got := s.follower.follower.seenRound - rounds; got < heartbeats {
		t.Errorf("the follower heard of %d rounds in %d heartbeats", got, heartbeats)
	}
	if got := s.sent - before; got == 0 || got > (heartbeats+1)*each {
		t.Errorf("%d bytes were sent to it, want some, at most %d with each heartbeat", got, each)
	}

	for s.follower.applied < s.leader.log.last() {
		applied := s.follower.applied
		s.follower.Applied(s.toApply)
		s.heartbeat()
		if s.follower.applied == applied && s.toApply == applied {
			t.Fatalf("the follower stays at %d of %d", applied, s.leader.log.last())
		}
	}
	if s.most > limit {
		t.Errorf("the follower had %d bytes to apply while it caught up, its limit is %d", s.most, limit)
	}
}

// commands makes n entries of a term, from an index on, each with so many bytes of data.
func commands(term Term, first Index, n, bytes int) (es []Entry) {
	for i := range Index(n) {
		es = append(es, Entry{Term: term, Index: first + i, Kind: EntryCommand, Data: make([]byte, bytes)})
	}
	return es
}

// Entries that are not committed do not count for the limit: they may need more entries to become
// so, and the follower would be stuck. And a follower that has nothing to apply takes an append of
// any size.
func TestFollowerTakesWhatItMayNeed(t *testing.T) {
	r := newCore(t, 2, 3, State{HardState: HardState{Term: 1}})
	r.cfg.MaxUnappliedBytes = 1000
	head := Header{From: 1, To: 2, Term: 1}
	step(t, r, &AppendEntries{Header: head, Entries: commands(1, 1, 20, 100)})
	step(t, r, &AppendEntries{Header: head, PrevIndex: 20, PrevTerm: 1, Entries: commands(1, 21, 1, 5000)})
	if r.log.last() != 21 {
		t.Errorf("the log ends at %d; nothing was committed, so nothing could be applied", r.log.last())
	}
	step(t, r, &AppendEntries{Header: head, PrevIndex: 21, PrevTerm: 1, Commit: 21, Entries: commands(1, 22, 1, 5000)})
	if r.log.last() != 22 {
		t.Errorf("the log ends at %d; what there was could only be applied afterwards", r.log.last())
	}
	step(t, r, &AppendEntries{Header: head, PrevIndex: 22, PrevTerm: 1, Commit: 21, Entries: commands(1, 23, 1, 1)})
	if r.log.last() != 22 {
		t.Errorf("the log ends at %d, with everything to apply still", r.log.last())
	}
	settle(r)
	step(t, r, &AppendEntries{Header: head, PrevIndex: 22, PrevTerm: 1, Commit: 22, Entries: commands(1, 23, 1, 5000)})
	if r.log.last() != 23 {
		t.Errorf("the log ends at %d, with all applied", r.log.last())
	}
}

// A follower that was restarted and replays a long log is part of the majority at once,
// and holds no more than its limit beyond that log.
func TestFollowerThatReplaysTakesMore(t *testing.T) {
	const limit = 10_000
	s := newSlowFollower(t, 3000, 64<<20)
	s.exchange()
	for range 100 {
		s.propose(1)
		s.follower.Applied(s.toApply)
	}
	replay := s.follower.log.slice(1, s.follower.log.last())
	s.follower = newCore(t, 2, 3, State{HardState: HardState{Term: s.leader.Term()}, Entries: replay})
	s.follower.cfg.MaxUnappliedBytes = limit
	s.heartbeat()
	s.propose(1)
	if got, want := s.follower.log.stable, s.leader.log.last(); s.follower.applied > 0 || s.follower.commit == 0 || got != want {
		t.Errorf("with %d of %d applied the follower has up to %d of %d", s.follower.applied, s.follower.commit, got, want)
	}
	s.propose(100)
	if most := sizeOf(replay) + limit; s.most > most {
		t.Errorf("the follower has %d bytes to apply, want at most %d", s.most, most)
	}
}

// Of the log that a follower was started with, only the part that was not replaced since does not
// count for the limit.
func TestFollowerCountsWhatReplacesItsLog(t *testing.T) {
	r := newCore(t, 2, 3, State{HardState: HardState{Term: 1}, Entries: commands(1, 1, 100, 0)})
	r.cfg.MaxUnappliedBytes = 1000
	head := Header{From: 3, To: 2, Term: 2}
	step(t, r, &AppendEntries{Header: head, Entries: commands(2, 1, 2, 300), Commit: 1})
	step(t, r, &AppendEntries{Header: head, PrevIndex: 2, PrevTerm: 2, Entries: commands(2, 3, 2, 300), Commit: 1})
	if r.log.last() != 2 || r.commit != 1 {
		t.Errorf("the log ends at %d, with %d bytes to apply", r.log.last(), r.log.bytes(1, r.log.last()))
	}
}
