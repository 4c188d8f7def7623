package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"balsa.example/internal/birth"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/transport"
)

// logInterval is how often a member that waits says for whom.
const logInterval = 10 * time.Second

// ErrNotAdmitted: the other members do not let this server into the cluster, and never will.
var ErrNotAdmitted = errors.New("this member is not admitted to the cluster")

// What a member is told that is refused, besides the transport's own codes.
const (
	codeOtherCluster = transport.CodeApplication + iota
	codeReplaced
	codeOtherFounder
	codeRemoved
	// codeFirstChange is the first of those of changes: see codes.
	codeFirstChange transport.Code = transport.CodeApplication + 32
)

// codeOtherOrigin: the cluster would begin with other states.
const codeOtherOrigin transport.Code = transport.CodeApplication + 16

// admit is transport.Handshake.Admit. It hears what another member says of itself, and
// returns when what follows from it is durable.
func (m *Member) admit(from raft.NodeID, card []byte) error {
	r, err := birth.DecodeRecord(from, card)
	if err != nil {
		return err
	}
	if m.view.Load().published {
		return m.admitMember(r)
	}
	v, changed, err := m.dir.Members.Hear(r)
	if err != nil {
		m.fail(err)
		return err
	}
	if changed || v == birth.Unborn {
		m.met.Set()
	}
	switch {
	case v == birth.SelfReplaced:
		m.fail(m.errReplaced(m.cfg.Cluster.NameOf(from)))
	case v == birth.OtherFounder && m.founds():
		m.fail(m.errOtherFounder(m.cfg.Cluster.NameOf(from)))
	case v == birth.OtherReplaced && len(m.dir.Members.Peers()) > 0:
		return m.admitMember(r) // this one joined, so its certificate names nobody
	}
	if err := m.refusal(r, v); err != nil {
		return err
	}
	m.foundAt(r.Self, r.About.Peers)
	return nil
}

// admitMember decides about a member of a cluster that has begun, by the members that this one
// knows.
func (m *Member) admitMember(r birth.Record) error {
	v, name := m.view.Load(), m.cfg.Cluster.NameOf(r.Self)
	if r.Certificate != nil && r.Certificate.Cluster != m.ClusterID() {
		return m.refusal(r, birth.OtherCluster)
	}
	switch v.known.Standing(r.Self, r.Incarnation) {
	case roster.Unknown:
		return m.unknown(r.Self)
	case roster.NotStarted:
		known, _ := v.known.Find(r.Self)
		known.Incarnation = r.Incarnation
		m.meet(known)
		return &transport.Refusal{Code: transport.CodeNotYet, Reason: fmt.Sprintf("as far as %s knows, %s has not started yet", m.cfg.Name, name)}
	case roster.Replaced:
		return m.refusal(r, birth.OtherReplaced)
	}
	m.foundAt(r.Self, r.About.Peers)
	return nil
}

// refuseUnknown is transport.Handshake.Unknown: why a node is refused that is no peer.
func (m *Member) refuseUnknown(from transport.Caller, card []byte) error {
	r, err := birth.DecodeRecord(from.ID, card)
	switch own := m.dir.Members.Record().Certificate; {
	case err != nil:
		return err
	case own == nil:
		return nil // all that it may talk to are known
	case r.Certificate != nil && r.Certificate.Cluster != own.Cluster:
		return m.refusal(r, birth.OtherCluster)
	case r.Certificate != nil && m.proven(from, r.Of()) == nil:
		m.meet(roster.Member{ID: r.Self, About: r.Of(), Incarnation: r.Incarnation})
	}
	return m.unknown(r.Self)
}

// unknown refuses a node of this cluster that is no member, as far as is known.
func (m *Member) unknown(id raft.NodeID) error {
	if m.view.Load().wasRemoved(id) {
		return &transport.Refusal{Code: codeRemoved, Reason: fmt.Sprintf("%s was removed from the cluster for good", m.cfg.Cluster.NameOf(id))}
	}
	// It may have become a member since this one was up to date.
	m.askAround()
	return &transport.Refusal{Code: transport.CodeNotYet, Reason: fmt.Sprintf("%s does not know of member %s, or not yet", m.cfg.Name, m.cfg.Cluster.NameOf(id))}
}

