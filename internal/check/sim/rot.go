package sim

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/state"
	"balsa.example/vfs"
	"balsa.example/wal"
)

// rotCopies damages copies of the disk, one after the other. Of each it demands that the
// damage is detected, or has changed nothing. So many kinds of damage are tried, and no node
// is lost.
func (d *disk) rotCopies(n int) {
	if d.log == nil || len(d.possible) > 0 || len(d.failedSnapshots) > 0 || d.fs.dead {
		return
	}
	now, previous := d.model, d.previous // equal loads the model, which may replace its log by the snapshot
	for range n {
		fs := d.fs.copy()
		damage := fs.rot()
		options := d.walOptions()
		options.FS = fs
		log, err := wal.Open(walDir, options, d.identity())
		if err != nil {
			continue
		}
		s, err := d.loadBehindState(log)
		log.Close() // only closes files
		if err != nil || now.equal(s) {
			continue
		}
		if damage == bitFlipped || damage == sectorZeroed && !previous.equal(s) {
			d.w.failf("corruption undetected", "a copy of the disk of %s loads %d entries after %s of term %d; it held %s",
				d.id, len(s.Entries), s.Snapshot, s.HardState.Term, d.model.String())
		}
	}
}

// copy returns a file system of its own with the same files.
func (fs *memFS) copy() *memFS {
	c := newMemFS(fs.rand)
	nodes := map[*memNode]*memNode{}
	of := func(n *memNode) *memNode {
		if nodes[n] == nil {
			nodes[n] = &memNode{data: bytes.Clone(n.data), synced: bytes.Clone(n.synced), dirty: maps.Clone(n.dirty), lost: n.lost}
		}
		return nodes[n]
	}
	for name, n := range fs.files {
		c.files[name] = of(n)
	}
	for name, n := range fs.synced {
		c.synced[name] = of(n)
	}
	return c
}

// wholeFile is a file of the machine's newest state that is not damaged. What may be behind its first bytes counts for
// nothing.
type wholeFile struct {
	name  string
	bytes int64
}

// wholeFiles returns those of one kind: sometimes the manifest, or the small file, mostly the runs.
func (d *disk) wholeFiles() (files []wholeFile) {
	im, err := state.ReadDir(d.files, stateDir, 1)
	if im == nil || err != nil {
		return nil
	}
	prefix := ""
	switch dice := d.w.rand.IntN(10); {
	case dice == 0 && d.w.mix.MaxWitness == unlimited: // a member that starts with a damaged one is away for good
		prefix = manifestPath
	case dice == 1, dice == 2:
		prefix = smallPath
	default:
		for _, info := range im.Runs() {
			files = append(files, wholeFile{run.Files{Dir: stateDir}.Path(info.File), info.Bytes})
		}
	}
	for name, n := range d.files.files {
		if prefix != "" && strings.HasPrefix(name, prefix) && !strings.HasSuffix(name, vfs.TempSuffix) {
			files = append(files, wholeFile{name, int64(len(n.data))})
		}
	}
	slices.SortFunc(files, func(a, b wholeFile) int { return cmp.Compare(a.name, b.name) })
	return slices.DeleteFunc(files, func(f wholeFile) bool {
		n := d.files.files[f.name]
		return n == nil || n.lost || f.bytes == 0 || int64(len(n.data)) < f.bytes || slices.ContainsFunc(d.rotten, func(r rottenFile) bool { return r.node == n })
	})
}

const (
	manifestPath = stateDir + "/MANIFEST"
	smallPath    = stateDir + "/small-"
)

// rotFile damages one file of the machine's newest state, or loses it. It returns false if there is none. A manifest is
// not lost: without one a machine begins anew, and its log says that this is not possible.
func (d *disk) rotFile() bool {
	if d.files == nil {
		return false
	}
	files := d.wholeFiles()
	if len(files) == 0 {
		return false
	}
	f := files[d.w.rand.IntN(len(files))]
	n := d.files.files[f.name]
	whole := bytes.Clone(n.data)
	before := whole[:f.bytes]
	if n.lost = d.w.chance(0.2) && f.name != manifestPath; n.lost {
		d.w.check.counts.FilesLost++
	}
	for !n.lost && bytes.HasPrefix(n.data, before) { // zeros may be zeroed
		n.data = bytes.Clone(whole)
		n.rot(d.w.rand)
	}
	d.rotten, d.rots = append(d.rotten, rottenFile{n, before, bytes.Clone(n.data[:min(len(n.data), len(before))])}), true
	d.w.trace.text(d.w.now, d.id, "rot", "%s, lost: %t", f.name, n.lost)
	return true
}

