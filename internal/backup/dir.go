package backup

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"balsa.example/kv/run"
	"balsa.example/state"
	"balsa.example/vfs"
)

const (
	headName    = "BACKUP"
	lockName    = "LOCK"
	pointPrefix = "point-"

	headMagic   = "BALSABKP"
	pointMagic  = "BALSAPNT"
	format      = 1
	headBytes   = 8 + 4 + 8 + 8 + 8
	pointBefore = 8 + 4 + 8 + 8 // what a point has before its image
)

var (
	// ErrNoBackup: the directory is none of this package.
	ErrNoBackup = errors.New("no backup")
	// ErrOtherCluster: the directory has backups of another cluster.
	ErrOtherCluster = errors.New("the backup is of another cluster")
	// ErrDamaged: a file is missing, or is not what was written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrUnreadable: the disk does not give back a file, which may be whole. The next read may find it.
	ErrUnreadable = errors.New("the disk does not give back a part of the backup")
	// ErrNewer: a newer program has written a file, which is in order, and this one cannot read it.
	ErrNewer = state.ErrNewer
	// ErrInUse: another process makes a backup in the directory.
	ErrInUse = errors.New("another process makes a backup there")
	// ErrNotCovered: no point has the revision, or the time.
	ErrNotCovered = errors.New("not covered by the backup")
)

// Point is one state of the cluster.
type Point struct {
	// Revision is that of the store, and Compacted the lowest one that the point covers.
	Revision, Compacted uint64
	Index               uint64 // of the log
	Hash                uint64 // of the state
	// Taken is when a server was asked for it, by the server's clock: it has everything that was acknowledged before.
	Taken time.Time
	// Bytes is the length of all its files, New of those that no earlier point has.
	Bytes, New int64

	name string
	own  int64 // bytes of its own file
	runs []run.Info
	wall int64 // state.Image.Wall
}

// Dir is a directory with backups of one cluster.
type Dir struct {
	fs   vfs.FS
	path string
	// Cluster is the cluster's identity, and History what stands in its runs.
	Cluster, History uint64
	points           []*Point // in the order of the log
	damage           []error  // of each point that is left out
}

// Open reads what a directory has. It changes nothing. Points whose file is damaged or of a newer program, or that the
// disk does not give back, are left out: see Damage.
func Open(fsys vfs.FS, path string) (*Dir, error) {
	d, err := openHead(fsys, path)
	if err != nil {
		return nil, err
	}
	return d, d.load(func(name string) (*Point, error) {
		p, _, err := d.read(name)
		return p, err
	})
}

