package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// AppendMessage appends the encoding of m to dst and returns the extended slice.
//
// The encoding holds sender, receiver and term, then the fields of the message's type in
// the order in which layout names them. An integer is an unsigned varint (see
// encoding/binary), a bool one byte of value 0 or 1, a list its length and then its
// elements. Entries and snapshot metas are encoded as AppendEntry and AppendSnapshotMeta
// do. Neither the kind of the message nor the length of the encoding is part of it: a
// transport carries both beside it, as package transport does in the header of a frame.
//
// Compatibility: fields have no tags, so a layout never changes. A message with other
// fields gets a new MessageKind, which an older node refuses to decode. The layouts of
// all kinds are in testdata/message_layouts.txt.
func AppendMessage(dst []byte, m Message) []byte {
	c := messageCoder{buf: dst, encoding: true}
	c.layout(m)
	return c.buf
}

// DecodeMessage is the inverse of AppendMessage: b is the whole encoding of one message
// of the given kind. The Data of decoded messages and entries aliases b, which must not be
// written to any more (see DecodeAliases). Whatever b holds, DecodeMessage allocates no more than
// a small multiple of len(b).
//
// It returns an error if the kind is unknown, if b ends early or has bytes left over,
// or if a bool or the kind of an entry has no such value. It does not judge what the
// message says: Step does.
func DecodeMessage(kind MessageKind, b []byte) (Message, error) {
	m := newMessage(kind)
	if m == nil {
		return nil, fmt.Errorf("raft: decode message: unknown kind %d", kind)
	}
	c := messageCoder{buf: b}
	c.layout(m)
	if c.err == nil && len(c.buf) > 0 {
		c.err = errTrailing
	}
	if c.err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, c.err)
	}
	return m, nil
}

// DecodeAliases tells whether a decoded message of this kind may alias what it was decoded
// from (see DecodeMessage).
func (k MessageKind) DecodeAliases() bool { return k == KindAppendEntries || k == KindPropose }

// newMessage returns an empty message of a kind, or nil if there is no such kind.
func newMessage(kind MessageKind) Message {
	switch kind {
	case KindPreVote:
		return new(PreVote)
	case KindPreVoteReply:
		return new(PreVoteReply)
	case KindRequestVote:
		return new(RequestVote)
	case KindRequestVoteReply:
		return new(RequestVoteReply)
	case KindAppendEntries:
		return new(AppendEntries)
	case KindAppendEntriesReply:
		return new(AppendEntriesReply)
	case KindAppendEntriesReject:
		return new(AppendEntriesReject)
	case KindInstallSnapshot:
		return new(InstallSnapshot)
	case KindTimeoutNow:
		return new(TimeoutNow)
	case KindReadIndex:
		return new(ReadIndex)
	case KindReadIndexReply:
		return new(ReadIndexReply)
	case KindLogLost:
		return new(LogLost)
	case KindStateHash:
		return new(StateHash)
	case KindPropose:
		return new(Propose)
	case KindProposeReply:
		return new(ProposeReply)
	case KindRelease:
		return new(Release)
	case KindReleaseReply:
		return new(ReleaseReply)
	default:
		return nil
	}
}

