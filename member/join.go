package member

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"balsa.example/internal/datadir"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/transport"
)

// joinRetry is how long a server waits that wants to join before it asks again.
const joinRetry = 500 * time.Millisecond

// door is where a member of a running cluster may be found.
type door struct{ name, address string } // the name is empty if it is not known

// doorOf reads name=host:port, or host:port; the address may be a URL.
func doorOf(text string) door {
	name, address, named := strings.Cut(text, "=")
	if !named {
		name, address = "", text
	}
	return door{name, roster.HostPort(address)}
}

// doors are those of Config.Join that are not this member's own: one list may be that of all servers.
func (c *Config) doors() (all []door) {
	for _, text := range c.Join {
		if d := doorOf(text); d.name != c.Name {
			all = append(all, d)
		}
	}
	return all
}

// join asks the members of a running cluster to become one of them, until that is decided. It is
// the same request each time, made with the same incarnation, so that a server that was killed
// at any moment goes on, and is made a member once.
func (m *Member) join(ctx context.Context) error {
	ask := request{Change: &roster.Change{
		Kind: roster.Add, About: m.cfg.about(), Incarnation: m.dir.Members.Record().Incarnation,
		Learner: m.cfg.Learner, Witness: m.cfg.Witness, Expected: m.cfg.Expected,
	}}
	m.log.Info("asks to be made a member of a running cluster", "at", m.cfg.Join)
	said := ""
	for {
		var failures []string
		for _, d := range m.cfg.doors() {
			a, err := m.knock(ctx, d, ask)
			if err == nil {
				return m.joined(a)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if final := m.finally(err); final != nil {
				return final
			}
			failures = append(failures, err.Error())
		}
		waiting := "asks to join a running cluster: " + strings.Join(failures, "; ")
		m.waits.Store(&waiting)
		if waiting != said {
			said = waiting
			m.log.Warn("cannot join the cluster yet", "error", strings.Join(failures, "; "))
		}
		if !pause(ctx, m.ctx, joinRetry) {
			return context.Cause(ctx)
		}
	}
}

// finally returns the error with which a server gives up to join; nil if it may be made a member
// later.
func (m *Member) finally(err error) error {
	switch {
	case errors.Is(err, ErrExists):
		return fmt.Errorf("%w: %w; if this server is to take the place of that one, say so to the cluster: balsa member replace %s, or in a program Node.Member().Replace", ErrNotAdmitted, err, m.cfg.Name)
	case errors.Is(err, ErrNotExpected):
		return fmt.Errorf("%w: %w; add it first, with balsa member add %s", ErrNotAdmitted, err, m.cfg.Name)
	}
	for _, bad := range []error{ErrAddressTaken, ErrTooMany, ErrWitness, ErrBadChange, ErrNotAdmitted} {
		if errors.Is(err, bad) {
			return fmt.Errorf("%w: %w", ErrNotAdmitted, err)
		}
	}
	return nil
}

// knock asks the member behind a door.
func (m *Member) knock(ctx context.Context, d door, q request) (a answer, err error) {
	b, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	s := &transport.Stranger{Name: m.cfg.Name}
	if m.tls != nil {
		s.TLS = m.tls.Peer(m.cfg.proves())
		s.Authorize = func(address string, state tls.ConnectionState) error { return m.certifiedAt(d, state) }
	}
	reply, err := s.Call(ctx, d.address, b)
	if err != nil {
		return a, fromWire(err)
	}
	return a, json.Unmarshal(reply, &a)
}

// certifiedAt decides whether a certificate is that of a member of whom only the address is
// known, and maybe the name.
func (m *Member) certifiedAt(d door, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errNotNamed
	}
	name := d.name
	if host, _, err := net.SplitHostPort(d.address); err == nil && name == "" {
		name = host
	}
	return m.certified(state.PeerCertificates[0], 0, roster.About{Name: name, Peers: []string{d.address}})
}

// joined remembers which member this one is, and connects to the others.
func (m *Member) joined(a answer) error {
	told := datadir.Membership{ID: a.Member.ID, Cluster: a.Cluster, Group: a.Group, Token: a.Token}
	for _, one := range a.Members {
		told.Peers = append(told.Peers, one.member())
	}
	if told.ID == 0 || told.Cluster == 0 || len(told.Peers) == 0 {
		return fmt.Errorf("join the cluster: the answer makes no sense: %+v", a)
	}
	if err := m.dir.Members.Join(told); err != nil {
		return err
	}
	m.log.Info("this server is a member now, and gets the state from the others", "id", told.ID, "cluster", fmt.Sprintf("%016x", told.Cluster), "votes", "not yet")
	if alone, others := m.onlyHere(told); alone != "" {
		m.log.Warn("the others are told a loopback address, where nobody finds this server from another machine: "+
			"name one that they can reach (--listen-peer-urls, --initial-advertise-peer-urls)", "address", alone, "others", others)
	}
	return m.connect()
}

