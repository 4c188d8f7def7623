package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/backup"
	"balsa.example/internal/etcdfile"
	"balsa.example/kv"
	"balsa.example/kv/run"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// restoreEtcd makes a data directory from a file of etcd.
func (p *program) restoreEtcd(ctx context.Context, path string, f restoreFlags) (*restoredJSON, error) {
	if f.revision != 0 || f.at != "" {
		return nil, usageError("%s is a file, and has one state: --revision and --time are for backups in directories", path)
	}
	file, err := p.openEtcdFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	foundation := state.Foundation{
		ID: max(binary.LittleEndian.Uint64(file.Hash[:]), 1), Revision: uint64(max(file.Revision, 1)),
		Each: func(yield func(*run.Record) error) error {
			return file.Each(func(kv *mvccpb.KeyValue) error { return yield(recordOf(kv)) })
		},
	}
	for _, l := range file.Leases {
		if l.ID <= 0 {
			return nil, usageError("%s has the lease %d, and no id is negative here: \"balsa import --etcd\" grants it another one", path, l.ID)
		}
		foundation.Leases = append(foundation.Leases, state.GrantedLease{ID: l.ID, TTL: int64(l.TTL)})
	}
	if foundation.Users, err = usersOfEtcd(file); err != nil {
		return nil, usageError("%s: %w; nothing is written", path, err)
	}
	moveTo := uint64(0)
	if !f.keep {
		moveTo = foundation.Revision + restoreMargin
	}
	restored, err := p.writeRestored(f, 0, backup.At{Revision: foundation.Revision}, moveTo, func(r state.Restoration) (*state.Image, error) {
		return foundation.Restore(ctx, r)
	})
	if errors.Is(err, state.ErrFoundation) {
		err = usageError("%s: %w; nothing is written", path, err)
	}
	return restored, err
}

// recordOf is a key as it stands in the history. A negative number becomes one that no revision can be.
func recordOf(kv *mvccpb.KeyValue) *run.Record {
	return &run.Record{
		Key: kv.Key, Value: kv.Value, Lease: kv.Lease,
		Mod: uint64(kv.ModRevision), Create: uint64(kv.CreateRevision), Version: uint64(kv.Version),
	}
}

// usersOfEtcd are the users and roles of a file of etcd. Tokens are proved with a secret that all who restore
// the file make alike.
func usersOfEtcd(f *etcdfile.File) (*auth.Table, error) {
	t := auth.New()
	for _, c := range userChanges(f) {
		next, code := t.Do(c)
		if code != kv.CodeOK {
			return nil, fmt.Errorf("user %q, role %q: %v", c.User, c.Role, code)
		}
		t = next
	}
	return t, nil
}

func userChanges(f *etcdfile.File) (all []auth.Change) {
	for _, r := range f.Roles {
		name := string(r.Name)
		all = append(all, auth.Change{Kind: auth.RoleAdd, Role: name})
		if name == rootName { // it may do everything, whatever its permissions are
			continue
		}
		for _, p := range r.KeyPermission {
			span := auth.Permission{Key: string(p.Key), End: string(p.RangeEnd)}.Span()
			all = append(all, auth.Change{Kind: auth.RoleGrant, Role: name, Permission: auth.PermissionOf(auth.Access(p.PermType), span)})
		}
	}
	for _, u := range f.Users {
		name := string(u.Name)
		all = append(all, auth.Change{Kind: auth.UserAdd, User: name, Hash: u.Password, NoPassword: u.GetOptions().GetNoPassword()})
		for _, role := range u.Roles {
			all = append(all, auth.Change{Kind: auth.UserGrant, User: name, Role: role})
		}
	}
	if f.AuthEnabled {
		secret := sha256.Sum256(append([]byte("balsa restored secret"), f.Hash[:]...))
		all = append(all, auth.Change{Kind: auth.Enable, Secret: secret[:]})
	}
	return all
}
