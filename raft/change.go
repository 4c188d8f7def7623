package raft

import (
	"fmt"
	"slices"
)

// This file is a leader's side of a change of members, and what every node knows of its own
// membership.

// ProposeConfiguration begins to change the members to next, which has no outgoing voters, and
// returns the index of the entry that does. The change is done when a configuration that is not
// joint is committed at that index or behind it; this leader, or a later one, sees to that.
//
// Only one change goes on at a time. Not before the leader has committed an entry of its own term
// may it begin one. Where servers are added and removed one at a time, without a joint phase, two
// leaders could otherwise begin changes that do not know of each other, and commit by majorities
// that share no voter (Ongaro, "bug in single-server membership changes", raft-dev, July 2015). A
// joint phase needs a majority of the old voters, and would be safe; the rule costs nothing.
//
// A voter that is new must be a learner that has caught up.
//
// It returns ErrNotLeader, ErrTransferring, ErrNotReady, ErrChangePending, ErrNotCaughtUp, ErrBusy,
// or an ErrBadConfiguration.
func (r *Raft) ProposeConfiguration(next Configuration) (Index, error) {
	next = next.normal()
	current := r.configuration()
	switch {
	case r.role != Leader:
		return 0, ErrNotLeader
	case r.leader.transfer.to != None:
		return 0, ErrTransferring
	case !r.committedOwnTerm():
		return 0, ErrNotReady
	case r.ChangePending(), len(r.leader.peers)+len(next.Members()) > maxPeers:
		return 0, ErrChangePending
	}
	if err := r.checkChange(current, next); err != nil {
		return 0, err
	}
	return r.propose(EntryConfiguration, AppendConfiguration(nil, current.toward(next)))
}

// checkChange tells why next may not follow current, nil if it may.
func (r *Raft) checkChange(current, next Configuration) error {
	if err := next.Check(); err != nil {
		return err
	}
	for _, id := range next.Members() {
		if current.Contains(id) && current.IsWitness(id) != next.IsWitness(id) {
			return fmt.Errorf("%w: %s is a member, and can neither become a witness nor cease to be one", ErrBadConfiguration, id)
		}
	}
	for _, id := range next.Voters.Incoming {
		p := r.peer(id)
		switch {
		case current.Voters.Contains(id):
		case current.Part(id) != Learner:
			return fmt.Errorf("%w: %s is to vote, and was not a learner before", ErrNotCaughtUp, id)
		case !r.caughtUp(id) || len(current.Witnesses)+len(next.Witnesses) > 0 && r.lacksReleased(p):
			return fmt.Errorf("%w: %s is to vote", ErrNotCaughtUp, id)
		case p.witnessFull:
			return fmt.Errorf("%w: %s is to vote, and has no room for more of the log", ErrNotCaughtUp, id)
		}
	}
	return nil
}

// appendConfiguration appends a configuration to the leader's own log. It is in force from now on.
func (r *Raft) appendConfiguration(e Entry) {
	if r.confs.latestIndex() > r.commit {
		failf("%s: configuration at %d behind one at %d, committed %d", r.id, e.Index, r.confs.latestIndex(), r.commit)
	}
	_, err := r.confs.append([]Entry{e})
	assertf(err == nil, "%s: %v", r.id, err)
	r.configurationChanged()
}

// configurationChanged is called when another configuration is the latest in the log.
func (r *Raft) configurationChanged() {
	r.confsVersion++
	if r.role == Leader {
		r.updatePeers(r.confs[len(r.confs)-1:])
	} else if r.timer.timeout == soleVoterTimeout {
		r.resetElectionTimer() // it may not be the sole voter any more
	}
}

// maxPeers bounds the peers of a leader. A configuration has at most twice MaxMembers, in a joint
// phase, and there may be as many that were removed.
const maxPeers = 4 * MaxMembers

// updatePeers adds the members of cs to the peers of a leader, and marks the peers that the latest
// configuration does not have. A new leader begins with all configurations in its log, the latest
// first: those whom an earlier one has may not know yet that they are removed.
func (r *Raft) updatePeers(cs configurations) {
	for _, c := range slices.Backward(cs) {
		for _, id := range c.configuration.Members() {
			if id != r.id && r.peer(id) == nil && len(r.leader.peers) < maxPeers {
				i, _ := slices.BinarySearchFunc(r.leader.peers, id, comparePeer)
				p := &progress{id: id, next: r.log.last() + 1, catchUp: catchUp{roundEnd: r.log.last()}, witness: c.configuration.IsWitness(id)}
				r.leader.peers = slices.Insert(r.leader.peers, i, p)
			}
		}
	}
	latest := r.configuration()
	for _, p := range r.leader.peers {
		if latest.Contains(p.id) {
			p.removed, p.witness = removal{}, latest.IsWitness(p.id)
		} else if p.removed.index == 0 {
			p.removed.index = r.confs.latestIndex()
		}
	}
}