// refusal is what another member is told, nil if it is accepted.
func (m *Member) refusal(other birth.Record, v birth.Verdict) error {
	self, name := m.cfg.Name, m.cfg.Cluster.NameOf(other.Self)
	switch v {
	case birth.Accepted:
		return nil
	case birth.Unborn:
		return &transport.Refusal{Code: transport.CodeNotYet, Reason: "the cluster has not begun"}
	case birth.OtherCluster:
		return &transport.Refusal{Code: codeOtherCluster, Reason: fmt.Sprintf(
			"%s is of cluster %016x, and %s of cluster %016x: these were begun apart, and share nothing but names",
			name, other.Certificate.Cluster, self, m.dir.Members.Identity().ClusterID)}
	case birth.OtherReplaced:
		return &transport.Refusal{Code: codeReplaced, Reason: fmt.Sprintf("the cluster knows %s by another data directory", name)}
	case birth.OtherOrigin:
		return &transport.Refusal{Code: codeOtherOrigin, Reason: fmt.Sprintf(
			"%s and %s would begin the cluster with different data: all its members have to be restored from the same backup to the same revision, or all to be empty", self, name)}
	case birth.SelfReplaced:
		return fmt.Errorf("the cluster knows %s by another data directory", self)
	default:
		return &transport.Refusal{Code: codeOtherFounder, Reason: fmt.Sprintf(
			"one of %s and %s waits for another data directory of %s", self, name, m.cfg.Cluster.Members[0].Name)}
	}
}

// founds tells whether this server is the one that begins the cluster.
func (m *Member) founds() bool {
	return len(m.cfg.Cluster.Members) > 0 && m.ID() == m.cfg.Cluster.Members[0].ID
}

func (m *Member) errReplaced(by string) error {
	return fmt.Errorf("%w: member %s has a new data directory %s, but %s knows it by an earlier one, and a member that "+
		"forgot what it promised could lose acknowledged writes; bring back the original directory, or let a new member take the place of %s: balsa member replace %s, and then start it with --join; in a program Node.Member().Replace, and then Start with Config.Join "+
		"(or correct the addresses, if %s is of another cluster)", ErrNotAdmitted, m.cfg.Name, m.cfg.Dir, by, m.cfg.Name, m.cfg.Name, by)
}

func (m *Member) errOtherFounder(by string) error {
	return fmt.Errorf("%w: member %s has a new data directory %s, but %s waits for an earlier one to begin the cluster; bring that back, "+
		"or, if the cluster has never served, empty the directories of all its members", ErrNotAdmitted, m.cfg.Name, m.cfg.Dir, by)
}

// admission counts the members that refuse a server whose cluster has not begun: they were
// told another cluster than this server, for instance one of which it is no member.
type admission struct {
	others  []Spec
	refused map[raft.NodeID]string // the reason
}

// refuse takes note that a member refuses this one.
func (a *admission) refuse(by raft.NodeID, reason string) { a.refused[by] = reason }

// verdict is ErrNotAdmitted when a majority of the others refuse: they may well be right.
// Those that have admitted this member since do not count.
func (a *admission) verdict(admitted func(raft.NodeID) bool) error {
	maps.DeleteFunc(a.refused, func(id raft.NodeID, _ string) bool { return admitted(id) })
	if len(a.refused) <= len(a.others)/2 {
		return nil
	}
	var reasons []string
	for _, other := range a.others {
		if reason, ok := a.refused[other.ID]; ok {
			reasons = append(reasons, fmt.Sprintf("%s says: %s", other.Name, reason))
		}
	}
	return fmt.Errorf("%w: %s (a server gets into a running cluster with --join)", ErrNotAdmitted, strings.Join(reasons, "; "))
}

// endRemoved ends a member that was told that it was removed. Its replica mostly ends by itself,
// when it has answered those who wait for it. One that was down when it was removed never hears of
// that by the log.
func (m *Member) endRemoved() {
	if m.replica.Load() == nil || pause(m.ctx, m.ctx, removedGrace*m.cfg.ElectionTimeout) {
		m.fail(m.errRemoved())
	}
}

