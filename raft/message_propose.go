package raft

import "fmt"

// ProposalID names one Propose of one node. IDs are not reused, not even by a restarted node.
type ProposalID uint64

// Propose asks the leader of Term to propose an operation of the sender. It promises nothing.
// The core does not handle it: package rsm does, see its forward.go.
type Propose struct {
	Header // Term is that of the receiver's leadership, as the sender knows it.
	ID     ProposalID
	// Round is the latest round of that leader that the sender had seen.
	Round Round
	Data  []byte
}

// ProposeReply answers a Propose of the same ID and Term: if Refusal is NotRefused, the leader
// of Term has proposed the operation as its entry at Index.
type ProposeReply struct {
	Header  // Term is that of the Propose.
	ID      ProposalID
	Index   Index
	Refusal Refusal
}

// Refusal is why an operation was not proposed, and never will be because of this Propose.
type Refusal uint64

const (
	// NotRefused: the operation was proposed.
	NotRefused Refusal = iota
	// RefusedNotLeader: the receiver does not lead Term any more, or hands leadership over.
	RefusedNotLeader
	// RefusedBusy is ErrBusy.
	RefusedBusy
	// RefusedTooLarge is ErrTooLarge.
	RefusedTooLarge
	// RefusedAlarm: the receiver takes no operations, since the states of replicas differ.
	RefusedAlarm
	// RefusedAdmission: the receiver does not admit the operation, for want of room.
	RefusedAdmission
)

func (*Propose) Kind() MessageKind      { return KindPropose }
func (*ProposeReply) Kind() MessageKind { return KindProposeReply }

func (m *Propose) String() string {
	return fmt.Sprintf("%s id=%d round=%d %q", m.prefix(m.Kind()), m.ID, m.Round, m.Data)
}

func (m *ProposeReply) String() string {
	return fmt.Sprintf("%s id=%d index=%d refusal=%d", m.prefix(m.Kind()), m.ID, m.Index, m.Refusal)
}

// messageOverhead is what a message counts for beyond its entries and data, in bytes.
const messageOverhead = 64

// MessageSize is about what m takes, in memory and on the wire: the measure for bounds of
// queues.
func MessageSize(m Message) int {
	n := messageOverhead
	switch m := m.(type) {
	case *AppendEntries:
		n += sizeOf(m.Entries)
	case *Propose:
		n += len(m.Data)
	case *InstallSnapshot:
		n += len(m.Meta.Configuration.Context)
	}
	return n
}