// layout is the encoding of every message, for both directions: a field that is named
// here is appended when encoding and set when decoding.
func (c *messageCoder) layout(m Message) {
	h := m.Head()
	number(c, &h.From)
	number(c, &h.To)
	number(c, &h.Term)
	switch m := m.(type) {
	case *PreVote:
		number(c, &m.LastIndex)
		number(c, &m.LastTerm)
	case *PreVoteReply:
		c.bool(&m.Granted)
	case *RequestVote:
		number(c, &m.LastIndex)
		number(c, &m.LastTerm)
		number(c, &m.Campaign)
		c.bool(&m.Transfer)
	case *RequestVoteReply:
		number(c, &m.Campaign)
		c.bool(&m.Granted)
	case *AppendEntries:
		number(c, &m.PrevIndex)
		number(c, &m.PrevTerm)
		number(c, &m.Commit)
		number(c, &m.Round)
		c.entries(&m.Entries)
	case *AppendEntriesReply:
		number(c, &m.Match)
		number(c, &m.Round)
		number(c, &m.LeaseGrant)
	case *AppendEntriesReject:
		number(c, &m.PrevIndex)
		number(c, &m.ConflictTerm)
		number(c, &m.ConflictIndex)
		number(c, &m.Round)
	case *InstallSnapshot:
		c.snapshotMeta(&m.Meta)
		number(c, &m.Stream)
		number(c, &m.Offset)
	case *TimeoutNow:
	case *ReadIndex:
		number(c, &m.ID)
	case *ReadIndexReply:
		number(c, &m.ID)
		number(c, &m.Index)
	case *LogLost:
		number(c, &m.Match)
	case *StateHash:
		number(c, &m.Index)
		c.bool(&m.Known)
		number(c, &m.Hash)
	case *Propose:
		number(c, &m.ID)
		number(c, &m.Round)
		c.bytes(&m.Data)
	case *ProposeReply:
		number(c, &m.ID)
		number(c, &m.Index)
		number(c, &m.Refusal)
	case *Release:
		number(c, &m.Index)
	case *ReleaseReply:
		c.bool(&m.Full)
	default:
		failf("no layout for %T", m)
	}
}

var errTrailing = errors.New("raft: bytes left over behind an encoding")

// messageCoder goes over the fields of a layout. When encoding it appends each field to
// buf and changes none. When decoding it takes each field off the front of buf; after
// an error it does nothing more.
type messageCoder struct {
	buf      []byte
	encoding bool
	err      error
}

func number[T ~uint64](c *messageCoder, v *T) {
	if c.encoding {
		c.buf = binary.AppendUvarint(c.buf, uint64(*v))
		return
	}
	if c.err != nil {
		return
	}
	n, size := binary.Uvarint(c.buf)
	if size <= 0 {
		c.err = errTruncated
		return
	}
	*v, c.buf = T(n), c.buf[size:]
}

func (c *messageCoder) bool(v *bool) {
	switch {
	case c.encoding && *v:
		c.buf = append(c.buf, 1)
	case c.encoding:
		c.buf = append(c.buf, 0)
	case c.err != nil:
	case len(c.buf) == 0:
		c.err = errTruncated
	case c.buf[0] > 1:
		c.err = fmt.Errorf("raft: bool of value %d", c.buf[0])
	default:
		*v, c.buf = c.buf[0] == 1, c.buf[1:]
	}
}

// bytes is a byte string after its length.
func (c *messageCoder) bytes(v *[]byte) {
	n := uint64(len(*v))
	number(c, &n)
	switch {
	case c.encoding:
		c.buf = append(c.buf, *v...)
	case c.err != nil:
	case n > uint64(len(c.buf)):
		c.err = errTruncated
	case n > 0:
		*v, c.buf = c.buf[:n:n], c.buf[n:]
	}
}

const (
	// minEntrySize is the encoded size of an entry without data, in bytes.
	minEntrySize = 4
	// maxEntriesAhead bounds for how many entries space is made before they are decoded.
	maxEntriesAhead = 1024
)

func (c *messageCoder) entries(v *[]Entry) {
	n := uint64(len(*v))
	number(c, &n)
	if c.encoding {
		for _, e := range *v {
			c.buf = AppendEntry(c.buf, e)
		}
		return
	}
	if c.err == nil && n > uint64(len(c.buf)/minEntrySize) {
		c.err = errTruncated
	}
	if c.err != nil || n == 0 {
		return
	}
	es := make([]Entry, 0, min(n, maxEntriesAhead))
	for range n {
		var e Entry
		if e, c.buf, c.err = DecodeEntry(c.buf); c.err != nil {
			return
		}
		es = append(es, e)
	}
	*v = es
}

func (c *messageCoder) snapshotMeta(v *SnapshotMeta) {
	switch {
	case c.encoding:
		c.buf = AppendSnapshotMeta(c.buf, *v)
	case c.err == nil:
		*v, c.buf, c.err = DecodeSnapshotMeta(c.buf)
	}
}
