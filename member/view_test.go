package member

import (
	"crypto/x509"
	"errors"
	"net"
	"testing"

	"balsa.example/internal/birth"
	"balsa.example/internal/datadir"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/raft/quorum"
	"balsa.example/transport"
)

// newJoined opens a member of id 4 that has just joined a cluster of 1, 2 and 3.
func newJoined(t *testing.T) (*Member, roster.Roster) {
	t.Helper()
	dir := t.TempDir()
	about := roster.About{Name: "n4", Peers: []string{"127.0.0.1:1"}}
	d, err := datadir.Open(datadir.Config{Path: dir, Owner: datadir.Owner{About: about, Joins: true, NameOf: raft.NodeID.String}})
	if err != nil {
		t.Fatal(err)
	}
	var r roster.Roster
	for id := range raft.NodeID(3) {
		r = r.With(roster.Member{ID: id + 1, About: roster.About{Name: (id + 1).String(), Peers: []string{"127.0.0.1:1"}}, Incarnation: roster.Incarnation{byte(id + 1)}})
	}
	r = r.With(roster.Member{ID: 4, About: about, Incarnation: d.Members.Record().Incarnation})
	if err := errors.Join(d.Members.Join(datadir.Membership{ID: 4, Cluster: 7, Group: 7, Peers: r.Members}), d.Close()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(Config{Name: "n4", Peers: about.Peers, Join: about.Peers, Dir: dir, Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, r
}

// A voter that is to be removed is told so when the configuration without it is committed, and keeps
// its place until then: the joint phase may need its vote to end.
func TestAVoterIsRemovedWhenTheJointPhaseHasEnded(t *testing.T) {
	m, all := newJoined(t)
	told := func(want transport.Code) {
		t.Helper()
		card := birth.AppendRecord(nil, birth.Record{Self: 3, Incarnation: roster.Incarnation{3}, Certificate: &birth.Certificate{Cluster: 7}})
		refusal := new(transport.Refusal)
		if err := m.refuseUnknown(transport.Caller{ID: 3}, card); !errors.As(err, &refusal) || refusal.Code != want {
			t.Errorf("it is told %v, want %d", err, want)
		}
		_, known := m.known().Find(3)
		if _, connects := m.addresses(m.known())[3]; known != connects || known != (want == transport.CodeNotYet) {
			t.Errorf("it is known: %t, and connected to: %t", known, connects)
		}
	}
	conf := func(r roster.Roster, incoming, outgoing quorum.Majority) raft.Configuration {
		return raft.Configuration{Voters: quorum.Joint{Incoming: incoming, Outgoing: outgoing}, Context: roster.Append(nil, r)}
	}
	before := conf(all, quorum.Majority{1, 2, 3}, nil)
	joint := conf(all.Without(3), quorum.Majority{1, 2, 4}, quorum.Majority{1, 2, 3})
	after := conf(all.Without(3), quorum.Majority{1, 2, 4}, nil)
	for _, step := range []struct {
		latest, committed raft.Configuration
		want              transport.Code
	}{
		{before, before, transport.CodeNotYet}, {joint, before, transport.CodeNotYet}, {joint, joint, transport.CodeNotYet},
		{after, joint, transport.CodeNotYet}, {after, after, codeRemoved},
	} {
		m.OnConfiguration(step.latest, step.committed)
		told(step.want)
	}
}

// What a server of another cluster tells, such as one that was restored from the same backup and is found
// at the same addresses, is not taken for the members of this one.
func TestAnotherClusterIsNotHeard(t *testing.T) {
	m, _ := newJoined(t)
	stranger := answer{Cluster: 8, Members: []Info{{ID: 9, Name: "n9", Peers: []string{"127.0.0.1:9"}, Started: true, Incarnation: [16]byte{9}}}}
	if m.heard(stranger) {
		t.Error("a member of another cluster is heard")
	}
	if _, known := m.known().Find(9); known {
		t.Error("it is known")
	}
	stranger.Cluster = m.ClusterID()
	if !m.heard(stranger) {
		t.Error("a member of this cluster is not heard")
	}
	if _, known := m.known().Find(9); !known {
		t.Error("it is not known")
	}
}

// Of a certificate that has no common name, an empty name is not that.
func TestWhoHasNoNameIsNotCertifiedByIt(t *testing.T) {
	if err := certifies(new(x509.Certificate), 1, roster.About{Peers: []string{"10.0.0.1:1"}}, roster.Roster{}, false); !errors.Is(err, errNotNamed) {
		t.Errorf("it is certified (%v)", err)
	}
}

// A member may say where it is before this one has its transport: while that is being made, the first
// connections are.
func TestAMemberSaysWhereItIs(t *testing.T) {
	m, _ := newJoined(t)
	m.foundAt(2, []string{"http://127.0.0.1:2"})
	m.foundAt(3, []string{"http://127.0.0.1:3"})
	m.foundAt(5, []string{"http://127.0.0.1:5"}) // no member
	for id, want := range map[raft.NodeID]string{1: "127.0.0.1:1", 2: "127.0.0.1:1,127.0.0.1:2", 3: "127.0.0.1:1,127.0.0.1:3", 5: ""} {
		if got := m.addresses(m.known())[id]; got != want {
			t.Errorf("%d is at %q, want %q", id, got, want)
		}
		if p, ok := m.Transport().Peer(id); ok != (want != "") || ok && p.Address != want {
			t.Errorf("%d is dialed at %q, want %q", id, p.Address, want)
		}
	}
	if len(m.peers.said) != 2 {
		t.Errorf("it notes %v", m.peers.said)
	}
}

// A member of the birth hears where the others have moved to before its replica has read the log. Nobody
// may tell it again: the connections stay.
func TestAMemberSaysWhereItIsBeforeTheReplicaStarts(t *testing.T) {
	cluster, err := NewCluster("", map[string]string{"n1": "127.0.0.1:1", "n2": "127.0.0.2:1", "n3": "127.0.0.3:1"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(Config{Name: cluster.Members[0].Name, Cluster: cluster, Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	say := func(of Spec, address string) error {
		about := roster.About{Name: of.Name, Peers: []string{address}}
		return m.admit(of.ID, birth.AppendRecord(nil, birth.Record{
			Self: of.ID, Incarnation: birth.Incarnation{byte(of.ID)}, Founder: m.dir.Members.Record().Incarnation, About: about,
		}))
	}
	for range 2 { // the first time the founder hears that they are bound to it
		for _, of := range cluster.Members[1:] {
			err = say(of, of.Address)
		}
	}
	moved := cluster.Members[1]
	if err := errors.Join(err, say(moved, "127.0.0.1:2")); err != nil {
		t.Fatal(err)
	}
	if m.view.Load().published {
		t.Fatal("it has read a log")
	}
	if got, want := m.addresses(m.known())[moved.ID], moved.Address+",127.0.0.1:2"; got != want {
		t.Errorf("it is at %q, want %q", got, want)
	}
}

// While an old cluster is upgraded, some members run a program that knows no rosters: it could read
// neither where another one says that it is, nor a configuration with a roster.
func TestAnOldClusterIsSparedWhatItsProgramsCannotRead(t *testing.T) {
	m, all := newJoined(t)
	old := &birth.Certificate{Cluster: 7, Members: map[raft.NodeID]birth.Incarnation{1: {1}}}
	if m.mayTellAbout(old) {
		t.Error("it tells where it is although no roster was published")
	}
	for _, c := range []*birth.Certificate{nil, {Cluster: 7}, {Cluster: 7, Members: old.Members, Abouts: map[raft.NodeID]roster.About{1: {}}}} {
		if !m.mayTellAbout(c) {
			t.Errorf("it does not tell where it is, with the certificate %v", c)
		}
	}
	if err := m.knowRosters(raft.NewConfiguration(1, 4)); !errors.Is(err, errSoon) {
		t.Errorf("a member that is not connected: %v", err)
	}
	if err := m.knowRosters(raft.NewConfiguration(4)); err != nil {
		t.Errorf("a sole member waits for others: %v", err)
	}
	c := raft.NewConfiguration(1, 2, 3, 4)
	c.Context = roster.Append(nil, all)
	m.OnConfiguration(c, c)
	if !m.mayTellAbout(old) {
		t.Error("it does not tell where it is although a roster was published")
	}
}
