package etcdfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The buckets of a database.
const (
	bucketKey   = "key"
	bucketMeta  = "meta"
	bucketLease = "lease"
	bucketAuth  = "auth"
	bucketUsers = "authUsers"
	bucketRoles = "authRoles"
)

const (
	revisionBytes = 17 // main revision, '_', number of the change in that revision
	tombstone     = 't'
	maxTTL        = 9_000_000_000 // seconds, as etcd's
)

// revision is the place of a record: a revision, and the number of the change in it.
type revision struct{ main, sub int64 }

func (r revision) after(other revision) bool {
	return r.main > other.main || r.main == other.main && r.sub > other.sub
}

func parseRevision(key []byte) (r revision, deletes bool, err error) {
	deletes = len(key) == revisionBytes+1 && key[revisionBytes] == tombstone
	if len(key) != revisionBytes && !deletes || key[8] != '_' {
		return r, false, damaged("%x is no revision", key)
	}
	r = revision{int64(binary.BigEndian.Uint64(key)), int64(binary.BigEndian.Uint64(key[9:]))}
	if r.main < 1 || r.sub < 0 {
		return r, false, damaged("revision %d is out of range", r.main)
	}
	return r, deletes, nil
}

// check reads all once: the records that File.Each will read, the leases, and what is left out.
func (f *File) check(tx *bbolt.Tx) error {
	if size := tx.Size(); size > f.bytes {
		return damaged("the file is cut: it has %d bytes of %d", f.bytes, size)
	}
	if err := checkPages(tx, f.file, f.bytes); err != nil {
		return err
	}
	if tx.Bucket([]byte(bucketKey)) == nil {
		return damaged("the database has no bucket %q", bucketKey)
	}
	last, err := eachRecord(tx, func(r revision, deletes bool, kv *mvccpb.KeyValue) error {
		if deletes {
			delete(f.newest, string(kv.Key))
		} else {
			f.newest[string(kv.Key)] = r
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.Revision = last.main
	f.Keys = int64(len(f.newest))
	return errors.Join(f.readAuth(tx), f.readLeases(tx))
}

// eachRecord reads the changes of all keys in their order, and returns the last revision.
func eachRecord(tx *bbolt.Tx, yield func(revision, bool, *mvccpb.KeyValue) error) (last revision, err error) {
	c := tx.Bucket([]byte(bucketKey)).Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		r, deletes, err := parseRevision(key)
		if err != nil {
			return last, err
		}
		if !r.after(last) {
			return last, damaged("revision %d stands behind %d", r.main, last.main)
		}
		last = r
		if len(value) == 0 {
			continue // only a revision: "etcdutl snapshot restore --bump-revision" leaves it
		}
		kv := new(mvccpb.KeyValue)
		if err := proto.Unmarshal(value, kv); err != nil {
			return last, damaged("revision %d: %w", r.main, err)
		}
		if len(kv.Key) == 0 {
			return last, damaged("revision %d has no key", r.main)
		}
		if err := yield(r, deletes, kv); err != nil {
			return last, err
		}
	}
	return last, nil
}

// readLeases reads the leases. They are few, and small.
func (f *File) readLeases(tx *bbolt.Tx) error {
	b := tx.Bucket([]byte(bucketLease))
	if b == nil {
		return nil
	}
	return b.ForEach(func(_, value []byte) error {
		var id, ttl uint64
		for rest := value; len(rest) > 0; {
			number, kind, n := protowire.ConsumeTag(rest)
			if n < 0 {
				return damaged("a lease: %w", protowire.ParseError(n))
			}
			size := protowire.ConsumeFieldValue(number, kind, rest[n:])
			if size < 0 {
				return damaged("a lease: %w", protowire.ParseError(size))
			}
			if kind == protowire.VarintType {
				switch v, _ := protowire.ConsumeVarint(rest[n:]); number {
				case 1:
					id = v
				case 2:
					ttl = v
				}
			}
			rest = rest[n+size:]
		}
		if id == 0 {
			return damaged("a lease has no id")
		}
		seconds := min(max(int64(min(ttl, math.MaxInt64)), 1), maxTTL)
		f.Leases = append(f.Leases, Lease{ID: int64(id), TTL: time.Duration(seconds) * time.Second})
		return nil
	})
}

// readAuth reads users and roles. They are few, and small.
func (f *File) readAuth(tx *bbolt.Tx) error {
	if b := tx.Bucket([]byte(bucketAuth)); b != nil {
		enabled := b.Get([]byte("authEnabled"))
		f.AuthEnabled = len(enabled) == 1 && enabled[0] == 1
	}
	var err error
	if f.Roles, err = named(tx, bucketRoles, func() *authpb.Role { return new(authpb.Role) }); err != nil {
		return err
	}
	f.Users, err = named(tx, bucketUsers, func() *authpb.User { return new(authpb.User) })
	return err
}

// named reads the messages of a bucket, each of which stands under its name.
func named[M interface {
	proto.Message
	GetName() []byte
}](tx *bbolt.Tx, bucket string, empty func() M) (all []M, err error) {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil, nil
	}
	err = b.ForEach(func(name, value []byte) error {
		m := empty()
		if err := proto.Unmarshal(value, m); err != nil {
			return damaged("%q in %s: %w", name, bucket, err)
		}
		if !bytes.Equal(m.GetName(), name) {
			return damaged("%q in %s has the name %q", name, bucket, m.GetName())
		}
		all = append(all, m)
		return nil
	})
	return all, err
}

// Each calls a function with each key that exists, as its last change left it, in the order of those
// changes. An error of the function ends it, and is returned.
func (f *File) Each(yield func(*mvccpb.KeyValue) error) error {
	return f.db.View(func(tx *bbolt.Tx) error {
		_, err := eachRecord(tx, func(r revision, deletes bool, kv *mvccpb.KeyValue) error {
			if deletes || f.newest[string(kv.Key)] != r {
				return nil
			}
			return yield(kv)
		})
		return err
	})
}
