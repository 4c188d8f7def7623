package birth

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"balsa.example/internal/roster"
	"balsa.example/raft"
)

// ErrDecode says that bytes are not those of a Record.
var ErrDecode = errors.New("birth: not a record that this version knows; servers that begin a cluster must be of one version")

// maxMembers bounds the members of a certificate that is decoded.
const maxMembers = 1 << 10

// What may follow the fields that each Record has: a tag u8, a length u32, and as many bytes.
const (
	tagAbout  = 1
	tagOrigin = 2
	tagNow    = 3
)

// AppendRecord appends the encoding of r, without Self:
//
//	incarnation [16] | founder [16] | cluster u64 | count u16 | count times: member u64, incarnation [16]
//	tag u8 | length u32 | what all members say of themselves
//	tag u8 | length u32 | origin [16]
//	tag u8 | length u32 | what this member says of itself, where the first tag is what all said
//
// All integers are little-endian. Without a certificate cluster and count are 0. Where it has no
// members, what is said is About; else it is what each of them said, in the order of their ids. Where
// nothing is said there is no tag, as in the records of old clusters, and none where the origin is zero.
func AppendRecord(dst []byte, r Record) []byte {
	origin := r.Origin
	if r.Certificate != nil {
		origin = r.Certificate.Origin
	}
	if dst = appendIdentity(dst, r); origin != (Origin{}) {
		dst = appendTagged(dst, tagOrigin, origin[:])
	}
	if r.Certificate != nil && len(r.Certificate.Members) > 0 && !r.About.Equal(roster.About{}) {
		dst = appendTagged(dst, tagNow, roster.AppendAbout(nil, r.About))
	}
	return dst
}

func appendIdentity(dst []byte, r Record) []byte {
	dst = append(append(dst, r.Incarnation[:]...), r.Founder[:]...)
	c := r.Certificate
	if c == nil {
		c = &Certificate{}
	}
	dst = binary.LittleEndian.AppendUint64(dst, c.Cluster)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(c.Members)))
	var said []byte
	for _, id := range slices.Sorted(maps.Keys(c.Members)) {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(id))
		incarnation := c.Members[id]
		dst = append(dst, incarnation[:]...)
		if c.Abouts != nil {
			said = roster.AppendAbout(said, c.Abouts[id])
		}
	}
	if len(c.Members) == 0 && !r.About.Equal(roster.About{}) {
		said = roster.AppendAbout(nil, r.About)
	}
	if said == nil {
		return dst
	}
	return appendTagged(dst, tagAbout, said)
}

func appendTagged(dst []byte, tag byte, b []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, tag), uint32(len(b)))
	return append(dst, b...)
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
	if b = b[head:]; count > maxMembers || len(b) < count*each || cluster == 0 && count > 0 {
		return Record{}, ErrDecode
	}
	if cluster != 0 {
		r.Certificate = &Certificate{Cluster: cluster}
	}
	if count > 0 {
		r.Certificate.Members = make(map[raft.NodeID]Incarnation, count)
	}
	var ids []raft.NodeID
	for ; len(ids) < count; b = b[each:] {
		ids = append(ids, raft.NodeID(binary.LittleEndian.Uint64(b)))
		r.Certificate.Members[ids[len(ids)-1]] = Incarnation(b[8:each])
	}
	if !slices.IsSorted(ids) || cluster != 0 && len(r.Certificate.Members) != count {
		return Record{}, ErrDecode
	}
	return r, r.decodeTagged(b, ids)
}

// decodeTagged decodes what has a tag, in the order of the tags.
func (r *Record) decodeTagged(b []byte, ids []raft.NodeID) error {
	for last := byte(0); len(b) > 0; {
		if len(b) < 5 || b[0] <= last || uint64(binary.LittleEndian.Uint32(b[1:])) > uint64(len(b)-5) {
			return ErrDecode
		}
		n := 5 + int(binary.LittleEndian.Uint32(b[1:]))
		content, err := b[5:n], error(nil)
		switch last = b[0]; last {
		case tagAbout:
			err = r.decodeSaid(content, ids)
		case tagOrigin:
			err = r.decodeOrigin(content)
		case tagNow:
			err = r.decodeNow(content)
		default:
			err = ErrDecode
		}
		if b = b[n:]; err != nil {
			return err
		}
	}
	return nil
}

// decodeNow decodes where a member of a cluster that has begun is found.
func (r *Record) decodeNow(b []byte) (err error) {
	if r.Certificate == nil || len(r.Certificate.Members) == 0 {
		return ErrDecode
	}
	if r.About, b, err = roster.TakeAbout(b); err != nil || len(b) > 0 || r.About.Equal(roster.About{}) {
		return ErrDecode
	}
	return nil
}

func (r *Record) decodeOrigin(b []byte) error {
	if len(b) != len(Origin{}) || Origin(b) == (Origin{}) {
		return ErrDecode
	}
	if r.Certificate == nil {
		r.Origin = Origin(b)
	} else {
		r.Certificate.Origin = Origin(b)
	}
	return nil
}

// decodeSaid decodes what this member says of itself, or what the members of its certificate
// said.
func (r *Record) decodeSaid(b []byte, ids []raft.NodeID) (err error) {
	if len(ids) == 0 {
		r.About, b, err = roster.TakeAbout(b)
	} else {
		r.Certificate.Abouts = make(map[raft.NodeID]roster.About, len(ids))
		for _, id := range ids {
			if err == nil {
				r.Certificate.Abouts[id], b, err = roster.TakeAbout(b)
			}
		}
	}
	if err != nil || len(b) > 0 || len(ids) == 0 && r.About.Equal(roster.About{}) {
		return ErrDecode
	}
	return nil
}
