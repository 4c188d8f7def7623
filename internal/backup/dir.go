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
	damage           []error  // of each file of a point that is damaged
}

// Open reads what a directory has. It changes nothing. Points whose file is damaged, or that the disk does not give
// back, are left out: see Damage.
func Open(fsys vfs.FS, path string) (*Dir, error) {
	d := &Dir{fs: fsys, path: path}
	b, err := vfs.ReadFile(fsys, filepath.Join(path, headName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s has no file %s", ErrNoBackup, path, headName)
	case err != nil:
		return nil, err
	case len(b) != headBytes || string(b[:8]) != headMagic || xxhash.Sum64(b[:headBytes-8]) != binary.LittleEndian.Uint64(b[headBytes-8:]):
		return nil, fmt.Errorf("%w: wrong checksum of %s", ErrDamaged, filepath.Join(path, headName))
	case binary.LittleEndian.Uint32(b[8:]) != format:
		return nil, fmt.Errorf("%s has format %d, this program reads %d", path, binary.LittleEndian.Uint32(b[8:]), format)
	}
	d.Cluster, d.History = binary.LittleEndian.Uint64(b[12:]), binary.LittleEndian.Uint64(b[20:])
	names, err := fsys.List(path)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", path, err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, pointPrefix) || strings.HasSuffix(name, vfs.TempSuffix) {
			continue
		}
		switch p, _, err := d.read(name); {
		case errors.Is(err, ErrDamaged):
			d.damage = append(d.damage, err)
		case err != nil:
			return nil, err
		default:
			d.points = append(d.points, p)
		}
	}
	d.sort()
	return d, nil
}

// Damage has an error for each point that is of no use, since its file is damaged.
func (d *Dir) Damage() []error { return slices.Clone(d.damage) }

func (d *Dir) sort() {
	slices.SortFunc(d.points, func(a, b *Point) int { return cmp.Compare(a.Index, b.Index) })
	seen := map[uint32]int64{}
	for _, p := range d.points {
		p.New = 0
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
	if err != nil && !run.Innocent(err) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, nil, err
	}
	end := len(b) - 8
	if end < pointBefore || string(b[:8]) != pointMagic || xxhash.Sum64(b[:end]) != binary.LittleEndian.Uint64(b[end:]) {
		return nil, nil, fmt.Errorf("%w: wrong checksum of %s", ErrDamaged, path)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != format {
		return nil, nil, fmt.Errorf("%s has format %d, this program reads %d", path, v, format)
	}
	if c := binary.LittleEndian.Uint64(b[12:]); c != d.Cluster {
		return nil, nil, fmt.Errorf("%w: %s is of cluster %016x, %s of %016x", ErrOtherCluster, path, c, d.path, d.Cluster)
	}
	im, err := state.DecodeImage(b[pointBefore:end], d.Cluster)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	p := pointOf(im, time.UnixMilli(int64(binary.LittleEndian.Uint64(b[20:]))))
	p.Bytes += int64(len(b))
	return p, im, nil
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
	d.points = append(d.points, p)
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
// is closed no other process can. A directory that holds anything else is left as it is.
func begin(fsys vfs.FS, path string, cluster, history uint64) (*Dir, io.Closer, error) {
	d, err := Open(fsys, path)
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
	if d, err = Open(fsys, path); errors.Is(err, ErrNoBackup) {
		d, err = create(fsys, path, cluster, history)
	}
	if err == nil {
		err = d.isOf(cluster, history)
	}
	if err = errors.Join(err, vfs.SyncDir(fsys, path), vfs.MakeDir(fsys, path)); err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return d, lock, nil
}

// isOf refuses the backup of another cluster.
func (d *Dir) isOf(cluster, history uint64) error {
	if d.Cluster != cluster || d.History != history {
		return fmt.Errorf("%w: %s is of cluster %016x, and the servers are of %016x", ErrOtherCluster, d.path, d.Cluster, cluster)
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
	return Open(fsys, path)
}

// encodeHead is the file BACKUP.
func encodeHead(cluster, history uint64) []byte {
	b := []byte(headMagic)
	b = binary.LittleEndian.AppendUint32(b, format)
	b = binary.LittleEndian.AppendUint64(b, cluster)
	b = binary.LittleEndian.AppendUint64(b, history)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}
