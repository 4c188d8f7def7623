package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/internal/birth"
	"balsa.example/internal/certs"
	"balsa.example/internal/datadir"
	"balsa.example/internal/machine"
	"balsa.example/internal/roster"
	"balsa.example/internal/wake"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/transport"
	"balsa.example/wal"
)

// Errors of a data directory that is not what the member needs. Nothing has been changed
// on disk when Open returns one of them.
var (
	// ErrInUse: another process uses the directory.
	ErrInUse = datadir.ErrInUse
	// ErrEmpty: the directory holds nothing, and Config.MustExist wants a member's.
	ErrEmpty = datadir.ErrEmpty
	// ErrForeign: the directory belongs to another cluster or to another member.
	ErrForeign = datadir.ErrForeign
	// ErrDamaged: a file is missing or its content is not what was written.
	ErrDamaged = datadir.ErrDamaged
	// ErrNewerFormat: the directory was written by a newer version of balsa.
	ErrNewerFormat = datadir.ErrNewerFormat
	// ErrOlderFormat: the directory was written by a version of balsa that is too old.
	ErrOlderFormat = datadir.ErrOlderFormat
)

// Member is one member of a cluster: its data directory, its connections to the others,
// and the proof of who it is. What it replicates is for an rsm.Node on top of it.
type Member struct {
	cfg       Config
	log       *slog.Logger
	dir       *datadir.Dir
	transport atomic.Pointer[transport.Transport] // nil until this member has an id
	connected chan struct{}                       // closed when transport is there
	tls       *certs.Source                       // nil without TLS
	replica   atomic.Pointer[Replica]             // nil before Start
	view      atomic.Pointer[view]                // who the members are

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	met      wake.Signal             // set when another member was heard
	refusals chan *transport.Refusal // by members that do not talk to this one
	begun    chan struct{}           // closed when the cluster has begun
	waits    atomic.Pointer[string]  // Waiting
	peers    peers
	fresh    bool      // the replica began with nothing, since this member has just joined
	misled   sync.Once // guards a line in the log

	failed chan struct{}
	once   sync.Once // guards failed and err
	err    error
}

// Open listens, opens the data directory, and begins to talk to the other members. On
// error nothing runs, and a directory that is not this member's is as it was.
func Open(cfg Config) (*Member, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, errors.Join(err, closeListener(cfg.Listener))
	}
	m := &Member{
		cfg: cfg, log: cfg.Logger,
		met:      wake.New(),
		refusals: make(chan *transport.Refusal, 16),
		begun:    make(chan struct{}),
		failed:   make(chan struct{}),
		peers:    newPeers(),

		connected: make(chan struct{}),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if err := m.open(); err != nil {
		m.cancel()
		return nil, cfg.Cluster.ErrorWithNames(errors.Join(err, closeListener(m.cfg.Listener)))
	}
	return m, nil
}

func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// open opens the port, then the data directory, then connects. The port comes first: one
// that is in use must not leave a new directory behind.
func (m *Member) open() (err error) {
	if err := m.openTLS(); err != nil {
		return err
	}
	if m.cfg.Listener == nil {
		address := m.cfg.Listen
		if address == "" {
			address = roster.HostPort(m.cfg.about().Peers[0])
		}
		if m.cfg.Listener, err = net.Listen("tcp", address); err != nil {
			return fmt.Errorf("listen for peers: %w", err)
		}
	}
	m.dir, err = datadir.Open(datadir.Config{
		Path: m.cfg.Dir, MustExist: m.cfg.MustExist, Log: m.cfg.Log,
		Owner: m.owner(),
	})
	if err != nil {
		return err
	}
	if !m.dir.Members.Joining() {
		if err := m.connect(); err != nil {
			return errors.Join(err, m.dir.Close())
		}
	}
	if m.tls != nil {
		m.work.Go(func() { m.tls.Watch(m.ctx) })
	}
	return nil
}

// owner is this member, as it was told.
func (m *Member) owner() datadir.Owner {
	c := m.cfg.Cluster
	o := datadir.Owner{About: m.cfg.about(), Joins: len(m.cfg.Join) > 0, NameOf: c.NameOf, Origin: m.cfg.Origin}
	if self, ok := c.Named(m.cfg.Name); ok {
		o.ID, o.Group, o.Token, o.Members = self.ID, c.Group, c.Token, c.IDs()
	}
	if m.cfg.MustExist || o.Joins {
		o.Token = "" // of a cluster that began long ago
	}
	return o
}

// keepaliveMargin is how much longer than an election timeout the keepalive timeout of a
// connection is. With it peers that can reach each other are connected within an election
// timeout and a second (see transport.Limits.KeepaliveTimeout), and a short election timeout
// leaves a connection enough time to be made.
const keepaliveMargin = 500 * time.Millisecond

// connect begins to talk to the other members. From then on this member has an id.
func (m *Member) connect() error {
	id := m.dir.Members.Identity().NodeID
	m.cfg.Cluster.later.learn(id, m.cfg.Name)
	m.view.Store(m.firstView())
	cfg := transport.Config{
		ID:       id,
		Group:    m.dir.Members.Group(),
		Listener: m.cfg.Listener,
		Peers:    m.addresses(m.view.Load().known),
		Handshake: transport.Handshake{
			Name:       m.cfg.Name,
			Members:    m.cfg.Cluster.Names(),
			Attributes: m.cfg.Attributes,
			Card:       m.card,
			Admit: func(from raft.NodeID, card []byte) error {
				<-m.connected
				return m.admit(from, card)
			},
			Unknown: func(from transport.Caller, card []byte) error {
				<-m.connected
				return m.refuseUnknown(from, card)
			},
			OnRefused: m.refused,
		},
		OnCall: func(ctx context.Context, from transport.Caller, request []byte) ([]byte, error) {
			<-m.connected
			return m.answer(ctx, from, request)
		},
		OnSnapshot: m.cfg.OnSnapshot,
		Gently:     machine.Gently,
		Logger:     m.log,
		Limits: transport.Limits{
			KeepaliveTimeout: m.cfg.ElectionTimeout + keepaliveMargin,
			MaxHandshakes:    m.cfg.MaxHandshakes,
		},
	}
	m.secure(&cfg)
	// A peer may connect before New has returned: what asks for the transport waits for m.connected.
	t, err := transport.New(cfg)
	if err != nil {
		return err
	}
	m.transport.Store(t)
	close(m.connected)
	return nil
}

