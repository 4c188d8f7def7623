package raft

import (
	"testing"
	"time"
)

// stalled returns a cluster of five whose leader hears from a majority and commits nothing. It reaches
// two followers: hung, whose disk hangs, and well. The other two reach well, and each other.
func stalled(t *testing.T, seed uint64) (c *cluster, leader, hung, well NodeID) {
	hangs := hangs{}
	c = diskCluster(t, 5, seed, hangs.sync)
	leader = c.awaitLeader(time.Minute).id
	c.run(time.Second)
	hung, well = leader%5+1, (leader+1)%5+1
	hangs[hung] = c.now + time.Hour
	for _, other := range c.nodes {
		if id := other.id; id != hung && id != well {
			c.net.setLink(leader, id, id == leader)
			c.net.setLink(id, leader, id == leader)
		}
	}
	return c, leader, hung, well
}

// commits tells whether something that is proposed is committed within a time.
func (c *cluster) commits(limit time.Duration) bool {
	before := c.check.lastCommitted()
	for end := c.now + limit; c.now < end && c.check.lastCommitted() <= before+1; {
		for _, n := range c.nodes {
			if n.raft.Role() == Leader {
				c.propose(n.id, "x")
			}
		}
		c.run(20 * time.Millisecond)
	}
	return c.check.lastCommitted() > before+1
}

// A majority is healthy and connected. The leader is not of it, and one of it hears the leader.
func TestALeaderThatCommitsNothingIsLeft(t *testing.T) {
	for seed := range uint64(20) {
		c, leader, hung, well := stalled(t, seed)
		if !c.commits(3 * time.Second) { // six election timeouts
			t.Errorf("seed %d: nothing is committed. %s leads, the disk of %s hangs, and %s hears all", seed, leader, hung, well)
		}
	}
}

// The follower that hears the leader, and has the longest log of those that are well, has a disk that is always
// busy with what the leader sends.
func TestALeaderThatCommitsNothingAndKeepsADiskBusyIsLeft(t *testing.T) {
	for seed := range uint64(20) {
		hung, slow := hangs{}, None
		c := diskCluster(t, 5, seed, func(c *cluster, id NodeID) time.Duration {
			if id == slow {
				return 50 * time.Millisecond
			}
			return hung.sync(c, id)
		})
		leader := c.awaitLeader(time.Minute).id
		c.run(time.Second)
		hanging, busy := leader%5+1, (leader+1)%5+1
		slow, hung[hanging] = busy, c.now+time.Hour
		for _, n := range c.nodes {
			if id := n.id; id != leader && id != hanging && id != busy {
				c.net.setLink(id, leader, false)
				c.net.setLink(leader, id, false)
			}
		}
		if !c.commits(5 * time.Second) { // ten election timeouts
			t.Errorf("seed %d: nothing is committed. %s leads, the disk of %s hangs, and that of %s is busy", seed, leader, hanging, busy)
		}
	}
}

// All hear the leader, but the leader does not hear two of them: it gets their acknowledgements no more.
func TestALeaderThatAllHearAndThatCommitsNothingIsLeft(t *testing.T) {
	for seed := range uint64(20) {
		c, leader, hung, well := stalled(t, seed)
		for _, n := range c.nodes {
			c.net.setLink(leader, n.id, true)
		}
		if !c.commits(3 * time.Second) {
			t.Errorf("seed %d: nothing is committed. %s leads, the disk of %s hangs, and %s hears all", seed, leader, hung, well)
		}
	}
}

// A majority is healthy and connected. The leader is not of it. The only one of it that hears the leader
// lacks what the leader has compacted, and gets no snapshot.
func TestALeaderWhoseSnapshotDoesNotArriveIsLeft(t *testing.T) {
	for seed := range uint64(20) {
		hung := hangs{}
		c := diskCluster(t, 5, seed, hung.sync)
		c.opt.snapshotEvery = 5
		leader := c.awaitLeader(time.Minute).id
		c.run(time.Second)
		other := func(i NodeID) NodeID { return (leader+i-1)%5 + 1 }
		hanging, behind := other(1), other(2)
		c.net.isolate(behind, true)
		for range 20 {
			c.propose(leader, "x")
			c.run(50 * time.Millisecond)
		}
		hung[hanging] = c.now + time.Hour
		c.net.lose = func(m Message) bool { return m.Kind() == KindInstallSnapshot && m.Head().From == leader }
		c.net.isolate(behind, false)
		for _, id := range []NodeID{other(3), other(4)} {
			c.net.setLink(leader, id, false)
			c.net.setLink(id, leader, false)
		}
		if !c.commits(5 * time.Second) { // ten election timeouts
			t.Errorf("seed %d: nothing is committed: %s leads, and %s waits for its snapshot", seed, leader, behind)
		}
	}
}

