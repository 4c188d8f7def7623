package sim

import (
	"bytes"
	"maps"

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
