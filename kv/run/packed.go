//balsa:pure

package run

import (
	"bytes"
	"encoding/binary"
)

// packed is what the index of a run says of its records, in their order. Each entry is as it stands in a block, but
// for its key, which is whole:
//
//	length of the fields u8 | key length v | key | fields
//
// So it is encoded once, one record after the other. Who sorts them goes back and forth, and they lie close together.
type packed struct {
	first uint64 // the run's first revision
	b     []byte
	items []sortItem
	// shared is what all keys begin with.
	shared []byte
	steps  []step
	last   uint64 // the revision of the entry before
}

// step is a record at which a scan may begin: the first one of its revision.
type step struct {
	mod uint64
	at  uint32
}

// packedBytes is about how long an entry is, with a key of 16 bytes.
const packedBytes = 40

func newPacked(first uint64, records int64) *packed {
	return &packed{first: first, b: make([]byte, 0, records*packedBytes), items: make([]sortItem, 0, records)}
}

// add adds the entry of the next record.
func (p *packed) add(e *Entry) {
	if len(p.items) == 0 {
		p.shared = bytes.Clone(e.Key)
	}
	p.shared = p.shared[:commonPrefix(p.shared, e.Key)]
	at := len(p.b)
	b := binary.AppendUvarint(append(p.b, 0), uint64(len(e.Key)))
	b = append(b, e.Key...)
	fields := len(b)
	b = e.appendFields(b, p.first)
	b[at] = byte(len(b) - fields)
	p.b, p.items = b, append(p.items, sortItem{at: uint32(at)})
	p.step(e)
}

// step notes about every stepBytes where a scan may begin.
func (p *packed) step(e *Entry) {
	next := uint32(stepBytes)
	if n := len(p.steps); n > 0 {
		next += p.steps[n-1].at
	}
	if e.Mod != p.last && e.At.Offset >= next {
		p.steps = append(p.steps, step{e.Mod, e.At.Offset})
	}
	p.last = e.Mod
}

// entry returns the key and the fields of an entry.
func (p *packed) entry(at uint32) (key, fields []byte) {
	b := p.b[at:]
	n, size := binary.Uvarint(b[1:])
	from, end := 1+size, 1+size+int(n)
	return b[from:end:end], b[end : end+int(b[0])]
}
