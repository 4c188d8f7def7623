package birth

import (
	"slices"

	"balsa.example/internal/roster"
	"balsa.example/raft"
)

// Incarnation identifies a data directory. It is drawn at random when the directory is made, so
// that a new directory of the same member has another one. It is not zero.
type Incarnation = roster.Incarnation

// Origin is a digest of the state with which a cluster begins; zero: it begins empty.
type Origin = [16]byte

// Certificate is the identity of a cluster: a random number, and its members with their
// directories. Each directory of the founder makes one at most, and it never changes.
type Certificate struct {
	// Cluster is drawn at random: no two births have the same. It is not zero.
	Cluster uint64
	// Origin is that of all members.
	Origin Origin
	// Members has every initial member with its data directory. It is empty where a member that
	// joined later says of which cluster it is: that is no certificate of a birth.
	Members map[raft.NodeID]Incarnation
	// Abouts has what each of them said of itself. Nil in the certificates of old clusters.
	Abouts map[raft.NodeID]roster.About
}

// Record is the state of a data directory, which it stores durably and sends to other members.
// Founder and Certificate are set once and never change.
type Record struct {
	Self        raft.NodeID
	Incarnation Incarnation
	// Founder is the founder's directory to which this one is bound: it accepts no certificate
	// of another one. Zero: it is not bound yet. The founder's directory is bound to itself.
	Founder Incarnation
	// About is what this member is called and where it is found. It is said anew by each process, and
	// not stored.
	About roster.About
	// Origin is what this directory holds until the cluster has begun. It is not stored either.
	Origin Origin
	// Certificate is nil before the cluster has begun.
	Certificate *Certificate
}

// Verdict is one member's decision about another.
type Verdict int

const (
	// Accepted: both belong to the same cluster.
	Accepted Verdict = iota
	// Unborn: the cluster has not begun, as far as one of the two knows. It may begin.
	Unborn
	// OtherCluster: they belong to different clusters.
	OtherCluster
	// OtherReplaced: the cluster has another directory for the other member.
	OtherReplaced
	// SelfReplaced: the cluster has another directory for this member.
	SelfReplaced
	// OtherFounder: one of the two is the founder, and the other is bound to another directory
	// of the founder.
	OtherFounder
	// OtherOrigin: the two would begin with different states.
	OtherOrigin
)

// Birth is the state machine of one member until its cluster begins. Its events are Begin and
// Hear. Both tell whether the Record has changed: then it must be durable before this member
// sends anything.
type Birth struct {
	members []raft.NodeID // all that the cluster begins with, the founder first
	record  Record
	// bound has the directories that are bound to this one, if it is the founder's.
	bound map[raft.NodeID]Incarnation
	// abouts has what they said of themselves last.
	abouts map[raft.NodeID]roster.About
	// seen has the members whose Record has arrived.
	seen map[raft.NodeID]bool
}

// New continues from a Record. A new directory has neither a Founder nor a Certificate. members
// are the initial members, in the same order on all of them; the first one is the founder.
func New(members []raft.NodeID, r Record) *Birth {
	b := &Birth{
		members: members, record: r,
		bound: map[raft.NodeID]Incarnation{}, abouts: map[raft.NodeID]roster.About{}, seen: map[raft.NodeID]bool{},
	}
	if b.founds() {
		b.record.Founder = r.Incarnation
	}
	return b
}

// Record returns the Record that this member sends to others.
func (b *Birth) Record() Record { return b.record }

// founds tells whether this member is the founder.
func (b *Birth) founds() bool { return len(b.members) > 0 && b.record.Self == b.members[0] }

// Begin is the first event. The number fresh was drawn at random and has never been used.
func (b *Birth) Begin(fresh uint64) (changed bool) { return b.found(fresh) }

// Hear takes the Record of another member. The number fresh is as in Begin.
func (b *Birth) Hear(r Record, fresh uint64) (v Verdict, changed bool) {
	b.seen[r.Self] = true
	switch {
	case b.record.Certificate != nil:
		return b.compare(r), false
	case r.Certificate != nil && len(r.Certificate.Members) > 0:
		return b.take(r.Certificate)
	default:
		return b.wait(r, fresh)
	}
}

// compare decides about another member by the certificate.
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

// take accepts the certificate of another member, if this directory is in it.
func (b *Birth) take(c *Certificate) (v Verdict, changed bool) {
	if c.Members[b.record.Self] != b.record.Incarnation {
		return SelfReplaced, false
	}
	// A founder's directory puts only directories into a certificate that are bound to it.
	if c.Members[b.members[0]] != b.record.Founder {
		return OtherFounder, false
	}
	if c.Origin != b.record.Origin { // of another state than this directory had when it was bound
		return OtherOrigin, false
	}
	b.record.Certificate = c
	return Accepted, true
}

// wait handles a Record while neither member knows of a certificate.
func (b *Birth) wait(r Record, fresh uint64) (v Verdict, changed bool) {
	none := Incarnation{}
	switch founder := b.members[0]; {
	case r.Certificate == nil && r.Origin != b.record.Origin:
		delete(b.bound, r.Self)
		return OtherOrigin, false
	case b.founds() && r.Founder == b.record.Incarnation:
		b.bound[r.Self], b.abouts[r.Self] = r.Incarnation, r.About
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

// found makes the certificate, if this is the founder and all others are bound to it.
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
	b.record.Certificate = &Certificate{Cluster: fresh, Origin: b.record.Origin, Members: born, Abouts: b.said()}
	return true
}

// said is what all members said of themselves; nil if none said anything.
func (b *Birth) said() map[raft.NodeID]roster.About {
	abouts, any := make(map[raft.NodeID]roster.About), false
	for _, id := range b.members {
		about := b.abouts[id]
		if id == b.record.Self {
			about = b.record.About
		}
		abouts[id], any = about, any || !about.Equal(roster.About{})
	}
	if !any {
		return nil
	}
	return abouts
}

// Joined is the Record of a member that joined a cluster which had begun: it knows of which
// cluster it is, and has no part in a birth.
func Joined(self raft.NodeID, incarnation Incarnation, cluster uint64, about roster.About) Record {
	return Record{Self: self, Incarnation: incarnation, About: about, Certificate: &Certificate{Cluster: cluster}}
}

// Of is what is known of the member that sent this Record: its About, or what it said at the
// birth.
func (r Record) Of() roster.About {
	if c := r.Certificate; c != nil && r.About.Equal(roster.About{}) {
		return c.Abouts[r.Self]
	}
	return r.About
}

// Awaited returns the members whose Record must arrive before the cluster can begin, in the order
// of New.
func (b *Birth) Awaited() []raft.NodeID {
	return slices.DeleteFunc(slices.Clone(b.members), func(id raft.NodeID) bool {
		_, bound := b.bound[id]
		return id == b.record.Self || b.record.Certificate != nil || bound || !b.founds() && b.seen[id]
	})
}
