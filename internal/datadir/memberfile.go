package datadir

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"balsa.example/internal/birth"
	"balsa.example/raft"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// memberFileName is the file in the data directory.
const memberFileName = "MEMBERS"

// The file begins with memberFileMagic and the version of its format.
const (
	memberFileMagic   = "balsa members "
	memberFileVersion = 2
)

// MemberFile is what a server durably remembers of who is who: its own identity, the
// certificate of its cluster, and whether it ever took part (see package birth). Its
// methods may be called by several goroutines.
//
// The file is small, and rewritten as a whole (vfs.WriteFile).
type MemberFile struct {
	fs    vfs.FS
	dir   string
	owner Owner

	// turn is held while the fields below are read or written, disk included. It is a
	// channel so that waiting for it counts as idle in a synctest bubble.
	turn   chan struct{}
	birth  *birth.Birth
	saved  birth.Record // that of birth, when it was written last
	active bool
	failed error
}

// OpenMemberFile opens the file in dir, or returns nil if dir has none. The error is
// ErrForeign where the file is not that of the given cluster and node.
//
// It syncs the directory: a process that was killed between renaming the file and
// that sync has left a file that can be read, and that a power loss takes back.
func OpenMemberFile(fsys vfs.FS, dir string, o Owner) (*MemberFile, error) {
	path := filepath.Join(dir, memberFileName)
	data, err := vfs.ReadFile(fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	f, err := parseMemberFile(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if f.record.Self != o.ID {
		return nil, fmt.Errorf("%w: %s is of member %s, and this server is %s", ErrForeign, dir, o.Name(f.record.Self), o.Name(o.ID))
	}
	if f.group != o.Group {
		return nil, fmt.Errorf("%w: %s was made for other members or another token than this server was given", ErrForeign, dir)
	}
	if err := vfs.SyncDir(fsys, dir); err != nil {
		return nil, err
	}
	l := newMemberFile(fsys, dir, o, f.record)
	l.active = f.active
	return l, nil
}

// CreateMemberFile makes the file of a new data directory. A cluster of one begins with it.
func CreateMemberFile(fsys vfs.FS, dir string, o Owner, incarnation birth.Incarnation) (*MemberFile, error) {
	l := newMemberFile(fsys, dir, o, birth.Record{Self: o.ID, Incarnation: incarnation})
	l.birth.Begin(draw())
	return l, l.save()
}

func newMemberFile(fsys vfs.FS, dir string, o Owner, r birth.Record) *MemberFile {
	b := birth.New(o.Members, r)
	return &MemberFile{fs: fsys, dir: dir, owner: o, turn: make(chan struct{}, 1), birth: b, saved: b.Record()}
}

// draw returns a number that nobody has ever drawn: the identity of a cluster.
func draw() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return max(binary.BigEndian.Uint64(b[:]), 1)
}

// Record returns what this server says of itself, all of it durable.
func (l *MemberFile) Record() birth.Record {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.saved
}

// Identity returns whose log this directory holds; ClusterID is 0 before the cluster is
// born.
func (l *MemberFile) Identity() wal.Identity {
	r := l.Record()
	id := wal.Identity{NodeID: r.Self, Incarnation: r.Incarnation}
	if r.Certificate != nil {
		id.ClusterID = r.Certificate.Cluster
	}
	return id
}

// Awaited returns the members without whom the cluster cannot begin.
func (l *MemberFile) Awaited() []raft.NodeID {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.birth.Awaited()
}

// Hear takes what another member says of itself, and returns the verdict when what follows
// from it is durable, and whether anything does. After an error nothing may be told to
// anybody.
func (l *MemberFile) Hear(r birth.Record) (v birth.Verdict, changed bool, err error) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.failed != nil {
		return 0, false, l.failed
	}
	if v, changed = l.birth.Hear(r, draw()); changed {
		err = l.save()
	}
	return v, changed, err
}

// Active tells whether this server may have taken part in its cluster (see Activate).
func (l *MemberFile) Active() bool {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.active
}

