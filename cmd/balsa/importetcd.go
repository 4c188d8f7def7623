package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/clerk"
	"balsa.example/internal/etcdfile"
)

// etcdSource is a file of etcd that is whole. Its keys are numbered from 1 on, in the order of their
// last changes.
type etcdSource struct {
	*etcdfile.File
	from         uint64
	leases       []etcdfile.Lease // those to grant
	withoutUsers bool
	note         func(format string, args ...any) error
}

func (o *origin) openEtcd(p *program) (importSource, error) {
	f, err := p.openEtcdFile(o.etcd)
	if err != nil {
		return nil, err
	}
	s := &etcdSource{File: f, from: o.fromRecord, withoutUsers: o.withoutUsers, note: p.note}
	if !o.withoutLeases {
		s.leases = f.Leases
	}
	return s, nil
}

// openEtcdFile opens a file of etcd that is whole.
func (p *program) openEtcdFile(path string) (*etcdfile.File, error) {
	checking := p.waiting("checking " + path)
	f, err := etcdfile.Open(path)
	checking.end()
	var failed *fs.PathError
	switch {
	case errors.As(err, &failed):
		return nil, usageError("%w", err)
	case err != nil:
		return nil, usageError("%s: %w; nothing is written", path, err)
	}
	if !f.Hashed {
		p.note("balsa: %s has no hash at its end, so damage inside of values is not seen; a snapshot has one", path)
	}
	return f, nil
}

func (*etcdSource) unit() string { return "record" }

// writeTo grants the leases, writes the keys, roles and users, and lets the leases live from then on.
// Until then the Clerk keeps them alive.
func (s *etcdSource) writeTo(ctx context.Context, w *batchWriter) error {
	leases, err := s.grant(ctx, w)
	if err != nil {
		return err
	}
	number := uint64(0)
	err = s.Each(func(kv *mvccpb.KeyValue) error {
		number++
		if number < s.from {
			return nil
		}
		if ctx.Err() != nil {
			return w.stopped(ctx, number)
		}
		return w.add(ctx, numbered{number: number, pair: pair{string(kv.Key), kv.Value}, lease: leases[kv.Lease]})
	})
	if err != nil {
		return err
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	users, err := s.importUsers(ctx, w)
	if err != nil {
		return err
	}
	for _, id := range leases {
		if err := w.keepAlive(ctx, id); err != nil {
			return fmt.Errorf("all keys are written, but %w", err)
		}
	}
	return users.enable(ctx)
}

// grant grants the leases, and returns the new id of each. That is the old one, so that an import
// which goes on finds the leases of the one that stopped. An id of etcd's may be negative, though,
// and those of this service are not.
func (s *etcdSource) grant(ctx context.Context, w *batchWriter) (map[int64]int64, error) {
	leases := make(map[int64]int64, len(s.leases))
	for _, l := range s.leases {
		granted, err := w.grant(ctx, l)
		if err != nil {
			return nil, w.resumable(max(s.from, 1), err)
		}
		leases[l.ID] = granted
		w.leases++
	}
	return leases, nil
}

func (w *batchWriter) grant(ctx context.Context, l etcdfile.Lease) (id int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.connection.timeout)
	defer cancel()
	var granted *clerk.Lease
	if l.ID > 0 {
		granted, err = w.clerk.GrantID(ctx, l.ID, l.TTL)
	} else {
		granted, err = w.clerk.Grant(ctx, l.TTL)
	}
	if err != nil {
		return 0, w.connection.explainCall("lease grant", err)
	}
	return granted.ID(), nil
}

func (w *batchWriter) keepAlive(ctx context.Context, id int64) error {
	ctx, cancel := context.WithTimeout(ctx, w.connection.timeout)
	defer cancel()
	_, err := w.clerk.KeepAlive(ctx, id)
	return w.connection.explainCall("lease keep-alive "+leaseText(id), err)
}
