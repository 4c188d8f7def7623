package raft

import (
	"fmt"
	"slices"

	"balsa.example/raft/quorum"
)

// NodeID names one member of a cluster; zero (None) names nobody.
type NodeID = quorum.NodeID

// Index is a position in the log; the first entry is at 1.
type Index = quorum.Index

// None is the NodeID of nobody.
const None NodeID = 0

// Term numbers the reigns of leaders (Raft paper, 5.1). Zero is before all.
type Term uint64

// Round numbers the leader's calls for acknowledgement within its term. An answer
// that carries round r proves that its sender still followed this leader after
// round r was sent; reads, leases and CheckQuorum stand on that.
type Round uint64

// Instant is a reading of the local monotonic clock, in nanoseconds from a point
// of the shell's choice. The core compares instants of its own node only. The clock must
// go on while the machine is suspended, or a leader that sleeps keeps its lease.
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
)

func (k EntryKind) String() string {
	if int(k) < len(entryKindNames) {
		return entryKindNames[k]
	}
	return fmt.Sprintf("EntryKind(%d)", uint8(k))
}

var entryKindNames = [...]string{"noop", "command", "configuration"}

// Entry is one position of the log. Once handed to the core, or by the core to a
// shell, its Data is never written to again.
type Entry struct {
	Term  Term
	Index Index
	Kind  EntryKind
	Data  []byte
}

// entryOverhead is what an entry is counted for beyond its data, in bytes: about
// what it costs on disk and on the wire.
const entryOverhead = 24

// Size is what the entry counts for in every byte bound of this module.
func (e Entry) Size() int { return len(e.Data) + entryOverhead }

func (e Entry) String() string {
	if e.Kind == EntryCommand {
		return fmt.Sprintf("%d/%d %q", e.Term, e.Index, e.Data)
	}
	return fmt.Sprintf("%d/%d %s", e.Term, e.Index, e.Kind)
}

// HardState is what a node must remember besides its log (Raft paper, figure 2:
// currentTerm and votedFor). It never goes back: Term only grows, and within a
// term Vote changes only from None.
type HardState struct {
	Term Term
	Vote NodeID
	// LeaseGrant is the longest lease that this node may have granted and that may still be
	// in force (see AppendEntriesReply.LeaseGrant). It shrinks only when every longer lease
	// has ended.
	LeaseGrant Nanos
	// LostLog, if above 0, says that the log lacks entries up to there that this node had
	// acknowledged: it must not take part any more.
	LostLog Index
}

// Configuration is the membership of a cluster: voters, who decide, and learners,
// who only receive.
type Configuration struct {
	Voters   quorum.Joint
	Learners []NodeID
}

// NewConfiguration returns the configuration in which ids vote and nobody learns.
func NewConfiguration(ids ...NodeID) Configuration {
	return Configuration{Voters: quorum.Joint{Incoming: quorum.NewMajority(ids...)}}
}

// Members returns every voter and learner, sorted, each once.
func (c Configuration) Members() []NodeID {
	ids := append([]NodeID(c.Voters.IDs()), c.Learners...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Equal tells whether both name the same members in the same parts.
func (c Configuration) Equal(d Configuration) bool {
	return slices.Equal(c.Voters.Incoming, d.Voters.Incoming) &&
		slices.Equal(c.Voters.Outgoing, d.Voters.Outgoing) &&
		slices.Equal(c.Learners, d.Learners)
}

// SnapshotMeta says what a snapshot stands for: the state after every entry up to
// and with Index, whose term was Term, under the Configuration in force there.
// Index 0 is the empty state in which a cluster begins.
type SnapshotMeta struct {
	Index         Index
	Term          Term
	Configuration Configuration
}

func (m SnapshotMeta) String() string {
	return fmt.Sprintf("%d/%d", m.Term, m.Index)
}

// State is what a node finds on its disk at start, and what New begins from.
type State struct {
	HardState HardState
	// Snapshot is the newest durable snapshot. A new cluster begins with one at
	// Index 0 that holds only the Configuration.
	Snapshot SnapshotMeta
	// Entries is the log after Snapshot.Index, without a gap. Entries at or below
	// Snapshot.Index have been left out.
	Entries []Entry
}

// Persist is one change of the durable state. It takes effect as a whole or not
// at all, and in the order of Seq. Its parts apply in the order of the fields.
type Persist struct {
	// Seq numbers the Persists of one run of a node from 1, without gaps.
	Seq uint64
	// Snapshot, if not nil, restarts the log: every entry held so far is dropped
	// and the next one has index Snapshot.Index+1. The snapshot itself, its data
	// included, is durable already (see rsm.Storage.SaveSnapshot).
	Snapshot *SnapshotMeta
	// HardState, if not nil, replaces the one before.
	HardState *HardState
	// Entries, if any, are consecutive and replace everything from
	// Entries[0].Index on. They leave no gap to what is before them.
	Entries []Entry
}
