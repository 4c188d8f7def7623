package member

import (
	"context"
	"errors"

	"balsa.example/internal/roster"
	"balsa.example/raft"
)

// Who names a member: by its id or, if that is None, by its name.
type Who struct {
	ID   raft.NodeID
	Name string
}

// NewMember describes a member that is to be added.
type NewMember struct {
	// Name may be empty if there are Peers: who starts at one of these addresses is the member.
	Name           string
	Peers, Clients []string
	// Learner says that the member is never to vote, unless it is promoted.
	Learner bool
	// MaxLearners is how many learners may be there with this one; 0: any number, below 0: none. Those that are
	// about to vote do not count.
	MaxLearners int
}

// Add tells the cluster of a member before it starts. It gets its id at once, and votes when it has
// started and is caught up.
//
// Add, and the other changes of the members, may be asked of any member. They return when the change
// is complete, with the member as it is then, or one of the errors of this package. Until ctx ends
// they wait for a leader, and for another change that goes on.
func (m *Member) Add(ctx context.Context, n NewMember) (Info, error) {
	return m.manage(ctx, roster.Change{Kind: roster.Add, About: roster.About{Name: n.Name, Peers: n.Peers, Clients: n.Clients}, Learner: n.Learner, MaxLearners: n.MaxLearners})
}

// Promote lets a learner vote. It is refused with ErrNotCaughtUp until the learner has, in effect,
// all that the leader has.
func (m *Member) Promote(ctx context.Context, who Who) (Info, error) {
	return m.manage(ctx, roster.Change{Kind: roster.Promote, ID: who.ID, Name: who.Name})
}

// Remove removes a member for good. Its process ends by itself when it hears of that.
func (m *Member) Remove(ctx context.Context, who Who) (Info, error) {
	return m.manage(ctx, roster.Change{Kind: roster.Remove, ID: who.ID, Name: who.Name})
}

// Update changes the addresses of a member: those that are given. A member also tells its own
// addresses each time that it starts.
func (m *Member) Update(ctx context.Context, who Who, peers, clients []string) (Info, error) {
	return m.manage(ctx, roster.Change{Kind: roster.Update, ID: who.ID, Name: who.Name, About: roster.About{Peers: peers, Clients: clients}})
}

// Replace makes room for a server that takes the place of a member, under the same name if name is
// empty. When that server has joined and is caught up, it votes, and the other member is removed,
// in one step.
func (m *Member) Replace(ctx context.Context, who Who, name string) (Info, error) {
	return m.manage(ctx, roster.Change{Kind: roster.Replace, ID: who.ID, Name: who.Name, About: roster.About{Name: name}})
}

func (m *Member) manage(ctx context.Context, c roster.Change) (Info, error) {
	a, err := m.change(ctx, c)
	if errors.Is(err, ErrAmbiguous) { // the ids are what tells them apart
		return Info{}, err
	} else if err != nil {
		return Info{}, m.cfg.Cluster.ErrorWithNames(err)
	}
	for _, one := range a.Members {
		if one.ID == a.Member.ID {
			return one, nil
		}
	}
	one := a.Member // it was removed
	return Info{ID: one.ID, Name: one.Name, Peers: one.Peers, Clients: one.Clients, Started: one.Started(), Incarnation: one.Incarnation}, nil
}
