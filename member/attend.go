package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"balsa.example/internal/roster"
	"balsa.example/raft"
)

const (
	// attendInterval is how often a member looks after the members.
	attendInterval = 200 * time.Millisecond
	// attendTime bounds one change that it makes.
	attendTime = 10 * time.Second
)

// attend looks after the members: a leader publishes the roster of an old cluster, and lets learners
// vote that are caught up; and every member tells the others its addresses, if they know others.
func (m *Member) attend() {
	tick := time.NewTicker(attendInterval)
	defer tick.Stop()
	moved := true // maybe: this member may have been started with other addresses
	renewed := false
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
		r := *m.replica.Load()
		if r.Leads() {
			m.publish(r)
			m.promote(r)
		}
		if !renewed && len(m.view.Load().before.Context) > 0 {
			renewed = true
			if err := m.dir.Members.Renew(); err != nil {
				m.fail(err)
				return
			}
		}
		if moved && m.view.Load().published {
			moved = !m.tellAddresses()
		}
	}
}

// publish makes the roster of a cluster that began without one.
func (m *Member) publish(r Replica) {
	v := m.view.Load()
	if v.published || !v.configuration.HasVoters() || m.knowRosters(v.configuration) != nil {
		return
	}
	if len(roster.Publish(v.configuration, v.latest).Context) == 0 {
		m.misled.Do(func() {
			m.log.Error("this server was told other members than the cluster has: no member can be added until it is started once as it was before",
				"told", m.cfg.Cluster.String(), "cluster", v.configuration.String())
		})
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, attendTime)
	defer cancel()
	_, err := r.ChangeConfiguration(ctx, func(latest raft.Configuration) (raft.Configuration, error) {
		return roster.Publish(latest, v.latest), nil
	})
	if err == nil {
		m.log.Info("published who the members are")
	}
}

// rosterMinor is the first minor version of the transport's protocol of programs that know rosters.
const rosterMinor = 2

// knowRosters returns an error unless the programs of all members are known to know rosters. While a
// cluster is upgraded there may be one that does not, and it would end where it reads one in the log.
func (m *Member) knowRosters(c raft.Configuration) error {
	var older, silent []raft.NodeID
	for _, id := range c.Members() {
		switch p, ok := m.transport.Load().Peer(id); {
		case id == m.ID():
		case !ok || !p.Connected:
			silent = append(silent, id)
		case p.MinorVersion < rosterMinor:
			older = append(older, id)
		}
	}
	switch {
	case len(older) > 0:
		return fmt.Errorf("%w: %s", ErrOlder, m.names(older))
	case len(silent) > 0:
		return fmt.Errorf("%w: the version of %s is not known, which is not connected", errSoon, m.names(silent))
	}
	return nil
}

// promote lets those learners vote that are to, and are caught up.
func (m *Member) promote(r Replica) {
	v := m.view.Load()
	if v.configuration.Voters.IsJoint() {
		return
	}
	for _, p := range r.Status().Peers {
		one, ok := v.latest.Find(p.ID)
		if !ok || !one.Promote || !p.CaughtUp || v.configuration.Voters.Contains(p.ID) {
			continue
		}
		ctx, cancel := context.WithTimeout(m.ctx, attendTime)
		_, err := m.lead(ctx, r, request{Change: &roster.Change{Kind: roster.Promote, ID: p.ID}})
		cancel()
		if err != nil && !errors.Is(err, errSoon) && !errors.Is(err, errNotLeader) && !errors.Is(err, ErrNotCaughtUp) {
			m.log.Warn("a member that is caught up does not vote yet", "of", one.String(), "error", err)
		}
		return // the configuration is another one now
	}
}

// tellAddresses tells the cluster where this member is, if it knows other addresses. It returns true
// when nothing is left to do.
func (m *Member) tellAddresses() bool {
	own, ok := m.view.Load().latest.Find(m.ID())
	if !ok {
		return false // not in the log yet
	}
	said := m.cfg.about()
	if len(said.Clients) == 0 {
		said.Clients = own.Clients
	}
	if said.Equal(own.About) {
		return true
	}
	ctx, cancel := context.WithTimeout(m.ctx, attendTime)
	defer cancel()
	_, err := m.change(ctx, roster.Change{Kind: roster.Update, ID: m.ID(), About: said})
	switch {
	case errors.Is(err, ErrAddressTaken):
		m.fail(fmt.Errorf("%s was started with addresses of another member: %w", m.cfg.Name, err))
		return true
	case err != nil:
		m.log.Warn("cannot tell the other members the addresses of this one", "error", err)
		return false
	}
	m.log.Info("told the other members the addresses of this one", "peers", said.Peers, "clients", said.Clients)
	return true
}
