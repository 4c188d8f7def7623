package member

import (
	"context"
	"errors"
	"fmt"

	"balsa.example/raft"
)

// Info is one member, as the leader or another member sees it.
type Info struct {
	ID   raft.NodeID
	Name string `json:",omitempty"` // empty for a member that was added by its addresses and has not started
	// Peers are where other members find it, Clients where clients do.
	Peers, Clients []string
	// Voter tells that it votes, Promote that it will as soon as it is caught up.
	Voter, Promote bool
	// Witness tells that it keeps no state.
	Witness bool `json:",omitempty"`
	// Started tells that it has a data directory. Incarnation is that.
	Started     bool
	Incarnation [16]byte
	// Replaces is the member that leaves when this one votes.
	Replaces raft.NodeID `json:",omitempty"`

	// The rest is what the leader knows of another member; zero where another member answers.

	// Active tells that the member answers. CaughtUp, that it may vote.
	Active, CaughtUp bool
	// Behind is how many entries of the log the member lacks, and BehindBytes about how many bytes it
	// has yet to get, the state included if it gets that.
	Behind, BehindBytes uint64
}

// Members is who the members are.
type Members struct {
	All []Info
	// Leader is the leader; None if the member that answers knows none. FromLeader tells that the leader
	// has answered, and so knows how far each of them is.
	Leader     raft.NodeID
	FromLeader bool
}

// Known is who the members are, as far as this one knows.
func (m *Member) Known() Members {
	if m.view.Load() == nil {
		return Members{}
	}
	return m.membersOf(m.listLocal())
}

// Self is this member, as it knows itself; false while it is not one yet.
func (m *Member) Self() (Info, bool) {
	for _, one := range m.Known().All {
		if one.ID == m.ID() {
			return one, true
		}
	}
	return Info{}, false
}

// Named is the id of the member of a name: of two, that which the other one is to replace.
func (m *Member) Named(name string) (id raft.NodeID, ok bool) {
	for _, one := range m.roster().Named(name) {
		if id == raft.None || one.Replaces == raft.None {
			id = one.ID
		}
	}
	return id, id != raft.None
}

// Members is who the members are, as the leader knows it. It waits for a leader until ctx ends.
func (m *Member) Members(ctx context.Context) (Members, error) {
	patience, cancel := answersInTime(ctx)
	defer cancel()
	for {
		a, err := m.ask(ctx, request{List: &listRequest{Leader: true}})
		if err == nil {
			all := m.membersOf(a)
			all.FromLeader = true
			return all, nil
		}
		if errors.Is(err, ErrOlder) {
			return Members{}, err
		}
		if !pause(patience, m.ctx, changeRetry) {
			return Members{}, fmt.Errorf("%w: %w", ErrNoLeader, err)
		}
	}
}

func (m *Member) membersOf(a answer) Members {
	all := Members{All: a.Members}
	if r := m.replica.Load(); r != nil {
		all.Leader = (*r).Leader()
	}
	return all
}

// listLocal is what this member knows.
func (m *Member) listLocal() answer {
	v := m.view.Load()
	a := answer{Cluster: m.ClusterID(), Group: m.dir.Members.Group(), Token: m.dir.Members.Token()}
	for _, one := range v.latest.Members {
		info := Info{
			ID: one.ID, Name: one.Name, Peers: one.Peers, Clients: one.Clients, Promote: one.Promote, Replaces: one.Replaces,
			Started: one.Started(), Incarnation: one.Incarnation,
			Witness: v.configuration.IsWitness(one.ID),
			Voter:   !v.configuration.HasVoters() || v.configuration.Voters.Contains(one.ID),
		}
		a.Members = append(a.Members, info)
	}
	return a
}

// list is what this member knows, which leads.
func (m *Member) list(r Replica) answer {
	a, status := m.listLocal(), r.Status()
	for i := range a.Members {
		one := &a.Members[i]
		if one.ID == m.ID() {
			one.Active, one.CaughtUp = true, true
		}
		for _, p := range status.Peers {
			if p.ID != one.ID {
				continue
			}
			one.Active, one.CaughtUp = p.Active, p.CaughtUp || one.Voter
			one.Behind, one.BehindBytes = uint64(status.LastIndex-p.Match), uint64(p.Behind)
			if p.Match+1 < status.FirstIndex {
				one.BehindBytes += m.unsent(p.ID, uint64(status.SnapshotBytes))
			}
		}
	}
	return a
}

// unsent is how much of a state of so many bytes a member has not been sent yet, about.
func (m *Member) unsent(id raft.NodeID, bytes uint64) uint64 {
	p, _ := m.Peer(id)
	return bytes - min(bytes, p.BytesOut)
}