// onlyHere returns a loopback address that the others are told of this server, and one of theirs that is
// none. Empty: there are not both.
func (m *Member) onlyHere(told datadir.Membership) (alone, others string) {
	for _, one := range told.Peers {
		for _, address := range one.Peers {
			switch host, _, err := net.SplitHostPort(roster.HostPort(address)); {
			case err != nil:
			case one.ID == told.ID && onlyThisMachine(host):
				alone = address
			case one.ID != told.ID && !onlyThisMachine(host):
				others = address
			}
		}
	}
	if others == "" {
		return "", ""
	}
	return alone, others
}

func onlyThisMachine(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func (i Info) member() roster.Member {
	return roster.Member{
		ID: i.ID, About: roster.About{Name: i.Name, Peers: i.Peers, Clients: i.Clients},
		Incarnation: i.Incarnation, Promote: i.Promote, Replaces: i.Replaces,
	}
}

// askAround asks another member who the members are, in the background: one that is not known
// wants to talk to this one, which may have been down for long.
func (m *Member) askAround() {
	select {
	case m.peers.asking <- struct{}{}:
	default:
		return
	}
	m.work.Go(func() {
		defer func() { <-m.peers.asking }()
		ctx, cancel := context.WithTimeout(m.ctx, joinRetry)
		defer cancel()
		q := request{List: &listRequest{}, From: new(m.cfg.about())}
		for _, p := range m.transport.Load().Peers() {
			if a, err := m.call(ctx, p.ID, q); err == nil && m.heard(a) {
				break
			}
		}
		for _, d := range m.cfg.doors() {
			if a, err := m.knock(ctx, d, q); err == nil && m.heard(a) {
				break
			}
		}
		pause(m.ctx, m.ctx, joinRetry) // not more often than that
	})
}

// heard takes note of members of whom another one has told, for a while. It tells whether there are
// new ones.
func (m *Member) heard(a answer) bool {
	if a.Cluster != m.ClusterID() {
		return false
	}
	m.peers.turn.Lock()
	defer m.peers.turn.Unlock()
	v := *m.view.Load()
	var hint roster.Roster
	for _, one := range a.Members {
		if v.latest.Lacks(one.member()) && !slices.Contains(v.committed.Removed, one.ID) {
			hint = hint.With(one.member())
		}
	}
	return m.hint(hint)
}

// meet takes note of a member of which only itself has told, where no leader is known: those whom
// this member knows may be gone, and it and the other may be what is left of a majority. Otherwise
// the leader will tell.
func (m *Member) meet(one roster.Member) {
	r := m.replica.Load()
	if r == nil || len(one.Peers) == 0 {
		return
	}
	if leader := (*r).Leader(); leader != raft.None && leader != one.ID {
		return
	}
	m.peers.turn.Lock()
	defer m.peers.turn.Unlock()
	if v := m.view.Load(); !v.wasRemoved(one.ID) && v.latest.Lacks(one) && len(m.peers.hint.Members) < roster.MaxMembers {
		m.hint(m.peers.hint.With(one))
	}
}

// hint lets members count for a while of whom only others have told. It tells whether there are any.
// Caller holds peers.turn.
func (m *Member) hint(hint roster.Roster) bool {
	if hint.Empty() || m.peers.closed {
		return false
	}
	m.peers.hint = hint
	if m.peers.timer != nil {
		m.peers.timer.Stop()
	}
	m.peers.timer = time.AfterFunc(hintTime, m.forget)
	v := *m.view.Load()
	m.setView(&v)
	return true
}

// forget ends what was heard, unless the leader is among it, from whom this member has yet to get the
// log.
func (m *Member) forget() {
	m.peers.turn.Lock()
	defer m.peers.turn.Unlock()
	if m.peers.closed {
		return
	}
	if r := m.replica.Load(); r != nil {
		if leader, ok := m.peers.hint.Find((*r).Leader()); ok && m.view.Load().latest.Lacks(leader) {
			m.peers.timer = time.AfterFunc(hintTime, m.forget)
			return
		}
	}
	m.peers.hint = roster.Roster{}
	v := *m.view.Load()
	m.setView(&v)
}
