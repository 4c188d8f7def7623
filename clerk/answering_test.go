package clerk_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

func (f *fakeServer) Members(context.Context, *api.MembersRequest) (*api.MembersReply, error) {
	return &api.MembersReply{Members: f.members}, nil
}

func (f *fakeServer) ChangeMembers(context.Context, *api.MembersChange) (*api.MembersReply, error) {
	return &api.MembersReply{Member: new(api.Member)}, f.changed
}

func (f *fakeServer) Users(context.Context, *api.UsersRequest) (*api.UsersReply, error) {
	return new(api.UsersReply), nil
}

func (f *fakeServer) ChangeUsers(context.Context, *api.UsersChange) (*api.UsersChanged, error) {
	return new(api.UsersChanged), f.changed
}

func (f *fakeServer) Backup(stream api.KV_BackupServer) error {
	return stream.Send(&api.BackupReply{ClusterId: f.hello.ClusterId, Data: []byte("image"), End: true})
}

// hangs dials a server that is paused: it takes connections, and says nothing.
func hangs(context.Context, string) (net.Conn, error) {
	conn, _ := net.Pipe()
	return conn, nil
}

// What an operator asks of any server does not wait for one that is paused.
func TestAPausedServerHoldsUpNoCommand(t *testing.T) {
	for name, command := range map[string]func(context.Context, *clerk.Clerk) error{
		"members": func(ctx context.Context, ck *clerk.Clerk) error { _, err := ck.Members(ctx, false); return err },
		"add member": func(ctx context.Context, ck *clerk.Clerk) error {
			_, err := ck.AddMember(ctx, clerk.MemberChange{NewName: "n4"})
			return err
		},
		"users":    func(ctx context.Context, ck *clerk.Clerk) error { _, err := ck.AuthStatus(ctx); return err },
		"add role": func(ctx context.Context, ck *clerk.Clerk) error { return ck.AddRole(ctx, "r") },
		"backup": func(ctx context.Context, ck *clerk.Clerk) error {
			b, err := ck.OpenBackup(ctx)
			if err == nil {
				err = b.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: 2}}
				good.start(t)
				ck, err := clerk.New([]string{"paused:1", "also:2", "good:3"}, clerk.WithDialer(func(ctx context.Context, address string) (net.Conn, error) {
					if address == "good:3" {
						return good.dial(ctx, address)
					}
					return hangs(ctx, address)
				}))
				if err != nil {
					t.Fatal(err)
				}
				defer ck.Close()
				began := time.Now()
				if err := command(within(t, 10*time.Second), ck); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 500*time.Millisecond {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Nor does an operation: it is asked for elsewhere while it was not sent.
func TestAPausedServerHoldsUpNoOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := clerktest.New(1)
		defer store.Close()
		good := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: 2}, handle: store.Execute, helloDelay: 500 * time.Millisecond}
		good.start(t)
		ck, err := clerk.New([]string{"paused:1", "slow:2"}, clerk.WithDialer(func(ctx context.Context, address string) (net.Conn, error) {
			if address == "slow:2" {
				return good.dial(ctx, address)
			}
			return hangs(ctx, address)
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		began := time.Now()
		if _, err := ck.Set(within(t, 10*time.Second), "k", []byte("v")); err != nil {
			t.Error(err)
		}
		// Once 400 ms for the paused one, and the other one is slow, but its stream goes on being opened.
		if took := time.Since(began); took > 1300*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// Where no server answers, the error is that of the last one, and comes with the end of the context at the
// latest.
func TestNoServerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ck, err := clerk.New([]string{"a:1", "b:2"}, clerk.WithDialer(hangs))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		began := time.Now()
		_, err = ck.Members(within(t, 500*time.Millisecond), false)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, clerk.ErrMaybe) || took > 500*time.Millisecond {
			t.Errorf("after %v: %v", took, err)
		}
		_, err = ck.OpenBackup(within(t, 10*time.Second))
		if took := time.Since(began); !errors.Is(err, clerk.ErrUnavailable) || took > 5*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// What becomes of a change is known only if a server has refused it.
func TestChangesOfWhichNothingIsKnown(t *testing.T) {
	for code, maybe := range map[codes.Code]bool{
		codes.Unknown: true, codes.Unavailable: true, codes.Canceled: true, codes.DeadlineExceeded: true, codes.Internal: true,
		codes.InvalidArgument: false, codes.FailedPrecondition: false, codes.PermissionDenied: false, codes.Unauthenticated: false,
		codes.NotFound: false, codes.AlreadyExists: false, codes.Aborted: false, codes.ResourceExhausted: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: 1}, changed: status.Error(code, "")}
			server.start(t)
			ck, err := clerk.New([]string{"s:1"}, clerk.WithDialer(server.dial))
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			ctx := within(t, 10*time.Second)
			if err := ck.AddRole(ctx, "r"); err == nil || errors.Is(err, clerk.ErrMaybe) != maybe {
				t.Errorf("%v: add a role: %v", code, err)
			}
			if _, err := ck.AddMember(ctx, clerk.MemberChange{NewName: "n"}); err == nil || errors.Is(err, clerk.ErrMaybe) != maybe {
				t.Errorf("%v: add a member: %v", code, err)
			}
		})
	}
}