// A follower waits for a snapshot for long, under a leader that commits: that leader stays.
func TestALeaderThatCommitsStaysBesideOneThatWaitsForItsSnapshot(t *testing.T) {
	for seed := range uint64(10) {
		c := diskCluster(t, 3, seed, hangs{}.sync)
		c.opt.snapshotEvery = 5
		leader := c.awaitLeader(time.Minute).id
		c.run(time.Second)
		behind := leader%3 + 1
		c.net.isolate(behind, true)
		for range 20 {
			c.propose(leader, "x")
			c.run(50 * time.Millisecond)
		}
		term := c.node(leader).raft.Term()
		c.net.lose = func(m Message) bool { return m.Kind() == KindInstallSnapshot }
		c.net.isolate(behind, false)
		for range 100 {
			c.propose(leader, "x")
			c.run(100 * time.Millisecond)
		}
		l, b := c.node(leader).raft, c.node(behind).raft
		if l.Role() != Leader || l.Term() != term || b.Status().Leader != leader || b.Status().Commit >= l.Status().Commit {
			t.Errorf("seed %d: %s is %s of term %d, and led term %d; %s follows %s, and has committed %d of %d",
				seed, leader, l.Role(), l.Term(), term, behind, b.Status().Leader, b.Status().Commit, l.Status().Commit)
		}
	}
}

// A follower's disk hangs, so that it takes no more entries. The other follower is cut off from the leader
// only: it cannot be elected, as the vote that it needs would hang too. The leader stays, and serves reads.
func TestALeaderStaysBesideAFollowerWhoseHungDiskIsFull(t *testing.T) {
	for seed := range uint64(10) {
		hung := hangs{}
		c := diskCluster(t, 3, seed, hung.sync)
		leader := c.awaitLeader(time.Minute).id
		c.run(time.Second)
		full, apart := leader%3+1, (leader+1)%3+1
		hung[full] = c.now + time.Hour
		c.propose(leader, "x")
		c.run(200 * time.Millisecond)
		c.net.setLink(leader, apart, false)
		c.net.setLink(apart, leader, false)
		c.net.lose = func(m Message) bool {
			a, ok := m.(*AppendEntries)
			if !ok || a.To != full || len(a.Entries) == 0 {
				return false
			}
			c.deliverLater(&AppendEntries{Header: a.Header, PrevIndex: a.PrevIndex + Index(len(a.Entries)), PrevTerm: a.Term, Commit: a.Commit, Round: a.Round})
			return true
		}
		term := c.node(leader).raft.Term()
		c.commits(10 * time.Second)
		c.read(leader, ReadByIndex)
		c.run(time.Second)
		if l := c.node(leader); l.raft.Role() != Leader || l.raft.Term() != term || len(l.reads) > 0 {
			t.Errorf("seed %d: %s is %s of term %d, and led term %d", seed, leader, l.raft.Role(), l.raft.Term(), term)
		}
	}
}

// A leader that hears a follower no more sends again what it has acknowledged. There may be more that is not
// committed, which this follower would acknowledge in vain.
func TestAFollowerThatIsNotHeardDoesNotKeepItsLeader(t *testing.T) {
	entries := []Entry{{Index: 1, Term: 1}, {Index: 2, Term: 1}, {Index: 3, Term: 1}}
	append := &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, Entries: entries, Commit: 3}
	idle := &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, PrevIndex: 3, PrevTerm: 1, Commit: 3}
	for _, late := range []int{0, 1, 1000} { // how often the entries come again
		r := newCore(t, 1, 3, State{})
		step(t, r, append)
		r.Effects()
		r.Persisted(r.persist.lastSeq)
		stalls := false
		for i := range 5 * r.cfg.ElectionTimeoutTicks {
			if i < late {
				step(t, r, append)
			}
			step(t, r, idle)
			r.Tick(r.now + 1)
			r.Effects()
			stalls = stalls || r.leaderStalls()
		}
		if stalls != (late > 1) {
			t.Errorf("the entries come again %d times: the leader stalls: %t", late, stalls)
		}
	}
}

