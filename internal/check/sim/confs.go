package sim

import (
	"errors"
	"math/bits"
	"slices"
	"time"

	"balsa.example/raft"
	"balsa.example/raft/quorum"
	"balsa.example/rsm"
)

// This file is what must hold of configurations: each node uses the latest one of its log, and takes it
// back with its entry; one follows from the other; and only those that are in force elect and commit.

// confAt is a configuration, and the index of its entry; 0: that of the birth of the cluster.
type confAt struct {
	index raft.Index
	conf  raft.Configuration
}

// ousted is a voter that a committed configuration does not have any more.
type ousted struct {
	index raft.Index // of that configuration
	at    Instant
}

// won tells whether those who voted decide. It counts by itself, since package quorum is under test.
func won(voters quorum.Joint, voted func(raft.NodeID) bool) bool {
	majority := func(half quorum.Majority) bool {
		yes := 0
		for _, id := range half {
			if voted(id) {
				yes++
			}
		}
		return 2*yes > len(half)
	}
	return majority(voters.Incoming) && (len(voters.Outgoing) == 0 || majority(voters.Outgoing))
}

// those returns the voters who voted.
func those(voters quorum.Joint, voted func(raft.NodeID) bool) []raft.NodeID {
	return slices.DeleteFunc(voters.IDs(), func(id raft.NodeID) bool { return !voted(id) })
}

// birth is the configuration that a node begins with.
func (n *node) birth() raft.Configuration {
	if !n.first() {
		return raft.Configuration{}
	}
	return n.w.mix.configuration()
}

// first tells whether the node is one of the first members.
func (n *node) first() bool { return int(n.id) <= n.w.mix.Voters+n.w.mix.Learners }

// confAt returns the committed configuration that is in force at an index, and at 0 what a node begins
// with.
func (k *checker) confAt(n *node, i raft.Index) raft.Configuration {
	if i == 0 {
		return n.birth()
	}
	at := len(k.confs) - 1
	for k.confs[at].index > i {
		at--
	}
	return k.confs[at].conf
}

// beginConfs makes a configuration the first one of a view, and adds those of the log.
func (k *checker) beginConfs(n *node, v *view) {
	v.confs = []confAt{{v.base, k.confAt(n, v.base)}}
	k.addConfs(v, v.log)
}

func (k *checker) addConfs(v *view, entries []raft.Entry) {
	for _, e := range entries {
		if e.Kind == raft.EntryConfiguration {
			c, _, err := raft.DecodeConfiguration(e.Data)
			if err != nil {
				k.w.failf("codec", "%v", err)
			}
			v.confs = append(v.confs, confAt{e.Index, c})
		}
	}
}

// latest is the configuration that a node uses.
func (v *view) latest() raft.Configuration { return v.confs[len(v.confs)-1].conf }

// confCommitted is the one that is committed, as far as the node knows.
func (v *view) confCommitted() raft.Configuration { return v.confAt(v.commit) }

// confAt is the one that is in force at an index of the node's log.
func (v *view) confAt(i raft.Index) raft.Configuration {
	at := len(v.confs) - 1
	for at > 0 && v.confs[at].index > i {
		at--
	}
	return v.confs[at].conf
}

// persistingConfs follows the changes of a log that holds configurations. It is called before the log
// changes.
func (k *checker) persistingConfs(n *node, v *view, p *raft.Persist) {
	if p.Snapshot != nil {
		v.confs = []confAt{{p.Snapshot.Index, k.confAt(n, p.Snapshot.Index)}}
		if !p.Snapshot.Configuration.Equal(v.latest()) {
			k.w.failf("configuration", "%s begins its log behind %s with %s; there %s was in force", n.id, p.Snapshot, p.Snapshot.Configuration, v.latest())
		}
	}
	if len(p.Entries) == 0 {
		return
	}
	for first := p.Entries[0].Index; len(v.confs) > 1 && v.confs[len(v.confs)-1].index >= first; {
		v.confs = v.confs[:len(v.confs)-1]
		k.counts.TakenBack++
		k.w.attention.moved = k.w.now
	}
	old := len(v.confs)
	k.addConfs(v, p.Entries)
	v.newConfs = v.confs[old:]
}

