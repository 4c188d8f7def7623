package clerk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"balsa.example/api"
)

// login is the user of a Clerk. Its token holds at all servers, so that all links share it.
type login struct {
	user, password string
	turn           chan struct{} // one link at a time asks for a token
	patience       time.Duration // see patient; of the link whose turn it is

	mu    sync.Mutex
	token string
	known bool // a server gave the token, or said that there is none to be had
}

func newLogin(user, password string) *login {
	return &login{user: user, password: password, turn: make(chan struct{}, 1), patience: connectTimeout}
}

// maxLogin bounds login.patience.
const maxLogin = 32 * time.Second

// loginError says that a server refuses the password. No other server would take it.
type loginError struct{ text string }

func (e *loginError) Error() string        { return e.text }
func (e *loginError) Is(target error) bool { return target == ErrUnauthenticated }

// refusedLogin returns the *loginError that err is or wraps, nil if it is none.
func refusedLogin(err error) error {
	if refused := (*loginError)(nil); errors.As(err, &refused) {
		return refused
	}
	return nil
}

// authenticated returns a context for calls of the user, and the token that is in it. While
// authentication is off there is none. A context that has no end, as that of a stream, wants to be patient.
func (u *login) authenticated(ctx context.Context, conn *grpc.ClientConn, patient bool) (with context.Context, token string, err error) {
	if u == nil {
		return ctx, "", nil
	}
	token, known := u.get()
	if !known {
		if token, err = u.ask(ctx, conn, patient); err != nil {
			return ctx, "", err
		}
	}
	if token == "" {
		return ctx, "", nil
	}
	return metadata.AppendToOutgoingContext(ctx, "token", token), token, nil
}

func (u *login) get() (token string, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.token, u.known
}

// ask gets a token, unless another link has got one meanwhile.
func (u *login) ask(ctx context.Context, conn *grpc.ClientConn, patient bool) (token string, err error) {
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if token, known := u.get(); known {
		return token, nil
	}
	call := u.call
	if patient {
		call = u.patiently
	}
	r, err := call(ctx, conn)
	switch status.Code(err) {
	case codes.OK:
		token = r.Token
	case codes.FailedPrecondition: // authentication is off
	case codes.Unauthenticated:
		return "", &loginError{fmt.Sprintf("user %q: %s", u.user, status.Convert(err).Message())}
	default:
		return "", fmt.Errorf("authenticate: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.token, u.known = token, true
	return token, nil
}

func (u *login) call(ctx context.Context, conn *grpc.ClientConn) (*api.AuthenticateReply, error) {
	return api.NewKVClient(conn).Authenticate(ctx, &api.AuthenticateRequest{User: u.user, Password: u.password})
}

// patiently calls a server that must not keep others from being asked, should it never answer. How long is too long
// nobody knows: a password takes long to hash on purpose, and longer behind others. So each time that it was too
// short, the next call has twice as long.
func (u *login) patiently(ctx context.Context, conn *grpc.ClientConn) (*api.AuthenticateReply, error) {
	ctx, cancel := context.WithTimeout(ctx, u.patience)
	defer cancel()
	r, err := u.call(ctx, conn)
	switch status.Code(err) {
	case codes.OK:
		u.patience = connectTimeout
	case codes.DeadlineExceeded:
		u.patience = min(2*u.patience, maxLogin)
	}
	return r, err
}

// forget drops a token that a server did not accept, or the knowledge that there is none.
func (u *login) forget(token string) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.token == token {
		u.token, u.known = "", false
	}
}

// refused drops the token of a call that ended so, and returns the error for the Clerk's user.
func (u *login) refused(token string, err error) error {
	switch status.Code(err) {
	case codes.Unauthenticated:
		u.forget(token)
		if u == nil {
			return &loginError{status.Convert(err).Message()}
		}
	case codes.PermissionDenied:
		return fmt.Errorf("%w: %s", ErrPermissionDenied, status.Convert(err).Message())
	}
	return err
}

// errStale ends a stream whose user is none any more, so that it is opened anew with another token.
var errStale = errors.New("the stream has no valid user any more")

// unary calls a server as the user, twice if the token is not good any more.
func unary[R any](ctx context.Context, l *link, call func(context.Context, api.KVClient) (R, error)) (R, error) {
	defer l.awaitUnary()()
	if l.gone() {
		var none R
		return none, notSent(ErrClosed)
	}
	u := l.net.login
	for again := u != nil; ; again = false {
		with, token, err := u.authenticated(ctx, l.conn, false)
		var reply R
		if err == nil {
			reply, err = call(with, api.NewKVClient(l.conn))
		}
		if err == nil || status.Code(err) != codes.Unauthenticated || !again {
			return reply, l.handshake.explain(u.refused(token, err))
		}
		u.forget(token)
	}
}
