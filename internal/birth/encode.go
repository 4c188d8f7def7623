package birth

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"balsa.example/raft"
)

// ErrDecode says that bytes are not those of a Record.
var ErrDecode = errors.New("birth: not a record")

// maxMembers bounds the members of a certificate that is decoded.
const maxMembers = 1 << 10

// AppendRecord appends the encoding of r, without Self:
//
//	incarnation [16] | founder [16] | cluster u64 | count u16 | count times: member u64, incarnation [16]
//
// All integers are little-endian. Without a certificate cluster and count are 0.
func AppendRecord(dst []byte, r Record) []byte {
	dst = append(append(dst, r.Incarnation[:]...), r.Founder[:]...)
	if r.Certificate == nil {
		return append(dst, make([]byte, 10)...)
	}
	dst = binary.LittleEndian.AppendUint64(dst, r.Certificate.Cluster)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.Certificate.Members)))
	for _, id := range slices.Sorted(maps.Keys(r.Certificate.Members)) {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(id))
		incarnation := r.Certificate.Members[id]
		dst = append(dst, incarnation[:]...)
	}
	return dst
}

// DecodeRecord is the inverse of AppendRecord.
func DecodeRecord(self raft.NodeID, b []byte) (Record, error) {
	const head, each = 16 + 16 + 8 + 2, 8 + 16
	r := Record{Self: self}
	if len(b) < head {
		return Record{}, ErrDecode
	}
	copy(r.Incarnation[:], b)
	copy(r.Founder[:], b[16:])
	cluster, count := binary.LittleEndian.Uint64(b[32:]), int(binary.LittleEndian.Uint16(b[40:]))
	if b = b[head:]; count > maxMembers || len(b) != count*each || (cluster == 0) != (count == 0) {
		return Record{}, ErrDecode
	}
	if count == 0 {
		return r, nil
	}
	r.Certificate = &Certificate{Cluster: cluster, Members: make(map[raft.NodeID]Incarnation, count)}
	for ; len(b) > 0; b = b[each:] {
		r.Certificate.Members[raft.NodeID(binary.LittleEndian.Uint64(b))] = Incarnation(b[8:each])
	}
	if len(r.Certificate.Members) != count {
		return Record{}, ErrDecode
	}
	return r, nil
}