// openHead is Open without the points.
func openHead(fsys vfs.FS, path string) (*Dir, error) {
	b, err := vfs.ReadFile(fsys, filepath.Join(path, headName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s has no file %s", ErrNoBackup, path, headName)
	case err != nil:
		return nil, err
	case len(b) != headBytes || string(b[:8]) != headMagic || xxhash.Sum64(b[:headBytes-8]) != binary.LittleEndian.Uint64(b[headBytes-8:]):
		return nil, fmt.Errorf("%w: wrong checksum of %s", ErrDamaged, filepath.Join(path, headName))
	case binary.LittleEndian.Uint32(b[8:]) != format:
		return nil, fmt.Errorf("%w: %s has format %d, this program reads %d", ErrNewer, path, binary.LittleEndian.Uint32(b[8:]), format)
	}
	return &Dir{fs: fsys, path: path, Cluster: binary.LittleEndian.Uint64(b[12:]), History: binary.LittleEndian.Uint64(b[20:])}, nil
}

// load reads all points, each by a function.
func (d *Dir) load(read func(name string) (*Point, error)) error {
	names, err := d.fs.List(d.path)
	if err != nil {
		return fmt.Errorf("list %s: %w", d.path, err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, pointPrefix) || strings.HasSuffix(name, vfs.TempSuffix) {
			continue
		}
		switch p, err := read(name); {
		case errors.Is(err, ErrDamaged), errors.Is(err, ErrUnreadable), errors.Is(err, ErrNewer):
			d.damage = append(d.damage, err)
		case err != nil:
			return err
		default:
			d.points = append(d.points, p)
		}
	}
	d.sort()
	return nil
}

// Damage has an error for each point that is of no use: ErrDamaged, ErrUnreadable where the next Open may find it, or
// ErrNewer where a newer program does.
func (d *Dir) Damage() []error { return slices.Clone(d.damage) }

func (d *Dir) sort() {
	slices.SortFunc(d.points, func(a, b *Point) int { return cmp.Compare(a.Index, b.Index) })
	seen := map[uint32]int64{}
	for _, p := range d.points {
		p.New = p.own
		for _, info := range p.runs {
			p.New += max(info.Bytes-seen[info.File], 0)
			seen[info.File] = max(seen[info.File], info.Bytes)
		}
	}
}

// Points returns all points, in the order of the log.
func (d *Dir) Points() []*Point { return slices.Clone(d.points) }

// Files are the runs of all points.
func (d *Dir) Files() run.Files { return run.Files{FS: d.fs, Dir: d.path, Cluster: d.History} }

// Image reads the image of a point.
func (d *Dir) Image(p *Point) (*state.Image, error) {
	_, im, err := d.read(p.name)
	return im, err
}

// read reads the file of a point:
//
//	magic "BALSAPNT", format (4 bytes), cluster (8 bytes), taken (8 bytes), image, xxhash64 of all before
func (d *Dir) read(name string) (*Point, *state.Image, error) {
	path := filepath.Join(d.path, name)
	b, err := vfs.ReadFile(d.fs, path)
	if err != nil {
		return nil, nil, judged(unread(err))
	}
	end := len(b) - 8
	if end < pointBefore || string(b[:8]) != pointMagic || xxhash.Sum64(b[:end]) != binary.LittleEndian.Uint64(b[end:]) {
		return nil, nil, fmt.Errorf("%w: wrong checksum of %s", ErrDamaged, path)
	}
	taken, err := d.decodeBefore(path, b)
	if err != nil {
		return nil, nil, err
	}
	im, err := state.DecodeImage(b[pointBefore:end], d.Cluster)
	if err != nil {
		return nil, nil, judged(fmt.Errorf("%s: %w", path, err))
	}
	p := pointOf(im, taken)
	p.own = int64(len(b))
	p.Bytes += p.own
	return p, im, nil
}

// readRuns reads of a point what the next backup needs: which runs it has, and where in the log it is. That is in the
// beginning of its image, with a checksum; all of the leases and users behind it is not read. The point that it returns
// has no revisions, and no bytes.
func (d *Dir) readRuns(name string) (*Point, error) {
	path := filepath.Join(d.path, name)
	file, err := d.fs.Open(path)
	if err != nil {
		return nil, judged(unread(err))
	}
	defer file.Close()
	data, before := unreadFile{file}, make([]byte, pointBefore)
	if _, err = io.ReadFull(data, before); err == nil && string(before[:8]) != pointMagic {
		err = errors.New("no point")
	}
	if err != nil {
		return nil, judged(fmt.Errorf("%s: %w", path, err))
	}
	taken, err := d.decodeBefore(path, before)
	if err != nil { // or its bytes are damaged, which only the checksum of the whole file tells
		_, _, whole := d.read(name)
		return nil, cmp.Or(whole, err)
	}
	position, hash, runs, err := state.ReadImageHead(data, d.Cluster)
	if err != nil {
		return nil, judged(fmt.Errorf("%s: %w", path, err))
	}
	return &Point{Index: uint64(position.Index), Hash: hash, Taken: taken, name: name, runs: runs}, nil
}

// decodeBefore reads what a point has before its image.
func (d *Dir) decodeBefore(path string, b []byte) (taken time.Time, err error) {
	if v := binary.LittleEndian.Uint32(b[8:]); v != format {
		return taken, fmt.Errorf("%w: %s has format %d, this program reads %d", ErrNewer, path, v, format)
	}
	if c := binary.LittleEndian.Uint64(b[12:]); c != d.Cluster {
		return taken, fmt.Errorf("%w: %s is of cluster %016x, %s of %016x", ErrOtherCluster, path, c, d.path, d.Cluster)
	}
	return time.UnixMilli(int64(binary.LittleEndian.Uint64(b[20:]))), nil
}

// unread marks the error of a read that says nothing of what is in the file.
func unread(err error) error {
	if errors.Is(err, fs.ErrNotExist) || run.Innocent(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}

// unreadFile is a file whose errors are marked.
type unreadFile struct{ io.Reader }

func (f unreadFile) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = unread(err)
	}
	return n, err
}

