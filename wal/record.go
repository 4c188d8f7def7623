package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"balsa.example/raft"
)

// recordType says what a record of a frame holds. The numbers are part of the format.
type recordType byte

const (
	// recordCheckpoint opens the first frame of a segment. It is the position that the segments
	// before it lead to.
	recordCheckpoint recordType = 1
	// recordReset drops all entries: the next index and the term before it.
	recordReset recordType = 2
	// recordHardState replaces the hard state.
	recordHardState recordType = 3
	// recordEntries holds consecutive entries that replace all from the first on.
	recordEntries recordType = 4
	// recordCompact says up to which index a durable state covers the entries.
	recordCompact recordType = 5
	// recordSeal closes a segment: the log goes on in the next.
	recordSeal recordType = 6
)

// A record is its type, the length of its content as u32, and the content.
const recordHeaderSize = 5

// openRecord begins a record at the end of buf; closeRecord, given len(buf) from
// before, fills in its length.
func openRecord(buf []byte, t recordType) []byte {
	return append(buf, byte(t), 0, 0, 0, 0)
}

func closeRecord(buf []byte, start int) []byte {
	binary.LittleEndian.PutUint32(buf[start+1:], uint32(len(buf)-start-recordHeaderSize))
	return buf
}

// appendNumbers appends a record that consists of unsigned varints.
func appendNumbers(buf []byte, t recordType, numbers ...uint64) []byte {
	start := len(buf)
	buf = openRecord(buf, t)
	for _, n := range numbers {
		buf = binary.AppendUvarint(buf, n)
	}
	return closeRecord(buf, start)
}

func appendEntries(buf []byte, entries []raft.Entry) []byte {
	start := len(buf)
	buf = openRecord(buf, recordEntries)
	for _, e := range entries {
		buf = raft.AppendEntry(buf, e)
	}
	return closeRecord(buf, start)
}

func appendCheckpoint(buf []byte, p position) []byte {
	return appendNumbers(buf, recordCheckpoint, uint64(p.hard.Term), uint64(p.hard.Vote), uint64(p.hard.LeaseGrant), uint64(p.hard.LostLog),
		uint64(p.last), uint64(p.lastTerm), uint64(p.compacted))
}

var errRecordTruncated = errors.New("a record ends early")

// nextRecord splits the first record off b.
func nextRecord(b []byte) (t recordType, content, rest []byte, err error) {
	if len(b) < recordHeaderSize {
		return 0, nil, nil, errRecordTruncated
	}
	n := uint64(binary.LittleEndian.Uint32(b[1:]))
	if n > uint64(len(b)-recordHeaderSize) {
		return 0, nil, nil, errRecordTruncated
	}
	end := recordHeaderSize + int(n)
	return recordType(b[0]), b[recordHeaderSize:end], b[end:], nil
}

// decodeNumbers reads exactly as many varints as there are places to put them.
func decodeNumbers(b []byte, numbers ...*uint64) error {
	for _, p := range numbers {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return errRecordTruncated
		}
		*p, b = v, b[n:]
	}
	if len(b) > 0 {
		return fmt.Errorf("%d bytes too many in a record", len(b))
	}
	return nil
}

func decodeCheckpoint(b []byte) (p position, err error) {
	err = decodeNumbers(b, (*uint64)(&p.hard.Term), (*uint64)(&p.hard.Vote), (*uint64)(&p.hard.LeaseGrant), (*uint64)(&p.hard.LostLog),
		(*uint64)(&p.last), (*uint64)(&p.lastTerm), (*uint64)(&p.compacted))
	return p, err
}

func decodeEntries(b []byte) (entries []raft.Entry, err error) {
	for len(b) > 0 {
		var e raft.Entry
		if e, b, err = raft.DecodeEntry(b); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}
