package sim

import (
	"bytes"
	"maps"

	"balsa.example/wal"
)

// rotCopies damages copies of the disk, one after the other, and demands of each what is
// demanded of a damaged disk: that the damage is detected, or has harmed nothing. Many
// kinds are tried so, and no node is lost.
func (d *disk) rotCopies(n int) {
	if d.log == nil || len(d.maybe) > 0 || len(d.doubtful) > 0 || d.fs.dead {
		return
	}
	now, previous := d.model, d.previous // to compare is to load, which may let a snapshot replace the log
	for range n {
		fs := d.fs.copy()
		damage := fs.rot()
		options := d.walOptions()
		options.FS = fs
		log, err := wal.Open(walDir, options, d.identity())
		if err != nil {
			continue
		}
		s, err := loadNewest(log)
		log.Close() // only closes files
		if err != nil || now.equal(s) {
			continue
		}
		if damage == flipped || damage == hollowed && !previous.equal(s) {
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
			nodes[n] = &memNode{data: bytes.Clone(n.data), synced: bytes.Clone(n.synced), dirty: maps.Clone(n.dirty)}
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
