package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"balsa.example/raft/quorum"
)

// The encodings below are shared by the log on disk and the messages on the wire
// (encode_message.go). An integer is an unsigned varint; a byte string follows its length.

var errTruncated = errors.New("raft: truncated encoding")

// AppendEntry appends the encoding of e to dst: kind, term, index, data.
func AppendEntry(dst []byte, e Entry) []byte {
	dst = append(dst, byte(e.Kind))
	dst = binary.AppendUvarint(dst, uint64(e.Term))
	dst = binary.AppendUvarint(dst, uint64(e.Index))
	dst = binary.AppendUvarint(dst, uint64(len(e.Data)))
	return append(dst, e.Data...)
}

// DecodeEntry reads one entry from the front of b and returns the rest of b. The entry's Data
// aliases b. It returns an error if b ends early or the kind of the entry is unknown.
func DecodeEntry(b []byte) (e Entry, rest []byte, err error) {
	if len(b) == 0 {
		return e, nil, errTruncated
	}
	e.Kind = EntryKind(b[0])
	if e.Kind >= numEntryKinds {
		return e, nil, fmt.Errorf("raft: unknown entry kind %d", b[0])
	}
	var term, index, size uint64
	rest = b[1:]
	for _, v := range []*uint64{&term, &index, &size} {
		if *v, rest, err = decodeUvarint(rest); err != nil {
			return e, nil, err
		}
	}
	if size > uint64(len(rest)) {
		return e, nil, errTruncated
	}
	e.Term, e.Index = Term(term), Index(index)
	if size > 0 {
		e.Data = rest[:size:size]
	}
	return e, rest[size:], nil
}

// extendedConfiguration begins the encoding of a configuration that has more than three lists. It
// stands where the number of incoming voters would be. A program that does not know it takes it for
// a number that the bytes behind it cannot hold, and refuses the encoding.
const extendedConfiguration = math.MaxUint64

// AppendConfiguration appends the encoding of c to dst: three id lists (incoming
// voters, outgoing voters, learners), each with its length first. Where c has more, it is the
// number 2^64-1, then five lists (also outgoing voters that are to be learners, and witnesses), and
// the Context as a byte string.
func AppendConfiguration(dst []byte, c Configuration) []byte {
	lists := [][]NodeID{c.Voters.Incoming, c.Voters.Outgoing, c.Learners}
	extended := len(c.LearnersNext)+len(c.Witnesses)+len(c.Context) > 0
	if extended {
		dst = binary.AppendUvarint(dst, extendedConfiguration)
		lists = append(lists, c.LearnersNext, c.Witnesses)
	}
	for _, ids := range lists {
		dst = binary.AppendUvarint(dst, uint64(len(ids)))
		for _, id := range ids {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
	}
	if extended {
		dst = binary.AppendUvarint(dst, uint64(len(c.Context)))
		dst = append(dst, c.Context...)
	}
	return dst
}

// DecodeConfiguration reads one configuration from the front of b and returns the rest of b. It
// returns an error if b ends early. Voters are sorted, each once, whatever their order in b. The
// configuration does not alias b.
func DecodeConfiguration(b []byte) (c Configuration, rest []byte, err error) {
	var lists [5][]NodeID
	some := lists[:3]
	rest = b
	if n, behind, err := decodeUvarint(b); err == nil && n == extendedConfiguration {
		some, rest = lists[:], behind
	}
	for i := range some {
		if lists[i], rest, err = decodeIDs(rest); err != nil {
			return c, nil, err
		}
	}
	c.Voters = quorum.Joint{Incoming: quorum.NewMajority(lists[0]...), Outgoing: quorum.NewMajority(lists[1]...)}
	c.Learners, c.LearnersNext, c.Witnesses = lists[2], lists[3], lists[4]
	if len(some) == len(lists) {
		c.Context, rest, err = decodeBytes(rest)
	}
	return c, rest, err
}

func decodeIDs(b []byte) (ids []NodeID, rest []byte, err error) {
	var n, id uint64
	if n, rest, err = decodeUvarint(b); err != nil {
		return nil, nil, err
	}
	if n > uint64(len(rest)) { // each id takes at least one byte
		return nil, nil, errTruncated
	}
	for range n {
		if id, rest, err = decodeUvarint(rest); err != nil {
			return nil, nil, err
		}
		ids = append(ids, NodeID(id))
	}
	return ids, rest, nil
}

// decodeBytes reads a byte string, and copies it.
func decodeBytes(b []byte) (data, rest []byte, err error) {
	n, rest, err := decodeUvarint(b)
	switch {
	case err != nil:
		return nil, nil, err
	case n > uint64(len(rest)):
		return nil, nil, errTruncated
	}
	return append(data, rest[:n]...), rest[n:], nil
}

// AppendSnapshotMeta appends the encoding of m to dst: index, term, configuration.
func AppendSnapshotMeta(dst []byte, m SnapshotMeta) []byte {
	dst = binary.AppendUvarint(dst, uint64(m.Index))
	dst = binary.AppendUvarint(dst, uint64(m.Term))
	return AppendConfiguration(dst, m.Configuration)
}

// DecodeSnapshotMeta reads one snapshot meta from the front of b and returns the rest of b. It
// returns an error if b ends early.
func DecodeSnapshotMeta(b []byte) (m SnapshotMeta, rest []byte, err error) {
	var index, term uint64
	if index, rest, err = decodeUvarint(b); err != nil {
		return m, nil, err
	}
	if term, rest, err = decodeUvarint(rest); err != nil {
		return m, nil, err
	}
	m.Index, m.Term = Index(index), Term(term)
	m.Configuration, rest, err = DecodeConfiguration(rest)
	return m, rest, err
}

func decodeUvarint(b []byte) (v uint64, rest []byte, err error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errTruncated
	}
	return v, b[n:], nil
}
