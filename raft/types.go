package raft

import (
	"fmt"

	"balsa.example/raft/quorum"
)

// NodeID names one member of a cluster; zero (None) names no member.
type NodeID = quorum.NodeID

// Index is a position in the log; the first entry is at 1.
type Index = quorum.Index

// None is the NodeID that names no member.
const None NodeID = 0

// Term numbers the terms (Raft paper, 5.1), each of which has at most one leader. The first is
// 1; a node that has heard of none is in term 0.
type Term uint64

// Round numbers the rounds of a leader within its term: in each round it sends an
// AppendEntries, empty if need be, to all members. An answer that carries round r proves that
// its sender still followed this leader after the leader had begun round r. Reads and leases
// rest on that.
type Round uint64

// Instant is a reading of a node's own monotonic clock, in nanoseconds from a point of the
// shell's choice. The core compares only instants of one node and one run. The clock must go on
// while the machine is suspended; otherwise a leader would keep its lease over that time.
type Instant int64

// Nanos is a length of time in nanoseconds, by the clock of one node.
type Nanos uint64

// EntryKind tells what the Data of an Entry means.
type EntryKind uint8

const (
	// EntryNoop is the empty entry with which a leader opens its term (thesis 3.6.2).
	EntryNoop EntryKind = iota
	// EntryCommand is an operation for the state machine.
	EntryCommand
	// EntryConfiguration holds a Configuration (see AppendConfiguration).
	EntryConfiguration
	// EntryForwarded is an operation that another node has forwarded to the leader. Its Data
	// begins with the name that the node has given to the operation. The core does not read it:
	// see package rsm.
	EntryForwarded

	numEntryKinds
)

func (k EntryKind) String() string {
	if int(k) < len(entryKindNames) {
		return entryKindNames[k]
	}
	return fmt.Sprintf("EntryKind(%d)", uint8(k))
}

var entryKindNames = [numEntryKinds]string{"noop", "command", "configuration", "forwarded"}

// Entry is one entry of the log. Its Data is shared by the core and the shell, and must not be
// written to.
type Entry struct {
	Term  Term
	Index Index
	Kind  EntryKind
	Data  []byte
}

// entryOverhead is what an entry counts for beyond its data, in bytes: about what it takes on
// disk and on the wire.
const entryOverhead = 24

// Size is what the entry counts for in every bound on entries, in bytes: its data and 24.
func (e Entry) Size() int { return len(e.Data) + entryOverhead }

func (e Entry) String() string {
	switch e.Kind {
	case EntryCommand:
		return fmt.Sprintf("%d/%d %q", e.Term, e.Index, e.Data)
	case EntryConfiguration:
		if c, _, err := DecodeConfiguration(e.Data); err == nil {
			return fmt.Sprintf("%d/%d %s %s", e.Term, e.Index, e.Kind, c)
		}
	}
	return fmt.Sprintf("%d/%d %s", e.Term, e.Index, e.Kind)
}

// HardState is what a node must have on disk besides its log (Raft paper, figure 2:
// currentTerm and votedFor). Term never falls, and within a term Vote changes only from None.
type HardState struct {
	Term Term
	Vote NodeID
	// LeaseGrant is the longest lease that this node may have granted and that may still be
	// in force (see AppendEntriesReply.LeaseGrant). It shrinks only when every longer lease
	// has ended.
	LeaseGrant Nanos
	// LostLog, if above 0, says that this node had acknowledged entries up to this index and
	// has lost some of them: it must not take part any more (see ErrLostLog).
	LostLog Index
}

// SnapshotMeta says which state a snapshot holds: that after every entry up to and with Index,
// whose term is Term. Configuration is the one in force at Index. Index 0 is the empty state in
// which a cluster begins.
type SnapshotMeta struct {
	Index         Index
	Term          Term
	Configuration Configuration
}

func (m SnapshotMeta) String() string {
	return fmt.Sprintf("%d/%d", m.Term, m.Index)
}

// State is what a node finds on its disk when it starts. New begins from it.
type State struct {
	HardState HardState
	// Snapshot is the newest durable snapshot. A new cluster begins with one at
	// Index 0 that holds only the Configuration.
	Snapshot SnapshotMeta
	// Entries is the log after Snapshot.Index, without a gap. Storage leaves out the entries at
	// or below Snapshot.Index. The log counts only if it holds the entry at Snapshot.Index with
	// Snapshot.Term, or began right after it; otherwise Entries is empty.
	Entries []Entry
}

// Persist is one change of the state on disk. A crash must leave all of it or nothing, and
// nothing of a later one without it. Within it, the fields take effect in their order.
type Persist struct {
	// Seq numbers the Persists of one run of a node from 1, without gaps.
	Seq uint64
	// Snapshot, if not nil, empties the log: every entry is dropped, and the next one has index
	// Snapshot.Index+1. The snapshot itself, its data included, is durable already.
	Snapshot *SnapshotMeta
	// HardState, if not nil, replaces the one before.
	HardState *HardState
	// Entries, if any, are consecutive and replace everything from Entries[0].Index on. There is
	// no gap between them and the entries before.
	Entries []Entry
}

// EntryBytes is how much its entries take up, in the measure of Entry.Size.
func (p *Persist) EntryBytes() int { return sizeOf(p.Entries) }
