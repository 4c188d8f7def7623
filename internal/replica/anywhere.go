package replica

import (
	"context"
	"errors"

	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
)

// Anywhere answers at any member, whoever leads: what has to go through the leader is forwarded.
// The native API leaves that to its clients, which find the leader by themselves.
type Anywhere struct {
	r          *Replica
	keepAlives *forwardedKeepAlives
}

// Anywhere returns what answers at this member, whoever leads.
func (r *Replica) Anywhere() *Anywhere { return &r.anywhere }

// Submit executes a command, and tells the entry of the log that held it. It must have no stamp: the leader that a stamp is from may not lead
// any more when the command is proposed. It ends, and its errors are, as those of rsm.Node.SubmitAnywhereUntil.
func (a *Anywhere) Submit(ctx context.Context, late <-chan struct{}, c state.Command) (state.Result, rsm.EntryID, error) {
	if a.r.shortage().Refuses(c) != "" {
		return state.Result{}, rsm.EntryID{}, rsm.ErrNotAdmitted
	}
	return a.r.Node.SubmitAnywhereUntil(ctx, late, c)
}

// Read returns when the state of this member has all that any member acknowledged before,
// or when late is closed.
func (a *Anywhere) Read(ctx context.Context, late <-chan struct{}) error {
	_, err := a.r.Node.ReadAnywhereUntil(ctx, late, raft.ReadByIndex)
	return err
}

// KeepAlive lets a lease live on. done gets what is left of it then in nanoseconds, 0 if there is
// no such lease, or an error of Submit, and rsm.ErrBusy also if too many wait. It is called once, by
// any goroutine, and must not block.
func (a *Anywhere) KeepAlive(id int64, done func(ttl int64, err error)) {
	a.r.time.KeepAlive(id, func(ttl int64, err error) {
		if errors.Is(err, rsm.ErrWrongLeader) {
			a.keepAlives.add(id, done)
		} else {
			done(ttl, err)
		}
	})
}

// Term is the term of this member, Leader the member that leads in it, raft.None if that is not
// known.
func (a *Anywhere) Term() raft.Term     { return a.r.Node.Term() }
func (a *Anywhere) Leader() raft.NodeID { return a.r.Node.Leader() }