// removedGrace is for how many election timeouts the replica of a removed member may go on: a little
// longer than it does by itself.
const removedGrace = 5

// refused is transport.Handshake.OnRefused.
func (m *Member) refused(r *transport.Refusal) {
	if r.Code == codeRemoved {
		m.work.Go(m.endRemoved)
		return
	}
	select {
	case m.refusals <- r:
	case <-m.ctx.Done():
	case <-m.begun: // then it is the other that must give way; the transport logs refusals
	}
}

// AwaitAdmission returns when the cluster has begun and this member has its log: at once,
// if it has taken part before. A new directory waits until all initial members have been
// reached once, and one that joins a cluster until it is made a member; Waiting says for whom. It
// is called once.
func (m *Member) AwaitAdmission(ctx context.Context) error {
	if m.dir.Log() == nil {
		if m.dir.Members.Joining() {
			if err := m.join(ctx); err != nil {
				return m.cfg.Cluster.ErrorWithNames(err)
			}
		} else {
			if err := m.awaitBegin(ctx); err != nil {
				return m.cfg.Cluster.ErrorWithNames(err)
			}
			m.log.Info("the cluster has begun", "cluster", fmt.Sprintf("%016x", m.ClusterID()))
		}
		if err := m.dir.OpenLog(); err != nil {
			return m.cfg.Cluster.ErrorWithNames(err)
		}
	}
	m.waits.Store(nil)
	close(m.begun)
	return nil
}

// awaitBegin returns when the cluster has begun.
func (m *Member) awaitBegin(ctx context.Context) error {
	a := &admission{m.cfg.Cluster.Others(m.ID()), map[raft.NodeID]string{}}
	report := time.NewTicker(logInterval)
	defer report.Stop()
	last, said := m.dir.Members.Record(), ""
	for {
		now := m.dir.Members.Record()
		if now.Founder != last.Founder || now.Certificate != last.Certificate {
			m.transport.Load().DialNow() // there is news for the others
		}
		if last = now; now.Certificate != nil {
			return nil
		}
		if waiting := m.waiting(); waiting != said {
			said = waiting
			m.waits.Store(&waiting)
			m.log.Info(waiting)
		}
		select {
		case <-m.met.C():
		case r := <-m.refusals:
			m.log.Warn("refused by a member", "by", r.By, "reason", r.Reason)
			if err := m.weigh(a, r); err != nil {
				return err
			}
		case <-report.C:
			m.log.Info(said)
		case <-m.failed:
			return m.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// admitted tells whether another member talks to this one, and has not refused it since.
func (m *Member) admitted(id raft.NodeID) bool {
	peer, ok := m.Peer(id)
	return ok && peer.Admitted
}

// weigh returns an error if this member can never get into its cluster, being refused so.
func (m *Member) weigh(a *admission, r *transport.Refusal) error {
	switch {
	case r.Code == codeReplaced:
		return m.errReplaced(m.cfg.Cluster.NameOf(r.By))
	case r.Code == codeOtherFounder && m.founds():
		return m.errOtherFounder(m.cfg.Cluster.NameOf(r.By))
	case r.Code == codeOtherOrigin || r.Code == transport.CodeNotMember || r.Code == transport.CodeOtherGroup:
		a.refuse(r.By, r.Reason)
	}
	return a.verdict(m.admitted)
}

// waiting says for whom this member waits before its cluster can begin.
func (m *Member) waiting() string {
	const rule = "new data directory: the cluster begins when all members have been reached once"
	founder := m.cfg.Cluster.Members[0]
	var names []string
	for _, id := range m.dir.Members.Awaited() {
		names = append(names, m.cfg.Cluster.NameOf(id))
	}
	switch {
	case m.founds() || slices.Contains(names, founder.Name):
		return fmt.Sprintf("%s; waiting for %s", rule, strings.Join(names, ", "))
	case len(names) > 0:
		return fmt.Sprintf("%s by %s; not seen from here: %s", rule, founder.Name, strings.Join(names, ", "))
	default:
		return fmt.Sprintf("%s by %s; waiting for %s to say so", rule, founder.Name, founder.Name)
	}
}
