package server

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	iofs "io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/internal/wal"
	"balsa/raft"
)

// Errors of a data directory that is not what this server needs. Nothing has been
// changed on disk when one of them is returned.
var (
	// ErrForeign: the directory belongs to another cluster or to another member.
	ErrForeign = errors.New("data directory belongs to another server")
	// ErrDamaged: a file is missing or its content is not what was written.
	ErrDamaged = errors.New("data directory is damaged")
	// ErrNewerFormat: the directory was written by a newer version of balsa.
	ErrNewerFormat = errors.New("data directory has a newer format")
)

// ErrIncarnation: another incarnation of this member is known already. The data
// directory of one of the two was emptied or replaced.
var ErrIncarnation = errors.New("another incarnation of this member is known")

// ledgerName is the file in the data directory.
const ledgerName = "MEMBERS"

const tempSuffix = ".tmp"

// ledgerHeader begins the file; the number is the version of its format.
const (
	ledgerMagic  = "balsa members "
	ledgerHeader = ledgerMagic + "1"
)

// Incarnation is drawn at random when a data directory is made, so that one made
// anew, for the same member, is another one.
type Incarnation = [16]byte

// Ledger is what a server durably remembers of who is who: its own identity,
// whether it was admitted to the cluster, and of every other member the first
// incarnation that it met. Its methods may be called by several goroutines.
//
// The file is small and rewritten as a whole: temporary file, sync, rename, sync
// of the directory.
type Ledger struct {
	fs  vfs.FS
	dir string

	// turn is held while the fields below are read or written, disk included. It is a
	// channel so that waiting for it counts as idle in a synctest bubble.
	turn   chan struct{}
	self   wal.Identity
	active bool
	seen   map[raft.NodeID]Incarnation
	failed error
}

// OpenLedger opens the ledger in dir, or returns nil if dir has none. The error is
// ErrForeign where the ledger is not that of the given cluster and node.
//
// It syncs the directory: a process that was killed between renaming the file and
// that sync has left a ledger that can be read, and that a power loss takes back.
func OpenLedger(fs vfs.FS, dir string, clusterID uint64, node raft.NodeID) (*Ledger, error) {
	path := fs.PathJoin(dir, ledgerName)
	data, err := readFile(fs, path)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	l := &Ledger{fs: fs, dir: dir, turn: make(chan struct{}, 1)}
	if err := l.parse(data); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if l.self.ClusterID != clusterID {
		return nil, fmt.Errorf("%w: %s is of cluster %016x, and this server is configured for cluster %016x (other members or token)",
			ErrForeign, dir, l.self.ClusterID, clusterID)
	}
	if l.self.NodeID != node {
		return nil, fmt.Errorf("%w: %s is of member %s, and this server is member %s", ErrForeign, dir, l.self.NodeID, node)
	}
	if err := syncDir(fs, dir); err != nil {
		return nil, fmt.Errorf("sync %s: %w", dir, err)
	}
	return l, nil
}

// CreateLedger makes the ledger of a new data directory, which is not yet admitted.
func CreateLedger(fs vfs.FS, dir string, self wal.Identity) (*Ledger, error) {
	l := &Ledger{fs: fs, dir: dir, turn: make(chan struct{}, 1), self: self, seen: make(map[raft.NodeID]Incarnation)}
	return l, l.save()
}

// Identity returns whose directory this is.
func (l *Ledger) Identity() wal.Identity { return l.self }

// Active tells whether this server was admitted (see Activate).
func (l *Ledger) Active() bool {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.active
}

// Activate remembers durably that this server was admitted to the cluster.
func (l *Ledger) Activate() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.active {
		return nil
	}
	l.active = true
	return l.save()
}

// Admit returns nil when the incarnation of another member is the one that this
// server has durably recorded, which it does at the first meeting. Another one is
// refused with ErrIncarnation.
func (l *Ledger) Admit(id raft.NodeID, incarnation Incarnation) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.failed != nil {
		return l.failed
	}
	if known, ok := l.seen[id]; ok {
		if known != incarnation {
			// Which one is not for everybody's ears: whoever names it speaks for the member.
			return fmt.Errorf("%w, and not %x", ErrIncarnation, incarnation)
		}
		return nil
	}
	l.seen[id] = incarnation
	return l.save()
}

// save writes the whole ledger. After an error nobody knows what is on the disk,
// so the error stays: nothing is promised any more.
func (l *Ledger) save() error {
	if l.failed != nil {
		return l.failed
	}
	if err := writeFile(l.fs, l.dir, ledgerName, l.format()); err != nil {
		l.failed = fmt.Errorf("write %s: %w", l.fs.PathJoin(l.dir, ledgerName), err)
	}
	return l.failed
}

// format gives the file's text: a header, one line of self, one for each member
// met, and the CRC-32C of all that.
func (l *Ledger) format() []byte {
	state := "waiting"
	if l.active {
		state = "active"
	}
	var b bytes.Buffer
	fmt.Fprintln(&b, ledgerHeader)
	fmt.Fprintf(&b, "self %016x %016x %x %s\n", l.self.ClusterID, uint64(l.self.NodeID), l.self.Incarnation, state)
	for _, id := range slices.Sorted(maps.Keys(l.seen)) {
		fmt.Fprintf(&b, "met %016x %x\n", uint64(id), l.seen[id])
	}
	fmt.Fprintf(&b, "crc %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parse is the inverse of format.
func (l *Ledger) parse(data []byte) error {
	text := string(data)
	if strings.HasPrefix(text, ledgerMagic) && !strings.HasPrefix(text, ledgerHeader+"\n") {
		header, _, _ := strings.Cut(text, "\n")
		return fmt.Errorf("%w: it says %q, and this version knows %q", ErrNewerFormat, header, ledgerHeader)
	}
	crcAt := strings.LastIndex(strings.TrimSuffix(text, "\n"), "\n") + 1
	if text[crcAt:] != fmt.Sprintf("crc %08x\n", crc32.Checksum(data[:crcAt], castagnoli)) {
		return fmt.Errorf("%w: checksum does not match", ErrDamaged)
	}
	l.seen = make(map[raft.NodeID]Incarnation)
	lines := strings.Split(strings.TrimSuffix(text[:crcAt], "\n"), "\n")
	if len(lines) < 2 {
		return fmt.Errorf("%w: line 2 is missing", ErrDamaged)
	}
	state, err := "", error(nil)
	if l.self, state, err = parseSelf(lines[1]); err != nil {
		return fmt.Errorf("%w: line 2: %w", ErrDamaged, err)
	}
	l.active = state == "active"
	for i, line := range lines[2:] {
		id, incarnation, err := parseMet(line)
		if err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrDamaged, i+3, err)
		}
		l.seen[id] = incarnation
	}
	return nil
}

func parseSelf(line string) (self wal.Identity, state string, err error) {
	var incarnation []byte
	_, err = fmt.Sscanf(line, "self %x %x %x %s", &self.ClusterID, (*uint64)(&self.NodeID), &incarnation, &state)
	copy(self.Incarnation[:], incarnation)
	return self, state, err
}

func parseMet(line string) (id raft.NodeID, incarnation Incarnation, err error) {
	var b []byte
	_, err = fmt.Sscanf(line, "met %x %x", (*uint64)(&id), &b)
	copy(incarnation[:], b)
	return id, incarnation, err
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// writeFile replaces a file as a whole and returns when that is durable.
func writeFile(fs vfs.FS, dir, name string, data []byte) error {
	temp := fs.PathJoin(dir, name+tempSuffix)
	f, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temp, fs.PathJoin(dir, name)); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
