package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"balsa.example/raft"
)

// Identity says which member a log belongs to. Every file holds it.
type Identity struct {
	ClusterID uint64
	NodeID    raft.NodeID
	// Incarnation is chosen at random by the caller of Create. It tells a directory from
	// the one that the same node had before its disk was emptied.
	Incarnation [16]byte
}

const (
	formatVersion = 2
	// reusedVersion is that of a segment whose file is used again. Older programs know none.
	reusedVersion = 3
	headerSize    = 64
)

// What a file is, in its first eight bytes.
const (
	identityMagic = "balsa id"
	segmentMagic  = "balsalog"
	snapshotMagic = "balsasnp"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header opens every file. Its layout is the same in all versions of the format,
// so that an old program can say of a new file what it is:
//
//	0 magic [8] | 8 version u32 | 12 CRC u32 | 16 cluster u64 | 24 node u64
//	32 incarnation [16] | 48 number u64 | 56 salt u64
//
// All integers of this package are little-endian. The CRC is over the rest.
type header struct {
	magic string
	Identity
	// number is the sequence number of a segment or the index of a snapshot.
	number uint64
	// salt is drawn for each file anew and mixed into all its checksums.
	salt uint64
	// reused says that the file was a segment before, and has a table behind the header.
	reused bool
}

func (h header) version() uint32 {
	if h.reused {
		return reusedVersion
	}
	return formatVersion
}

// stamp is that of the file, without what a table says.
func (h header) stamp() stamp {
	s := newStamp(h.salt, h.number)
	if h.reused { // unlike that of frames which the file held before
		s.magic ^= uint32(h.salt)
	}
	return s
}

func (h header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, h.magic)
	binary.LittleEndian.PutUint32(b[8:], h.version())
	binary.LittleEndian.PutUint64(b[16:], h.ClusterID)
	binary.LittleEndian.PutUint64(b[24:], uint64(h.NodeID))
	copy(b[32:48], h.Incarnation[:])
	binary.LittleEndian.PutUint64(b[48:], h.number)
	binary.LittleEndian.PutUint64(b[56:], h.salt)
	binary.LittleEndian.PutUint32(b[12:], headerCRC(b))
	return b
}

func headerCRC(b []byte) uint32 {
	crc := crc32.Update(0, castagnoli, b[:12])
	return crc32.Update(crc, castagnoli, b[16:headerSize])
}

// decodeHeader reads the header at the front of b, which are the first bytes of file.
func decodeHeader(file, magic string, b []byte) (header, error) {
	corrupt := func(reason string) (header, error) {
		return header{}, &CorruptionError{File: file, Reason: reason}
	}
	if len(b) < headerSize {
		return corrupt("the file ends inside its header")
	}
	if !bytes.Equal(b[:8], []byte(magic)) {
		return corrupt(fmt.Sprintf("the header does not begin with %q", magic))
	}
	if binary.LittleEndian.Uint32(b[12:]) != headerCRC(b) {
		return corrupt("wrong checksum of the header")
	}
	v := binary.LittleEndian.Uint32(b[8:])
	reused := v == reusedVersion && magic == segmentMagic
	switch {
	case reused:
	case v > formatVersion:
		return header{}, fmt.Errorf("%w: %s has format %d, known is %d", ErrNewerFormat, file, v, formatVersion)
	case v < formatVersion:
		return header{}, fmt.Errorf("%w: %s has format %d, known is %d", ErrOlderFormat, file, v, formatVersion)
	}
	h := header{
		magic: magic,
		Identity: Identity{
			ClusterID: binary.LittleEndian.Uint64(b[16:]),
			NodeID:    raft.NodeID(binary.LittleEndian.Uint64(b[24:])),
		},
		number: binary.LittleEndian.Uint64(b[48:]),
		salt:   binary.LittleEndian.Uint64(b[56:]),
		reused: reused,
	}
	copy(h.Incarnation[:], b[32:48])
	return h, nil
}

// check tells whether h is what belongs into file, given the identity of the
// directory and the number in the file's name.
func (h header) check(file string, id Identity, number uint64) error {
	switch {
	case h.Identity != id:
		return &CorruptionError{File: file, Reason: fmt.Sprintf(
			"the file is of node %s of cluster %016x, incarnation %x", h.NodeID, h.ClusterID, h.Incarnation)}
	case h.number != number:
		return &CorruptionError{File: file, Reason: fmt.Sprintf("the header says number %d", h.number)}
	}
	return nil
}
