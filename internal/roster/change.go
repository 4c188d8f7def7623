package roster

import (
	"errors"
	"fmt"
	"slices"

	"balsa.example/raft"
	"balsa.example/raft/quorum"
)

// Errors of Change.Apply. Each says that nothing changes.
var (
	// ErrNoMember: there is no such member.
	ErrNoMember = errors.New("no such member")
	// ErrAmbiguous: two members have the name, since one replaces the other.
	ErrAmbiguous = errors.New("two members have this name, as one is to replace the other")
	// ErrExists: a member of that name is there, by another data directory.
	ErrExists = errors.New("there is a member of this name, with another data directory")
	// ErrAddressTaken: an address is that of another member.
	ErrAddressTaken = errors.New("an address is that of another member")
	// ErrNotExpected: a server that was to be added before it starts was not.
	ErrNotExpected = errors.New("no member of this name, or with these addresses, waits to be started")
	// ErrTooMany: a cluster has no more members than MaxMembers, and with a witness no more voters than
	// raft.MaxVotersWithWitness.
	ErrTooMany = errors.New("there would be too many members")
	// ErrTooManyLearners: there are as many learners as the change allows.
	ErrTooManyLearners = errors.New("there are as many learners as there may be")
	// ErrVotes: a member that votes cannot be promoted.
	ErrVotes = errors.New("the member votes already")
	// ErrNotStarted: a member that has not started cannot vote.
	ErrNotStarted = errors.New("the member has not started yet")
	// ErrLastVoter: without its last voter a cluster is none.
	ErrLastVoter = errors.New("it is the only member that votes")
	// ErrWitness: a member would become a witness, or cease to be one.
	ErrWitness = errors.New("a member can neither become a witness nor cease to be one")
	// ErrBeingReplaced: another member is about to replace it already.
	ErrBeingReplaced = errors.New("another member is about to replace it")
	// ErrNoRoster: the cluster is an old one, and its leader has not said yet who the members are.
	ErrNoRoster = errors.New("the leader has not published the members of this old cluster yet")
)

// Kind is what a Change does.
type Kind uint8

const (
	// Add adds a learner, which votes when it is caught up, unless Learner says that it stays one.
	// With an Incarnation it is a server that joins: that has its entry already if it asks again,
	// and gets one that waits for it (of its name, or with one of its addresses) if there is one.
	Add Kind = iota + 1
	// Promote makes a learner a voter. A voter that it replaces leaves in the same step.
	Promote
	// Remove removes a member.
	Remove
	// Update changes the addresses of a member: those lists that are not empty.
	Update
	// Replace adds an entry for a server that is to take the place of a member. When it has
	// started and is caught up, it votes in its place, and the other one is removed.
	Replace
)

// Change is a wish about the members. The leader applies it.
type Change struct {
	Kind Kind
	// ID or, if that is None, Name says which member, except of Add.
	ID   raft.NodeID `json:",omitempty"`
	Name string      `json:",omitempty"`
	// About is what the member of an Add says of itself, and the addresses of an Update. Of a
	// Replace its Name is that of the new member; empty: that of the old one.
	About About
	// Incarnation, of an Add, is the directory of a server that joins.
	Incarnation Incarnation
	// Learner, of an Add: the member never votes, unless it is promoted.
	Learner bool `json:",omitempty"`
	// MaxLearners, of an Add of a Learner, is how many may be there afterwards; 0: any number, below 0: none.
	// Those that are about to vote do not count.
	MaxLearners int `json:",omitempty"`
	// Witness, of an Add with an Incarnation: the member is a witness, which keeps no state. One that
	// replaces a witness is one as well.
	Witness bool `json:",omitempty"`
	// Expected, of an Add: there must be an entry that waits for the member.
	Expected bool `json:",omitempty"`
}

// Apply returns what is to follow a configuration, and the member that the change is about. A new
// member gets the id fresh, which was drawn at random. If the change was made before, next is conf.
func (c Change) Apply(conf raft.Configuration, fresh raft.NodeID) (next raft.Configuration, m Member, err error) {
	r, err := Decode(conf.Context)
	if err != nil {
		return conf, m, err
	}
	if r.Empty() {
		return conf, m, ErrNoRoster
	}
	if err := c.About.Check(); err != nil {
		return conf, m, err
	}
	e := edit{Configuration: conf, roster: r, fresh: fresh}
	switch c.Kind {
	case Add:
		m, err = e.add(c)
	case Promote, Remove, Update, Replace:
		if m, err = e.find(c); err == nil {
			m, err = e.change(c, m)
		}
	default:
		err = fmt.Errorf("a change of the members of kind %d is not known to this version", c.Kind)
	}
	if err != nil {
		return conf, m, err
	}
	e.Context = Append(nil, e.roster)
	return e.Configuration, m, nil
}

// edit is a configuration that changes, with its Context decoded.
type edit struct {
	raft.Configuration
	roster Roster
	fresh  raft.NodeID
}

