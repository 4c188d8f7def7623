package etcd

import (
	"context"
	"errors"
	"time"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/raft"
	"balsa.example/state"
)

// requestTime is how long a request may take besides two elections, as in etcd.
const requestTime = 5 * time.Second

// requestTimeout bounds what waits for the cluster, whatever the client's deadline.
func (f *Face) requestTimeout() time.Duration { return requestTime + 2*f.cfg.ElectionTimeout }

// admit refuses a request that a method must not see.
func (f *Face) admit(c *Caller) error {
	if c.RequireLeader && !f.hasLeader() {
		return translate.ErrNoLeader
	}
	return nil
}

func (f *Face) hasLeader() bool { return f.cfg.Node.Leader() != raft.None }

// origin is what responses say of this member.
func (f *Face) origin() translate.Origin {
	return translate.Origin{ClusterID: f.cfg.ClusterID, MemberID: f.cfg.MemberID, Term: uint64(f.cfg.Node.Term())}
}

// submit executes a command for a caller. Its error is one for clients; that of the command itself
// is in the result.
func (f *Face) submit(ctx context.Context, _ *Caller, c state.Command) (state.Result, error) {
	limited, cancel := context.WithTimeout(ctx, f.requestTimeout())
	defer cancel()
	r, err := f.cfg.Node.Submit(limited, c)
	if err != nil {
		return r, failed(err, translate.WriteFailed)
	}
	return r, nil
}

// fresh returns when the store has all that was acknowledged before.
func (f *Face) fresh(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, f.requestTimeout())
	defer cancel()
	if err := f.cfg.Node.Read(limited); err != nil {
		return failed(err, translate.ReadFailed)
	}
	return nil
}

// failed is the error for clients where a Node failed.
func failed(err error, otherwise func(error) error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return translate.ErrTimeout
	case errors.Is(err, context.Canceled):
		return translate.ErrCanceled
	}
	return otherwise(err)
}