// configurations checks those of a node after a turn.
func (k *checker) configurations(n *node, v *view, s *raft.Status) {
	if want := v.latest(); !s.Configuration.Equal(want) {
		k.w.failf("configuration", "%s uses %s; the latest in its log is %s", n.id, s.Configuration, want)
	}
	if want := v.confCommitted(); !s.Committed.Equal(want) {
		k.w.failf("configuration", "%s takes %s for committed; it is %s", n.id, s.Committed, want)
	}
	if v.role == raft.Leader {
		for i := range v.newConfs {
			k.proposed(n, v, len(v.confs)-len(v.newConfs)+i)
		}
	}
	if len(v.newConfs) > 0 {
		k.w.attention.moved = k.w.now
	}
	v.newConfs = nil
}

// proposed checks a configuration that a leader has appended: the i-th of its view.
func (k *checker) proposed(n *node, v *view, i int) {
	was, is := v.confs[i-1], v.confs[i]
	switch {
	case was.index > k.lastCommitted():
		k.w.failf("one change at a time", "%s appends %s at %d, and %s at %d is not committed", n.id, is.conf, is.index, was.conf, was.index)
	case !k.committedInTerm(v.hard.Term):
		k.w.failf("change before the own term", "%s appends %s at %d, and has committed nothing in term %d", n.id, is.conf, is.index, v.hard.Term)
	case apart(was.conf.Voters, is.conf.Voters):
		k.w.failf("quorums intersect", "%s appends %s behind %s: their majorities need not share a voter", n.id, is.conf, was.conf)
	}
	k.counts.Changes++
	if is.conf.Voters.IsJoint() {
		k.counts.Joint++
	}
}

// committedInTerm tells whether an entry of a term is committed. The leader may be an old one.
func (k *checker) committedInTerm(term raft.Term) bool {
	i := len(k.committed)
	for i > 0 && k.committed[i-1].entry.Term > term {
		i--
	}
	return i > 0 && k.committed[i-1].entry.Term == term
}

// apart tells whether two decisions, one of each set of voters, can do without a common voter.
func apart(a, b quorum.Joint) bool {
	ids := quorum.NewMajority(append(a.IDs(), b.IDs()...)...)
	mask := func(m quorum.Majority) (set uint32) {
		for i, id := range ids {
			if m.Contains(id) {
				set |= 1 << i
			}
		}
		return set
	}
	decides := func(j quorum.Joint) func(uint32) bool {
		in, out := mask(j.Incoming), mask(j.Outgoing)
		return func(set uint32) bool {
			return 2*bits.OnesCount32(set&in) > len(j.Incoming) && (out == 0 || 2*bits.OnesCount32(set&out) > len(j.Outgoing))
		}
	}
	first, second := decides(a), decides(b)
	all := uint32(1)<<len(ids) - 1
	for set := range all + 1 {
		if first(set) && second(all&^set) {
			return true
		}
	}
	return false
}

// committedConf notes a configuration that was committed.
func (k *checker) committedConf(e raft.Entry) {
	c, _, err := raft.DecodeConfiguration(e.Data)
	if err != nil {
		k.w.failf("codec", "%v", err)
	}
	if number := changeOf(c); k.changesRefused[number] {
		k.w.failf("refused but executed", "change %d of the members, %s", number, c)
	}
	was := k.w.conf()
	k.confs = append(k.confs, confAt{e.Index, c})
	k.rosterCommitted(c)
	k.w.attention.moved = k.w.now
	for _, n := range k.w.nodes {
		switch {
		case c.Voters.Contains(n.id):
			if !was.Voters.Contains(n.id) && !n.first() {
				k.counts.Joined++
			}
			delete(k.ousted, n.id)
		case was.Voters.Contains(n.id):
			k.ousted[n.id] = ousted{e.Index, k.w.now}
			if k.views[n.id].role == raft.Leader {
				k.counts.LeadersOusted++
			}
		}
		if c.Contains(n.id) {
			k.wereMembers[n.id] = true
			if k.w.healed && !n.born {
				n.afterAlways(1, n.bear)
			}
		}
	}
}

