package main

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"

	"balsa.example/clerk"
)

// userImport writes the roles and users of a file of etcd. Each is a record, numbered behind those of
// the keys: the roles, then the users, and at last that authentication is on. One that is there
// already stays as it is, but for the one with which an import goes on: that may be written in part.
type userImport struct {
	source *etcdSource
	w      *batchWriter
	number uint64          // of the latest record
	roles  map[string]bool // that are there
	users  map[string]bool
}

// importUsers writes the roles and users, when the keys are written. Then it returns what is left to
// do; nil if there is nothing of that.
func (s *etcdSource) importUsers(ctx context.Context, w *batchWriter) (*userImport, error) {
	if s.withoutUsers || len(s.Users)+len(s.Roles) == 0 {
		return nil, nil
	}
	i := &userImport{source: s, w: w, number: uint64(s.Keys), roles: make(map[string]bool), users: make(map[string]bool)}
	if err := i.call(ctx, i.ask); err != nil {
		return nil, w.resumable(max(s.from, i.number+1), w.connection.explainCall("user list", err))
	}
	return i, i.write(ctx)
}

// ask asks what is there.
func (i *userImport) ask(ctx context.Context) error {
	all, err := i.w.clerk.Users(ctx)
	for _, r := range all.Roles {
		i.roles[r.Name] = true
	}
	for _, u := range all.Users {
		i.users[u.Name] = true
	}
	return err
}

// write writes all roles and users.
func (i *userImport) write(ctx context.Context) error {
	for _, r := range i.source.Roles {
		if err := i.record(ctx, "role", string(r.Name), i.roles, func(ctx context.Context, there bool) error {
			return i.role(ctx, r, there)
		}); err != nil {
			return err
		}
	}
	for _, u := range i.source.Users {
		if err := i.record(ctx, "user", string(u.Name), i.users, func(ctx context.Context, there bool) error {
			return i.user(ctx, u, there)
		}); err != nil {
			return err
		}
	}
	return nil
}

// record writes the next record, unless it is before the first one to write, or there already.
func (i *userImport) record(ctx context.Context, kind, name string, known map[string]bool, write func(_ context.Context, there bool) error) error {
	i.number++
	first := i.source.from
	there := known[name]
	switch {
	case i.number < first:
		return nil
	case ctx.Err() != nil:
		return i.w.stopped(ctx, i.number)
	case there && (i.number > first || first == 1):
		i.source.note("balsa: %s %q is there already, and stays as it is", kind, name)
		return nil
	}
	if err := write(ctx, there); err != nil {
		return i.w.resumable(i.number, fmt.Errorf("%s %q: %w", kind, name, i.w.connection.explainCall(kind+" add", err)))
	}
	if kind == "role" {
		i.w.roles++
	} else {
		i.w.users++
	}
	return nil
}

// call makes a change. --timeout is for each.
func (i *userImport) call(ctx context.Context, change func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, i.w.connection.timeout)
	defer cancel()
	return change(ctx)
}

func (i *userImport) role(ctx context.Context, r *authpb.Role, there bool) error {
	name, ck := string(r.Name), i.w.clerk
	if !there {
		if err := i.call(ctx, func(ctx context.Context) error { return ck.AddRole(ctx, name) }); err != nil {
			return err
		}
	}
	if name == rootName { // it may do everything, whatever its permissions are
		return nil
	}
	for _, p := range r.KeyPermission {
		p := clerk.Permission{Access: clerk.Access(p.PermType), Span: spanOfEtcd(string(p.Key), string(p.RangeEnd))}
		if err := i.call(ctx, func(ctx context.Context) error { return ck.Allow(ctx, name, p) }); err != nil {
			return err
		}
	}
	return nil
}

func (i *userImport) user(ctx context.Context, u *authpb.User, there bool) error {
	name, ck := string(u.Name), i.w.clerk
	if !there {
		if err := i.call(ctx, func(ctx context.Context) error {
			if u.GetOptions().GetNoPassword() || len(u.Password) == 0 {
				return ck.AddUserWithoutPassword(ctx, name)
			}
			return ck.AddUserWithHash(ctx, name, u.Password)
		}); err != nil {
			return err
		}
	}
	for _, role := range u.Roles {
		if err := i.call(ctx, func(ctx context.Context) error { return ck.GrantRole(ctx, name, role) }); err != nil {
			return err
		}
	}
	return nil
}

// enable switches authentication on if it was on in the file.
func (i *userImport) enable(ctx context.Context) error {
	if i == nil || !i.source.AuthEnabled {
		return nil
	}
	i.number++
	if err := i.call(ctx, i.w.clerk.EnableAuth); err != nil {
		return i.w.resumable(i.number, i.w.connection.explainCall("auth enable", err))
	}
	i.w.authEnabled = true
	return nil
}

// rootName is the name of the user and of the role that may do everything.
const rootName = "root"

// spanOfEtcd is the keys of a permission: no end is the single key, and one zero byte all keys from it on.
func spanOfEtcd(key, end string) clerk.Span {
	switch end {
	case "":
		return clerk.Key(key)
	case "\x00":
		return clerk.FromKey(key)
	}
	return clerk.Span{From: key, To: end}
}

// usersText is a line about roles and users; empty if there were none.
func (w *batchWriter) usersText() string {
	if w.users+w.roles == 0 && !w.authEnabled {
		return ""
	}
	text := fmt.Sprintf("imported %s and %s", counted(w.users, "user"), counted(w.roles, "role"))
	if w.authEnabled {
		text += "; authentication is on"
	}
	return text + "\n"
}
