package member

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"balsa.example/internal/roster"
	"balsa.example/raft"
)

// readyRequest asks a member whether it could serve, and so lead: see ready.
type readyRequest struct{}

// ready tells whether this member executes what is committed within an election timeout; nil: it does.
// One that has all of the log may still have much of it to execute, or be reading the state that it was
// sent. If it became a voter now, and the leader, clients would wait for that. One whose state is damaged cannot read
// all of it, nor give it to others.
func (m *Member) ready(ctx context.Context) error {
	r := m.replica.Load()
	switch {
	case m.cfg.Witness: // it executes nothing, and does not serve
		return nil
	case r == nil:
		return fmt.Errorf("%w: its replica has not started", ErrNotCaughtUp)
	case (*r).Status().Damaged:
		return fmt.Errorf("%w: files of its state are damaged, and not repaired yet", ErrNotCaughtUp)
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.ElectionTimeout)
	defer cancel()
	if _, err := (*r).ReadAnywhere(ctx, raft.ReadByIndex); err != nil {
		return fmt.Errorf("%w: it has not executed what is committed within %s", ErrNotCaughtUp, m.cfg.ElectionTimeout)
	}
	return nil
}

// readyVoter returns another voter that is ready to lead, the first that says so. It is None if none does
// in half of the time that a leader has to hand over: then the position in the log decides.
func (m *Member) readyVoter(ctx context.Context) raft.NodeID {
	ctx, cancel := context.WithTimeout(ctx, handoverTimeout/2)
	defer cancel()
	conf := m.view.Load().configuration
	voters := conf.Voters.IDs()
	answers := make(chan raft.NodeID, len(voters))
	var asked sync.WaitGroup
	for _, id := range voters {
		if id == m.ID() || conf.IsWitness(id) {
			continue
		}
		asked.Go(func() {
			if m.askReady(ctx, id) == nil {
				answers <- id
				cancel() // the others need not answer any more
			}
		})
	}
	asked.Wait()
	close(answers)
	return <-answers
}

// askReady asks another member whether it is ready. One of the version before does not know the question,
// and counts as ready.
func (m *Member) askReady(ctx context.Context, id raft.NodeID) error {
	_, err := m.call(ctx, id, request{Ready: &readyRequest{}})
	if errors.Is(err, ErrBadChange) {
		return nil
	}
	return err
}

// readyTimeouts is for how many election timeouts a leader waits for the answer of another member, which
// takes one at most.
const readyTimeouts = 2

// mayVote asks the learner that is to vote whether it is ready, if it is one: whether the change makes
// sense is not decided here.
func (m *Member) mayVote(ctx context.Context, c roster.Change) error {
	v := m.view.Load()
	id := c.ID
	for _, one := range v.latest.Named(c.Name) {
		if id == raft.None && !v.configuration.Voters.Contains(one.ID) {
			id = one.ID
		}
	}
	if one, ok := v.latest.Find(id); !ok || !one.Started() || v.configuration.Voters.Contains(id) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeouts*m.cfg.ElectionTimeout)
	defer cancel()
	err := m.askReady(ctx, id)
	if err == nil || errors.Is(err, ErrNotCaughtUp) {
		return err
	}
	return fmt.Errorf("%w: it does not answer (%v)", ErrNotCaughtUp, err) // not %w: this member leads, and nothing was changed
}
