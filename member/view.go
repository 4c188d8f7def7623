package member

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"balsa.example/internal/datadir"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/rsm"
)

// Replica is what a Member needs of an rsm.Node.
type Replica interface {
	Leads() bool
	TransferLeadership(ctx context.Context, to raft.NodeID) error
	Receive(m raft.Message)
	ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error
	Leader() raft.NodeID
	Status() rsm.Status
	ChangeConfiguration(ctx context.Context, edit func(raft.Configuration) (raft.Configuration, error)) (raft.Configuration, error)
	ReadAnywhere(ctx context.Context, mode raft.ReadMode) (raft.Index, error)
	Done() <-chan struct{}
}

// view is who the members are, as far as this one knows.
type view struct {
	// configuration is the latest one in the log, before that which is committed; empty before there
	// is one.
	configuration, before raft.Configuration
	// latest and committed are the rosters in the two configurations. Where the log has none, as in
	// a cluster that began without or a member that has just joined, latest is what the data
	// directory says of the first members.
	latest, committed roster.Roster
	// published says that the latest configuration has a roster.
	published bool
	// known has all of them, those that vote in one of the configurations still, and those of whom
	// another member has told.
	known roster.Roster
}

// inForce tells whether a node is a member in one of the configurations. In a joint phase it may be one
// that the rosters have no more: the phase may need its vote to end.
func (v *view) inForce(id raft.NodeID) bool {
	return v.configuration.Contains(id) || v.before.Contains(id)
}

// wasRemoved tells whether a node was a member, and is none any more for sure.
func (v *view) wasRemoved(id raft.NodeID) bool {
	return v.committed.WasRemoved(id) && !v.inForce(id)
}

// firstView is what the data directory knows: the members that there were when this one joined, or
// those that the cluster began with, or will.
func (m *Member) firstView() *view {
	var r roster.Roster
	joined, certificate := m.dir.Members.Peers(), m.dir.Members.Record().Certificate
	switch {
	case joined != nil:
		for _, p := range joined {
			r = r.With(p)
		}
	case certificate != nil && certificate.Abouts != nil:
		r = datadir.Founders(certificate)
	default:
		r = m.cfg.Cluster.roster()
		for _, one := range r.Members {
			if certificate != nil {
				one.Incarnation = certificate.Members[one.ID]
				r = r.With(one)
			}
		}
	}
	m.learn(r)
	return &view{latest: r, committed: r, known: r}
}

func (m *Member) learn(r roster.Roster) {
	for _, one := range r.Members {
		m.cfg.Cluster.later.learn(one.ID, one.Name)
	}
}

