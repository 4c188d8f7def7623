package raft

import (
	"bytes"
	"fmt"
	"slices"

	"balsa.example/raft/quorum"
)

// Configuration is the membership of a cluster. See membership.go for how one follows another.
type Configuration struct {
	// Voters elect and commit. While the voters change there are two sets, and a decision needs a
	// majority of each (paper, section 6).
	Voters quorum.Joint
	// Learners get the log and count for nothing (thesis 4.2.1). Sorted, each once.
	Learners []NodeID
	// LearnersNext are outgoing voters that are learners when the joint phase ends.
	LearnersNext []NodeID
	// Witnesses are those of the members that keep no state (see witness.go): voters, and learners
	// that are to vote. Sorted, each once.
	Witnesses []NodeID
	// Context is carried with the rest and never read: a shell keeps there what the members are
	// called and where they are.
	Context []byte
}

// Bounds on a configuration that is proposed. A message or a file that holds one has room for it.
const (
	MaxMembers      = 64
	MaxContextBytes = 64 << 10
)

// NewConfiguration returns the configuration whose voters are ids, without learners.
func NewConfiguration(ids ...NodeID) Configuration {
	return Configuration{Voters: quorum.Joint{Incoming: quorum.NewMajority(ids...)}}
}

// HasVoters tells whether there are voters at all. A node that joins a cluster begins without, until
// a leader has sent it a configuration.
func (c Configuration) HasVoters() bool { return len(c.Voters.Incoming) > 0 }

// Members returns every voter and learner, sorted, each once.
func (c Configuration) Members() []NodeID {
	ids := append([]NodeID(c.Voters.IDs()), c.Learners...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Contains tells whether id is a voter or a learner.
func (c Configuration) Contains(id NodeID) bool { return c.Part(id) != NotMember }

// Equal tells whether c and d have the same members, in each of the lists in the same order, and
// the same Context.
func (c Configuration) Equal(d Configuration) bool {
	return slices.Equal(c.Voters.Incoming, d.Voters.Incoming) &&
		slices.Equal(c.Voters.Outgoing, d.Voters.Outgoing) &&
		slices.Equal(c.Learners, d.Learners) &&
		slices.Equal(c.LearnersNext, d.LearnersNext) &&
		slices.Equal(c.Witnesses, d.Witnesses) &&
		bytes.Equal(c.Context, d.Context)
}

func (c Configuration) String() string {
	s := c.Voters.String()
	for _, list := range []struct {
		name string
		ids  []NodeID
	}{{"learners", c.Learners}, {"learners-next", c.LearnersNext}, {"witnesses", c.Witnesses}} {
		if len(list.ids) > 0 {
			s += fmt.Sprint(" ", list.name, list.ids)
		}
	}
	return s
}

// Part is the part that a member has in a configuration.
type Part uint8

const (
	NotMember Part = iota
	Learner
	Voter
	// Witness is a voter that keeps no state.
	Witness
)

func (p Part) String() string { return [...]string{"none", "learner", "voter", "witness"}[p] }

// Part returns the part that id has. A voter of either set is one.
func (c Configuration) Part(id NodeID) Part {
	switch {
	case c.Voters.Contains(id) && slices.Contains(c.Witnesses, id):
		return Witness
	case c.Voters.Contains(id):
		return Voter
	case slices.Contains(c.Learners, id):
		return Learner
	default:
		return NotMember
	}
}

// configurations are those in force along the log, by rising index: one in force at the log's
// base, and one for each EntryConfiguration behind it. A node uses the latest one in its log,
// committed or not (paper, section 6).
//
// Each follows from the one before (see Configuration.follows), so that decisions of any two
// neighbours share a voter.
type configurations []configurationAt

type configurationAt struct {
	index         Index
	configuration Configuration
}

func newConfigurations(s State) (configurations, error) {
	c := configurations{{s.Snapshot.Index, s.Snapshot.Configuration}}
	_, err := c.append(s.Entries)
	return c, err
}

func (c configurations) latest() Configuration { return c[len(c)-1].configuration }

// latestIndex is the index of the entry that holds the latest one, or the log's base.
func (c configurations) latestIndex() Index { return c[len(c)-1].index }

// at returns the configuration in force at i.
func (c configurations) at(i Index) Configuration { return c[c.find(i)].configuration }

// find returns the position of the configuration that is in force at i.
func (c configurations) find(i Index) int {
	k := len(c) - 1
	for k > 0 && c[k].index > i {
		k--
	}
	return k
}

// append adds the configurations among entries, and tells whether there are any.
func (c *configurations) append(entries []Entry) (changed bool, err error) {
	for _, e := range entries {
		if e.Kind != EntryConfiguration {
			continue
		}
		conf, _, err := DecodeConfiguration(e.Data)
		switch {
		case err != nil:
			return changed, fmt.Errorf("entry %d: %w", e.Index, err)
		case !conf.follows(c.latest()):
			return changed, fmt.Errorf("raft: the configuration at %d, %s, cannot follow %s", e.Index, conf, c.latest())
		}
		*c, changed = append(*c, configurationAt{e.Index, conf}), true
	}
	return changed, nil
}

// truncate drops those from i on, and tells whether there were any.
func (c *configurations) truncate(i Index) (changed bool) {
	for len(*c) > 1 && c.latestIndex() >= i {
		*c, changed = (*c)[:len(*c)-1], true
	}
	return changed
}

// compact drops those that a later one at or below i replaces.
func (c *configurations) compact(i Index) {
	for len(*c) > 1 && (*c)[1].index <= i {
		*c = (*c)[1:]
	}
}
