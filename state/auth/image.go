package auth

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A Table is written so, the same bytes for the same state. Numbers are uvarints, and bytes have
// their length before them. The caller adds a checksum.
//
//	format(1 byte) enabled(1 byte) revision secret
//	number of users, each by name:  name hash NoPassword(1 byte) stamp, number of roles, each
//	number of roles, each by name:  name, number of permissions, each: access(1 byte) key end
//	hash(8 bytes, little endian)
const imageFormat = 1

var (
	// ErrBadImage refuses bytes that are no Table, or a damaged or truncated one.
	ErrBadImage = errors.New("auth: bad image of users and roles")
	// ErrMemory says that the parts of a Table do not add up to its hash: the memory of this
	// process, or the program, is faulty.
	ErrMemory = errors.New("auth: users and roles do not match their hash")
)

// Append appends the encoding of t to b.
func (t *Table) Append(b []byte) []byte {
	b = append(b, imageFormat, flag(t.enabled))
	b = binary.AppendUvarint(b, t.revision)
	b = appendText(b, string(t.secret))
	b = binary.AppendUvarint(b, uint64(len(t.users)))
	for _, u := range t.users {
		b = u.append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(t.roles)))
	for _, r := range t.roles {
		b = r.append(b)
	}
	return binary.LittleEndian.AppendUint64(b, t.Hash())
}

func (u *User) append(b []byte) []byte {
	b = appendText(b, u.Name)
	b = appendText(b, string(u.Hash))
	b = append(b, flag(u.NoPassword))
	b = binary.AppendUvarint(b, u.Stamp)
	b = binary.AppendUvarint(b, uint64(len(u.Roles)))
	for _, role := range u.Roles {
		b = appendText(b, role)
	}
	return b
}

func (r *Role) append(b []byte) []byte {
	b = appendText(b, r.Name)
	b = binary.AppendUvarint(b, uint64(len(r.Permissions)))
	for _, p := range r.Permissions {
		b = append(b, byte(p.Access))
		b = appendText(appendText(b, p.Key), p.End)
	}
	return b
}

// Decode reads what Append wrote, which is all of b. It keeps nothing of b.
func Decode(b []byte) (*Table, error) {
	if len(b) == 0 || b[0] != imageFormat {
		return nil, fmt.Errorf("%w: its format is not %d", ErrBadImage, imageFormat)
	}
	d := decoder{b: b[1:]}
	t := &Table{enabled: d.flag(), revision: d.number(), secret: []byte(d.text())}
	for range d.count() {
		u := d.user()
		t.users = append(t.users, u)
		t.count(u.hash(), u.bytes(), 1)
	}
	for range d.count() {
		r := d.role()
		t.roles = append(t.roles, r)
		t.count(r.hash(), r.bytes(), 1)
	}
	if d.bad || len(d.b) != 8 || !t.valid() {
		return nil, ErrBadImage
	}
	if hash := binary.LittleEndian.Uint64(d.b); hash != t.Hash() {
		return nil, ErrMemory
	}
	return t, nil
}

// valid tells whether everything is in order that Do keeps in order.
func (t *Table) valid() bool {
	rising := slices.IsSortedFunc(t.users, func(a, b *User) int { return notRising(cmp.Compare(a.Name, b.Name)) }) &&
		slices.IsSortedFunc(t.roles, func(a, b *Role) int { return notRising(cmp.Compare(a.Name, b.Name)) })
	for _, u := range t.users {
		rising = rising && slices.IsSortedFunc(u.Roles, func(a, b string) int { return notRising(cmp.Compare(a, b)) })
	}
	for _, r := range t.roles {
		rising = rising && slices.IsSortedFunc(r.Permissions, func(a, b Permission) int { return notRising(compareSpans(a, b)) })
		rising = rising && !slices.ContainsFunc(r.Permissions, func(p Permission) bool { return !p.valid() })
	}
	return rising && t.bytes <= MaxBytes
}

// notRising makes equal neighbours wrong, for slices.IsSortedFunc. That asks for the later one
// against the earlier one.
func notRising(order int) int {
	if order == 0 {
		return -1
	}
	return order
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads an encoding. After its first error it reads zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) flag() bool {
	v := d.byte()
	d.bad = d.bad || v > 1
	return v == 1
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

// count reads how many things follow, each of which takes a byte at least.
func (d *decoder) count() int {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.count()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) user() *User {
	u := &User{Name: d.text(), Hash: []byte(d.text()), NoPassword: d.flag(), Stamp: d.number()}
	for range d.count() {
		u.Roles = append(u.Roles, d.text())
	}
	return u
}

func (d *decoder) role() *Role {
	name := d.text()
	var permissions []Permission
	for range d.count() {
		permissions = append(permissions, Permission{Access: Access(d.byte()), Key: d.text(), End: d.text()})
	}
	return newRole(name, permissions)
}