// rottenImage returns the manifest or the small file in use, if that is damaged; of both the manifest, which nobody can
// repair. Its name is the first in order.
func (d *disk) rottenImage() string {
	if !d.isRotten() {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(d.files.files)) {
		n := d.files.files[name]
		if (name == manifestPath || strings.HasPrefix(name, smallPath)) && slices.ContainsFunc(d.rotten, func(r rottenFile) bool { return r.node == n }) {
			return name
		}
	}
	return ""
}

// rottenFile is a file that was damaged, and what it held before and then, of what counts. If it begins with something
// else now, it was written anew, under its old name: a file that no manifest names is overwritten after a restart. If
// it begins with what it held before, that was written once more.
type rottenFile struct {
	node         *memNode
	before, data []byte
}

func (r *rottenFile) isRotten() bool {
	return r.node.lost || bytes.HasPrefix(r.node.data, r.data) && !bytes.HasPrefix(r.node.data, r.before)
}

// isRotten tells whether files are there that rotFile has damaged, or would be after a power loss. A node that could
// not repair them all before it started may have replaced some by what has come so far of others.
func (d *disk) isRotten() bool {
	if len(d.rotten) == 0 {
		return d.unopened
	}
	there := map[*memNode]bool{}
	if d.files != nil {
		for _, names := range []map[string]*memNode{d.files.files, d.files.synced} {
			for _, n := range names {
				there[n] = true
			}
		}
	}
	d.rotten = slices.DeleteFunc(d.rotten, func(r rottenFile) bool { return !there[r.node] || !r.isRotten() })
	return len(d.rotten) > 0 || d.unopened
}

// usesRotten tells whether files are in use that rotFile has damaged. One that has been removed may come back
// with a power loss, but no manifest names it any more.
func (d *disk) usesRotten() bool {
	return d.isRotten() && (d.unopened || slices.ContainsFunc(d.rotten, func(r rottenFile) bool {
		return slices.Contains(slices.Collect(maps.Values(d.files.files)), r.node)
	}))
}

// damaged tells whether anything on the disk is.
func (d *disk) damaged() bool { return d.damage != none || d.isRotten() }

// excuses tells whether an error may come of files that rotFile has damaged.
func (d *disk) excuses(err error) bool {
	return d.rots && (errors.As(err, new(*run.CorruptError)) || errors.Is(err, state.ErrSmall))
}

// rotStates damages copies of the files of a machine, one after the other. Of each it demands that
// what can be read is right: damage is an error, or has changed nothing that is read.
func (n *node) rotStates(times int) {
	if n.disk.files == nil || len(n.disk.files.files) == 0 {
		return
	}
	for range times {
		fs := n.disk.files.copy()
		fs.rot()
		m := state.New(state.Config{FS: fs, Dir: stateDir, Cluster: 1, ID: n.id, RunBytes: runBytes, CacheBytes: -1})
		if _, _, err := m.Open(); err != nil {
			n.w.check.counts.Rotten++
			continue
		}
		if err := n.w.check.readable(m); err != nil {
			n.w.failf("corruption undetected", "a copy of the state of %s: %v", n.id, err)
		}
	}
}

// readable checks all that can be read of a damaged state.
func (k *checker) readable(m *state.Machine) error {
	at := m.Revision()
	got, err := m.Range(kv.RangeOp{})
	if err != nil {
		k.counts.Rotten++
		return nil
	}
	entries := k.truth.At(at)
	if d := naive.DifferRange(got, kv.RangeResult{Entries: entries, Count: int64(len(entries)), Revision: at}); d != "" {
		return fmt.Errorf("at %d: %s", at, d)
	}
	if err := k.scan(m); !errors.Is(err, errUnreadable) {
		return err
	}
	k.counts.Rotten++
	return nil
}
