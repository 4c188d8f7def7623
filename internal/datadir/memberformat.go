package datadir

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"strings"

	"balsa.example/internal/birth"
	"balsa.example/internal/roster"
	"balsa.example/raft"
)

// fields is what the file says.
type fields struct {
	version int
	record  birth.Record
	group   uint64
	name    string // since version 3; so is what follows
	token   string
	active  bool // the member may have taken part
	joining bool // the member has not been told yet which one it is
	peers   []roster.Member
}

// state is how the line of self says how far the member is.
func (f *fields) state() string {
	switch {
	case f.joining:
		return "joining"
	case f.active:
		return "active"
	}
	return "waiting"
}

// format gives the file's text:
//
//	balsa members 3
//	self ID INCARNATION of GROUP waiting|joining|active
//	founder INCARNATION
//	name "NAME"
//	token "TOKEN"
//	cluster ID                                                     once the cluster has begun
//	origin DIGEST                                                  if it began with a state that was restored
//	member ID INCARNATION "NAME" "PEER,PEER" "CLIENT,CLIENT"       each of the certificate
//	peer ID INCARNATION "NAME" "PEER,PEER" "CLIENT,CLIENT"         each of the others, in place of that, if this one joined later
//	crc CRC-32C of all that
//
// A member's certificate may lack what it said, in clusters that began with version 2.
func (l *MemberFile) format() []byte {
	r, f := l.birth.Record(), &l.said
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d\n", memberFileMagic, memberFileVersion)
	fmt.Fprintf(&b, "self %016x %x of %016x %s\n", uint64(r.Self), r.Incarnation, f.group, f.state())
	fmt.Fprintf(&b, "founder %x\nname %q\ntoken %q\n", r.Founder, f.name, f.token)
	if c := r.Certificate; c != nil {
		fmt.Fprintf(&b, "cluster %016x\n", c.Cluster)
		if c.Origin != (birth.Origin{}) {
			fmt.Fprintf(&b, "origin %x\n", c.Origin)
		}
		for _, id := range slices.Sorted(maps.Keys(c.Members)) {
			fmt.Fprintf(&b, "member %016x %x", uint64(id), c.Members[id])
			if c.Abouts != nil {
				fmt.Fprintf(&b, " %s", formatAbout(c.Abouts[id]))
			}
			b.WriteByte('\n')
		}
	}
	for _, p := range f.peers {
		fmt.Fprintf(&b, "peer %016x %x %s\n", uint64(p.ID), p.Incarnation, formatAbout(p.About))
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

func formatAbout(a roster.About) string {
	return fmt.Sprintf("%q %q %q", a.Name, strings.Join(a.Peers, ","), strings.Join(a.Clients, ","))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parseMemberFile is the inverse of format. It knows namelessVersion, too.
func parseMemberFile(data []byte) (f fields, err error) {
	text := string(data)
	header, _, _ := strings.Cut(text, "\n")
	if version, ok := strings.CutPrefix(header, memberFileMagic); ok {
		f.version, err = strconv.Atoi(version)
		switch {
		case err == nil && f.version < namelessVersion:
			return f, fmt.Errorf("%w: it says %q, and this version knows %d and %d", ErrOlderFormat, header, namelessVersion, memberFileVersion)
		case err != nil || f.version > memberFileVersion:
			return f, fmt.Errorf("%w: it says %q, and this version knows %d", ErrNewerFormat, header, memberFileVersion)
		}
	}
	crcAt := strings.LastIndex(strings.TrimSuffix(text, "\n"), "\n") + 1
	if text[crcAt:] != fmt.Sprintf("crc %08x\n", crc32.Checksum(data[:crcAt], castagnoli)) {
		return f, fmt.Errorf("%w: checksum does not match", ErrDamaged)
	}
	lines := strings.Split(strings.TrimSuffix(text[:crcAt], "\n"), "\n")
	parse := []func(string) error{func(string) error { return nil }, f.parseSelf, f.parseFounder}
	if f.version > namelessVersion {
		parse = append(parse, f.parseName, f.parseToken)
	}
	if len(lines) < len(parse) {
		return f, fmt.Errorf("%w: line %d is missing", ErrDamaged, len(lines)+1)
	}
	for i, line := range lines {
		of := f.parseMember
		if i < len(parse) {
			of = parse[i]
		}
		if err := of(line); err != nil {
			return f, fmt.Errorf("%w: line %d: %w", ErrDamaged, i+1, err)
		}
	}
	return f, nil
}

func (f *fields) parseSelf(line string) error {
	var incarnation []byte
	var state string
	_, err := fmt.Sscanf(line, "self %x %x of %x %s", (*uint64)(&f.record.Self), &incarnation, &f.group, &state)
	copy(f.record.Incarnation[:], incarnation)
	f.active, f.joining = state == "active", state == "joining"
	return err
}

func (f *fields) parseFounder(line string) error {
	var founder []byte
	_, err := fmt.Sscanf(line, "founder %x", &founder)
	copy(f.record.Founder[:], founder)
	return err
}

func (f *fields) parseName(line string) error {
	_, err := fmt.Sscanf(line, "name %q", &f.name)
	return err
}

func (f *fields) parseToken(line string) error {
	_, err := fmt.Sscanf(line, "token %q", &f.token)
	return err
}

// parseMember reads a line behind the first ones: that of the cluster, or of one member.
func (f *fields) parseMember(line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	c := f.record.Certificate
	switch {
	case kind == "cluster" && c == nil:
		f.record.Certificate = &birth.Certificate{}
		_, err := fmt.Sscanf(rest, "%x", &f.record.Certificate.Cluster)
		return err
	case kind == "origin" && c != nil && c.Members == nil:
		var origin []byte
		_, err := fmt.Sscanf(rest, "%x", &origin)
		copy(c.Origin[:], origin)
		return err
	case kind == "member" && c != nil:
		m, said, err := parseAbout(rest)
		if c.Members == nil {
			c.Members = make(map[raft.NodeID]birth.Incarnation)
		}
		if c.Members[m.ID] = m.Incarnation; said {
			if c.Abouts == nil {
				c.Abouts = make(map[raft.NodeID]roster.About)
			}
			c.Abouts[m.ID] = m.About
		}
		return err
	case kind == "peer" && c != nil:
		m, _, err := parseAbout(rest)
		f.peers = append(f.peers, m)
		return err
	}
	return fmt.Errorf("%q is out of place", kind)
}

// parseAbout reads a member: id, incarnation and, if they are there, name and addresses.
func parseAbout(text string) (m roster.Member, said bool, err error) {
	var incarnation []byte
	var peers, clients string
	if strings.Count(text, " ") == 1 {
		_, err = fmt.Sscanf(text, "%x %x", (*uint64)(&m.ID), &incarnation)
	} else {
		said = true
		_, err = fmt.Sscanf(text, "%x %x %q %q %q", (*uint64)(&m.ID), &incarnation, &m.Name, &peers, &clients)
	}
	copy(m.Incarnation[:], incarnation)
	m.Peers, m.Clients = split(peers), split(clients)
	return m, said, err
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
