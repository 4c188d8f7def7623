package raft

import "fmt"

// Header opens every message. Term is always the sender's current term when it
// sent the message.
type Header struct {
	From, To NodeID
	Term     Term
}

// Head gives access to the header of any Message.
func (h *Header) Head() *Header { return h }

// Message is what nodes say to each other: one type for each thing said. A message
// is immutable once sent; it may be lost, delayed, repeated and overtaken.
type Message interface {
	Head() *Header
	Kind() MessageKind
	fmt.Stringer
}

// MessageKind is the index of a message type, for dispatch and for the wire.
type MessageKind uint8

// The kinds. Their numbers are part of the wire format and never change.
const (
	KindPreVote             MessageKind = 1
	KindPreVoteReply        MessageKind = 2
	KindRequestVote         MessageKind = 3
	KindRequestVoteReply    MessageKind = 4
	KindAppendEntries       MessageKind = 5
	KindAppendEntriesReply  MessageKind = 6
	KindAppendEntriesReject MessageKind = 7
	KindInstallSnapshot     MessageKind = 8
	KindTimeoutNow          MessageKind = 9
	KindReadIndex           MessageKind = 10
	KindReadIndexReply      MessageKind = 11
	KindLogLost             MessageKind = 12
	KindStateHash           MessageKind = 13
	KindPropose             MessageKind = 14
	KindProposeReply        MessageKind = 15

	numMessageKinds = 16
)

var messageKindNames = [numMessageKinds]string{
	"none", "PreVote", "PreVoteReply", "RequestVote", "RequestVoteReply", "AppendEntries", "AppendEntriesReply",
	"AppendEntriesReject", "InstallSnapshot", "TimeoutNow", "ReadIndex", "ReadIndexReply", "LogLost", "StateHash",
	"Propose", "ProposeReply",
}

func (k MessageKind) String() string {
	if int(k) < len(messageKindNames) {
		return messageKindNames[k]
	}
	return fmt.Sprintf("MessageKind(%d)", uint8(k))
}

// IsRequest tells whether a message of this kind is a request. The others are answers to
// one; StateHash, which may be either, counts as an answer.
func (k MessageKind) IsRequest() bool {
	switch k {
	case KindPreVoteReply, KindRequestVoteReply, KindAppendEntriesReply, KindAppendEntriesReject, KindReadIndexReply, KindLogLost,
		KindProposeReply, KindStateHash:
		return false
	default:
		return true
	}
}

// PreVote asks whether its receiver would vote for the sender in term Term+1,
// without either of them moving to that term (thesis 9.6).
type PreVote struct {
	Header
	LastIndex Index
	LastTerm  Term
}

// PreVoteReply answers a PreVote. It promises nothing.
type PreVoteReply struct {
	Header
	Granted bool
}

// Campaign names one candidacy of one node. Names are not used again, not even by a
// restarted node in the same term.
type Campaign uint64

// RequestVote asks for a vote in term Term (Raft paper, figure 2). It promises nothing,
// and may leave before the candidate's own disk knows of the term.
type RequestVote struct {
	Header
	LastIndex Index
	LastTerm  Term
	Campaign  Campaign
	// Transfer is set when the leader itself asked for this election (TimeoutNow):
	// it is granted even by those who have heard of a leader just now (thesis 3.10).
	Transfer bool
}

// RequestVoteReply answers the RequestVote of a campaign; if Granted, the vote is durable.
type RequestVoteReply struct {
	Header
	Campaign Campaign
	Granted  bool
}

// AppendEntries replicates entries and, empty, is the heartbeat (Raft paper,
// figure 2).
type AppendEntries struct {
	Header
	// PrevIndex and PrevTerm name the entry before Entries[0].
	PrevIndex Index
	PrevTerm  Term
	Entries   []Entry
	// Commit is the leader's commit index.
	Commit Index
	Round  Round
}

// AppendEntriesReply says that the sender's durable log equals the leader's up to
// and with Match, and acknowledges Round. It also answers an InstallSnapshot.
type AppendEntriesReply struct {
	Header
	Match Index
	Round Round
	// LeaseGrant is the lease that the sender grants its leader, in nanoseconds: for so long
	// it gives no other node its vote, and does not campaign itself (thesis 6.4.1). The
	// sender counts by its own clock, from when it received Round or later. A restart does
	// not end the lease; a TimeoutNow of that leader does. 0 grants nothing.
	LeaseGrant Nanos
}

// AppendEntriesReject says that the sender's log does not hold the entry named by
// PrevIndex, PrevTerm of an AppendEntries, and how far back to look (Raft paper,
// 5.3, the last paragraph on backtracking).
type AppendEntriesReject struct {
	Header
	// PrevIndex is the one refused.
	PrevIndex Index
	// ConflictTerm is the term of the sender's entry at PrevIndex, and ConflictIndex
	// the first index it holds of that term. If its log ends before PrevIndex,
	// ConflictTerm is 0 and ConflictIndex is the index after its last.
	ConflictTerm  Term
	ConflictIndex Index
	Round         Round
}

