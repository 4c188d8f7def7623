package etcd

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/access"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/raft"
	"balsa.example/state"
)

// requestTime is how long a request may take besides two elections, as in etcd.
const requestTime = 5 * time.Second

// requestTimeout bounds what waits for the cluster, whatever the client's deadline.
func (f *Face) requestTimeout() time.Duration { return requestTime + 2*f.cfg.ElectionTimeout }

// late is closed when a request that begins now has waited for the cluster as long as it may.
func (f *Face) late() <-chan struct{} { return f.deadlines.after(f.requestTimeout()) }

// admit refuses a request that a method must not see, and proves the user of the others. Every
// method is called by way of it, or of admits and prove.
func (f *Face) admit(ctx context.Context, c *Caller, right Right) error {
	if prove, err := f.admits(c, right); err != nil || !prove {
		return err
	}
	return f.prove(ctx, c, right)
}

// admits refuses what needs a leader while there is none, and tells whether the user has to be proved.
func (f *Face) admits(c *Caller, right Right) (prove bool, err error) {
	if c.RequireLeader && !f.hasLeader() {
		return false, translate.ErrNoLeader
	}
	// Anyone may call some methods even with a token that is not valid: so one gets another.
	return right != Anyone && f.access.Enabled(), nil
}

// prove proves the user of a request, who must have a right.
func (f *Face) prove(ctx context.Context, c *Caller, right Right) error {
	limited, cancel := context.WithTimeout(ctx, f.requestTimeout())
	defer cancel()
	if err := f.identify(limited, c); err != nil {
		return err
	}
	if right == Unnamed {
		return nil
	}
	if err := f.access.Require(limited, c.user, right == Admin); err != nil {
		return failed(err, translate.ReadFailed)
	}
	return nil
}

// identify proves the user of a caller.
func (f *Face) identify(ctx context.Context, c *Caller) (err error) {
	if c.user, err = f.access.Identify(ctx, c.Token, c.CommonName); err != nil {
		return failed(err, translate.ReadFailed)
	}
	return nil
}

func (f *Face) hasLeader() bool { return f.cfg.Node.Leader() != raft.None }

// origin is what responses say of this member.
func (f *Face) origin() translate.Origin {
	return translate.Origin{ClusterID: f.cfg.ClusterID, MemberID: f.cfg.MemberID, Term: uint64(f.cfg.Node.Term())}
}

// header is that of a response that no command led to.
func (f *Face) header() *pb.ResponseHeader { return f.origin().Header(f.cfg.Node.Store().Revision()) }

// submit executes a command for a caller, whose user it names. Its error is one for clients; that of the command itself
// is in the result.
func (f *Face) submit(ctx context.Context, caller *Caller, c state.Command) (state.Result, error) {
	if caller.user != (access.User{}) {
		if c.More == nil {
			c.More = &state.More{Kind: state.KindOp}
		}
		c.More.User, c.More.UserStamp = caller.user.Name, caller.user.Stamp
	}
	r, entry, err := f.cfg.Node.Submit(ctx, f.late(), c)
	caller.way.entry, caller.way.wrote, caller.way.failed = entry, true, err != nil
	if err != nil {
		return r, failed(err, translate.WriteFailed)
	}
	return r, nil
}

// fresh returns when the store has all that was acknowledged before.
func (f *Face) fresh(ctx context.Context) error {
	err := f.cfg.Node.Read(ctx, f.late())
	if err == nil {
		return nil
	}
	if ctx.Err() == nil { // else it is the client who does not wait
		f.cfg.Requests.ReadFailed(errors.Is(err, context.DeadlineExceeded))
	}
	return failed(err, translate.ReadFailed)
}

// freshFor is fresh for a caller, who may be asked where the time went.
func (f *Face) freshFor(ctx context.Context, c *Caller) error {
	err := f.fresh(ctx)
	if err == nil && f.cfg.Recorder.On() {
		c.way.fresh = time.Now()
	}
	return err
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
