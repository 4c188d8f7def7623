package etcd

import (
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/etcdfile"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/vfs"
)

const (
	// snapshotPageBytes is about how much of the store is read at a time for a snapshot,
	// snapshotPartBytes how large the parts are in which it is sent, as etcd's.
	snapshotPageBytes = 1 << 20
	snapshotPartBytes = 32 << 10
	// minSnapshotSpace is what a snapshot leaves free on the disk: the log needs it more.
	minSnapshotSpace = 256 << 20
)

var errNoSnapshotSpace = &translate.Error{
	Code: translate.ResourceExhausted, Text: "etcdserver: too little space on the disk for the file of a snapshot",
}

// Snapshot sends a file of etcd with the keys, leases, users and roles that this member has, without
// history. The keys are those of one revision. A member makes one at a time.
func (f *Face) Snapshot(_ *Caller, s Stream) (err error) {
	if err := s.Receive(new(pb.SnapshotRequest)); err != nil {
		return err
	}
	if f.cfg.SnapshotDir == "" {
		return &translate.Error{Code: translate.Unimplemented, Text: "etcdserver: this server has no directory for snapshots"}
	}
	if !f.snapshots.TryLock() {
		return translate.ErrTooManyRequests
	}
	defer f.snapshots.Unlock()
	if f.cfg.OnSnapshot != nil {
		end := f.cfg.OnSnapshot()
		defer func() { end(err) }()
	}
	if err := f.spaceForSnapshot(2 * f.cfg.Member.Status().LiveBytes); err != nil {
		return err
	}
	d, err := etcdfile.Create(f.cfg.SnapshotDir)
	if err != nil {
		return snapshotFailed(err)
	}
	defer d.Close()
	revision, err := f.draftKeys(s, d)
	if err != nil {
		return snapshotFailed(err)
	}
	if err := d.Finish(f.snapshotState(revision)); err != nil {
		return snapshotFailed(err)
	}
	return d.Read(snapshotPartBytes, func(part []byte, remaining int64) error {
		return s.Send(&pb.SnapshotResponse{Blob: part, RemainingBytes: uint64(remaining), Version: StorageVersion})
	})
}

// spaceForSnapshot returns an error if a file of so many bytes would leave too little space.
func (f *Face) spaceForSnapshot(bytes int64) error {
	free, err := vfs.OS.Available(f.cfg.SnapshotDir)
	if err != nil {
		return snapshotFailed(err)
	}
	if free < minSnapshotSpace+uint64(max(bytes, 0)) {
		return errNoSnapshotSpace
	}
	return nil
}

// draftKeys writes the keys of one revision, and returns it.
func (f *Face) draftKeys(s Stream, d *etcdfile.Draft) (revision int64, err error) {
	pages := translate.Pages{Bytes: snapshotPageBytes, Origin: f.origin()}
	for !pages.Done() {
		if err := s.Context().Err(); err != nil {
			return 0, err
		}
		page, err := pages.Next(f.cfg.Node.Store())
		if err != nil {
			return 0, translate.ReadFailed(err)
		}
		for _, kv := range translate.KeyValues(page.Entries) {
			if err := d.Put(kv); err != nil {
				return 0, err
			}
		}
		if err := f.spaceForSnapshot(0); err != nil {
			return 0, err
		}
		if pages.Done() {
			revision = int64(page.Revision)
		}
	}
	return revision, nil
}

// snapshotState returns what a snapshot has besides keys.
func (f *Face) snapshotState(revision int64) *etcdfile.State {
	status := f.cfg.Member.Status()
	table, _ := f.cfg.Node.Store().Auth()
	state := &etcdfile.State{
		Revision: uint64(revision), Index: status.Applied, Term: status.Term, StorageVersion: StorageVersion,
		AuthEnabled: table.Enabled(), AuthRevision: table.Revision(),
	}
	for _, m := range f.cfg.Member.Members() {
		state.Voters = append(state.Voters, m.ID)
	}
	for _, id := range f.cfg.Node.Store().Leases() {
		if info, _, ok := f.cfg.Node.Store().Lease(id, false); ok && !info.Session {
			state.Leases = append(state.Leases, etcdfile.Lease{ID: id, TTL: time.Duration(info.TTL)})
		}
	}
	for _, u := range table.Users() {
		state.Users = append(state.Users, &authpb.User{
			Name: []byte(u.Name), Password: u.Hash, Roles: u.Roles, Options: &authpb.UserAddOptions{NoPassword: u.NoPassword},
		})
	}
	for _, r := range table.Roles() {
		state.Roles = append(state.Roles, &authpb.Role{Name: []byte(r.Name), KeyPermission: translate.Permissions(r)})
	}
	return state
}

// snapshotFailed returns the error of a snapshot. The client may try again.
func snapshotFailed(err error) error {
	var told *translate.Error
	if err == nil || errors.As(err, &told) {
		return err
	}
	return &translate.Error{Code: translate.Unavailable, Text: "etcdserver: snapshot: " + err.Error()}
}