// judged says what the error of a file means for the backup: ErrUnreadable if the disk does not give it back, itself if
// it is of this process alone (see run.Innocent), or of this program (ErrNewer), else ErrDamaged.
func judged(err error) error {
	c := new(run.CorruptError)
	switch {
	case err == nil, run.Innocent(err), errors.Is(err, ErrNewer), errors.Is(err, ErrDamaged), errors.Is(err, ErrUnreadable):
		return err
	case errors.As(err, &c) && errors.Is(c.Reason, run.ErrUnreadable):
		return fmt.Errorf("%w: %s: %w", ErrUnreadable, c.File, c.Reason)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func pointOf(im *state.Image, taken time.Time) *Point {
	p := &Point{
		Revision: im.Revision(), Compacted: im.Compacted(), Index: uint64(im.Position().Index), Hash: im.Hash(), Taken: taken,
		runs: im.Runs(), wall: im.Wall(),
	}
	p.name = fmt.Sprintf("%s%d-%d", pointPrefix, p.Revision, p.Index)
	for _, info := range p.runs {
		p.Bytes += info.Bytes
	}
	return p
}

// write makes a point durable, with its name.
func (d *Dir) write(p *Point, im *state.Image) error {
	if err := vfs.WriteFile(d.fs, filepath.Join(d.path, p.name), p.encode(d.Cluster, im)); err != nil {
		return err
	}
	p, _, err := d.read(p.name)
	if err != nil {
		return err
	}
	d.points = append(slices.DeleteFunc(d.points, func(old *Point) bool { return old.name == p.name }), p)
	d.sort()
	return nil
}

// encode is the file of a point: see Dir.read.
func (p *Point) encode(cluster uint64, im *state.Image) []byte {
	b := []byte(pointMagic)
	b = binary.LittleEndian.AppendUint32(b, format)
	b = binary.LittleEndian.AppendUint64(b, cluster)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Taken.UnixMilli()))
	b = append(b, im.Encode()...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// begin opens a directory for a backup of a cluster, and makes it if there is none. Until the Closer
// is closed no other process can. A directory that holds anything else is left as it is. Of the points only what
// readRuns returns is known.
func begin(fsys vfs.FS, path string, cluster, history uint64) (*Dir, io.Closer, error) {
	d, err := openHead(fsys, path)
	switch {
	case errors.Is(err, ErrNoBackup):
		err = makeRoom(fsys, path)
	case err == nil:
		err = d.isOf(cluster, history)
	}
	if err != nil {
		return nil, nil, err
	}
	lock, err := fsys.Lock(filepath.Join(path, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, nil, fmt.Errorf("%w: %s", ErrInUse, path)
	} else if err != nil {
		return nil, nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// Another process may have made a point before this one had the lock, or the directory, also for another cluster, or
	// have been killed before the names were durable.
	if d, err = openHead(fsys, path); errors.Is(err, ErrNoBackup) {
		d, err = create(fsys, path, cluster, history)
	}
	if err == nil {
		err = d.isOf(cluster, history)
	}
	if err == nil {
		err = d.load(d.readRuns)
	}
	if err = errors.Join(err, vfs.SyncDir(fsys, path), vfs.MakeDir(fsys, path)); err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return d, lock, nil
}

// isOf refuses the backup of another cluster.
func (d *Dir) isOf(cluster, history uint64) error {
	if d.Cluster != cluster || d.History != history {
		return fmt.Errorf("%w: %s is of cluster %016x, and the servers are of %016x; name another directory (a cluster that was restored is another one)", ErrOtherCluster, d.path, d.Cluster, cluster)
	}
	return nil
}

// makeRoom makes a directory where there is none, and refuses one that holds anything.
func makeRoom(fsys vfs.FS, path string) error {
	names, err := fsys.List(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list %s: %w", path, err)
	}
	for _, name := range names {
		if name != "lost+found" && name != lockName && name != headName+vfs.TempSuffix {
			return fmt.Errorf("%w: %s holds %q; name a backup, or an empty or a new directory", ErrNoBackup, path, name)
		}
	}
	return vfs.MakeDir(fsys, path)
}

// create makes the first file of a backup. Caller has the lock: else one of two clusters could take the directory
// from the other.
func create(fsys vfs.FS, path string, cluster, history uint64) (*Dir, error) {
	if err := vfs.WriteFile(fsys, filepath.Join(path, headName), encodeHead(cluster, history)); err != nil {
		return nil, err
	}
	return openHead(fsys, path)
}

// encodeHead is the file BACKUP.
func encodeHead(cluster, history uint64) []byte {
	b := []byte(headMagic)
	b = binary.LittleEndian.AppendUint32(b, format)
	b = binary.LittleEndian.AppendUint64(b, cluster)
	b = binary.LittleEndian.AppendUint64(b, history)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}
