package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"balsa.example/raft"
)

// AppendMessage appends the encoding of m, without its kind, to dst: sender,
// receiver and term, then the fields in the order of layout. Integers are unsigned
// varints, a bool is one byte.
func AppendMessage(dst []byte, m raft.Message) []byte {
	c := coder{buf: dst, encoding: true}
	c.layout(m)
	return c.buf
}

// DecodeMessage is the inverse of AppendMessage. Entries of the message alias b.
// It allocates no more than a small multiple of len(b), whatever b holds.
func DecodeMessage(kind raft.MessageKind, b []byte) (raft.Message, error) {
	m := newMessage(kind)
	if m == nil {
		return nil, fmt.Errorf("decode message: unknown kind %d", kind)
	}
	c := coder{buf: b}
	c.layout(m)
	if err := c.end(); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	return m, nil
}

func newMessage(kind raft.MessageKind) raft.Message {
	switch kind {
	case raft.KindPreVote:
		return new(raft.PreVote)
	case raft.KindPreVoteReply:
		return new(raft.PreVoteReply)
	case raft.KindRequestVote:
		return new(raft.RequestVote)
	case raft.KindRequestVoteReply:
		return new(raft.RequestVoteReply)
	case raft.KindAppendEntries:
		return new(raft.AppendEntries)
	case raft.KindAppendEntriesReply:
		return new(raft.AppendEntriesReply)
	case raft.KindAppendEntriesReject:
		return new(raft.AppendEntriesReject)
	case raft.KindInstallSnapshot:
		return new(raft.InstallSnapshot)
	case raft.KindTimeoutNow:
		return new(raft.TimeoutNow)
	case raft.KindReadIndex:
		return new(raft.ReadIndex)
	case raft.KindReadIndexReply:
		return new(raft.ReadIndexReply)
	case raft.KindLogLost:
		return new(raft.LogLost)
	case raft.KindStateHash:
		return new(raft.StateHash)
	default:
		return nil
	}
}

// layout is the wire format of every message, for both directions: a field that is
// named here is written when encoding and set when decoding.
func (c *coder) layout(m raft.Message) {
	h := m.Head()
	number(c, &h.From)
	number(c, &h.To)
	number(c, &h.Term)
	switch m := m.(type) {
	case *raft.PreVote:
		number(c, &m.LastIndex)
		number(c, &m.LastTerm)
	case *raft.PreVoteReply:
		c.flag(&m.Granted)
	case *raft.RequestVote:
		number(c, &m.LastIndex)
		number(c, &m.LastTerm)
		number(c, &m.Campaign)
		c.flag(&m.Transfer)
	case *raft.RequestVoteReply:
		number(c, &m.Campaign)
		c.flag(&m.Granted)
	case *raft.AppendEntries:
		number(c, &m.PrevIndex)
		number(c, &m.PrevTerm)
		number(c, &m.Commit)
		number(c, &m.Round)
		c.entries(&m.Entries)
	case *raft.AppendEntriesReply:
		number(c, &m.Match)
		number(c, &m.Round)
		number(c, &m.Silence)
	case *raft.AppendEntriesReject:
		number(c, &m.PrevIndex)
		number(c, &m.ConflictTerm)
		number(c, &m.ConflictIndex)
		number(c, &m.Round)
	case *raft.InstallSnapshot:
		c.snapshotMeta(&m.Meta)
	case *raft.TimeoutNow:
	case *raft.ReadIndex:
		number(c, &m.ID)
	case *raft.ReadIndexReply:
		number(c, &m.ID)
		number(c, &m.Index)
	case *raft.LogLost:
		number(c, &m.Match)
	case *raft.StateHash:
		number(c, &m.Index)
		c.flag(&m.Known)
		number(c, &m.Hash)
	default:
		panic(fmt.Sprintf("transport: no layout for %T", m))
	}
}

var (
	errTruncated = errors.New("truncated")
	errTrailing  = errors.New("bytes left over")
)

// coder walks over the fields of a layout. When encoding it appends them to buf and
// changes none of them; when decoding it takes them off the front of buf. After an
// error it does nothing any more.
type coder struct {
	buf      []byte
	encoding bool
	err      error
}

// end returns the first error of decoding, which has to use up all of buf.
func (c *coder) end() error {
	if c.err == nil && len(c.buf) > 0 {
		c.err = errTrailing
	}
	return c.err
}

func number[T ~uint64](c *coder, v *T) {
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

func (c *coder) flag(v *bool) {
	if c.encoding {
		b := byte(0)
		if *v {
			b = 1
		}
		c.buf = append(c.buf, b)
		return
	}
	var b [1]byte
	c.fixed(b[:])
	if b[0] > 1 {
		c.err = fmt.Errorf("bool of value %d", b[0])
	}
	*v = b[0] == 1
}

// fixed is a byte array, as long as v is.
func (c *coder) fixed(v []byte) {
	switch {
	case c.encoding:
		c.buf = append(c.buf, v...)
	case c.err != nil:
	case len(c.buf) < len(v):
		c.err = errTruncated
	default:
		c.buf = c.buf[copy(v, c.buf):]
	}
}

// bytes is a byte string after its length. Decoding copies it.
func (c *coder) bytes(v *[]byte) {
	n := uint64(len(*v))
	number(c, &n)
	switch {
	case c.encoding:
		c.buf = append(c.buf, *v...)
	case c.err != nil:
	case n > uint64(len(c.buf)):
		c.err = errTruncated
	case n > 0:
		*v, c.buf = slices.Clone(c.buf[:n]), c.buf[n:]
	}
}

const (
	// minEntrySize is the encoded size of an entry without data.
	minEntrySize = 4
	// entriesAhead bounds for how many entries space is made before they are seen.
	entriesAhead = 1024
)

func (c *coder) entries(v *[]raft.Entry) {
	n := uint64(len(*v))
	number(c, &n)
	if c.encoding {
		for _, e := range *v {
			c.buf = raft.AppendEntry(c.buf, e)
		}
		return
	}
	if c.err == nil && n > uint64(len(c.buf)/minEntrySize) {
		c.err = errTruncated
	}
	if c.err != nil || n == 0 {
		return
	}
	es := make([]raft.Entry, 0, min(n, entriesAhead))
	for range n {
		var e raft.Entry
		if e, c.buf, c.err = raft.DecodeEntry(c.buf); c.err != nil {
			return
		}
		es = append(es, e)
	}
	*v = es
}

func (c *coder) snapshotMeta(v *raft.SnapshotMeta) {
	switch {
	case c.encoding:
		c.buf = raft.AppendSnapshotMeta(c.buf, *v)
	case c.err == nil:
		*v, c.buf, c.err = raft.DecodeSnapshotMeta(c.buf)
	}
}