// Activate remembers durably that this server has a log, and takes part in the cluster.
func (l *MemberFile) Activate() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.active {
		return nil
	}
	l.active = true
	return l.save()
}

// save writes the whole file. After an error nobody knows what is on the disk,
// so the error stays: nothing is promised any more.
func (l *MemberFile) save() error {
	if l.failed != nil {
		return l.failed
	}
	path := filepath.Join(l.dir, memberFileName)
	if err := vfs.WriteFile(l.fs, path, l.format()); err != nil {
		l.failed = fmt.Errorf("write %s: %w", path, err)
		return l.failed
	}
	l.saved = l.birth.Record()
	return nil
}

// format gives the file's text: a header, one line of self, one of the founder's
// directory, those of the certificate if there is one, and the CRC-32C of all that.
func (l *MemberFile) format() []byte {
	r := l.birth.Record()
	state := "waiting"
	if l.active {
		state = "active"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d\n", memberFileMagic, memberFileVersion)
	fmt.Fprintf(&b, "self %016x %x of %016x %s\n", uint64(r.Self), r.Incarnation, l.owner.Group, state)
	fmt.Fprintf(&b, "founder %x\n", r.Founder)
	if c := r.Certificate; c != nil {
		fmt.Fprintf(&b, "cluster %016x\n", c.Cluster)
		for _, id := range slices.Sorted(maps.Keys(c.Members)) {
			fmt.Fprintf(&b, "member %016x %x\n", uint64(id), c.Members[id])
		}
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fields is what the file says.
type fields struct {
	record birth.Record
	group  uint64
	active bool
}

// parseMemberFile is the inverse of format.
func parseMemberFile(data []byte) (f fields, err error) {
	text := string(data)
	header, _, _ := strings.Cut(text, "\n")
	if version, ok := strings.CutPrefix(header, memberFileMagic); ok && version != fmt.Sprint(memberFileVersion) {
		if n, err := strconv.Atoi(version); err == nil && n < memberFileVersion {
			return f, fmt.Errorf("%w: it says %q, and this version knows %d", ErrOlderFormat, header, memberFileVersion)
		}
		return f, fmt.Errorf("%w: it says %q, and this version knows %d", ErrNewerFormat, header, memberFileVersion)
	}
	crcAt := strings.LastIndex(strings.TrimSuffix(text, "\n"), "\n") + 1
	if text[crcAt:] != fmt.Sprintf("crc %08x\n", crc32.Checksum(data[:crcAt], castagnoli)) {
		return f, fmt.Errorf("%w: checksum does not match", ErrDamaged)
	}
	lines := strings.Split(strings.TrimSuffix(text[:crcAt], "\n"), "\n")
	if len(lines) < 3 {
		return f, fmt.Errorf("%w: line %d is missing", ErrDamaged, len(lines)+1)
	}
	for i, line := range lines {
		if err := f.parseLine(i, line); err != nil {
			return f, fmt.Errorf("%w: line %d: %w", ErrDamaged, i+1, err)
		}
	}
	return f, nil
}

func (f *fields) parseLine(i int, line string) error {
	var incarnation []byte
	var err error
	switch {
	case i == 0: // the header
	case i == 1:
		var state string
		_, err = fmt.Sscanf(line, "self %x %x of %x %s", (*uint64)(&f.record.Self), &incarnation, &f.group, &state)
		copy(f.record.Incarnation[:], incarnation)
		f.active = state == "active"
	case i == 2:
		_, err = fmt.Sscanf(line, "founder %x", &incarnation)
		copy(f.record.Founder[:], incarnation)
	case i == 3:
		f.record.Certificate = &birth.Certificate{Members: make(map[raft.NodeID]birth.Incarnation)}
		_, err = fmt.Sscanf(line, "cluster %x", &f.record.Certificate.Cluster)
	default:
		var id raft.NodeID
		_, err = fmt.Sscanf(line, "member %x %x", (*uint64)(&id), &incarnation)
		f.record.Certificate.Members[id] = birth.Incarnation(append(incarnation, make([]byte, 16)...))
	}
	return err
}