// card is what this member says of itself when a connection begins.
func (m *Member) card() []byte {
	r := m.dir.Members.Record()
	if m.mayTellAbout(r.Certificate) {
		r.About = m.cfg.about()
	}
	return birth.AppendRecord(nil, r)
}

// mayTellAbout tells whether the other members can read where this one is. In a cluster that was born
// without a roster, and has none yet, they may run a program of before there were any.
func (m *Member) mayTellAbout(c *birth.Certificate) bool {
	if c == nil || c.Abouts != nil || len(c.Members) == 0 {
		return true
	}
	v := m.view.Load()
	return v != nil && v.published
}

// Name is what this member is called, and ID its id: raft.None while it waits to be told, since it
// joins a cluster.
func (m *Member) Name() string    { return m.cfg.Name }
func (m *Member) ID() raft.NodeID { return m.dir.Members.Identity().NodeID }

// Cluster is the cluster as this member was told it.
func (m *Member) Cluster() *Cluster { return m.cfg.Cluster }

// Waiting says what AwaitAdmission waits for; empty if it does not wait.
func (m *Member) Waiting() string {
	if text := m.waits.Load(); text != nil {
		return *text
	}
	return ""
}

// ClusterID is the identity that was drawn when the cluster began; 0 before.
func (m *Member) ClusterID() uint64 { return m.dir.Members.Identity().ClusterID }

// Origin is the Config.Origin of all members with which the cluster began, and Beginning the
// configuration that the log began with. They are known once AwaitAdmission has returned.
func (m *Member) Origin() [16]byte              { return m.dir.Members.Origin() }
func (m *Member) Beginning() raft.Configuration { return m.dir.Members.Beginning() }

// Log is the member's log and its snapshots; nil before AwaitAdmission has returned.
func (m *Member) Log() *wal.Log { return m.dir.Log() }

// LogStats describes the log; zero before there is one.
func (m *Member) LogStats() wal.Stats { return m.dir.Stats() }

// Transport carries messages to the other members; nil while this one has no ID.
func (m *Member) Transport() *transport.Transport { return m.transport.Load() }

// Peer is the state of the connection to another member; false if there is none.
func (m *Member) Peer(id raft.NodeID) (transport.PeerStatus, bool) {
	t := m.transport.Load()
	if t == nil {
		return transport.PeerStatus{}, false
	}
	return t.Peer(id)
}

// RoundTrip is how long a message to another member and its answer take, as the kernel has it; false
// if that is not known.
func (m *Member) RoundTrip(id raft.NodeID) (time.Duration, bool) {
	if t := m.transport.Load(); t != nil {
		return t.RoundTrip(id)
	}
	return 0, false
}

// TransportStats are figures of the transport; zero while there is none.
func (m *Member) TransportStats() transport.Stats {
	if t := m.transport.Load(); t != nil {
		return t.Stats()
	}
	return transport.Stats{}
}

// Start delivers what arrives from other members to r from now on, and lets r, while it leads, do
// what the members need.
func (m *Member) Start(r Replica) {
	m.fresh = !m.view.Load().configuration.HasVoters() && m.dir.Members.Peers() != nil
	m.replica.Store(&r)
	m.transport.Load().Start(r)
	m.work.Go(m.attend)
}

// Failed is closed when this member cannot go on: its disk has failed, or the others do
// not admit it. Err tells why.
func (m *Member) Failed() <-chan struct{} { return m.failed }

// Err is why the member failed, nil if it did not.
func (m *Member) Err() error {
	select {
	case <-m.failed:
		return m.err
	default:
		return nil
	}
}

func (m *Member) fail(err error) {
	m.once.Do(func() {
		m.err = m.cfg.Cluster.ErrorWithNames(err)
		close(m.failed)
	})
}

// Explain is for the error with which the replica of this member ended. It adds what is
// to be done, and marks the data directory of a replica that diverged, so that nobody
// uses it again.
func (m *Member) Explain(err error) error {
	switch {
	case errors.Is(err, rsm.ErrDiverged):
		err = errors.Join(err, m.dir.Condemn(err))
	case errors.Is(err, rsm.ErrRemoved):
		err = m.errRemoved()
	case errors.Is(err, raft.ErrLostLog):
		err = fmt.Errorf("%w This server takes no part any more: do not start it from %s, or another copy of it, again. The others go on without it, as if its disk were lost", err, m.cfg.Dir)
	}
	return m.cfg.Cluster.ErrorWithNames(err)
}

// Disconnect ends all connections. When it returns nothing is delivered any more.
func (m *Member) Disconnect() {
	m.cancel()
	m.peers.close()
	if t := m.transport.Load(); t != nil {
		t.Close()
	} else {
		m.cfg.Listener.Close()
	}
	m.work.Wait()
}

// Close ends all connections, closes the log, and lets the data directory go. A replica on
// it must have stopped, or be about to fail.
func (m *Member) Close() error {
	m.Disconnect()
	return m.dir.Close()
}