// The leader believes that this follower needs a snapshot, and does not hear that it has it. Another follower has
// more from that leader, and asks for pre-votes.
func TestAFollowerSeesByAPreVoteHowFarItsLeaderIs(t *testing.T) {
	for _, term := range []Term{0, 1} {
		r := newCore(t, 1, 3, State{})
		step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, Entries: []Entry{{Index: 1, Term: 1}}, Commit: 1})
		for range 5 * r.cfg.ElectionTimeoutTicks {
			step(t, r, &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, PrevIndex: 1, PrevTerm: 1, Commit: 1})
			step(t, r, &PreVote{Header: Header{From: 3, To: 1, Term: 1}, LastIndex: 9, LastTerm: term})
			r.Tick(r.now + 1)
			r.Effects()
			r.Persisted(r.persist.lastSeq)
		}
		if r.leaderStalls() != (term == 1) {
			t.Errorf("entries of term %d: the leader stalls: %t", term, r.leaderStalls())
		}
	}
}

// One follower takes no entries, and the other one waits for a snapshot, so that nothing is committed. As long as
// that snapshot arrives the leader stays: another one would have to begin again. Where it does not arrive, the
// others try without that leader.
func TestALeaderWhoseStateArrivesStays(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		c := diskCluster(t, 3, 1, hangs{}.sync)
		c.opt.snapshotEvery = 5
		leader := c.awaitLeader(time.Minute).id
		c.run(time.Second)
		behind, full := leader%3+1, (leader+1)%3+1
		c.net.isolate(behind, true)
		for range 20 {
			c.propose(leader, "x")
			c.run(50 * time.Millisecond)
		}
		term := c.node(leader).raft.Term()
		c.net.lose = func(m Message) bool {
			a, ok := m.(*AppendEntries)
			if ok && a.To == full && len(a.Entries) > 0 {
				c.deliverLater(&AppendEntries{Header: a.Header, PrevIndex: a.PrevIndex + Index(len(a.Entries)), PrevTerm: a.Term, Commit: a.Commit, Round: a.Round})
			}
			return ok && a.To == full && len(a.Entries) > 0 || m.Kind() == KindInstallSnapshot
		}
		c.net.isolate(behind, false)
		c.propose(leader, "x")
		for range 500 { // ten election timeouts
			c.run(10 * time.Millisecond)
			if arrives {
				c.node(behind).raft.StateArrives()
			}
		}
		if l := c.node(leader).raft; arrives != (l.Role() == Leader && l.Term() == term) {
			t.Errorf("arrives %t: %s is %s of term %d, and led term %d", arrives, leader, l.Role(), l.Term(), term)
		}
	}
}

// A follower has no room for what the leader sends, and so does not learn that it is committed. It sees that the
// leader commits.
func TestAFollowerWithoutRoomSeesThatTheLeaderCommits(t *testing.T) {
	for _, commits := range []bool{true, false} {
		r := newCore(t, 1, 3, State{})
		for i := range Index(5 * r.cfg.ElectionTimeoutTicks) {
			a := &AppendEntries{Header: Header{From: 2, To: 1, Term: 1}, Commit: 10}
			if commits {
				a.Commit += i / Index(r.cfg.ElectionTimeoutTicks)
			}
			step(t, r, a)
			r.Tick(r.now + 1)
			r.Effects()
			r.Persisted(r.persist.lastSeq)
		}
		if r.leaderStalls() == commits {
			t.Errorf("commits %t: the leader stalls: %t", commits, r.leaderStalls())
		}
	}
}

