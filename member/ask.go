package member

import (
	"context"
	"errors"
	"fmt"

	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// Outlook is what a change of the members would do, as the leader sees it.
type Outlook struct {
	// Before and After vote now, and after the change.
	Before, After []raft.NodeID
	// Silent are those of After that do not answer the leader.
	Silent []raft.NodeID
	// Leader makes the change. If it leaves, another member has to be elected.
	Leader raft.NodeID
}

// whole tells whether a request is for one thing.
func (q *request) whole() bool {
	n := 0
	for _, is := range []bool{q.Change != nil, q.List != nil, q.Move != raft.None, q.Question != nil, q.Weigh != nil, q.Ready != nil} {
		if is {
			n++
		}
	}
	return n == 1
}

// MoveLeader lets another member lead, whichever leads now, and returns when the leader has handed
// over.
func (m *Member) MoveLeader(ctx context.Context, to raft.NodeID) error {
	_, err := m.ask(ctx, request{Move: to})
	return m.cfg.Cluster.ErrorWithNames(err)
}

// handOver answers a request for another leader, on the leader.
func (m *Member) handOver(ctx context.Context, r Replica, to raft.NodeID) error {
	if to == m.ID() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	err := r.TransferLeadership(ctx, to)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotCaughtUp):
		return err
	case errors.Is(err, raft.ErrNotVoter):
		return fmt.Errorf("%w: %w", ErrBadChange, err)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, rsm.ErrWrongLeader):
		return fmt.Errorf("%w: %w", errNotLeader, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// Weighing tells what changes of the members would do, and makes none. Each of its methods is refused as
// the change would be.
type Weighing struct{ m *Member }

// Weigh returns a Weighing, by way of the leader, whichever member that is.
func (m *Member) Weigh() Weighing { return Weighing{m} }

// Add weighs Member.Add.
func (w Weighing) Add(ctx context.Context, n NewMember) (Outlook, error) {
	return w.weigh(ctx, roster.Change{Kind: roster.Add, About: roster.About{Name: n.Name, Peers: n.Peers, Clients: n.Clients}, Learner: n.Learner, MaxLearners: n.MaxLearners})
}

// Promote weighs Member.Promote.
func (w Weighing) Promote(ctx context.Context, who Who) (Outlook, error) {
	return w.weigh(ctx, roster.Change{Kind: roster.Promote, ID: who.ID, Name: who.Name})
}

// Remove weighs Member.Remove.
func (w Weighing) Remove(ctx context.Context, who Who) (Outlook, error) {
	return w.weigh(ctx, roster.Change{Kind: roster.Remove, ID: who.ID, Name: who.Name})
}

// Replace weighs Member.Replace.
func (w Weighing) Replace(ctx context.Context, who Who, name string) (Outlook, error) {
	return w.weigh(ctx, roster.Change{Kind: roster.Replace, ID: who.ID, Name: who.Name, About: roster.About{Name: name}})
}

func (w Weighing) weigh(ctx context.Context, c roster.Change) (Outlook, error) {
	a, err := w.m.ask(ctx, request{Weigh: &c})
	if err != nil {
		return Outlook{}, w.m.cfg.Cluster.ErrorWithNames(err)
	}
	return *a.Outlook, nil
}

// errWeighed ends a change that is not to be made.
var errWeighed = errors.New("the change was only weighed")

// weighed weighs a change, on the leader.
func (m *Member) weighed(ctx context.Context, r Replica, c roster.Change) (answer, error) {
	if c.Kind == roster.Promote {
		if err := m.mayVote(ctx, c); err != nil {
			return answer{}, err
		}
	}
	status := r.Status()
	o := &Outlook{Leader: m.ID()}
	_, err := r.ChangeConfiguration(ctx, func(latest raft.Configuration) (raft.Configuration, error) {
		next, _, err := c.Apply(latest, drawID())
		if err != nil {
			return latest, err
		}
		o.Before, o.After = latest.Voters.IDs(), next.Voters.IDs()
		silent, loses := status.LosesQuorum(next)
		o.Silent = silent
		if loses && !sameVoters(latest, next) {
			return latest, fmt.Errorf("%w: %s would not answer", ErrLosesQuorum, m.names(silent))
		}
		return latest, errWeighed
	})
	if !errors.Is(err, errWeighed) {
		return answer{}, classify(err)
	}
	a := m.list(r)
	a.Outlook = o
	return a, nil
}

// Ask asks another member what only its Config.Answer understands. A member that is not connected is
// not waited for.
func (m *Member) Ask(ctx context.Context, id raft.NodeID, question []byte) ([]byte, error) {
	a, err := m.call(ctx, id, request{Question: question})
	return a.Text, m.cfg.Cluster.ErrorWithNames(err)
}

// reply answers a question.
func (m *Member) reply(ctx context.Context, question []byte) (answer, error) {
	if m.cfg.Answer == nil {
		return answer{}, fmt.Errorf("%w: this member answers no questions", ErrBadChange)
	}
	text, err := m.cfg.Answer(ctx, question)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrBadChange, err)
	}
	return answer{Text: text}, nil
}
