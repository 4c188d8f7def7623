package roster

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"balsa.example/raft"
)

// Bounds on a roster.
const (
	// MaxMembers is how many members a cluster may have, learners included.
	MaxMembers = 32
	// MaxName bounds the name of a member, in bytes.
	MaxName = 256
	// MaxAbout bounds what is said about one member, its name and its addresses, in bytes of
	// their encoding.
	MaxAbout = 768
	// MaxRemoved is of how many removed members the ids are kept, so that they can be told.
	MaxRemoved = 256
)

// Errors of what is said about a member.
var (
	ErrName      = errors.New("bad name of a member")
	ErrAddresses = errors.New("bad addresses of a member")
)

// About is what a member is called and where it is found.
type About struct {
	// Name is empty for a member that was added by its addresses alone, and has not started yet.
	Name string
	// Peers are where other members find it, Clients where clients do: host and port, or URLs.
	Peers, Clients []string
}

// HostPort is an address, which may be a URL, without its scheme.
func HostPort(address string) string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	return strings.TrimSuffix(rest, "/")
}

// Equal tells whether a and b say the same.
func (a About) Equal(b About) bool {
	return a.Name == b.Name && slices.Equal(a.Peers, b.Peers) && slices.Equal(a.Clients, b.Clients)
}

// Check refuses what is too long, names that do not read as one word, and addresses that are empty.
func (a About) Check() error {
	if len(a.Name) > MaxName {
		return fmt.Errorf("%w: %.32q... has %d bytes, at most %d are allowed", ErrName, a.Name, len(a.Name), MaxName)
	}
	// It stands in tables, logs and addresses on the command line.
	if i := strings.IndexFunc(a.Name, func(r rune) bool { return r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsGraphic(r) }); i >= 0 {
		return fmt.Errorf("%w: %q has a space, or a character that cannot be seen, at byte %d", ErrName, a.Name, i)
	}
	if slices.Contains(a.Peers, "") || slices.Contains(a.Clients, "") {
		return fmt.Errorf("%w: one is empty", ErrAddresses)
	}
	if n := len(AppendAbout(nil, a)); n > MaxAbout {
		return fmt.Errorf("%w: name and addresses of %q take %d bytes, at most %d are allowed", ErrAddresses, a.Name, n, MaxAbout)
	}
	return nil
}

// Incarnation identifies a data directory: see package birth.
type Incarnation = [16]byte

// Member is one member of a cluster.
type Member struct {
	ID raft.NodeID
	About
	// Incarnation is the data directory that counts. Zero: the member has not started yet, and
	// the first directory that claims the entry gets it.
	Incarnation Incarnation
	// Promote says that the member, a learner, votes as soon as it is caught up.
	Promote bool
	// Replaces is the member that leaves when this one votes; None: none does.
	Replaces raft.NodeID
}

// Started tells whether the member has a data directory.
func (m Member) Started() bool { return m.Incarnation != Incarnation{} }

// String is the member's name, or its id where it has none yet.
func (m Member) String() string { return cmp.Or(m.Name, m.ID.String()) }

// Roster is all members, and who was one. It is a value: methods that change it return a new one.
type Roster struct {
	Members []Member // by rising id
	// Removed are the ids of the members that were removed last, the oldest first. Ids are drawn
	// at random, so none comes again.
	Removed []raft.NodeID
}

// Empty tells whether there is no roster, as in the configurations of old clusters.
func (r Roster) Empty() bool { return len(r.Members) == 0 }

// Find returns the member of that id.
func (r Roster) Find(id raft.NodeID) (Member, bool) {
	i := r.index(id)
	if i < 0 {
		return Member{}, false
	}
	return r.Members[i], true
}

func (r Roster) index(id raft.NodeID) int {
	return slices.IndexFunc(r.Members, func(m Member) bool { return m.ID == id })
}

// ids are those of all members, in order.
func (r Roster) ids() []raft.NodeID {
	all := make([]raft.NodeID, len(r.Members))
	for i, m := range r.Members {
		all[i] = m.ID
	}
	return all
}

// Named returns the members of that name: two, while one of them is replaced by the other.
func (r Roster) Named(name string) (all []Member) {
	for _, m := range r.Members {
		if m.Name == name && name != "" {
			all = append(all, m)
		}
	}
	return all
}

// WasRemoved tells whether a member of that id was removed, as far as that is kept.
func (r Roster) WasRemoved(id raft.NodeID) bool { return slices.Contains(r.Removed, id) }

// NameOf is the name of the member of that id, or the id.
func (r Roster) NameOf(id raft.NodeID) string {
	if m, ok := r.Find(id); ok {
		return m.String()
	}
	return id.String()
}

// With returns the roster with m, in place of the member of its id if there is one.
func (r Roster) With(m Member) Roster {
	i, found := slices.BinarySearchFunc(r.Members, m.ID, func(m Member, id raft.NodeID) int { return cmp.Compare(m.ID, id) })
	all := slices.Clone(r.Members)
	if found {
		all[i] = m
	} else {
		all = slices.Insert(all, i, m)
	}
	return Roster{all, r.Removed}
}

// Without returns the roster after the removal of a member. Nobody replaces it any more.
func (r Roster) Without(id raft.NodeID) Roster {
	var all []Member
	for _, m := range r.Members {
		if m.ID == id {
			continue
		}
		if m.Replaces == id {
			m.Replaces = raft.None
		}
		all = append(all, m)
	}
	removed := append(slices.Clone(r.Removed), id)
	return Roster{all, removed[max(0, len(removed)-MaxRemoved):]}
}

// Lacks tells whether r has no member of m's id, or one that has not started, and m has.
func (r Roster) Lacks(m Member) bool {
	known, ok := r.Find(m.ID)
	return !ok || !known.Started() && m.Started()
}

// Union is the members of r, and those of other that r lacks: whom a member talks to while the
// latest configuration is not committed.
func (r Roster) Union(other Roster) Roster {
	for _, m := range other.Members {
		if r.Lacks(m) {
			r = r.With(m)
		}
	}
	return r
}