// Both followers have no room for what the leader sends: their logs are full, or their state machines hang. When one
// of them has room again there is a majority for that leader. The other one would refuse operations as leader.
func TestAFollowerWithoutRoomDoesNotTakeOver(t *testing.T) {
	for _, full := range []struct {
		of       string
		begin    func(n *node)
		roomMade func(c *cluster, n *node)
	}{
		{"log", func(n *node) { n.raft.LimitLog(2000) }, func(c *cluster, n *node) {
			n.raft.LimitLog(1 << 20)
			c.takeSnapshot(n)
		}},
		{"state machine", func(n *node) {
			n.raft.cfg.MaxUnappliedBytes, n.raft.cfg.MaxPendingBytes = 2000, 2000
			n.applies = append(n.applies, apply{})
		}, func(c *cluster, n *node) {
			if n.raft.cfg.MaxUnappliedBytes, n.applies = 1<<20, n.applies[1:]; len(n.applies) > 0 {
				c.apply(n)
			}
		}},
	} {
		for seed := range uint64(10) {
			c := diskCluster(t, 3, seed, hangs{}.sync)
			leader := c.awaitLeader(time.Minute).id
			c.run(time.Second)
			a, b := leader%3+1, (leader+1)%3+1
			full.begin(c.node(a))
			full.begin(c.node(b))
			for range 100 {
				c.propose(leader, "0123456789012345678901234567890123456789")
				c.run(20 * time.Millisecond)
			}
			term := c.node(leader).raft.Term()
			c.run(5 * time.Second) // ten election timeouts
			if n := c.node(leader).raft; n.Role() != Leader || n.Term() != term {
				t.Errorf("%s, seed %d: %s has led in term %d, and is %s in term %d: a follower without room has taken over", full.of, seed, leader, term, n.Role(), n.Term())
			}
			full.roomMade(c, c.node(b))
			c.run(time.Second)
			if !c.commits(20 * time.Second) {
				t.Errorf("%s, seed %d: nothing is committed; %s led, and %s has room", full.of, seed, leader, b)
			}
		}
	}
}

// All hear the leader, and it hears two of them, whose disks hang. One had acknowledged an entry that is not
// committed. Its vote would hang too.
func TestAHungDiskIsNoReasonToLeaveALeader(t *testing.T) {
	for seed := range uint64(10) {
		c, leader, hung, well := stalled(t, seed)
		for _, n := range c.nodes {
			c.net.setLink(leader, n.id, true)
		}
		c.propose(leader, "x")
		c.run(100 * time.Millisecond)
		c.sync = func(id NodeID) time.Duration {
			if id == hung || id == well {
				return time.Hour
			}
			return time.Millisecond
		}
		c.propose(leader, "y")
		term := c.node(leader).raft.Term()
		c.run(10 * time.Second)
		c.read(leader, ReadByIndex)
		c.run(time.Second)
		if l := c.node(leader); l.raft.Role() != Leader || l.raft.Term() != term || len(l.reads) > 0 {
			t.Errorf("seed %d: %s is %s of term %d, and led term %d", seed, leader, l.raft.Role(), l.raft.Term(), term)
		}
	}
}

// The leader of before, and nobody else is there: it stays, as there is no better one.
func TestALeaderThatCommitsNothingStaysIfThereIsNoBetterOne(t *testing.T) {
	c, leader, hung, well := stalled(t, 1)
	term := c.node(leader).raft.Term()
	for _, n := range c.nodes {
		if n.id != leader && n.id != hung && n.id != well {
			c.net.isolate(n.id, true)
		}
	}
	c.commits(10 * time.Second)
	c.read(leader, ReadByIndex)
	c.run(time.Second)
	if l := c.node(leader); l.raft.Role() != Leader || l.raft.Term() != term || len(l.reads) > 0 {
		t.Errorf("%s is %s of term %d, and led term %d", leader, l.raft.Role(), l.raft.Term(), term)
	}
}

