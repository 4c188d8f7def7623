package raft

import "fmt"

// No sound node sends a message that contradicts itself. Its sender has a fault, of its memory or of its program.
// Such a message is refused before it is handled: it would break an invariant here, and so end this node too.
//
// A message may also contradict what the receiver knows, as that of a second leader of the term does. It is not
// known then which of the two is wrong, and the receiver ends.

// maxTerm and maxIndex bound what a node takes over from a message. One that took over the largest number could
// campaign no more, or append nothing.
const (
	maxTerm  Term  = 1 << 62
	maxIndex Index = 1 << 62
)

// malformed tells why no node can have sent m, nil if one can.
func malformed(m Message) error {
	if term := m.Head().Term; term > maxTerm {
		return fmt.Errorf("term %d is above the limit of %d", term, maxTerm)
	}
	switch m := m.(type) {
	case *AppendEntries:
		return m.malformed()
	case *InstallSnapshot:
		return m.Check()
	}
	return nil
}

// malformed checks what log.append and configurations.append count on.
func (m *AppendEntries) malformed() error {
	prev, term := m.PrevIndex, m.PrevTerm
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Index != prev+1 || e.Index > maxIndex || e.Term < term {
			return fmt.Errorf("entry %d/%d behind %d/%d", e.Term, e.Index, term, prev)
		}
		prev, term = e.Index, e.Term
		if e.Kind != EntryConfiguration {
			continue
		}
		switch c, _, err := DecodeConfiguration(e.Data); {
		case err != nil:
			return fmt.Errorf("configuration at %d: %w", e.Index, err)
		case !c.HasVoters():
			return fmt.Errorf("configuration at %d has no voters", e.Index)
		}
	}
	if term > m.Term {
		return fmt.Errorf("an entry of term %d", term)
	}
	return nil
}

// Check refuses a snapshot that its receiver could not take. A shell checks on both sides of a transfer, before the
// data moves. Two kinds come from members that are sound.
//
// The first is of a later term than its sender's. An old leader can have one: it has stored its
// successor's snapshot, and not yet handled the message that tells of the new term. Members of
// the old term cannot take such a snapshot, since no log may hold an entry of a term that its
// node has not reached.
//
// The second has no voters. A state machine has lost the configuration of its position, and the
// receiver would never again know who the members are.
func (m *InstallSnapshot) Check() error {
	switch {
	case m.Meta.Index > maxIndex:
		return fmt.Errorf("snapshot %s is beyond the limit of %d", m.Meta, maxIndex)
	case m.Meta.Term > m.Term:
		return fmt.Errorf("snapshot %s is of a later term than its sender, which is in %d", m.Meta, m.Term)
	case m.Meta.Index > 0 && !m.Meta.Configuration.HasVoters():
		return fmt.Errorf("snapshot %s has a Configuration without voters", m.Meta)
	}
	return nil
}
