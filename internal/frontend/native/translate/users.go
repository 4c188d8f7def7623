//balsa:pure

package translate

import (
	"errors"
	"fmt"
	"slices"

	"balsa.example/api"
	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// Users is what a Handler needs to check what users may read. What they may write is decided where
// it is executed.
type Users interface {
	Auth() (t *auth.Table, replaced <-chan struct{})
	// NextLeaseKey returns the first key of a lease from one on, false if there is none.
	NextLeaseKey(id int64, from string) (key string, ok bool)
}

// As returns a Handler for the requests of a user.
func (h *Handler) As(user string, stamp uint64) *Handler {
	own := *h
	own.user, own.stamp = user, stamp
	return &own
}

// named lets a command name its user.
func (h *Handler) named(m *state.More) *state.More {
	m.User, m.UserStamp = h.user, h.stamp
	return m
}

func (h *Handler) table() *auth.Table {
	t, _ := h.Users.Auth()
	return t
}

// anyUser tells whether the user may do what is for every user.
func (h *Handler) anyUser() kv.Code {
	if h.Users == nil {
		return kv.CodeOK
	}
	return h.table().Require(h.user, h.stamp, false)
}

// hasRights tells whether there are rights to look at. A GET asks before it makes a span of its key.
func (h *Handler) hasRights() bool { return h.Users != nil && h.table().Enabled() }

// mayRead tells whether the user may read a span, as this replica knows it.
func (h *Handler) mayRead(span kv.Span) kv.Code {
	if h.Users == nil {
		return kv.CodeOK
	}
	return h.table().Check(h.user, h.stamp, span, false)
}

// mayUse tells whether the user may read, or write, all keys of a lease.
func (h *Handler) mayUse(lease int64, write bool) kv.Code {
	if h.Users == nil {
		return kv.CodeOK
	}
	next := func(from string) (string, bool) { return h.Users.NextLeaseKey(lease, from) }
	return h.table().CheckAll(h.user, h.stamp, next, write)
}

// guarded reads into a reply what a right is needed for. The right is checked before, and again
// after: what was written when it was gone is not shown.
func guarded(right func() kv.Code, read func(*api.Reply)) func(*api.Reply) {
	return func(r *api.Reply) {
		code := right()
		if code == kv.CodeOK {
			read(r)
			code = right()
		}
		if code != kv.CodeOK {
			id := r.Id
			r.Reset()
			r.Id = id
			refused(r, code)
		}
	}
}

// listed are those of some leases whose keys the user may read. Ids of sessions are for their
// owners alone: whoever knows one could spoil it.
func (h *Handler) listed(ids []int64) []int64 {
	if h.Users == nil || h.table().Require(h.user, h.stamp, true) == kv.CodeOK {
		return ids
	}
	return slices.DeleteFunc(ids, func(id int64) bool {
		info, ok := h.Store.Lease(id, false)
		return !ok || info.Session || h.mayUse(id, false) != kv.CodeOK
	})
}

// UsersChange is the change that a client asks for, without what a server adds: the hash of the
// password, and a secret.
func UsersChange(c *api.UsersChange) (auth.Change, error) {
	change := auth.Change{Kind: auth.ChangeKind(c.Kind), User: c.User, Role: c.Role, NoPassword: c.NoPassword}
	if c.Kind == api.UsersChange_USER_ADD_HASHED {
		change.Kind, change.Hash = auth.UserAdd, c.PasswordHash
	}
	_, known := api.UsersChange_Kind_name[int32(c.Kind)]
	isAdd, isRole := c.Kind == api.UsersChange_USER_ADD, c.Kind == api.UsersChange_ROLE_GRANT || c.Kind == api.UsersChange_ROLE_REVOKE
	switch {
	case !known || c.Kind == 0:
		return change, fmt.Errorf("kind is unknown: %d", c.Kind)
	case c.NoPassword && !isAdd:
		return change, fmt.Errorf("no_password is set, which a %s has none of", c.Kind)
	case c.NoPassword && c.Password != "":
		return change, errors.New("password is set, and no_password, too")
	case c.Password != "" && !isAdd && c.Kind != api.UsersChange_USER_PASSWORD:
		return change, fmt.Errorf("password is set, which a %s has none of", c.Kind)
	case len(c.PasswordHash) > 0 != (c.Kind == api.UsersChange_USER_ADD_HASHED):
		return change, fmt.Errorf("password_hash belongs to USER_ADD_HASHED, and the kind is %s", c.Kind)
	case c.Permission != nil != isRole:
		return change, fmt.Errorf("permission belongs to ROLE_GRANT and ROLE_REVOKE, and the kind is %s", c.Kind)
	case !isRole:
		return change, nil
	}
	var err error
	change.Permission, err = permissionOf(c.Permission)
	return change, err
}

func permissionOf(p *api.Permission) (auth.Permission, error) {
	if _, known := api.Permission_Access_name[int32(p.Access)]; !known {
		return auth.Permission{}, fmt.Errorf("access is unknown: %d", p.Access)
	}
	span, err := spanOf(p.Span)
	if err != nil {
		return auth.Permission{}, err
	}
	return auth.PermissionOf(auth.Access(p.Access), span), nil
}

// UsersReply is what users and roles there are, of those that are asked for: the whole of them if
// all is set. It has no hashes.
func UsersReply(t *auth.Table, users []*auth.User, roles []*auth.Role) *api.UsersReply {
	reply := &api.UsersReply{Enabled: t.Enabled(), AuthRevision: t.Revision()}
	for _, u := range users {
		reply.Users = append(reply.Users, &api.UserReply{Name: u.Name, Roles: u.Roles, NoPassword: u.NoPassword})
	}
	for _, r := range roles {
		role := &api.RoleReply{Name: r.Name}
		for _, p := range r.Permissions {
			span := p.Span()
			role.Permissions = append(role.Permissions, &api.Permission{
				Access: api.Permission_Access(p.Access),
				Span:   &api.Span{From: []byte(span.From), To: []byte(span.To), Open: span.To == ""},
			})
		}
		reply.Roles = append(reply.Roles, role)
	}
	return reply
}