// addresses are where the other members are: as the log has it, as this one was told when it was
// started, and as they said when they connected. All may have moved at the same time. Caller holds
// peers.turn, or is the first.
func (m *Member) addresses(r roster.Roster) map[raft.NodeID]string {
	all := make(map[raft.NodeID]string)
	for _, one := range r.Members {
		list := hostPorts(one.Peers)
		besides := m.peers.said[one.ID]
		if told, ok := m.cfg.Cluster.Member(one.ID); ok {
			besides = slices.Concat(told.addresses(), besides)
		}
		for _, a := range besides {
			if !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
		if one.ID != m.ID() && len(list) > 0 {
			all[one.ID] = strings.Join(list, ",")
		}
	}
	return all
}

// hostPorts are addresses without their schemes.
func hostPorts(addresses []string) (list []string) {
	for _, a := range addresses {
		list = append(list, roster.HostPort(a))
	}
	return list
}

// OnConfiguration is for rsm.Config: it makes the peers of the transport those of the roster in the
// log, before anything is sent to a new member.
func (m *Member) OnConfiguration(latest, committed raft.Configuration) {
	l, errL := roster.Decode(latest.Context)
	c, errC := roster.Decode(committed.Context)
	if errL != nil || errC != nil {
		m.log.Error("the members that the log names cannot be read: is this version too old?", "error", errL)
		return
	}
	m.peers.turn.Lock()
	defer m.peers.turn.Unlock()
	if latest.Contains(m.ID()) && latest.IsWitness(m.ID()) != m.cfg.Witness {
		m.fail(fmt.Errorf("%w: %s was started %s --witness", ErrWitness, m.cfg.Name, map[bool]string{true: "with", false: "without"}[m.cfg.Witness]))
	}
	v := *m.view.Load()
	v.configuration, v.before, v.published = latest, committed, !l.Empty()
	if !l.Empty() {
		v.latest = l
	}
	if !c.Empty() {
		v.committed = c
	}
	m.setView(&v)
}

// foundAt notes where a member that has connected says that it is. One that was down while others
// moved cannot answer them otherwise, and so does not get the log, which would tell it.
func (m *Member) foundAt(id raft.NodeID, peers []string) {
	m.peers.turn.Lock()
	defer m.peers.turn.Unlock()
	list := hostPorts(peers[:min(len(peers), maxSaid)])
	if slices.Equal(list, m.peers.said[id]) || m.peers.closed {
		return
	}
	m.peers.said[id] = list
	v := *m.view.Load()
	m.setView(&v)
}

// setView stores a view and lets the transport follow. Caller holds peers.turn.
func (m *Member) setView(v *view) {
	before := v.known
	v.known = v.latest.Union(v.committed).Union(m.peers.hint)
	for _, one := range before.Members {
		if v.inForce(one.ID) && v.known.Lacks(one) {
			v.known = v.known.With(one)
		}
	}
	m.view.Store(v)
	m.learn(v.known)
	for id := range m.peers.said {
		if _, ok := v.known.Find(id); !ok {
			delete(m.peers.said, id)
		}
	}
	t := m.transport.Load()
	wanted := m.addresses(v.known)
	for id, address := range wanted {
		m.peers.stay(id)
		t.AddPeer(id, address)
	}
	for _, p := range t.Peers() {
		if _, ok := wanted[p.ID]; !ok {
			m.peers.leave(p.ID, removalGrace*m.cfg.ElectionTimeout, func() { t.RemovePeer(p.ID) })
		}
	}
	m.met.Set()
}

// roster is who the members are, by the latest configuration in this member's log.
func (m *Member) roster() roster.Roster {
	if v := m.view.Load(); v != nil {
		return v.latest
	}
	return roster.Roster{}
}

// removalGrace is for how many election timeouts the connection to a member that was removed stays:
// the leader has yet to send it the entry that says so.
const removalGrace = 12

// maxSaid bounds the addresses that count of those that a member says to have.
const maxSaid = 16

// hintTime is for how long members count of whom only another member has told.
const hintTime = 30 * time.Second

// peers is what the transport's peers are made of besides the view.
type peers struct {
	turn    *sync.Mutex              // held while view changes, and while hint, said and leaving are used
	said    map[raft.NodeID][]string // where members of the view say that they are: maxSaid each
	hint    roster.Roster
	leaving map[raft.NodeID]*time.Timer
	closed  bool
	asking  chan struct{} // holds a token while others are asked who the members are
	timer   *time.Timer   // ends the hint
}

func newPeers() peers {
	return peers{turn: new(sync.Mutex), said: make(map[raft.NodeID][]string), leaving: make(map[raft.NodeID]*time.Timer), asking: make(chan struct{}, 1)}
}

// stay keeps a peer that was leaving.
func (p *peers) stay(id raft.NodeID) {
	if timer := p.leaving[id]; timer != nil {
		timer.Stop()
		delete(p.leaving, id)
	}
}

// leave calls remove after a while.
func (p *peers) leave(id raft.NodeID, after time.Duration, remove func()) {
	if p.leaving[id] != nil || p.closed {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(after, func() {
		p.turn.Lock()
		defer p.turn.Unlock()
		if p.leaving[id] == timer && !p.closed { // else it stays, or is leaving anew
			delete(p.leaving, id)
			remove()
		}
	})
	p.leaving[id] = timer
}

func (p *peers) close() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.closed = true
	for _, timer := range p.leaving {
		timer.Stop()
	}
	if p.timer != nil {
		p.timer.Stop()
	}
}
