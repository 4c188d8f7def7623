package rsmtest

import "balsa.example/raft"

func (s *storage) behindPosition() {
	s.save(hard(2, 1), entries(1, 1, 1, 2, 2))
	s.position = s.meta(2, 1)
	s.want(raft.HardState{Term: 2, Vote: 1}, 2, 1, 2, 2)
	s.save(entries(5, 2))
	s.position = s.meta(4, 2)
	s.want(raft.HardState{Term: 2, Vote: 1}, 4, 2, 2)
	s.position = s.meta(2, 1) // a machine may come back with an older copy of its state
	s.want(raft.HardState{Term: 2, Vote: 1}, 2, 1, 2, 2, 2)
	s.position = raft.SnapshotMeta{}
	s.want(raft.HardState{Term: 2, Vote: 1}, 0, 0, 1, 1, 2, 2, 2)
}

// aheadPosition: what others have committed was executed before it was on the own disk.
func (s *storage) aheadPosition() {
	s.save(hard(1, 0), entries(1, 1, 1))
	s.position = s.meta(5, 1)
	s.want(raft.HardState{Term: 1}, 5, 1)
	s.want(raft.HardState{Term: 1}, 5, 1)
	s.save(entries(6, 1, 1))
	s.want(raft.HardState{Term: 1}, 5, 1, 1, 1)
	s.wantRefused(s.meta(2, 1))
	s.wantRefused(raft.SnapshotMeta{})
}

// contradictedPosition: the log has another term at the position. What follows there must
// not follow the position.
func (s *storage) contradictedPosition() {
	s.save(hard(3, 0), entries(1, 1, 2, 2, 2, 2))
	s.position = s.meta(3, 3)
	s.want(raft.HardState{Term: 3}, 3, 3)
	s.save(entries(4, 3))
	s.want(raft.HardState{Term: 3}, 3, 3, 3)
}

// restartedPosition: the machine has received a state. Its Persist restarts the log.
func (s *storage) restartedPosition() {
	s.save(hard(2, 1), entries(1, 1, 1, 1, 1, 1, 1, 1, 1))
	m := s.meta(4, 2)
	s.position = m
	s.save(raft.Persist{Snapshot: &m}, entries(5, 2))
	s.want(raft.HardState{Term: 2, Vote: 1}, 4, 2, 2)
	s.wantRefused(s.meta(3, 1))
}

func (s *storage) compactedPosition() {
	s.save(hard(1, 1), entries(1, 1, 1, 1, 1, 1, 1))
	s.compact(3)
	s.save(entries(7, 1))
	s.position = s.meta(5, 1)
	s.want(raft.HardState{Term: 1, Vote: 1}, 5, 1, 1, 1)
	s.position = s.meta(3, 1)
	s.want(raft.HardState{Term: 1, Vote: 1}, 3, 1, 1, 1, 1, 1)
	s.compact(5)
	s.save(entries(8, 1))
	s.position = s.meta(5, 1)
	s.wantRefused(s.meta(4, 1))
	s.want(raft.HardState{Term: 1, Vote: 1}, 5, 1, 1, 1, 1)
}

// wantRefused restarts with a position below what the log was compacted to. The position of
// before serves afterwards.
func (s *storage) wantRefused(position raft.SnapshotMeta) {
	s.Helper()
	s.close()
	err := s.open(s)
	if err == nil {
		_, err = s.log.Load(position)
	}
	if err == nil {
		s.Errorf("Load from %s returns no error, though the log begins behind %s", position, s.position)
	}
	s.reopen()
}
