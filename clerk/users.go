package clerk

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
)

// UserAdmin is an interface that a Caller may implement too. The Clerk's own does.
type UserAdmin interface {
	ChangeUsers(ctx context.Context, address string, change *api.UsersChange) (*api.UsersChanged, error)
	Users(ctx context.Context, address string, req *api.UsersRequest) (*api.UsersReply, error)
}

// Access is what a Permission allows.
type Access uint8

const (
	ReadAccess Access = iota
	WriteAccess
	ReadWriteAccess
)

func (a Access) String() string {
	switch a {
	case ReadAccess:
		return "read"
	case WriteAccess:
		return "write"
	case ReadWriteAccess:
		return "readwrite"
	}
	return fmt.Sprintf("Access(%d)", uint8(a))
}

// Permission allows a role to read or write the keys of a span.
type Permission struct {
	Access Access
	Span   Span
}

// User is a user of the cluster, and Role one of the roles.
type User struct {
	Name       string
	Roles      []string
	NoPassword bool // only a certificate proves the user
}

// Role is one of the roles of a cluster. The role root may do everything.
type Role struct {
	Name        string
	Permissions []Permission
}

// Users are the users and roles of a cluster.
type Users struct {
	// Enabled tells whether authentication is on.
	Enabled bool
	// Revision counts the changes of users and roles, from 1 on.
	Revision uint64
	Users    []User
	Roles    []Role
}

// EnableAuth switches authentication on: from then on every call needs a user. There must be a user
// root that has the role root.
func (c *Clerk) EnableAuth(ctx context.Context) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_ENABLE})
}

// DisableAuth switches authentication off. All tokens are invalid from then on.
func (c *Clerk) DisableAuth(ctx context.Context) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_DISABLE})
}

// AddUser adds a user with a password.
func (c *Clerk) AddUser(ctx context.Context, user, password string) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_USER_ADD, User: user, Password: password})
}

// AddUserWithHash adds a user of another store, with the hash of its password by bcrypt: the password is
// what it was there.
func (c *Clerk) AddUserWithHash(ctx context.Context, user string, hash []byte) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_USER_ADD_HASHED, User: user, PasswordHash: hash})
}

// AddUserWithoutPassword adds a user that only a certificate proves.
func (c *Clerk) AddUserWithoutPassword(ctx context.Context, user string) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_USER_ADD, User: user, NoPassword: true})
}

// DeleteUser deletes a user.
func (c *Clerk) DeleteUser(ctx context.Context, user string) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_USER_DELETE, User: user})
}

// SetPassword gives a user another password. Its tokens are invalid from then on.
func (c *Clerk) SetPassword(ctx context.Context, user, password string) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_USER_PASSWORD, User: user, Password: password})
}

// GrantRole gives a user a role, and RevokeRole takes one away.
func (c *Clerk) GrantRole(ctx context.Context, user, role string) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_USER_GRANT_ROLE, User: user, Role: role})
}

// RevokeRole takes a role from a user.
func (c *Clerk) RevokeRole(ctx context.Context, user, role string) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_USER_REVOKE_ROLE, User: user, Role: role})
}

// AddRole adds a role.
func (c *Clerk) AddRole(ctx context.Context, role string) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_ROLE_ADD, Role: role})
}

// DeleteRole deletes a role, and takes it from all users.
func (c *Clerk) DeleteRole(ctx context.Context, role string) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_ROLE_DELETE, Role: role})
}

// Allow gives a role a permission, instead of one that it may have over the same span.
func (c *Clerk) Allow(ctx context.Context, role string, p Permission) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_ROLE_GRANT, Role: role, Permission: permissionMessage(p)})
}

// Disallow takes the permission over a span from a role.
func (c *Clerk) Disallow(ctx context.Context, role string, span Span) error {
	return c.changeUsers(ctx, &api.UsersChange{Kind: api.UsersChange_ROLE_REVOKE, Role: role, Permission: permissionMessage(Permission{Span: span})})
}

func permissionMessage(p Permission) *api.Permission {
	return &api.Permission{Access: api.Permission_Access(p.Access), Span: p.Span.message()}
}

// User returns one user, Role one role. A user may ask about itself and its roles, and one with
// the role root about all.
func (c *Clerk) User(ctx context.Context, name string) (User, error) {
	all, err := c.users(ctx, &api.UsersRequest{User: name})
	if err != nil || len(all.Users) == 0 {
		return User{}, err
	}
	return all.Users[0], nil
}

// Role returns one role.
func (c *Clerk) Role(ctx context.Context, name string) (Role, error) {
	all, err := c.users(ctx, &api.UsersRequest{Role: name})
	if err != nil || len(all.Roles) == 0 {
		return Role{}, err
	}
	return all.Roles[0], nil
}