// The leader's own disk hangs, and its only follower cannot take its entries. A third node could
// bring that follower up to date, and does not reach the leader.
func TestALeaderWhoseDiskHangsDoesNotCountItself(t *testing.T) {
	hangs := hangs{}
	c := diskCluster(t, 3, 1, hangs.sync)
	leader := c.awaitLeader(time.Minute).id
	c.run(time.Second)
	behind, third := leader%3+1, (leader+1)%3+1
	hangs[leader] = c.now + time.Hour
	c.net.setLink(leader, third, false)
	c.net.setLink(third, leader, false)
	c.net.lose = func(m Message) bool {
		a, ok := m.(*AppendEntries)
		if !ok || a.From != leader || len(a.Entries) == 0 {
			return false
		}
		c.deliverLater(&AppendEntries{Header: a.Header, PrevIndex: a.PrevIndex, PrevTerm: a.PrevTerm, Commit: a.Commit, Round: a.Round})
		return true
	}
	if !c.commits(5 * time.Second) {
		t.Errorf("nothing is committed: %s leads with a disk that hangs, and keeps %s from following %s", leader, behind, third)
	}
}

// The disks of the leader and of a follower hang, and two others lack what the leader has compacted: it cannot
// read its snapshot for them. The fifth lacks nothing, and does not reach the leader. Those three commit.
func TestALeaderWhoseDiskHangsHindersNobody(t *testing.T) {
	for seed := range uint64(10) {
		hung := hangs{}
		c := diskCluster(t, 5, seed, hung.sync)
		c.opt.snapshotEvery = 5
		leader := c.awaitLeader(time.Minute).id
		c.run(time.Second)
		other := func(i NodeID) NodeID { return (leader+i-1)%5 + 1 }
		hanging, behind, apart := other(1), []NodeID{other(2), other(3)}, other(4)
		for _, id := range behind {
			c.net.isolate(id, true)
		}
		for range 20 {
			c.propose(leader, "x")
			c.run(50 * time.Millisecond)
		}
		hung[leader], hung[hanging] = c.now+time.Hour, c.now+time.Hour
		c.net.lose = func(m Message) bool { return m.Kind() == KindInstallSnapshot && m.Head().From == leader }
		for _, id := range behind {
			c.net.isolate(id, false)
		}
		c.net.setLink(leader, apart, false)
		c.net.setLink(apart, leader, false)
		if !c.commits(5 * time.Second) { // ten election timeouts
			t.Errorf("seed %d: nothing is committed: %s leads, and its disk hangs", seed, leader)
		}
	}
}

// The disks of a majority hang. There is no better leader, and reads go on.
func TestALeaderWhoseDiskHangsLikeThoseOfAMajorityStays(t *testing.T) {
	hung := hangs{}
	c := diskCluster(t, 3, 1, hung.sync)
	leader := c.awaitLeader(time.Minute).id
	c.run(time.Second)
	hung[leader], hung[leader%3+1] = c.now+time.Hour, c.now+time.Hour
	term := c.node(leader).raft.Term()
	c.propose(leader, "x")
	c.run(500 * time.Millisecond)
	hung[(leader+1)%3+1] = c.now + time.Hour
	for range 100 {
		c.commits(100 * time.Millisecond)
		for _, n := range c.nodes { // connections break, and are there again at once
			c.node(leader).raft.Unreachable(n.id)
		}
	}
	c.read(leader, ReadByIndex)
	c.run(time.Second)
	if l := c.node(leader); l.raft.Role() != Leader || l.raft.Term() != term || len(l.reads) > 0 {
		t.Errorf("%s is %s of term %d, and led term %d", leader, l.raft.Role(), l.raft.Term(), term)
	}
}

// The disk of the leader hangs, and one follower is down. Nobody can commit, and reads go on.
func TestALeaderWhoseDiskHangsServesReadsBesideOneThatIsDown(t *testing.T) {
	hung := hangs{}
	c := diskCluster(t, 3, 1, hung.sync)
	leader := c.awaitLeader(time.Minute).id
	c.run(time.Second)
	hung[leader] = c.now + time.Hour
	c.net.isolate(leader%3+1, true)
	c.propose(leader, "x")
	for range 20 {
		c.run(500 * time.Millisecond)
		c.read(leader, ReadByIndex)
	}
	c.run(time.Second)
	if l := c.node(leader); l.raft.Role() != Leader || len(l.reads) > 0 {
		t.Errorf("%s is %s, and %d reads wait", leader, l.raft.Role(), len(l.reads))
	}
}
