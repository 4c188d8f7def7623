package state

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"balsa.example/kv/run"
	"balsa.example/raft"

	"github.com/cespare/xxhash/v2"
)

// manifest is the durable state at one position: which files it consists of. The file MANIFEST
// holds the newest one, and is replaced as a whole:
//
//	magic "BALSAMAN", format (4 bytes), cluster (8 bytes), fields, xxhash64 of all before
//
// Format 2 has the history (8 bytes) before the fields. It is written where there is one.
type manifest struct {
	position raft.SnapshotMeta
	// history stands in all runs; 0: that is the cluster. A cluster that was restored goes on with the
	// runs of another one, and has a manifest of its own.
	history uint64
	// hash is Machine.Hash at the position.
	hash      uint64
	compacted uint64
	small     smallFile
	nextFile  uint32
	runs      []run.Info
}

// smallFile is the file with the state that has no revisions.
type smallFile struct {
	number   uint32
	bytes    int64
	checksum uint64
}

const (
	manifestMagic  = "BALSAMAN"
	manifestFormat = 2
	manifestHead   = len(manifestMagic) + 4 + 8
)

// ErrManifest says that the file MANIFEST is damaged.
var ErrManifest = errors.New("state: the manifest is damaged")

// ErrDamaged says that the MANIFEST of this member itself is damaged, so that it does not know what it had. No
// later start is better.
var ErrDamaged = errors.New("this member has to be replaced")

func (m *manifest) encode(cluster uint64) []byte {
	format := uint32(1)
	if m.history != 0 {
		format = manifestFormat
	}
	b := []byte(manifestMagic)
	b = binary.LittleEndian.AppendUint32(b, format)
	b = binary.LittleEndian.AppendUint64(b, cluster)
	if m.history != 0 {
		b = binary.LittleEndian.AppendUint64(b, m.history)
	}
	b = raft.AppendSnapshotMeta(b, m.position)
	e := encoder{b}
	for _, v := range []uint64{
		m.hash, m.compacted, uint64(m.small.number), uint64(m.small.bytes), m.small.checksum, uint64(m.nextFile), uint64(len(m.runs)),
	} {
		e.number(v)
	}
	for i := range m.runs {
		e.run(&m.runs[i])
	}
	return binary.LittleEndian.AppendUint64(e.b, xxhash.Sum64(e.b))
}

// check refuses a manifest with runs that no history can have.
func (m *manifest) check() error {
	if err := run.CheckInfos(m.runs, m.nextFile); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return nil
}

// lastRevision is that of the last record, 0 if there is none.
func (m *manifest) lastRevision() uint64 {
	if len(m.runs) == 0 {
		return 0
	}
	return m.runs[len(m.runs)-1].Last
}

// historyIn returns what stands in the runs of a member of a cluster.
func (m *manifest) historyIn(cluster uint64) uint64 { return cmp.Or(m.history, cluster) }

func (e *encoder) run(r *run.Info) {
	for _, v := range []uint64{
		uint64(r.File), r.First, r.Last, uint64(r.Records), uint64(r.RecordBytes), uint64(r.Bytes), r.Checksum, r.ChainBefore, r.ChainAfter,
	} {
		e.number(v)
	}
	e.flags(r.Sealed, r.Rewritten)
}

// decodeManifest believes nothing before the checksum is checked.
func decodeManifest(b []byte, cluster uint64) (*manifest, error) {
	end := len(b) - 8
	switch {
	case end < manifestHead || string(b[:len(manifestMagic)]) != manifestMagic,
		xxhash.Sum64(b[:end]) != binary.LittleEndian.Uint64(b[end:]):
		return nil, ErrManifest
	}
	b = b[len(manifestMagic):end]
	format := binary.LittleEndian.Uint32(b)
	if format == 0 || format > manifestFormat {
		return nil, fmt.Errorf("%w: the manifest has format %d, this program reads up to %d", ErrNewer, format, manifestFormat)
	}
	if c := binary.LittleEndian.Uint64(b[4:]); c != cluster {
		return nil, fmt.Errorf("state: the manifest is of cluster %016x, not %016x", c, cluster)
	}
	m := new(manifest)
	if b = b[12:]; format > 1 {
		if len(b) < 8 {
			return nil, ErrManifest
		}
		m.history, b = binary.LittleEndian.Uint64(b), b[8:]
	}
	var err error
	if m.position, b, err = raft.DecodeSnapshotMeta(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	d := decoder{b: b}
	m.hash, m.compacted = d.number(), d.number()
	m.small = smallFile{uint32(d.number()), int64(d.number()), d.number()}
	m.nextFile = uint32(d.number())
	m.runs = make([]run.Info, d.count(10))
	for i := range m.runs {
		d.run(&m.runs[i])
	}
	if d.err != nil || len(d.b) > 0 {
		return nil, ErrManifest
	}
	return m, nil
}

func (d *decoder) run(r *run.Info) {
	r.File, r.First, r.Last = uint32(d.number()), d.number(), d.number()
	r.Records, r.RecordBytes, r.Bytes = int64(d.number()), int64(d.number()), int64(d.number())
	r.Checksum, r.ChainBefore, r.ChainAfter = d.number(), d.number(), d.number()
	flags := d.byte()
	r.Sealed, r.Rewritten = flags&1 != 0, flags&2 != 0
}