// Users returns all users and roles.
func (c *Clerk) Users(ctx context.Context) (Users, error) {
	return c.users(ctx, &api.UsersRequest{All: true})
}

// AuthStatus tells whether authentication is on, and the revision of users and roles. Everybody may
// ask.
func (c *Clerk) AuthStatus(ctx context.Context) (Users, error) {
	return c.users(ctx, &api.UsersRequest{})
}

func (c *Clerk) users(ctx context.Context, req *api.UsersRequest) (Users, error) {
	reply, _, err := anywhere(ctx, c, func(admin UserAdmin, address string) (*api.UsersReply, error) {
		return admin.Users(ctx, address, req)
	})
	if err != nil {
		return Users{}, fmt.Errorf("read users: %w", err)
	}
	all := Users{Enabled: reply.Enabled, Revision: reply.AuthRevision}
	for _, u := range reply.Users {
		all.Users = append(all.Users, User{u.Name, u.Roles, u.NoPassword})
	}
	for _, r := range reply.Roles {
		role := Role{Name: r.Name}
		for _, p := range r.Permissions {
			span := Span{From: string(p.GetSpan().GetFrom()), To: string(p.GetSpan().GetTo())}
			role.Permissions = append(role.Permissions, Permission{Access(p.Access), span})
		}
		all.Roles = append(all.Roles, role)
	}
	return all, nil
}

// changeUsers makes a change at the first server that answers. It is not sent again: after ErrMaybe
// it may have been made.
func (c *Clerk) changeUsers(ctx context.Context, change *api.UsersChange) error {
	what := func(err error) error { return fmt.Errorf("change users: %w", err) }
	_, address, err := anywhere(ctx, c, func(admin UserAdmin, address string) (*api.UsersReply, error) {
		return admin.Users(ctx, address, &api.UsersRequest{})
	})
	if err != nil {
		return what(err)
	}
	if _, err = c.caller.(UserAdmin).ChangeUsers(ctx, address, change); err == nil {
		return nil
	}
	if inDoubt(err) {
		return what(&maybeError{ended: ctx.Err(), last: err.Error()})
	}
	return what(errorOf(err))
}

// inDoubt tells whether a change may have been made that ended with an error: no server has refused it.
// codes.Internal is what gRPC says of a stream that something on the way has broken off.
func inDoubt(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal:
		return !Denied(err) && !errors.Is(err, ErrNotSent)
	}
	return false
}

// Denied tells whether an error says that a server refused a call because of its user: ErrPermissionDenied or
// ErrUnauthenticated.
func Denied(err error) bool {
	return errors.Is(err, ErrPermissionDenied) || errors.Is(err, ErrUnauthenticated)
}

// errorOf is the error of a call that a server refused.
func errorOf(err error) error {
	s, ok := status.FromError(err)
	if !ok || Denied(err) {
		return err
	}
	switch s.Code() {
	case codes.InvalidArgument, codes.FailedPrecondition:
		return annotate(ErrInvalid, s.Message())
	case codes.ResourceExhausted:
		return annotate(ErrBusy, s.Message())
	}
	return err
}

// anywhere asks one server after the other, until one answers. It returns the address of that one.
func anywhere[R any](ctx context.Context, c *Clerk, call func(UserAdmin, string) (R, error)) (reply R, address string, err error) {
	admin, ok := c.caller.(UserAdmin)
	if !ok {
		return reply, "", errNoAdmin
	}
	for address, why := range c.answering(ctx) {
		if ended := c.ended(ctx); ended != nil {
			return reply, "", ended
		}
		if err = why; err != nil {
			continue
		}
		if reply, err = call(admin, address); err == nil {
			return reply, address, nil
		}
		if code := status.Code(err); code != codes.Unavailable && code != codes.Unknown || Denied(err) {
			return reply, "", errorOf(err)
		}
	}
	return reply, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// ChangeUsers implements UserAdmin.
func (n *network) ChangeUsers(ctx context.Context, address string, change *api.UsersChange) (*api.UsersChanged, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, err
	}
	return unary(ctx, l, func(ctx context.Context, kv api.KVClient) (*api.UsersChanged, error) {
		return kv.ChangeUsers(ctx, change)
	})
}

// Users implements UserAdmin.
func (n *network) Users(ctx context.Context, address string, req *api.UsersRequest) (*api.UsersReply, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, err
	}
	return unary(ctx, l, func(ctx context.Context, kv api.KVClient) (*api.UsersReply, error) { return kv.Users(ctx, req) })
}
