package raft

import "fmt"

// Header is part of every message. From and To name the sender and the receiver. Term is the
// current term of the sender, unless the message type says otherwise.
type Header struct {
	From, To NodeID
	Term     Term
}

// Head returns the header of a message.
func (h *Header) Head() *Header { return h }

// Message is one of the message types below, as a pointer. A message must not be changed once
// it was sent. It may be lost, delayed, repeated and overtaken by others.
type Message interface {
	Head() *Header
	Kind() MessageKind
	fmt.Stringer
}

// MessageKind numbers the message types, for dispatch and for the wire.
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
	KindRelease             MessageKind = 16
	KindReleaseReply        MessageKind = 17

	numMessageKinds = 18
)

var messageKindNames = [numMessageKinds]string{
	"none", "PreVote", "PreVoteReply", "RequestVote", "RequestVoteReply", "AppendEntries", "AppendEntriesReply",
	"AppendEntriesReject", "InstallSnapshot", "TimeoutNow", "ReadIndex", "ReadIndexReply", "LogLost", "StateHash",
	"Propose", "ProposeReply", "Release", "ReleaseReply",
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
		KindProposeReply, KindStateHash, KindReleaseReply:
		return false
	default:
		return true
	}
}

// PreVote asks whether its receiver would vote for the sender in term Term+1. Neither of them
// enters that term (thesis 9.6). LastIndex and LastTerm are those of the sender's last entry.
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

// Campaign names one candidacy of one node. No name is used twice, not even by a node that is
// restarted in the same term (see Config.FirstID).
type Campaign uint64

// RequestVote asks for a vote in term Term (Raft paper, figure 2). LastIndex and LastTerm are
// those of the sender's last entry. It promises nothing, so it may leave before the term is on
// the candidate's own disk.
type RequestVote struct {
	Header
	LastIndex Index
	LastTerm  Term
	Campaign  Campaign
	// Transfer is set when the leader itself asked for this election with a TimeoutNow. Then
	// even voters that have just heard from that leader give their vote (thesis 3.10).
	Transfer bool
}

// RequestVoteReply answers the RequestVote of a campaign. If Granted, the vote is on the sender's
// disk.
type RequestVoteReply struct {
	Header
	Campaign Campaign
	Granted  bool
}

// AppendEntries replicates entries (Raft paper, figure 2). Without entries it is a heartbeat, or
// carries a round.
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

// AppendEntriesReply says that the log on the sender's disk equals the leader's up to and with
// Match. It acknowledges Round, and grants a lease. It also answers an InstallSnapshot.
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

// AppendEntriesReject says that the sender's log does not hold the entry that an AppendEntries
// named by PrevIndex and PrevTerm, and how far back to look for one that it does hold (Raft
// paper, the end of 5.3). Round is the latest that the sender has seen. It also answers an
// AppendEntries or InstallSnapshot of an older term; then only Term matters.
type AppendEntriesReject struct {
	Header
	// PrevIndex is that of the AppendEntries.
	PrevIndex Index
	// ConflictTerm is the term of the sender's entry at PrevIndex, and ConflictIndex
	// the first index it holds of that term. If its log ends before PrevIndex,
	// ConflictTerm is 0 and ConflictIndex is the index after its last.
	ConflictTerm  Term
	ConflictIndex Index
	Round         Round
}

// InstallSnapshot gives the snapshot of Meta to a follower whose next entry the leader no longer
// has (Raft paper, section 7). The data of the snapshot travels beside the messages. The shell
// that receives it steps this message only when all of the data is on its disk.
type InstallSnapshot struct {
	Header
	Meta SnapshotMeta
	// Stream names the bytes of the data, so that a transfer that broke off can be resumed.
	// 0: it cannot. Offset is where in the stream the data begins that travels with this
	// message. The core uses neither.
	Stream, Offset uint64
}

// TimeoutNow tells its receiver to start an election at once (thesis 3.10).
type TimeoutNow struct {
	Header
}

// LogLost is sent by a leader to a member that had acknowledged entries up to Match, and has lost
// some of them (see ErrLostLog).
type LogLost struct {
	Header
	Match Index
}

// ReadID names one ReadIndex call of one node. No id is used twice, not even by a node that was
// restarted (see Config.FirstID).
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

// Release tells a witness that every voter which keeps state has the log on disk up to and with
// Index: the witness needs those entries no more.
type Release struct {
	Header
	Index Index
}

// ReleaseReply answers a Release. Full: the witness takes no more operations.
type ReleaseReply struct {
	Header
	Full bool
}

// StateHash compares state machines: it tells the hash of the sender's state after the entry at
// Index, or asks for that of the receiver. The core has no part in that: package rsm sends and
// handles this message. Its Term is 0.
type StateHash struct {
	Header
	Index Index
	Known bool // Hash is that of the sender; false: this is a question
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
func (*Release) Kind() MessageKind             { return KindRelease }
func (*ReleaseReply) Kind() MessageKind        { return KindReleaseReply }

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

func (m *Release) String() string { return fmt.Sprintf("%s index=%d", m.prefix(m.Kind()), m.Index) }

func (m *ReleaseReply) String() string { return fmt.Sprintf("%s full=%t", m.prefix(m.Kind()), m.Full) }

func (m *StateHash) String() string {
	if !m.Known {
		return fmt.Sprintf("%s index=%d?", m.prefix(m.Kind()), m.Index)
	}
	return fmt.Sprintf("%s index=%d hash=%x", m.prefix(m.Kind()), m.Index, m.Hash)
}
