package datadir

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"balsa.example/internal/birth"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// memberFileName is the file in the data directory.
const memberFileName = "MEMBERS"

// The file begins with memberFileMagic and the version of its format.
const (
	memberFileMagic   = "balsa members "
	memberFileVersion = 3
	// namelessVersion is the format that had neither name nor token, and knew no joining. It is
	// read, and written anew as memberFileVersion by Renew.
	namelessVersion = 2
)

// MemberFile is what a server durably remembers of who is who: its own identity, the
// certificate of its cluster, and whether it ever took part (see package birth). Its
// methods may be called by several goroutines.
//
// The file is small, and rewritten as a whole (vfs.WriteFile).
type MemberFile struct {
	fs  vfs.FS
	dir string

	// turn is held while the fields below are read or written, disk included. It is a
	// channel so that waiting for it counts as idle in a synctest bubble.
	turn   chan struct{}
	birth  *birth.Birth
	saved  birth.Record // that of birth, when it was written last
	said   fields       // the rest of what the file says
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
	if err := f.check(o); err != nil {
		return nil, fmt.Errorf("%w: %s %w", ErrForeign, dir, err)
	}
	if err := vfs.SyncDir(fsys, dir); err != nil {
		return nil, err
	}
	return newMemberFile(fsys, dir, o, f), nil
}

// check is nil if the file is that of the owner.
func (f *fields) check(o Owner) error {
	begun := f.record.Certificate != nil
	switch {
	case f.version == namelessVersion && o.ID == raft.None:
		return errors.New("was made by an older version of balsa: start this server once as it was started before")
	case f.version == namelessVersion && f.record.Self != o.ID:
		return fmt.Errorf("is of member %s, and this server is %s", o.NameOf(f.record.Self), o.NameOf(o.ID))
	case f.version > namelessVersion && f.name != o.About.Name:
		return fmt.Errorf("is of member %s, and this server is %s", f.name, o.About.Name)
	case f.version > namelessVersion && begun:
		if o.Token != "" && o.Token != f.token {
			return fmt.Errorf("is of a cluster with another token (%q) than this server was given (%q)", f.token, o.Token)
		}
	case f.joining && !o.Joins:
		return errors.New("was made to join a running cluster, and this server is to begin a new one")
	case o.Joins && !f.joining && o.ID == raft.None:
		return errors.New("was made to begin a new cluster, and this server is to join a running one")
	case f.group != o.Group && !f.joining:
		return errors.New("was made for other members or another token than this server was given")
	}
	return nil
}

// CreateMemberFile makes the file of a new data directory. A cluster of one begins with it.
func CreateMemberFile(fsys vfs.FS, dir string, o Owner, incarnation birth.Incarnation) (*MemberFile, error) {
	f := fields{version: memberFileVersion, record: birth.Record{Incarnation: incarnation}, joining: o.Joins}
	if !o.Joins {
		f.record.Self, f.group, f.token = o.ID, o.Group, o.Token
	}
	l := newMemberFile(fsys, dir, o, f)
	l.birth.Begin(draw())
	return l, l.save()
}

func newMemberFile(fsys vfs.FS, dir string, o Owner, f fields) *MemberFile {
	f.name = o.About.Name
	if f.version == namelessVersion {
		f.token = o.Token
	}
	members := o.Members
	if f.joining {
		members = nil
	}
	c := f.record.Certificate
	if c == nil {
		f.record.Origin = o.Origin
	}
	if c == nil || len(c.Members) == 0 {
		f.record.About = o.About
	}
	b := birth.New(members, f.record)
	return &MemberFile{fs: fsys, dir: dir, turn: make(chan struct{}, 1), birth: b, saved: b.Record(), said: f}
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

// Origin is that of the cluster, zero before it has begun.
func (l *MemberFile) Origin() birth.Origin {
	if c := l.Record().Certificate; c != nil {
		return c.Origin
	}
	return birth.Origin{}
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
	return l.said.active
}

// Activate remembers durably that this server has a log, and takes part in the cluster.
func (l *MemberFile) Activate() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.said.active {
		return nil
	}
	l.said.active = true
	return l.save()
}

// Joining tells whether this member has yet to be told which member of which cluster it is.
func (l *MemberFile) Joining() bool {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.said.joining
}

// Membership is what a member is told that joins a cluster.
type Membership struct {
	ID      raft.NodeID
	Cluster uint64
	Group   uint64
	Token   string
	// Peers are the members of that moment. They are a place to begin: the roster in the log
	// says who they are later.
	Peers []roster.Member
}

// Join remembers durably which member of which cluster this one is, and is called once.
func (l *MemberFile) Join(m Membership) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.said.joining, l.said.group, l.said.token, l.said.peers = false, m.Group, m.Token, m.Peers
	l.birth = birth.New(nil, birth.Joined(m.ID, l.saved.Incarnation, m.Cluster, l.saved.About))
	return l.save()
}

// Group tells clusters apart whose members have the same names.
func (l *MemberFile) Group() uint64 { return l.fields().group }

// Token is that of the cluster.
func (l *MemberFile) Token() string { return l.fields().token }

// Peers are the members that there were when this one joined; nil if it did not.
func (l *MemberFile) Peers() []roster.Member { return l.fields().peers }

func (l *MemberFile) fields() fields {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.said
}

// Renew writes a file of an older format in the present one. That is for when no program of before can
// go on with the directory anyway.
func (l *MemberFile) Renew() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.said.version == memberFileVersion {
		return nil
	}
	l.said.version = memberFileVersion
	return l.save()
}

// Beginning is the configuration that the log of a new directory begins with: the initial
// members, as all of them have it, or none where the member joined later and gets the log from
// others.
func (l *MemberFile) Beginning() raft.Configuration {
	c := l.Record().Certificate
	conf := raft.NewConfiguration(slices.Collect(maps.Keys(c.Members))...)
	if c.Abouts == nil {
		return conf
	}
	return roster.Publish(conf, Founders(c))
}

// Founders are the members of a certificate.
func Founders(c *birth.Certificate) (r roster.Roster) {
	for id, incarnation := range c.Members {
		r = r.With(roster.Member{ID: id, About: c.Abouts[id], Incarnation: incarnation})
	}
	return r
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