// changeEnded checks the end of a change.
func (k *checker) changeEnded(n *node, x *waiter, err error) {
	if err == nil {
		return
	}
	for _, certain := range []error{
		rsm.ErrWrongLeader, rsm.ErrBusy, raft.ErrTransferring, raft.ErrNotReady, raft.ErrChangePending, raft.ErrNotCaughtUp, raft.ErrBadConfiguration, errNothing,
	} {
		if errors.Is(err, certain) {
			k.changesRefused[x.change] = true
			for _, c := range k.confs {
				if changeOf(c.conf) == x.change {
					k.w.failf("refused but executed", "%s says %v to change %d, %s", n.id, err, x.change, c.conf)
				}
			}
		}
	}
}

// changeMade checks the result of a change: it is committed, or another one behind it.
func (k *checker) changeMade(n *node, x *waiter, c raft.Configuration) {
	if c.Voters.IsJoint() || !slices.ContainsFunc(k.confs, func(a confAt) bool { return changeOf(a.conf) == x.change }) {
		k.w.failf("change", "%s says that change %d is made, and that %s is in force", n.id, x.change, c)
	}
}

// campaigns checks a request for votes: a node that was removed, or votes no more, wins no pre-vote once
// that is long committed, unless its log has all that. It may go on to ask for the votes of a campaign that
// began before.
func (k *checker) campaigns(n *node, v *view, m *raft.RequestVote) {
	w := k.w
	late := w.mix.SpikeTo + 2*time.Second + w.elections(2) // answers to pre-votes may be under way for so long
	if m.Campaign != v.campaign || v.campaignAt == 0 {
		v.campaign, v.campaignAt = m.Campaign, w.now
	}
	if o, ok := k.ousted[n.id]; ok && !m.Transfer && v.last() < o.index && v.campaignAt > o.at+late {
		w.failf("removed members", "%s asks for votes in term %d, and votes no more since %d was committed, %v ago", n.id, m.Term, o.index, w.now-o.at)
	}
}

// electedBy checks that a leader may lead, and that a majority of those in force has voted for it.
func (k *checker) electedBy(n *node, v *view, term raft.Term) {
	conf, may := v.latest(), v.latest().Contains(n.id) // a learner may have to take back a change that has made it a voter
	if len(v.newConfs) > 0 {
		conf = v.confs[len(v.confs)-len(v.newConfs)-1].conf
	}
	for _, c := range v.confs {
		if c.index >= v.commit || c.conf.Equal(v.confCommitted()) {
			may = may || c.conf.Voters.Contains(n.id)
		}
	}
	if !may {
		k.w.failf("election safety", "%s leads term %d, and is no voter: %s", n.id, term, conf)
	}
	voted := func(id raft.NodeID) bool { return k.votes[ballot{id, term}] == n.id }
	if !won(conf.Voters, voted) {
		k.w.failf("election safety", "%s leads term %d by the votes of %v, and in force is %s", n.id, term, those(conf.Voters, voted), conf)
	}
}

// onQuorum tells whether an entry is on the disks of a majority of the voters in force. The
// configuration in force is the one at the begin of the turn, or one that was appended in it.
func (k *checker) onQuorum(v *view, e raft.Entry) bool {
	for i := max(0, len(v.confs)-len(v.newConfs)-1); i < len(v.confs); i++ {
		holds := func(id raft.NodeID) bool {
			n := k.w.node(id)
			return n.disk.holds(e) || n.lostDisk != nil && n.lostDisk.holds(e)
		}
		if won(v.confs[i].conf.Voters, holds) {
			return true
		}
	}
	return false
}

// holds tells whether an entry is on a disk, or in a snapshot there.
func (m *model) holds(e raft.Entry) bool {
	term, ok := m.term(e.Index)
	return ok && term == e.Term || m.snapshot.Index > e.Index || m.snapshot.Index == e.Index && m.snapshot.Term == e.Term
}

// snapshotConf checks the configuration of a snapshot, or of a machine's own state.
func (k *checker) snapshotConf(n *node, m raft.SnapshotMeta) {
	if want := k.confAt(n, m.Index); !m.Configuration.Equal(want) {
		k.w.failf("configuration", "%s has a snapshot %s with %s; there %s was in force", n.id, m, m.Configuration, want)
	}
}
