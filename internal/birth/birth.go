package birth

import (
	"slices"

	"balsa.example/raft"
)

// Incarnation is drawn at random when a data directory is made, so that one made anew,
// for the same member, is another one. It is not zero.
type Incarnation = [16]byte

// Certificate is what a cluster is born with. There is one at most for each directory of
// the founder, and it never changes.
type Certificate struct {
	// Cluster is drawn at random: no two births have the same. It is not zero.
	Cluster uint64
	// Members has every initial member, each with the one directory that counts.
	Members map[raft.NodeID]Incarnation
}

// Record is what a data directory says of itself, and durably remembers. Founder and
// Certificate are set once and never change.
type Record struct {
	Self        raft.NodeID
	Incarnation Incarnation
	// Founder is the founder's directory that this one waits for: it takes no certificate
	// but from there. Zero: it has met none yet. That of the founder is its own.
	Founder Incarnation
	// Certificate is nil before the cluster is born.
	Certificate *Certificate
}

// Verdict is what one member thinks of another.
type Verdict int

const (
	// Accepted: both are of the same cluster.
	Accepted Verdict = iota
	// Unborn: the cluster has not begun, as far as one of the two can tell, and nothing is
	// against it.
	Unborn
	// OtherCluster: they are of different clusters.
	OtherCluster
	// OtherReplaced: the cluster knows the other member by another directory.
	OtherReplaced
	// SelfReplaced: the cluster knows this member by another directory.
	SelfReplaced
	// OtherFounder: one of the two is the founder, and the other waits for another
	// directory of the founder.
	OtherFounder
)

// Birth is one member on its way into its cluster. The events are Begin and Hear. Both
// tell whether the Record has changed: then it must be durable before anything else
// leaves this member.
type Birth struct {
	members []raft.NodeID // all that the cluster begins with, the founder first
	record  Record
	// bound has the directories of others that wait for this one, if it is the founder's.
	bound map[raft.NodeID]Incarnation
	// seen has the members that were heard.
	seen map[raft.NodeID]bool
}

// New continues from a Record, which is that of a new directory if it has neither a
// Founder nor a Certificate. Members are the initial members in an order on which all
// agree; the first one is the founder.
func New(members []raft.NodeID, r Record) *Birth {
	b := &Birth{members: members, record: r, bound: map[raft.NodeID]Incarnation{}, seen: map[raft.NodeID]bool{}}
	if b.founds() {
		b.record.Founder = r.Incarnation
	}
	return b
}

// Record returns what this member says of itself.
func (b *Birth) Record() Record { return b.record }

// founds tells whether this member is the founder.
func (b *Birth) founds() bool { return b.record.Self == b.members[0] }

// Begin is the first event. The number fresh was drawn at random and has never been used.
func (b *Birth) Begin(fresh uint64) (changed bool) { return b.found(fresh) }

// Hear takes what another member says of itself. The number fresh is as in Begin.
func (b *Birth) Hear(r Record, fresh uint64) (v Verdict, changed bool) {
	b.seen[r.Self] = true
	switch {
	case b.record.Certificate != nil:
		return b.compare(r), false
	case r.Certificate != nil:
		return b.take(r.Certificate)
	default:
		return b.wait(r, fresh)
	}
}

// compare judges another member by the certificate.
func (b *Birth) compare(r Record) Verdict {
	switch own := b.record.Certificate; {
	case r.Certificate != nil && r.Certificate.Cluster != own.Cluster:
		return OtherCluster
	case own.Members[r.Self] != r.Incarnation:
		return OtherReplaced
	default:
		return Accepted
	}
}

// take makes the certificate of another member its own, if this directory is in it.
func (b *Birth) take(c *Certificate) (v Verdict, changed bool) {
	if c.Members[b.record.Self] != b.record.Incarnation {
		return SelfReplaced, false
	}
	// Whoever wrote this directory into a certificate has heard that it is bound to him.
	if c.Members[b.members[0]] != b.record.Founder {
		return OtherFounder, false
	}
	b.record.Certificate = c
	return Accepted, true
}

// wait handles the word of one unborn member to another.
func (b *Birth) wait(r Record, fresh uint64) (v Verdict, changed bool) {
	none := Incarnation{}
	switch founder := b.members[0]; {
	case b.founds() && r.Founder == b.record.Incarnation:
		b.bound[r.Self] = r.Incarnation
		if b.found(fresh) {
			return b.compare(r), true
		}
		return Unborn, false
	case b.founds() && r.Founder != none:
		return OtherFounder, false
	case r.Self == founder && b.record.Founder == none:
		b.record.Founder = r.Incarnation
		return Unborn, true
	case r.Self == founder && b.record.Founder != r.Incarnation:
		return OtherFounder, false
	default:
		return Unborn, false
	}
}

// found lets the cluster begin, if this is the founder and all others wait for it.
func (b *Birth) found(fresh uint64) bool {
	if !b.founds() || b.record.Certificate != nil {
		return false
	}
	born := map[raft.NodeID]Incarnation{b.record.Self: b.record.Incarnation}
	for _, id := range b.members[1:] {
		incarnation, ok := b.bound[id]
		if !ok {
			return false
		}
		born[id] = incarnation
	}
	b.record.Certificate = &Certificate{Cluster: fresh, Members: born}
	return true
}

// Awaited returns the members that have to be heard before the cluster can begin, in the
// order of New.
func (b *Birth) Awaited() []raft.NodeID {
	return slices.DeleteFunc(slices.Clone(b.members), func(id raft.NodeID) bool {
		_, bound := b.bound[id]
		return id == b.record.Self || b.record.Certificate != nil || bound || !b.founds() && b.seen[id]
	})
}