// advanceConfiguration is called by a leader when the commit index may have risen. It leaves a
// joint phase that is committed, also that of an earlier leader. And a leader that does not vote
// any more ends its part when that is committed (paper, section 6): until then it has to go on, and
// does not count itself. So does a witness.
func (r *Raft) advanceConfiguration() {
	latest := r.configuration()
	switch {
	case r.confs.latestIndex() > r.commit || !r.committedOwnTerm() || r.leader.transfer.to != None:
	case latest.Voters.IsJoint():
		r.appendOwn(EntryConfiguration, AppendConfiguration(nil, latest.left()))
	case !r.isVoter() || r.cfg.Witness:
		r.handOver()
	}
}

// noteCommitted is called when the commit index has risen. It notes which configuration is
// committed, and whether this node was removed: a committed one has it, and a later one does not.
// (A node that joins gets those of before its time as well, and is in none of them.)
func (r *Raft) noteCommitted() {
	last := r.confs.find(r.commit)
	if r.confs[last].index == r.committedConf {
		return
	}
	for _, c := range r.confs[:last+1] {
		if c.index > r.committedConf {
			has := c.configuration.Contains(r.id)
			r.removed = !has && (r.wasMember || r.removed)
			r.wasMember = has
		}
	}
	r.committedConf = r.confs[last].index
	r.confsVersion++
}

// mayCampaign tells whether this node may start elections. A voter may. So may a node that votes in
// the committed configuration and no more in a later one in its log: it can be the only one that
// can be elected (thesis 4.2.2). The schedule:
//
//  1. Node 1 leads, and the change from 1, 2 and 3 to 4, 5 and 6 is in its joint phase. 1 appends
//     the new configuration, sends it to 2 and 3, and crashes.
//  2. 4, 5 and 6 need the votes of two of 1, 2 and 3, and do not get them: their logs are shorter.
//  3. 2 is elected by 4, 5 and 6, commits the new configuration, and steps down.
//
// And so may a learner whose vote a candidate needs, and does not get. The schedule:
//
//  1. 1, 2 and 3 vote, and 4 and 5 are learners. 1 leads, begins a change to 4 and 5, and does not reach the
//     others any more.
//  2. 3 is elected in a later term. Its first entry reaches 4 and 5. It is lost for good.
//  3. By its own log 1 needs the votes of 4 and 5, whose logs are newer. 2 has a shorter log than 1.
//  4. 4 is elected by 1 and 2, takes the change back, and hands over to one of them.
func (r *Raft) mayCampaign() bool {
	if r.candidate.wanted && r.configuration().Contains(r.id) {
		return true
	}
	for _, c := range r.confs[r.confs.find(r.commit):] {
		if c.configuration.Voters.Contains(r.id) {
			return true
		}
	}
	return false
}

// A learner is caught up if the last round of replication took less than an election timeout
// (thesis 4.2.1): a round brings it what the leader's log held when the round began. If it became a
// voter now, it would have the rest about as soon.
type catchUp struct {
	roundEnd Index
	ticks    int // since the round began
	done     bool
}

func (c *catchUp) tick(match, last Index, timeoutTicks int) {
	c.ticks++
	switch {
	case match >= c.roundEnd:
		*c = catchUp{roundEnd: last, done: c.ticks <= timeoutTicks}
	case c.ticks > timeoutTicks:
		c.done = false
	}
}

func (r *Raft) caughtUp(id NodeID) bool {
	p := r.peer(id)
	return p != nil && p.removed.index == 0 && p.catchUp.done && p.recentlyActive() && p.trusted()
}

// removal is what a leader keeps of a peer that the latest configuration does not have. It gets the
// log until it must know that: a member that was never told would wait for ever.
type removal struct {
	// index is that of the configuration without it; 0: the latest has it.
	index Index
	// round is the leader's latest when index was known to be committed. ticks counts from then, and again
	// from when the peer got further, which is to match.
	round Round
	match Index
	ticks int
}

// maxRemovalTimeouts bounds, in election timeouts, for how long a removed peer that gets no further is
// still sent the log. It may be down for good.
const maxRemovalTimeouts = 10

// dropRemovedPeers forgets the removed peers that know of it, or had time enough. An
// acknowledgement of a round that began after the commit proves that the peer got a message with
// that commit index.
func (r *Raft) dropRemovedPeers() {
	r.leader.peers = slices.DeleteFunc(r.leader.peers, func(p *progress) bool {
		gone := &p.removed
		if gone.index == 0 || gone.index > r.commit {
			return false
		}
		if gone.ticks == 0 {
			gone.round = r.leader.round
		}
		if gone.ticks++; p.match > gone.match {
			gone.match, gone.ticks = p.match, 1
		}
		told := p.match >= gone.index && p.ackedRound > gone.round
		return told || gone.ticks > maxRemovalTimeouts*r.cfg.ElectionTimeoutTicks
	})
}
