package native

import (
	"context"
	"errors"

	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/internal/metrics"
	"balsa.example/internal/replica"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/auth"
)

// user is the user of a call. Before there is a replica, nobody is, and a call that says who it is
// from has to come again.
func (s *Server) user(ctx context.Context) (access.User, error) {
	token, name := clients.Token(ctx), clients.CommonName(ctx)
	if token == "" && name == "" {
		return access.User{}, nil
	}
	r := s.replica.Load()
	if r == nil {
		return access.User{}, status.Error(codes.Unavailable, s.Waiting())
	}
	u, err := r.Access.Identify(ctx, token, name)
	return u, s.refusal(err)
}

// require returns the replica for a call of a user, or of one with the role root.
func (s *Server) require(ctx context.Context, root bool) (*replica.Replica, access.User, error) {
	r := s.replica.Load()
	if r == nil {
		return nil, access.User{}, status.Error(codes.Unavailable, s.Waiting())
	}
	u, err := s.user(ctx)
	if err == nil {
		err = s.refusal(r.Access.Require(ctx, u, root))
	}
	return r, u, err
}

// Require refuses a call of who is no user or, for what is only for the role root, has not that role. Its
// error is one of package status.
func (s *Server) Require(ctx context.Context, root bool) error {
	_, _, err := s.require(ctx, root)
	return err
}

// refusal is the status of a call that is refused. The errors are those of codes of package kv, of
// package access, and of a replica.
func (s *Server) refusal(err error) error {
	code, ofState := kv.CodeOf(err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case code == kv.CodeNoUser && ofState:
		return status.Error(codes.Unauthenticated, "authentication is on, and the call has no user")
	case code == kv.CodeInvalidToken && ofState, errors.Is(err, access.ErrFailed), errors.Is(err, access.ErrNoPasswordUser):
		return status.Error(codes.Unauthenticated, err.Error())
	case code == kv.CodePermissionDenied && ofState:
		return status.Error(codes.PermissionDenied, err.Error())
	case code == kv.CodeInvalid && ofState, code == kv.CodeNoRole && ofState, code == kv.CodeAuthChange && ofState,
		errors.Is(err, bcrypt.ErrPasswordTooLong):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, access.ErrBusy), errors.Is(err, rsm.ErrBusy), code == kv.CodeAuthLimit && ofState:
		return status.Error(codes.ResourceExhausted, err.Error())
	case ofState, errors.Is(err, access.ErrNotEnabled), errors.Is(err, state.ErrVersion):
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return status.Error(codes.Unavailable, s.cfg.Names(err.Error()))
}

// asUser answers the requests of a stream as those of one user.
type asUser struct {
	*Server
	requests *translate.Handler
}

// Follow implements handler.
func (a asUser) Follow(req *api.Request, trail *translate.Trail, reply func(*api.Reply)) {
	reply = a.counted(req.Kind, metrics.Now(), reply)
	if why := a.refusing(); why != "" {
		reply(translate.Unavailable(req.Id, why))
		return
	}
	a.requests.Follow(req, trail, reply)
}

// HandleGets implements handler.
func (a asUser) HandleGets(gets []translate.Get) {
	if a.countGets(gets) {
		a.requests.HandleGets(gets)
	}
}

// handlerFor answers the requests of a stream of a user, who may be nobody.
func (s *Server) handlerFor(u access.User) handler {
	if u == (access.User{}) {
		return s
	}
	return asUser{s, s.replica.Load().As(u.Name, u.Stamp)}
}

// Authenticate implements api.KVServer.
func (s *Server) Authenticate(ctx context.Context, req *api.AuthenticateRequest) (*api.AuthenticateReply, error) {
	r := s.replica.Load()
	if r == nil {
		return nil, status.Error(codes.Unavailable, s.Waiting())
	}
	token, err := r.Access.Authenticate(ctx, s.cfg.Port.SourceOf(ctx), req.User, req.Password)
	return &api.AuthenticateReply{Token: token}, s.refusal(err)
}

// ChangeUsers implements api.KVServer.
func (s *Server) ChangeUsers(ctx context.Context, req *api.UsersChange) (*api.UsersChanged, error) {
	change, err := translate.UsersChange(req)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	r, u, err := s.require(ctx, true)
	if err != nil {
		return nil, err
	}
	switch {
	case change.Kind == auth.Enable:
		change.Secret = access.NewSecret()
	case len(change.Hash) > 0:
		if _, err := bcrypt.Cost(change.Hash); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "password_hash is none of bcrypt: %v", err)
		}
	case change.Kind == auth.UserPassword, change.Kind == auth.UserAdd && !change.NoPassword:
		if change.Hash, err = r.Access.HashPassword(ctx, s.cfg.Port.SourceOf(ctx), req.Password); err != nil {
			return nil, s.refusal(err)
		}
	}
	c := state.Command{More: &state.More{Kind: state.KindAuth, Auth: &change, User: u.Name, UserStamp: u.Stamp}}
	result, _, err := r.Node.SubmitAnywhere(ctx, c)
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		return nil, s.refusal(err)
	}
	t, _ := r.State.Auth()
	return &api.UsersChanged{AuthRevision: t.Revision()}, nil
}

// Users implements api.KVServer.
func (s *Server) Users(ctx context.Context, req *api.UsersRequest) (*api.UsersReply, error) {
	r, u, err := s.require(ctx, false)
	ofNobody := req.User == "" && req.Role == "" && !req.All
	if err != nil && (!ofNobody || r == nil) {
		return nil, err
	}
	if _, err := r.Node.ReadAnywhere(ctx, raft.ReadByIndex); err != nil {
		return nil, s.refusal(err)
	}
	t, _ := r.State.Auth()
	if ofNobody {
		return translate.UsersReply(t, nil, nil), nil
	}
	own := t.User(u.Name)
	allowed := req.User == "" || req.User == u.Name
	allowed = allowed && (req.Role == "" || own != nil && own.Has(req.Role)) && !req.All
	if code := t.Require(u.Name, u.Stamp, !allowed); code != kv.CodeOK {
		return nil, s.refusal(code.Err())
	}
	if req.All {
		return translate.UsersReply(t, t.Users(), t.Roles()), nil
	}
	var users []*auth.User
	var roles []*auth.Role
	if req.User != "" {
		if users = append(users, t.User(req.User)); users[0] == nil {
			return nil, s.refusal(kv.ErrUserNotFound)
		}
	}
	if req.Role != "" {
		if roles = append(roles, t.Role(req.Role)); roles[0] == nil {
			return nil, s.refusal(kv.ErrRoleNotFound)
		}
	}
	return translate.UsersReply(t, users, roles), nil
}