// InstallSnapshot offers the state at Meta to a follower whose next entry the
// leader no longer has (Raft paper, section 7). The data travels beside the
// messages; the receiving shell steps this message into its core only when all of
// it is durable on its own disk.
type InstallSnapshot struct {
	Header
	Meta SnapshotMeta
}

// TimeoutNow tells its receiver to start an election at once (thesis 3.10).
type TimeoutNow struct {
	Header
}

// LogLost tells its receiver that it has lost entries up to Match that it had acknowledged
// to the sender, its leader (see ErrLostLog).
type LogLost struct {
	Header
	Match Index
}

// ReadID names one ReadIndex call. Ids are not reused, not even by a restarted node.
type ReadID uint64

// ReadIndex asks the leader for an index at which a read by the sender is
// linearizable (thesis 6.4).
type ReadIndex struct {
	Header
	ID ReadID
}

// ReadIndexReply answers a ReadIndex: a state machine that has applied Index
// reflects everything that was acknowledged before the ReadIndex was sent.
type ReadIndexReply struct {
	Header
	ID    ReadID
	Index Index
}

// StateHash is what the state machines say to each other: what the sender's is at an
// index, or that it wants to know what the others' are. The core takes no part in that, and
// it promises nothing: its Term is 0.
type StateHash struct {
	Header
	Index Index
	Known bool // false: a question
	Hash  uint64
}

// The kind of each message type.

func (*PreVote) Kind() MessageKind             { return KindPreVote }
func (*PreVoteReply) Kind() MessageKind        { return KindPreVoteReply }
func (*RequestVote) Kind() MessageKind         { return KindRequestVote }
func (*RequestVoteReply) Kind() MessageKind    { return KindRequestVoteReply }
func (*AppendEntries) Kind() MessageKind       { return KindAppendEntries }
func (*AppendEntriesReply) Kind() MessageKind  { return KindAppendEntriesReply }
func (*AppendEntriesReject) Kind() MessageKind { return KindAppendEntriesReject }
func (*InstallSnapshot) Kind() MessageKind     { return KindInstallSnapshot }
func (*TimeoutNow) Kind() MessageKind          { return KindTimeoutNow }
func (*ReadIndex) Kind() MessageKind           { return KindReadIndex }
func (*ReadIndexReply) Kind() MessageKind      { return KindReadIndexReply }
func (*LogLost) Kind() MessageKind             { return KindLogLost }
func (*StateHash) Kind() MessageKind           { return KindStateHash }

func (h *Header) prefix(k MessageKind) string {
	return fmt.Sprintf("%s->%s %s term=%d", h.From, h.To, k, h.Term)
}

func (m *PreVote) String() string {
	return fmt.Sprintf("%s last=%d/%d", m.prefix(m.Kind()), m.LastTerm, m.LastIndex)
}

func (m *PreVoteReply) String() string {
	return fmt.Sprintf("%s granted=%t", m.prefix(m.Kind()), m.Granted)
}

func (m *RequestVote) String() string {
	s := fmt.Sprintf("%s last=%d/%d campaign=%d", m.prefix(m.Kind()), m.LastTerm, m.LastIndex, m.Campaign)
	if m.Transfer {
		s += " transfer"
	}
	return s
}

func (m *RequestVoteReply) String() string {
	return fmt.Sprintf("%s campaign=%d granted=%t", m.prefix(m.Kind()), m.Campaign, m.Granted)
}

func (m *AppendEntries) String() string {
	s := fmt.Sprintf("%s prev=%d/%d commit=%d round=%d", m.prefix(m.Kind()), m.PrevTerm, m.PrevIndex, m.Commit, m.Round)
	if len(m.Entries) > 0 {
		s += fmt.Sprintf(" entries=%v", m.Entries)
	}
	return s
}

func (m *AppendEntriesReply) String() string {
	s := fmt.Sprintf("%s match=%d round=%d", m.prefix(m.Kind()), m.Match, m.Round)
	if m.LeaseGrant > 0 {
		s += fmt.Sprintf(" lease-grant=%gms", float64(m.LeaseGrant)/1e6)
	}
	return s
}

func (m *AppendEntriesReject) String() string {
	return fmt.Sprintf("%s prev=%d conflict=%d/%d round=%d", m.prefix(m.Kind()), m.PrevIndex, m.ConflictTerm, m.ConflictIndex, m.Round)
}

func (m *InstallSnapshot) String() string {
	return fmt.Sprintf("%s snapshot=%s", m.prefix(m.Kind()), m.Meta)
}

func (m *TimeoutNow) String() string { return m.prefix(m.Kind()) }

func (m *LogLost) String() string {
	return fmt.Sprintf("%s match=%d", m.prefix(m.Kind()), m.Match)
}

func (m *ReadIndex) String() string {
	return fmt.Sprintf("%s id=%d", m.prefix(m.Kind()), m.ID)
}

func (m *ReadIndexReply) String() string {
	return fmt.Sprintf("%s id=%d index=%d", m.prefix(m.Kind()), m.ID, m.Index)
}

func (m *StateHash) String() string {
	if !m.Known {
		return fmt.Sprintf("%s index=%d?", m.prefix(m.Kind()), m.Index)
	}
	return fmt.Sprintf("%s index=%d hash=%x", m.prefix(m.Kind()), m.Index, m.Hash)
}
