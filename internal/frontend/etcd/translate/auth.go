//balsa:pure

package translate

import (
	"encoding/base64"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/state"
	"balsa.example/state/auth"
)

// AuthCommand is the command of a change of users and roles.
func AuthCommand(c auth.Change) state.Command {
	return state.Command{More: &state.More{Kind: state.KindAuth, Auth: &c}}
}

// UserAdd is the change that adds a user, without the hash of its password.
func UserAdd(r *pb.AuthUserAddRequest) auth.Change {
	return auth.Change{Kind: auth.UserAdd, User: r.Name, NoPassword: r.Options.GetNoPassword()}
}

// UserPassword is the change of a password. Like etcd's API it takes a hash in place of a password.
func UserPassword(r *pb.AuthUserChangePasswordRequest) (auth.Change, error) {
	c := auth.Change{Kind: auth.UserPassword, User: r.Name}
	if r.Password != "" {
		return c, nil
	}
	var err error
	if c.Hash, err = base64.StdEncoding.DecodeString(r.HashedPassword); err != nil {
		return c, ErrNoPasswordUser
	}
	return c, nil
}

// RoleGrant is the change that gives a role a permission.
func RoleGrant(r *pb.AuthRoleGrantPermissionRequest) (auth.Change, error) {
	c := auth.Change{Kind: auth.RoleGrant, Role: r.Name}
	if r.Perm == nil {
		return c, ErrPermissionNotGiven
	}
	var access auth.Access
	switch r.Perm.PermType {
	case authpb.Permission_READ:
		access = auth.Read
	case authpb.Permission_WRITE:
		access = auth.Write
	case authpb.Permission_READWRITE:
		access = auth.ReadWrite
	default:
		return c, ErrInvalidAuthMgmt
	}
	c.Permission = auth.Permission{Access: access, Key: string(r.Perm.Key), End: string(r.Perm.RangeEnd)}
	return c, nil
}

// RoleRevoke is the change that takes a permission from a role.
func RoleRevoke(r *pb.AuthRoleRevokePermissionRequest) auth.Change {
	p := auth.Permission{Key: string(r.Key), End: string(r.RangeEnd)}
	return auth.Change{Kind: auth.RoleRevoke, Role: r.Role, Permission: p}
}

// RoleGetResponse tells what a role may do. The role root may do everything.
func RoleGetResponse(h *pb.ResponseHeader, r *auth.Role) *pb.AuthRoleGetResponse {
	if r.Name == auth.RootName {
		all := &authpb.Permission{PermType: authpb.Permission_READWRITE, RangeEnd: []byte{0}}
		return &pb.AuthRoleGetResponse{Header: h, Perm: []*authpb.Permission{all}}
	}
	return &pb.AuthRoleGetResponse{Header: h, Perm: Permissions(r)}
}

// Permissions are those that a role was given.
func Permissions(r *auth.Role) (all []*authpb.Permission) {
	for _, p := range r.Permissions {
		all = append(all, &authpb.Permission{PermType: accessOf[p.Access], Key: []byte(p.Key), RangeEnd: []byte(p.End)})
	}
	return all
}

var accessOf = [...]authpb.Permission_Type{
	auth.Read: authpb.Permission_READ, auth.Write: authpb.Permission_WRITE, auth.ReadWrite: authpb.Permission_READWRITE,
}

// UserListResponse and RoleListResponse list names.
func UserListResponse(h *pb.ResponseHeader, t *auth.Table) *pb.AuthUserListResponse {
	resp := &pb.AuthUserListResponse{Header: h}
	for _, u := range t.Users() {
		resp.Users = append(resp.Users, u.Name)
	}
	return resp
}

func RoleListResponse(h *pb.ResponseHeader, t *auth.Table) *pb.AuthRoleListResponse {
	resp := &pb.AuthRoleListResponse{Header: h}
	for _, r := range t.Roles() {
		resp.Roles = append(resp.Roles, r.Name)
	}
	return resp
}