func (e *edit) change(c Change, m Member) (Member, error) {
	switch c.Kind {
	case Promote:
		return e.promote(m)
	case Remove:
		return m, e.remove(m.ID)
	case Update:
		return e.update(m, c.About)
	default:
		return e.replace(m, c.About.Name)
	}
}

// find returns the member that a change names. A member that is to be replaced has a name with
// its successor in common: a Replace means the first of them.
func (e *edit) find(c Change) (Member, error) {
	if c.ID != raft.None {
		m, ok := e.roster.Find(c.ID)
		if !ok {
			return m, fmt.Errorf("%w: %s", ErrNoMember, c.ID)
		}
		return m, nil
	}
	all := e.roster.Named(c.Name)
	if c.Kind == Replace {
		all = slices.DeleteFunc(all, func(m Member) bool { return m.Replaces != raft.None })
	}
	switch len(all) {
	case 0:
		return Member{}, fmt.Errorf("%w: %q", ErrNoMember, c.Name)
	case 1:
		return all[0], nil
	}
	old, next := all[0], all[1]
	if old.Replaces != raft.None {
		old, next = next, old
	}
	return Member{}, fmt.Errorf("%w: %q are %s and %s, which is to replace it; name one by its id", ErrAmbiguous, c.Name, old.ID, next.ID)
}

func (e *edit) add(c Change) (Member, error) {
	joins := c.Incarnation != Incarnation{}
	if m, ok := e.known(c); ok && joins {
		if e.IsWitness(m.ID) != c.Witness {
			return m, fmt.Errorf("%w: %s", ErrWitness, m)
		}
		m.Incarnation, m.About = c.Incarnation, c.About
		if err := e.free(m); err != nil {
			return m, err
		}
		e.roster = e.roster.With(m)
		return m, nil
	}
	other, lives := e.living(c.Incarnation)
	switch named := e.roster.Named(c.About.Name); {
	case lives:
		return other, fmt.Errorf("%w: %q has that directory", ErrExists, other.Name)
	case c.Expected:
		return Member{}, fmt.Errorf("%w: %q, %v", ErrNotExpected, c.About.Name, c.About.Peers)
	case len(named) == 1 && c.madePlace(named[0]):
		return named[0], nil
	case len(named) > 0 && !named[0].Started():
		return named[0], fmt.Errorf("%w: a place for %q, which has not started", ErrExists, c.About.Name)
	case len(named) > 0:
		return named[0], fmt.Errorf("%w: %q", ErrExists, c.About.Name)
	}
	m, err := e.learn(Member{About: c.About, Incarnation: c.Incarnation, Promote: !c.Learner}, c.Witness)
	if err == nil && c.Learner && c.MaxLearners != 0 && e.staying() > c.MaxLearners {
		err = ErrTooManyLearners
	}
	return m, err
}

// staying counts the learners that are not about to vote.
func (e *edit) staying() (n int) {
	for _, m := range e.roster.Members {
		if slices.Contains(e.Learners, m.ID) && !m.Promote {
			n++
		}
	}
	return n
}

// madePlace tells whether a place is the one that c, an Add without an Incarnation, has made before.
func (c Change) madePlace(m Member) bool {
	return c.About.Name != "" && c.Incarnation == Incarnation{} && !m.Started() && m.Replaces == raft.None &&
		m.Promote == !c.Learner && slices.Equal(m.Peers, c.About.Peers) && slices.Equal(m.Clients, c.About.Clients)
}

// known returns the entry of a server that joins: its own, or one that waits for it.
func (e *edit) known(c Change) (Member, bool) {
	if m, ok := e.living(c.Incarnation); ok {
		return m, m.Name == c.About.Name // what a directory is called never changes
	}
	for _, m := range e.roster.Members {
		if !m.Started() && m.Name != "" && m.Name == c.About.Name {
			return m, true
		}
	}
	for _, m := range e.roster.Members {
		if !m.Started() && m.Name == "" && shares(m.Peers, c.About.Peers) {
			return m, true
		}
	}
	return Member{}, false
}

// living returns the member of a data directory.
func (e *edit) living(i Incarnation) (Member, bool) {
	k := slices.IndexFunc(e.roster.Members, func(m Member) bool { return m.Started() && m.Incarnation == i })
	if k < 0 {
		return Member{}, false
	}
	return e.roster.Members[k], true
}

// shares tells whether an address of a is one of b.
func shares(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool {
		return slices.ContainsFunc(b, func(other string) bool { return HostPort(s) == HostPort(other) })
	})
}

// learn adds a learner.
func (e *edit) learn(m Member, witness bool) (Member, error) {
	m.ID = e.fresh
	if _, ok := e.roster.Find(m.ID); ok || m.ID == raft.None || e.roster.WasRemoved(m.ID) {
		return m, fmt.Errorf("the id %s was drawn twice; try again", m.ID)
	}
	if len(e.roster.Members) >= MaxMembers {
		return m, fmt.Errorf("%w: the limit is %d", ErrTooMany, MaxMembers)
	}
	if err := e.free(m); err != nil {
		return m, err
	}
	e.roster = e.roster.With(m)
	e.Learners = append(slices.Clone(e.Learners), m.ID)
	slices.Sort(e.Learners)
	if witness {
		e.Witnesses = append(slices.Clone(e.Witnesses), m.ID)
		slices.Sort(e.Witnesses)
	}
	return m, e.fewVoters()
}

