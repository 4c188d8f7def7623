package rsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"balsa.example/raft"
)

// The binary form of a MemoryStorage:
//
//	8 bytes   memoryMagic, which ends with the version of the format
//	          hard state: term, vote, lease grant, lost log
//	          snapshot: meta (raft.AppendSnapshotMeta), length of the data, data
//	          log: index and term before the first entry with the configuration that the storage
//	          was created with (raft.AppendSnapshotMeta), number of entries, entries (raft.AppendEntry)
//	4 bytes   CRC-32C of all bytes before, little endian
//
// Numbers are unsigned varints.

const memoryMagic = "balsaMS\x01"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrMemoryFormat is the error of MemoryStorage.UnmarshalBinary for bytes that are damaged, or
// that MarshalBinary of this version did not make.
var ErrMemoryFormat = errors.New("not the bytes of a MemoryStorage, or damaged")

// MarshalBinary returns all that the storage holds, for UnmarshalBinary. It is an
// encoding.BinaryMarshaler.
func (s *MemoryStorage) MarshalBinary() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := []byte(memoryMagic)
	for _, v := range []uint64{uint64(s.hard.Term), uint64(s.hard.Vote), uint64(s.hard.LeaseGrant), uint64(s.hard.LostLog)} {
		b = binary.AppendUvarint(b, v)
	}
	b = raft.AppendSnapshotMeta(b, s.snapshot)
	b = binary.AppendUvarint(b, uint64(len(s.data)))
	b = append(b, s.data...)
	b = raft.AppendSnapshotMeta(b, s.base)
	b = binary.AppendUvarint(b, uint64(len(s.entries)))
	for _, e := range s.entries {
		b = raft.AppendEntry(b, e)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// UnmarshalBinary replaces all that the storage holds by what MarshalBinary returned. It
// refuses bytes that are damaged, and then changes nothing. It is an
// encoding.BinaryUnmarshaler.
//
// A member must not be started from bytes that are older than what its storage held when it
// last ran: it would have forgotten votes and acknowledgements (see raft.ErrLostLog).
func (s *MemoryStorage) UnmarshalBinary(b []byte) error {
	read, err := readMemory(b)
	if err != nil {
		return fmt.Errorf("rsm: read a MemoryStorage: %w: %w", ErrMemoryFormat, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hard, s.snapshot, s.data, s.base, s.entries = read.hard, read.snapshot, read.data, read.base, read.entries
	return nil
}

func readMemory(b []byte) (*MemoryStorage, error) {
	body, ok := bytes.CutPrefix(b, []byte(memoryMagic))
	if !ok {
		return nil, errors.New("the first bytes name another format or version")
	}
	if len(body) < crc32.Size {
		return nil, errTruncated
	}
	end := len(b) - crc32.Size
	if want, got := binary.LittleEndian.Uint32(b[end:]), crc32.Checksum(b[:end], castagnoli); want != got {
		return nil, fmt.Errorf("checksum is %08x, want %08x", got, want)
	}
	// The entries of a storage alias what they are decoded from, and the caller may reuse b.
	r := memoryReader{rest: bytes.Clone(body[:len(body)-crc32.Size])}
	s := r.storage()
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes are left over", len(r.rest))
	}
	return s, r.err
}

var errTruncated = errors.New("truncated")

// memoryReader takes fields off the front of rest, until the first error.
type memoryReader struct {
	rest []byte
	err  error
}

func (r *memoryReader) storage() *MemoryStorage {
	s := new(MemoryStorage)
	s.hard = raft.HardState{
		Term: raft.Term(r.number()), Vote: raft.NodeID(r.number()),
		LeaseGrant: raft.Nanos(r.number()), LostLog: raft.Index(r.number()),
	}
	if r.err == nil {
		s.snapshot, r.rest, r.err = raft.DecodeSnapshotMeta(r.rest)
	}
	s.data = r.bytes(r.number())
	if r.err == nil {
		s.base, r.rest, r.err = raft.DecodeSnapshotMeta(r.rest)
	}
	for i := range r.number() {
		if r.err != nil {
			break
		}
		var e raft.Entry
		e, r.rest, r.err = raft.DecodeEntry(r.rest)
		if want := s.base.Index + raft.Index(i) + 1; r.err == nil && e.Index != want {
			r.err = fmt.Errorf("entry %d where %d belongs", e.Index, want)
		}
		s.entries = append(s.entries, e)
	}
	return s
}

func (r *memoryReader) number() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.err = errTruncated
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *memoryReader) bytes(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.rest)) {
		r.err = errTruncated
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}
