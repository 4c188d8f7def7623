package etcd

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/crypto/bcrypt"

	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
	"balsa.example/state/auth"
)

var authMethods = []Method{
	unary("/etcdserverpb.Auth/AuthEnable", Admin, (*Face).AuthEnable),
	unary("/etcdserverpb.Auth/AuthDisable", Admin, (*Face).AuthDisable),
	unary("/etcdserverpb.Auth/AuthStatus", Anyone, (*Face).AuthStatus),
	unary("/etcdserverpb.Auth/Authenticate", Anyone, (*Face).Authenticate),
	unary("/etcdserverpb.Auth/UserAdd", Admin, (*Face).UserAdd),
	unary("/etcdserverpb.Auth/UserGet", User, (*Face).UserGet),
	unary("/etcdserverpb.Auth/UserList", Admin, (*Face).UserList),
	unary("/etcdserverpb.Auth/UserDelete", Admin, (*Face).UserDelete),
	unary("/etcdserverpb.Auth/UserChangePassword", Admin, (*Face).UserChangePassword),
	unary("/etcdserverpb.Auth/UserGrantRole", Admin, (*Face).UserGrantRole),
	unary("/etcdserverpb.Auth/UserRevokeRole", Admin, (*Face).UserRevokeRole),
	unary("/etcdserverpb.Auth/RoleAdd", Admin, (*Face).RoleAdd),
	unary("/etcdserverpb.Auth/RoleGet", User, (*Face).RoleGet),
	unary("/etcdserverpb.Auth/RoleList", Admin, (*Face).RoleList),
	unary("/etcdserverpb.Auth/RoleDelete", Admin, (*Face).RoleDelete),
	unary("/etcdserverpb.Auth/RoleGrantPermission", Admin, (*Face).RoleGrantPermission),
	unary("/etcdserverpb.Auth/RoleRevokePermission", Admin, (*Face).RoleRevokePermission),
}

// changeUsers executes a change, and returns the header of the response.
func (f *Face) changeUsers(ctx context.Context, c *Caller, change auth.Change) (*pb.ResponseHeader, error) {
	result, err := f.submit(ctx, c, translate.AuthCommand(change))
	if err != nil {
		return nil, err
	}
	return f.origin().Header(result.Revision), translate.Refusal(result.Code)
}

// authError is the error for clients where a user could not be proved.
func authError(err error) error {
	switch {
	case errors.Is(err, access.ErrNotEnabled):
		return translate.ErrAuthNotEnabled
	case errors.Is(err, access.ErrFailed):
		return translate.ErrAuthFailed
	case errors.Is(err, access.ErrNoPasswordUser):
		return translate.ErrNoPasswordUser
	case errors.Is(err, access.ErrBusy):
		return translate.ErrTooManyRequests
	case errors.Is(err, bcrypt.ErrPasswordTooLong):
		return translate.ErrLongPassword
	}
	return failed(err, translate.ReadFailed)
}

// source is Config.Source.
func (f *Face) source(ctx context.Context) string {
	if f.cfg.Source == nil {
		return ""
	}
	return f.cfg.Source(ctx)
}

// Authenticate gives a token for a password.
func (f *Face) Authenticate(ctx context.Context, _ *Caller, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	limited, cancel := context.WithTimeout(ctx, f.requestTimeout())
	defer cancel()
	token, err := f.access.Authenticate(limited, f.source(ctx), r.Name, r.Password)
	if err != nil {
		return nil, authError(err)
	}
	return &pb.AuthenticateResponse{Header: f.header(), Token: token}, nil
}

// AuthEnable switches authentication on.
func (f *Face) AuthEnable(ctx context.Context, c *Caller, _ *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	h, err := f.changeUsers(ctx, c, auth.Change{Kind: auth.Enable, Secret: access.NewSecret()})
	if err != nil {
		return nil, err
	}
	return &pb.AuthEnableResponse{Header: h}, nil
}

// AuthDisable switches authentication off.
func (f *Face) AuthDisable(ctx context.Context, c *Caller, _ *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	h, err := f.changeUsers(ctx, c, auth.Change{Kind: auth.Disable})
	if err != nil {
		return nil, err
	}
	return &pb.AuthDisableResponse{Header: h}, nil
}

// AuthStatus tells whether authentication is on.
func (f *Face) AuthStatus(ctx context.Context, _ *Caller, _ *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	if err := f.fresh(ctx); err != nil {
		return nil, err
	}
	t := f.access.Table()
	return &pb.AuthStatusResponse{Header: f.header(), Enabled: t.Enabled(), AuthRevision: t.Revision()}, nil
}

// UserAdd adds a user.
func (f *Face) UserAdd(ctx context.Context, c *Caller, r *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	change := translate.UserAdd(r)
	if !change.NoPassword {
		if err := f.hash(ctx, r.Password, &change); err != nil {
			return nil, err
		}
	}
	h, err := f.changeUsers(ctx, c, change)
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserAddResponse{Header: h}, nil
}

// hash puts the hash of a password into a change. Only that comes into the log.
func (f *Face) hash(ctx context.Context, password string, change *auth.Change) (err error) {
	if change.Hash, err = f.access.HashPassword(ctx, f.source(ctx), password); err != nil {
		return authError(err)
	}
	return nil
}

