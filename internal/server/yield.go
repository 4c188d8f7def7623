package server

import (
	"context"
	"math/rand/v2"
	"time"

	"balsa.example/internal/replica"
	"balsa.example/raft"
	"balsa.example/rsm"
)

const (
	// spaceCheck is how often a leader looks whether its disk is full.
	spaceCheck = 200 * time.Millisecond
	// yieldPause is how long a server that has handed over for lack of space leads, if
	// the others elect it again: they may have no more space than it has.
	yieldPause = time.Minute
	// yieldRetry is how long it waits after an attempt that failed.
	yieldRetry = 2 * time.Second
)

// yieldWhenFull lets another member lead when the disk is almost full. A leader refuses
// writes then, but a majority may have room: to those a full follower is no hindrance.
func (s *Server) yieldWhenFull(replica *replica.Replica) {
	tick := time.NewTicker(spaceCheck)
	defer tick.Stop()
	var last time.Time // when it yielded
	for {
		select {
		case <-tick.C:
		case <-replica.Node.Done():
			return
		case <-s.ctx.Done():
			return
		}
		if len(s.others()) == 0 || !replica.LowSpace() || time.Since(last) < yieldPause {
			continue
		}
		last = time.Now()
		s.log.Warn("the disk is almost full: another member should lead")
		ctx, cancel := context.WithTimeout(s.ctx, handoverTimeout)
		if err := replica.Node.TransferLeadership(ctx, successor(replica.Node.Status())); err != nil {
			s.log.Warn("nobody took over", "error", err)
			last = last.Add(yieldRetry - yieldPause)
		}
		cancel()
	}
}

// successor is one of the members that have all that is committed, at random. Of equals the core
// takes the first: two full servers could hand over to each other for ever.
func successor(leader rsm.Status) raft.NodeID {
	var fit []raft.NodeID
	for _, p := range leader.Peers {
		if p.Part == raft.Voter && p.Active && p.Match >= leader.Commit {
			fit = append(fit, p.ID)
		}
	}
	if len(fit) == 0 {
		return raft.None
	}
	return fit[rand.IntN(len(fit))]
}
