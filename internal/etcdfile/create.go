package etcdfile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// draftName is the file that a Draft is in, for a moment: it is removed once it is open.
	draftName = "etcd-snapshot.tmp"
	// A transaction of a Draft has so many keys, or so many bytes. Both are in memory.
	maxDraftKeys  = 8192
	maxDraftBytes = 8 << 20
)

// Draft is a database of etcd that is being made. It has no history: it is compacted at its revision.
type Draft struct {
	db   *bbolt.DB
	file *os.File // the same, to be read
	keys int64
	size int64 // of what Finish has made

	pending [][2][]byte // revision and record, those that no transaction has written
	bytes   int
}

// State is what a database has besides keys.
type State struct {
	Revision       uint64
	Index, Term    uint64 // of the log
	Voters         []uint64
	StorageVersion string
	Leases         []Lease
	AuthEnabled    bool
	AuthRevision   uint64
	Users          []*authpb.User
	Roles          []*authpb.Role
}

// Create begins a Draft in a directory, in which there is one Draft at a time. Its file has no name:
// nothing of it is left when the process ends.
func Create(dir string) (*Draft, error) {
	path := filepath.Join(dir, draftName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err = errors.Join(err, os.Remove(path)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	d := &Draft{db: db, file: file}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{
			bucketKey, bucketMeta, bucketLease, "alarm", "cluster", "members", "members_removed", bucketAuth, bucketUsers, bucketRoles,
		} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Put adds a key. Keys of one revision are told apart by their number in the file.
func (d *Draft) Put(kv *mvccpb.KeyValue) error {
	record, err := proto.Marshal(kv)
	if err != nil {
		return err
	}
	d.pending = append(d.pending, [2][]byte{revisionKey(uint64(kv.ModRevision), uint64(d.keys)), record})
	d.keys++
	if d.bytes += len(record); len(d.pending) < maxDraftKeys && d.bytes < maxDraftBytes {
		return nil
	}
	return d.flush()
}

func (d *Draft) flush() error {
	err := d.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketKey))
		for _, p := range d.pending {
			if err := b.Put(p[0], p[1]); err != nil {
				return err
			}
		}
		return nil
	})
	d.pending, d.bytes = d.pending[:0], 0
	return err
}

func revisionKey(main, sub uint64) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, revisionBytes), main)
	return binary.BigEndian.AppendUint64(append(b, '_'), sub)
}

// Finish writes the rest. Then the Draft can be read.
func (d *Draft) Finish(s *State) error {
	if err := d.flush(); err != nil {
		return err
	}
	if err := d.db.Update(s.write); err != nil {
		return err
	}
	return d.db.View(func(tx *bbolt.Tx) error { d.size = tx.Size(); return nil })
}

func (s *State) write(tx *bbolt.Tx) error {
	voters, err := json.Marshal(map[string]any{"voters": s.Voters, "auto_leave": false})
	if err != nil {
		return err
	}
	enabled := []byte{0}
	if s.AuthEnabled {
		enabled[0] = 1
	}
	type entry struct {
		bucket     string
		key, value []byte
	}
	all := []entry{
		{bucketMeta, []byte("consistent_index"), binary.BigEndian.AppendUint64(nil, s.Index)},
		{bucketMeta, []byte("term"), binary.BigEndian.AppendUint64(nil, s.Term)},
		{bucketMeta, []byte("confState"), voters},
		{bucketMeta, []byte("storageVersion"), []byte(s.StorageVersion)},
		{bucketMeta, []byte("scheduledCompactRev"), revisionKey(s.Revision, 0)},
		{bucketMeta, []byte("finishedCompactRev"), revisionKey(s.Revision, 0)},
		{bucketAuth, []byte("authEnabled"), enabled},
		{bucketAuth, []byte("authRevision"), binary.BigEndian.AppendUint64(nil, s.AuthRevision)},
	}
	for _, l := range s.Leases {
		all = append(all, entry{bucketLease, binary.BigEndian.AppendUint64(nil, uint64(l.ID)), l.encode()})
	}
	for _, u := range s.Users {
		b, err := proto.Marshal(u)
		if err != nil {
			return err
		}
		all = append(all, entry{bucketUsers, u.Name, b})
	}
	for _, r := range s.Roles {
		b, err := proto.Marshal(r)
		if err != nil {
			return err
		}
		all = append(all, entry{bucketRoles, r.Name, b})
	}
	for _, e := range all {
		if err := tx.Bucket([]byte(e.bucket)).Put(e.key, e.value); err != nil {
			return fmt.Errorf("%s %q: %w", e.bucket, e.key, err)
		}
	}
	return nil
}

// encode returns a lease as etcd has it, in whole seconds.
func (l Lease) encode() []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(l.ID))
	return protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(l.seconds()))
}

// Read calls a function with the database part by part, and with its hash at the end, as a snapshot
// of etcd has it. The function may keep no part.
func (d *Draft) Read(partBytes int, yield func(part []byte, remaining int64) error) error {
	h := sha256.New()
	r := io.NewSectionReader(d.file, 0, d.size)
	part := make([]byte, partBytes)
	for left := d.size; left > 0; {
		n, err := io.ReadFull(r, part[:min(left, int64(partBytes))])
		if err != nil {
			return err
		}
		h.Write(part[:n])
		left -= int64(n)
		if err := yield(part[:n], left); err != nil {
			return err
		}
	}
	return yield(h.Sum(nil), 0)
}

// Close ends a Draft, and frees its space.
func (d *Draft) Close() error { return errors.Join(d.db.Close(), d.file.Close()) }