// UserChangePassword changes a password, and makes the tokens of the user invalid.
func (f *Face) UserChangePassword(ctx context.Context, c *Caller, r *pb.AuthUserChangePasswordRequest) (*pb.AuthUserChangePasswordResponse, error) {
	change, err := translate.UserPassword(r)
	if err == nil && r.Password != "" {
		err = f.hash(ctx, r.Password, &change)
	}
	if err != nil {
		return nil, err
	}
	h, err := f.changeUsers(ctx, c, change)
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserChangePasswordResponse{Header: h}, nil
}

// UserDelete deletes a user.
func (f *Face) UserDelete(ctx context.Context, c *Caller, r *pb.AuthUserDeleteRequest) (*pb.AuthUserDeleteResponse, error) {
	h, err := f.changeUsers(ctx, c, auth.Change{Kind: auth.UserDelete, User: r.Name})
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserDeleteResponse{Header: h}, nil
}

// UserGrantRole gives a user a role.
func (f *Face) UserGrantRole(ctx context.Context, c *Caller, r *pb.AuthUserGrantRoleRequest) (*pb.AuthUserGrantRoleResponse, error) {
	h, err := f.changeUsers(ctx, c, auth.Change{Kind: auth.UserGrant, User: r.User, Role: r.Role})
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserGrantRoleResponse{Header: h}, nil
}

// UserRevokeRole takes a role from a user.
func (f *Face) UserRevokeRole(ctx context.Context, c *Caller, r *pb.AuthUserRevokeRoleRequest) (*pb.AuthUserRevokeRoleResponse, error) {
	h, err := f.changeUsers(ctx, c, auth.Change{Kind: auth.UserRevoke, User: r.Name, Role: r.Role})
	if err != nil {
		return nil, err
	}
	return &pb.AuthUserRevokeRoleResponse{Header: h}, nil
}

// RoleAdd adds a role.
func (f *Face) RoleAdd(ctx context.Context, c *Caller, r *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	h, err := f.changeUsers(ctx, c, auth.Change{Kind: auth.RoleAdd, Role: r.Name})
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleAddResponse{Header: h}, nil
}

// RoleDelete deletes a role, and takes it from all users.
func (f *Face) RoleDelete(ctx context.Context, c *Caller, r *pb.AuthRoleDeleteRequest) (*pb.AuthRoleDeleteResponse, error) {
	h, err := f.changeUsers(ctx, c, auth.Change{Kind: auth.RoleDelete, Role: r.Role})
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleDeleteResponse{Header: h}, nil
}

// RoleGrantPermission gives a role a permission.
func (f *Face) RoleGrantPermission(ctx context.Context, c *Caller, r *pb.AuthRoleGrantPermissionRequest) (*pb.AuthRoleGrantPermissionResponse, error) {
	change, err := translate.RoleGrant(r)
	if err != nil {
		return nil, err
	}
	h, err := f.changeUsers(ctx, c, change)
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleGrantPermissionResponse{Header: h}, nil
}

// RoleRevokePermission takes a permission from a role.
func (f *Face) RoleRevokePermission(ctx context.Context, c *Caller, r *pb.AuthRoleRevokePermissionRequest) (*pb.AuthRoleRevokePermissionResponse, error) {
	h, err := f.changeUsers(ctx, c, translate.RoleRevoke(r))
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleRevokePermissionResponse{Header: h}, nil
}

// usersFor returns the users and roles for a caller with the role root, or for one that asks about
// its own.
func (f *Face) usersFor(ctx context.Context, c *Caller, own func(*auth.User) bool) (*auth.Table, error) {
	if err := f.fresh(ctx); err != nil {
		return nil, err
	}
	t := f.access.Table()
	code := t.Require(c.user.Name, c.user.Stamp, true)
	if code == kv.CodePermissionDenied && own != nil && own(t.User(c.user.Name)) {
		return t, nil
	}
	return t, translate.Refusal(code)
}

// UserGet tells the roles of a user.
func (f *Face) UserGet(ctx context.Context, c *Caller, r *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	t, err := f.usersFor(ctx, c, func(u *auth.User) bool { return u != nil && u.Name == r.Name })
	if err != nil {
		return nil, err
	}
	u := t.User(r.Name)
	if u == nil {
		return nil, translate.ErrUserNotFound
	}
	return &pb.AuthUserGetResponse{Header: f.header(), Roles: u.Roles}, nil
}

// RoleGet tells the permissions of a role.
func (f *Face) RoleGet(ctx context.Context, c *Caller, r *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	t, err := f.usersFor(ctx, c, func(u *auth.User) bool { return u != nil && u.Has(r.Role) })
	if err != nil {
		return nil, err
	}
	role := t.Role(r.Role)
	if role == nil {
		return nil, translate.ErrRoleNotFound
	}
	return translate.RoleGetResponse(f.header(), role), nil
}

// UserList lists the users.
func (f *Face) UserList(ctx context.Context, c *Caller, _ *pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
	t, err := f.usersFor(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	return translate.UserListResponse(f.header(), t), nil
}

// RoleList lists the roles.
func (f *Face) RoleList(ctx context.Context, c *Caller, _ *pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
	t, err := f.usersFor(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	return translate.RoleListResponse(f.header(), t), nil
}