// fewVoters is nil unless there is a witness, and more are to vote than may then. Without this a server
// would join, and never vote.
func (e *edit) fewVoters() error {
	voters := len(e.Voters.Incoming)
	for _, m := range e.roster.Members {
		if m.Promote && m.Replaces == raft.None {
			voters++
		}
	}
	if len(e.Witnesses) > 0 && voters > raft.MaxVotersWithWitness {
		return fmt.Errorf("%w: a cluster with a witness has at most %d voters", ErrTooMany, raft.MaxVotersWithWitness)
	}
	return nil
}

// free is nil if no other member has an address of m. One that m replaces may.
func (e *edit) free(m Member) error {
	for _, other := range e.roster.Members {
		if other.ID == m.ID || other.ID == m.Replaces || other.Replaces == m.ID {
			continue
		}
		if shares(other.Peers, m.Peers) {
			return fmt.Errorf("%w: %s has %v", ErrAddressTaken, other, other.Peers)
		}
	}
	return nil
}

func (e *edit) promote(m Member) (Member, error) {
	switch {
	case e.Voters.Incoming.Contains(m.ID):
		return m, fmt.Errorf("%w: %s", ErrVotes, m)
	case !m.Started():
		return m, fmt.Errorf("%w: %s", ErrNotStarted, m)
	}
	replaced := m.Replaces
	m.Promote, m.Replaces = false, raft.None
	e.roster = e.roster.With(m)
	e.Learners = without(e.Learners, m.ID)
	e.Voters.Incoming = quorum.NewMajority(append(slices.Clone(e.Voters.Incoming), m.ID)...)
	if replaced != raft.None {
		return m, e.remove(replaced)
	}
	return m, e.fewVoters()
}

func (e *edit) remove(id raft.NodeID) error {
	voters := without(e.Voters.Incoming, id)
	if len(voters) == 0 {
		return fmt.Errorf("%w: %s", ErrLastVoter, e.roster.NameOf(id))
	}
	e.Voters.Incoming, e.Learners, e.Witnesses = voters, without(e.Learners, id), without(e.Witnesses, id)
	e.roster = e.roster.Without(id)
	return nil
}

func without[S ~[]raft.NodeID](ids S, id raft.NodeID) S {
	return slices.DeleteFunc(slices.Clone(ids), func(other raft.NodeID) bool { return other == id })
}

func (e *edit) update(m Member, about About) (Member, error) {
	if len(about.Peers) > 0 {
		m.Peers = about.Peers
	}
	if len(about.Clients) > 0 {
		m.Clients = about.Clients
	}
	if err := m.About.Check(); err != nil {
		return m, err
	}
	if err := e.free(m); err != nil {
		return m, err
	}
	e.roster = e.roster.With(m)
	return m, nil
}

func (e *edit) replace(old Member, name string) (Member, error) {
	if name == "" {
		name = old.Name
	}
	if !old.Started() {
		return old, fmt.Errorf("%w: %s; start it, or remove it", ErrNotStarted, old)
	}
	for _, m := range e.roster.Members {
		switch {
		case m.Replaces == old.ID && m.Name == name:
			return m, nil // as was asked for before
		case m.Replaces == old.ID:
			return m, fmt.Errorf("%w: %s", ErrBeingReplaced, old)
		case m.Name == name && m.ID != old.ID:
			return e.succeed(old, m)
		}
	}
	fresh, witness := Member{About: About{Name: name}, Replaces: old.ID, Promote: true}, e.IsWitness(old.ID)
	if e.Voters.Incoming.Contains(old.ID) {
		return e.learn(fresh, witness)
	}
	if err := e.remove(old.ID); err != nil { // a learner is missed by nobody
		return old, err
	}
	fresh.Replaces, fresh.Promote = raft.None, old.Promote
	return e.learn(fresh, witness)
}

// succeed lets a member that has joined already take the place of another, if it does not vote yet.
func (e *edit) succeed(old, m Member) (Member, error) {
	switch {
	case e.Voters.Incoming.Contains(m.ID):
		return m, fmt.Errorf("%w: %s; to be without %s, remove it", ErrVotes, m, old)
	case m.Replaces != raft.None || !e.Voters.Incoming.Contains(old.ID):
		return m, fmt.Errorf("%w: %q", ErrExists, m.Name)
	case e.IsWitness(m.ID) != e.IsWitness(old.ID):
		return m, fmt.Errorf("%w: %s", ErrWitness, m)
	}
	m.Replaces, m.Promote = old.ID, true
	e.roster = e.roster.With(m)
	return m, nil
}

// Publish returns conf with a roster, if it has none and r has exactly its members. So an old cluster
// gets its first one.
func Publish(conf raft.Configuration, r Roster) raft.Configuration {
	if len(conf.Context) == 0 && slices.Equal(r.ids(), conf.Members()) {
		conf.Context = Append(nil, r)
	}
	return conf
}
