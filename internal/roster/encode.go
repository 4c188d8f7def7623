package roster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"balsa.example/raft"
)

// ErrDecode says that bytes are not those of a roster, or not of a version that is known.
var ErrDecode = errors.New("roster: cannot be decoded")

// version is the first byte of an encoded Roster.
const version = 1

// The bits of the flags of a member.
const flagPromote = 1

// Append appends the encoding of r:
//
//	version u8 | count | count times: id u64, about, incarnation [16], flags u8, replaces u64 | count | count times: removed id u64
//
// Counts and the lengths of strings are unsigned varints, as short as can be; other integers are
// little-endian.
func Append(dst []byte, r Roster) []byte {
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(len(r.Members)))
	for _, m := range r.Members {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(m.ID))
		dst = AppendAbout(dst, m.About)
		dst = append(dst, m.Incarnation[:]...)
		flags := byte(0)
		if m.Promote {
			flags |= flagPromote
		}
		dst = append(dst, flags)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Replaces))
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Removed)))
	for _, id := range r.Removed {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(id))
	}
	return dst
}

// AppendAbout appends the encoding of a: the name, and both lists of addresses, each after its
// count.
func AppendAbout(dst []byte, a About) []byte {
	dst = appendText(dst, a.Name)
	for _, list := range [][]string{a.Peers, a.Clients} {
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for _, s := range list {
			dst = appendText(dst, s)
		}
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Decode is the inverse of Append. Of no bytes it makes an empty Roster, as in the configurations
// of clusters that began without one.
func Decode(b []byte) (Roster, error) {
	if len(b) == 0 {
		return Roster{}, nil
	}
	if b[0] != version {
		return Roster{}, fmt.Errorf("%w: it is of version %d, and this program knows %d", ErrDecode, b[0], version)
	}
	d := decoder{b: b[1:]}
	var r Roster
	for range d.count(MaxMembers) {
		m := Member{ID: raft.NodeID(d.u64()), About: d.about()}
		copy(m.Incarnation[:], d.take(len(m.Incarnation)))
		flags := d.take(1)
		m.Promote = len(flags) == 1 && flags[0]&flagPromote != 0
		d.bad = d.bad || len(flags) == 1 && flags[0]&^flagPromote != 0
		m.Replaces = raft.NodeID(d.u64())
		if n := len(r.Members); m.ID == raft.None || n > 0 && m.ID <= r.Members[n-1].ID {
			d.bad = true
		}
		if d.bad {
			return Roster{}, ErrDecode
		}
		r.Members = append(r.Members, m)
	}
	for range d.count(MaxRemoved) {
		r.Removed = append(r.Removed, raft.NodeID(d.u64()))
	}
	return r, d.end()
}

// TakeAbout is the inverse of AppendAbout: it takes what is said about one member off the front
// of b.
func TakeAbout(b []byte) (a About, rest []byte, err error) {
	d := decoder{b: b}
	if a = d.about(); d.bad || len(b)-len(d.b) > MaxAbout {
		return About{}, nil, ErrDecode
	}
	return a, d.b, nil
}

// decoder takes values off the front of b. After something bad it returns zero values.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) end() error {
	if d.bad || len(d.b) > 0 {
		return ErrDecode
	}
	return nil
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count takes a number that is at most limit.
func (d *decoder) count(limit int) int {
	n, size := binary.Uvarint(d.b)
	if d.bad || size <= 0 || n > uint64(limit) || size > 1 && n < 1<<(7*(size-1)) { // each number has one form
		d.bad = true
		return 0
	}
	d.b = d.b[size:]
	return int(n)
}

func (d *decoder) about() (a About) {
	a.Name = d.text()
	for _, list := range []*[]string{&a.Peers, &a.Clients} {
		for range d.count(MaxAbout) {
			if *list = append(*list, d.text()); d.bad {
				break
			}
		}
	}
	return a
}

func (d *decoder) text() string { return string(d.take(d.count(MaxAbout))) }
