package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/check/ports"
	"balsa.example/member"
)

// prepare adds the configuration of a server that is to join, and returns its number.
func (c *testCluster) prepare(name string) int {
	c.t.Helper()
	client, peer := ports.Listen(c.t), ports.Listen(c.t)
	cfg := c.configs[0]
	cfg.Name, cfg.Cluster, cfg.DataDir = name, nil, filepath.Join(filepath.Dir(cfg.DataDir), name+fmt.Sprint(len(c.configs)))
	scheme := cfg.ListenPeer[0].Scheme
	cfg.ListenPeer = []*url.URL{{Scheme: scheme, Host: peer.Addr().String()}}
	cfg.ListenClient = []*url.URL{{Scheme: scheme, Host: client.Addr().String()}}
	cfg.PeerListener, cfg.ClientListeners = peer, []net.Listener{client}
	cfg.AdvertisePeer, cfg.AdvertiseClient = nil, nil
	cfg.Logger = testLogger(c.t)
	if cfg.FS != nil {
		cfg.FS = crashfs.NewMem()
	}
	if c.ca != nil {
		d := certstest.Write(c.t, c.issue(c.ca, name), c.ca.PEM)
		cfg.ClientTLS = TLS{CertFile: d.Cert, KeyFile: d.Key, CAFile: d.CA, ClientAuth: true}
		cfg.PeerTLS = cfg.ClientTLS
	}
	cfg.JoinAt = nil
	for i := range min(3, len(c.configs)) {
		if c.configs[i].ListenPeer != nil {
			cfg.JoinAt = append(cfg.JoinAt, c.configs[i].ListenPeer[0].String())
		}
	}
	c.configs, c.servers = append(c.configs, cfg), append(c.servers, nil)
	return len(c.configs) - 1
}

// join starts a server that joins, and waits until it answers requests.
func (c *testCluster) join(name string) int {
	c.t.Helper()
	i := c.prepare(name)
	awaitReady(c.t, c.start(i))
	return i
}

// any is a server that runs.
func (c *testCluster) any() *Server {
	for _, s := range c.servers {
		if s != nil {
			return s
		}
	}
	c.t.Fatal("no server runs")
	return nil
}

// members are those that the leader knows: voters, and in parentheses learners.
func (c *testCluster) members() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	all, err := c.any().member.Members(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, m := range all.All {
		switch {
		case !m.Started:
			names = append(names, "["+m.Name+"]")
		case m.Voter:
			names = append(names, m.Name)
		default:
			names = append(names, "("+m.Name+")")
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (c *testCluster) awaitMembers(want string) {
	c.t.Helper()
	var got string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = c.members(); got == want {
			return
		}
	}
	c.t.Fatalf("the members are %s, want %s", got, want)
}

// change waits for a change of the members.
func (c *testCluster) change(f func(context.Context, *member.Member) (member.Info, error)) member.Info {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	m, err := f(ctx, c.any().member)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func named(name string) member.Who { return member.Who{Name: name} }

// awaitEnd waits until a server has ended by itself, and stops it.
func (c *testCluster) awaitEnd(i int, want error) {
	c.t.Helper()
	select {
	case <-c.servers[i].Failed():
	case <-time.After(patience):
		c.t.Fatalf("%s goes on", c.configs[i].Name)
	}
	if err := c.servers[i].Err(); !errors.Is(err, want) {
		c.t.Errorf("%s ends with %v, want %v", c.configs[i].Name, err, want)
	}
	c.stop(i)
}

func TestAServerJoinsACluster(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"plain": {servers: 3}, "TLS": {servers: 3, tls: true}, "one": {servers: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t, o)
			c.startAll()
			c.put("a", "1", 0)
			before := c.members()
			i := c.join("n4")
			c.wants("a", "1")
			c.awaitMembers(before + " n4")
			if c.servers[i].status().Revision == 0 {
				t.Error("it answers, and has no state")
			}
			c.put("b", "2", 0)
			c.awaitSameState()
			c.stop(i)
			awaitReady(t, c.start(i)) // without any hint of what it was
			c.put("c", "3", 0)
			c.awaitSameState()
		})
	}
}

// A server that is killed while it joins goes on when it is started again, and is made a member once.
func TestAServerThatJoinsIsMadeAMemberOnce(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, dir: t.TempDir()})
	c.startAll()
	i := c.prepare("n4")
	for range 5 {
		s := c.start(i)
		time.Sleep(20 * time.Millisecond) // at another moment each time
		s.Abort()
	}
	awaitReady(t, c.start(i))
	c.awaitMembers("n1 n2 n3 n4")
}

// A dead machine is replaced by one command, and the start of a server of the same name.
func TestADeadServerIsReplaced(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	c.startAll()
	c.put("a", "1", 0)
	c.servers[2].Abort()
	c.servers[2] = nil
	old := c.configs[2]
	i := c.prepare("n3")
	s := c.start(i)
	select { // it is not let in by itself
	case <-s.Failed():
	case <-time.After(patience):
		t.Fatal("an empty directory is let in under the name of a member")
	}
	if err := s.Err(); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), "balsa member replace n3") {
		t.Errorf("it is refused with: %v", err)
	}
	c.servers[i] = nil
	s.Abort()
	m := c.change(func(ctx context.Context, m *member.Member) (member.Info, error) {
		return m.Replace(ctx, named("n3"), "")
	})
	for _, asked := range c.servers[:2] { // which of them leads makes no difference
		_, err := asked.member.Remove(t.Context(), named("n3"))
		if !errors.Is(err, member.ErrAmbiguous) || !strings.Contains(err.Error(), m.ID.String()+", which is to replace it") {
			t.Errorf("which n3 is meant? %v", err)
		}
	}
	awaitReady(t, c.start(i))
	c.awaitMembers("n1 n2 n3")
	if c.servers[i].id() != m.ID {
		t.Errorf("the new one is %s, and %s was promised", c.servers[i].id(), m.ID)
	}
	c.put("b", "2", 0)

	// The old one comes back, and is told.
	old.PeerListener, old.ClientListeners = nil, nil
	c.configs[2] = old
	c.start(2)
	c.awaitEnd(2, member.ErrRemoved)
	c.start(2) // and again
	c.awaitEnd(2, member.ErrRemoved)
	c.put("c", "3", 0)
}

// Three servers are replaced by three others, while a client goes on.
func TestAClusterMoves(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	for i := range 3 {
		c.put(fmt.Sprint("before", i), "x", 0)
		j := c.prepare(fmt.Sprint("m", i+1))
		c.configs[j].JoinAt = []string{c.any().cfg.AdvertisePeer[0].Host}
		awaitReady(t, c.start(j))
		for !strings.Contains(" "+c.members()+" ", fmt.Sprintf(" m%d ", i+1)) {
			time.Sleep(5 * time.Millisecond)
		}
		c.change(func(ctx context.Context, m *member.Member) (member.Info, error) {
			return m.Remove(ctx, named(fmt.Sprint("n", i+1)))
		})
		c.awaitEnd(i, member.ErrRemoved)
		c.put(fmt.Sprint("after", i), "x", 0)
	}
	c.awaitMembers("m1 m2 m3")
	c.servers, c.configs = c.servers[3:], c.configs[3:]
	c.awaitSameState()
}

// A Clerk that does nothing while all servers are replaced knows where the new ones are.
func TestAnIdleClerkFollowsTheMembers(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1})
	c.startAll()
	c.put("a", "1", 0)
	watcher, err := clerk.New(c.endpoints)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	next, stop := iter.Pull2(watcher.Watch(ctx, clerk.Key("a"), clerk.Since(1)))
	defer stop()
	if _, err, _ := next(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		c.join(fmt.Sprint("m", i))
		c.awaitMembers(fmt.Sprintf("m%d n1", i))
		if i == 0 {
			c.change(func(ctx context.Context, m *member.Member) (member.Info, error) { return m.Remove(ctx, named("m0")) })
			c.awaitEnd(1, member.ErrRemoved)
		}
	}
	c.change(func(ctx context.Context, m *member.Member) (member.Info, error) { return m.Remove(ctx, named("n1")) })
	c.awaitEnd(0, member.ErrRemoved)
	c.put("a", "2", 1)
	for {
		changes, err, _ := next()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range changes.Events {
			if string(e.Value) == "2" {
				return
			}
		}
	}
}

// A server that was down while all others were replaced finds those that are there now, if it is told
// one of them, or if one that it knows is still there.
func TestAServerThatWasDownFindsTheNewMembers(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	c.stop(2)
	for _, name := range []string{"m1", "m2"} {
		c.join(name)
	}
	c.awaitMembers("m1 m2 n1 n2 n3")
	c.change(func(ctx context.Context, m *member.Member) (member.Info, error) { return m.Remove(ctx, named("n1")) })
	c.awaitEnd(0, member.ErrRemoved)
	// n3 knows n1, which is gone, n2, and neither m1 nor m2, of whom one may lead.
	awaitReady(t, c.start(2))
	c.put("b", "2", 0)
	c.servers, c.configs = c.servers[1:], c.configs[1:]
	c.awaitSameState()
}

// A learner that is to stay one answers requests, and is promoted by a command.
func TestALearnerStaysOne(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	i := c.prepare("replica")
	c.configs[i].Learner = true
	awaitReady(t, c.start(i))
	c.awaitMembers("(replica) n1 n2 n3")
	if got := c.servers[i].status().Role; got != api.Role_LEARNER {
		t.Errorf("it says that it is %s", got)
	}
	c.awaitPeer(0, i, func(p *api.Peer) bool { return p.Learner })
	isLearner := func(want bool) {
		t.Helper()
		eventually(t, "it does not hear of the change", func() bool { return c.servers[i].isLearner() == want })
		status, err := pb.NewMaintenanceClient(c.etcdConn(i)).Status(etcdContext(t), &pb.StatusRequest{})
		if err != nil || status.IsLearner != want {
			t.Errorf("clients of etcd are told %v, %v", status, err)
		}
	}
	isLearner(true)
	c.put("b", "2", 0)
	c.awaitSameState()
	c.change(func(ctx context.Context, m *member.Member) (member.Info, error) {
		return m.Promote(ctx, named("replica"))
	})
	c.awaitMembers("n1 n2 n3 replica")
	isLearner(false)
}

// As etcd does it: the cluster is told first, then the server is started with all members and
// "existing".
func TestAServerThatWasAddedBefore(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	i := c.prepare("n4")
	cfg := &c.configs[i]
	var err error
	if cfg.Cluster, err = ParseCluster("any", memberList(c.configs[0].Cluster)+",n4="+cfg.ListenPeer[0].String()); err != nil {
		t.Fatal(err)
	}
	cfg.JoinAt, cfg.Join = nil, true
	c.start(i)
	c.awaitEnd(i, ErrNotAdmitted)
	added := c.change(func(ctx context.Context, m *member.Member) (member.Info, error) {
		return m.Add(ctx, member.NewMember{Peers: []string{cfg.ListenPeer[0].String()}})
	})
	c.awaitMembers("[] n1 n2 n3")
	awaitReady(t, c.start(i))
	c.awaitMembers("n1 n2 n3 n4")
	if c.servers[i].id() != added.ID {
		t.Errorf("it is %s, and %s was added", c.servers[i].id(), added.ID)
	}
}

func TestChangesThatWouldDoHarmAreRefused(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	leader := c.servers[c.leader()]
	refuse := func(want error, f func(*member.Member) (member.Info, error)) {
		t.Helper()
		for _, s := range c.servers {
			if s == nil {
				continue
			}
			if _, err := f(s.member); !errors.Is(err, want) {
				t.Errorf("%s says %v, want %v", s.cfg.Name, err, want)
			}
		}
	}
	refuse(member.ErrNoMember, func(m *member.Member) (member.Info, error) { return m.Remove(ctx, named("n9")) })
	refuse(member.ErrVotes, func(m *member.Member) (member.Info, error) { return m.Promote(ctx, named("n1")) })
	refuse(member.ErrAddressTaken, func(m *member.Member) (member.Info, error) {
		return m.Update(ctx, named("n1"), []string{c.configs[1].ListenPeer[0].String()}, nil)
	})
	// A new leader has not heard from all yet. Who is not heard from before it stops may be heard from after.
	eventually(t, "the leader does not hear from all", func() bool {
		leader = c.servers[c.leader()]
		peers := leader.native.Replica().Node.Status().Peers
		return len(peers) == 2 && peers[0].Active && peers[1].Active
	})
	for i, s := range c.servers {
		if s != leader {
			s.Abort()
			c.servers[i] = nil
			break
		}
	}
	c.put("b", "1", 0)
	silent := "n1"
	for i, s := range c.servers {
		if s == nil {
			silent = c.configs[i].Name
		}
	}
	other := "n1"
	for _, s := range c.servers {
		if s != nil && s != leader {
			other = s.cfg.Name
		}
	}
	eventually(t, "the leader does not notice that a server is down", func() bool {
		leader = c.servers[c.leader()]
		for _, p := range leader.native.Replica().Node.Status().Peers {
			if c.configs[0].Cluster.NameOf(p.ID) == silent {
				return !p.Active
			}
		}
		return false
	})
	_, err := leader.member.Remove(ctx, named(other))
	if !errors.Is(err, member.ErrLosesQuorum) || !strings.Contains(err.Error(), silent) {
		t.Fatalf("remove %s while %s is down: %v", other, silent, err)
	}
	if _, err := leader.member.Remove(ctx, named(silent)); err != nil { // which is what helps
		t.Error(err)
	}
	c.put("c", "1", 0)
}

// A place at a wrong address costs a cluster of one nothing: it goes on, tells clients nothing of it, and
// can be without it again.
func TestAWrongAddressCostsAClusterOfOneNothing(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1})
	c.startAll()
	c.put("a", "1", 0)
	c.change(func(ctx context.Context, m *member.Member) (member.Info, error) {
		return m.Add(ctx, member.NewMember{Name: "n2", Peers: []string{"http://127.0.0.1:1"}, Clients: []string{"http://127.0.0.1:2"}})
	})
	c.awaitMembers("[n2] n1")
	c.put("b", "1", 0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.servers[0].member.Promote(ctx, named("n2")); !errors.Is(err, member.ErrNotStarted) {
		t.Errorf("a server that has not started is promoted: %v", err)
	}
	for _, l := range (membership{c.servers[0]}).Known() {
		if l.Name != "n1" {
			t.Errorf("clients are told of %v", l)
		}
	}
	c.stop(0)
	awaitReady(t, c.start(0)) // alone, as before
	c.put("c", "1", 0)
	c.change(func(ctx context.Context, m *member.Member) (member.Info, error) { return m.Remove(ctx, named("n2")) })
	c.awaitMembers("n1")
	c.put("d", "1", 0)
}

// Without a majority nothing is changed, and who asks is told so, and not left in doubt.
func TestWithoutALeaderNothingIsChanged(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	for i := range 2 {
		c.servers[i].Abort()
		c.servers[i] = nil
	}
	for i := range 2 { // a call that is under way would be in doubt
		c.awaitPeer(2, i, func(p *api.Peer) bool { return !p.Connected })
	}
	// So would what it takes while it still believes that it leads.
	eventually(t, "it still knows a leader", func() bool { return c.servers[2].status().LeaderId == 0 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := membership{c.servers[2]}.ChangeMembers(ctx, &api.MembersChange{Kind: api.MembersChange_REMOVE, Name: "n1"})
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), member.ErrNoLeader.Error()) {
		t.Errorf("without a majority a change is told %v", err)
	}
}

// All servers move to other addresses at once, as they are told when they are started again.
func TestAllAddressesChangeAtARestart(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	for i := range 3 {
		c.stop(i)
	}
	var parts []string
	for i := range c.configs {
		c.listenElsewhere(i)
		parts = append(parts, c.configs[i].Name+"="+c.configs[i].ListenPeer[0].String())
	}
	cluster, err := ParseCluster("test", strings.Join(parts, ","))
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.configs {
		c.configs[i].Cluster = cluster
	}
	c.clerk.Close()
	c.clerk = c.firstClerk()
	c.startAll()
	c.put("a", "2", 1)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var wrong []string
		for i, m := range c.servers[0].member.Known().All {
			if m.Clients[0] != "http://"+c.endpoints[i] && !slices.Contains(c.endpoints, strings.TrimPrefix(m.Clients[0], "http://")) {
				wrong = append(wrong, m.Name)
			}
		}
		if len(wrong) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the addresses of %v are the old ones", wrong)
		}
	}
}

// One server moves, and is told of nobody else. The leader does not reach it, and it hears of no
// leader, until another one has told where it is.
func TestOneAddressChangesAtARestart(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	leader := c.leader()
	i := (leader + 1) % 3
	c.stop(i)
	c.move(i, leader)
	s := c.start(i)
	deadline := time.Now().Add(patience)
	for s.status().LeaderId == 0 {
		if time.Now().After(deadline) {
			t.Fatal("it hears from no leader")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// move gives a server that is down other addresses. It is told those of one other server.
func (c *testCluster) move(i, other int) {
	c.listenElsewhere(i)
	c.configs[i].Cluster, c.configs[i].JoinAt = nil, []string{c.configs[other].ListenPeer[0].String()}
}

// listenElsewhere gives a server that is down other addresses.
func (c *testCluster) listenElsewhere(i int) {
	client, peer := ports.Listen(c.t), ports.Listen(c.t)
	cfg := &c.configs[i]
	cfg.PeerListener, cfg.ClientListeners = peer, []net.Listener{client}
	cfg.ListenPeer, cfg.ListenClient = []*url.URL{{Scheme: "http", Host: peer.Addr().String()}}, []*url.URL{{Scheme: "http", Host: client.Addr().String()}}
	cfg.AdvertisePeer, cfg.AdvertiseClient = nil, nil
	c.endpoints[i] = client.Addr().String()
}

// told tells whether a server knows where another one is.
func (c *testCluster) told(of, by int) bool {
	return slices.ContainsFunc(c.servers[by].member.Known().All, func(one member.Info) bool {
		return one.Name == c.configs[of].Name && slices.Equal(one.Peers, []string{c.configs[of].ListenPeer[0].String()})
	})
}

// A server is down while all others move. They reach it, and it learns from them where they are.
func TestAServerThatWasDownWhileTheOthersMoved(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	c.stop(0)
	for i := range 2 {
		c.stop(1 + i)
		c.move(1+i, 2-i)
		awaitReady(t, c.start(1+i))
		for deadline := time.Now().Add(patience); !c.told(1+i, 2-i); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the other one is not told where it is")
			}
		}
	}
	c.clerk.Close()
	c.clerk = c.firstClerk()
	c.put("a", "2", 1)
	s := c.start(0)
	for deadline := time.Now().Add(patience); s.status().AppliedIndex < c.servers[1].status().AppliedIndex || s.status().LeaderId == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not get the log: it is %v, the others %v and %v", s.status(), c.servers[1].status(), c.servers[2].status())
		}
	}
}

// A server whose address is that of another member does not go on.
func TestAServerWithTheAddressOfAnotherEnds(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.stop(2)
	c.configs[2].AdvertisePeer = c.configs[1].ListenPeer
	c.start(2)
	c.awaitEnd(2, member.ErrAddressTaken)
}

// What clients of etcd call, with the errors that they know.
func TestMembersByEtcdsAPI(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	for i := range c.configs {
		c.configs[i].MaxLearners = 1
	}
	c.startAll()
	ctx := etcdContext(t)
	follower := (c.leader() + 1) % 3
	members := pb.NewClusterClient(c.etcdConn(follower))
	i := c.prepare("n4")
	cfg := &c.configs[i]
	url := cfg.ListenPeer[0].String()
	added, err := members.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{url}, IsLearner: true})
	if err != nil || !added.Member.IsLearner || len(added.Members) != 4 {
		t.Fatalf("added: %v, %v", added, err)
	}
	id := added.Member.ID
	_, err = members.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:2"}, IsLearner: true})
	if rpctypes.Error(err) != rpctypes.ErrTooManyLearners {
		t.Errorf("a second learner: %v", err)
	}
	_, err = members.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{url}})
	if rpctypes.Error(err) != rpctypes.ErrPeerURLExist {
		t.Errorf("added again: %v", err)
	}
	_, err = members.MemberPromote(ctx, &pb.MemberPromoteRequest{ID: id})
	if rpctypes.Error(err) != rpctypes.ErrMemberLearnerNotReady {
		t.Errorf("promoted before it started: %v", err)
	}
	_, err = members.MemberPromote(ctx, &pb.MemberPromoteRequest{ID: uint64(c.servers[0].id())})
	if rpctypes.Error(err) != rpctypes.ErrMemberNotLearner {
		t.Errorf("a voter promoted: %v", err)
	}
	_, err = members.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: 12345})
	if rpctypes.Error(err) != rpctypes.ErrMemberNotFound {
		t.Errorf("nobody removed: %v", err)
	}
	if cfg.Cluster, err = ParseCluster("any", memberList(c.configs[0].Cluster)+",n4="+url); err != nil {
		t.Fatal(err)
	}
	cfg.JoinAt, cfg.Join = nil, true
	awaitReady(t, c.start(i))
	for {
		if _, err = members.MemberPromote(ctx, &pb.MemberPromoteRequest{ID: id}); rpctypes.Error(err) != rpctypes.ErrMemberLearnerNotReady {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.awaitMembers("n1 n2 n3 n4")
	if r, err := members.MemberUpdate(ctx, &pb.MemberUpdateRequest{ID: id, PeerURLs: []string{url, "http://127.0.0.1:1"}}); err != nil || len(r.Members) != 4 {
		t.Errorf("updated: %v, %v", r, err)
	}
	if _, err := members.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: id}); err != nil {
		t.Error(err)
	}
	c.awaitEnd(i, member.ErrRemoved)
	c.awaitMembers("n1 n2 n3")
}

// A server that was down while a member was added knows nothing of it. Where the others that it knows
// are gone, it and the new one may be all that is left of a majority: the new one says who it is.
func TestAServerThatWasDownMeetsANewOne(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"plain": {servers: 3}, "TLS": {servers: 3, tls: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t, o)
			c.startAll()
			c.put("a", "1", 0)
			c.stop(2)
			c.join("m1")
			c.awaitMembers("m1 n1 n2 n3")
			c.change(func(ctx context.Context, m *member.Member) (member.Info, error) { return m.Remove(ctx, named("n1")) })
			c.awaitEnd(0, member.ErrRemoved)
			c.stop(1) // so that n3 and m1 are left, of m1, n2 and n3
			awaitReady(t, c.start(2))
			c.put("b", "2", 0)
			c.servers, c.configs = c.servers[2:], c.configs[2:]
			c.awaitSameState()
		})
	}
}

// The same where the entry of the new one was there, and had no directory yet.
func TestAServerThatWasDownMeetsOneThatHasStarted(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	c.change(func(ctx context.Context, m *member.Member) (member.Info, error) {
		return m.Replace(ctx, named("n1"), "m1")
	})
	c.awaitSameState()
	c.stop(2)
	c.join("m1")
	c.awaitEnd(0, member.ErrRemoved)
	c.awaitMembers("m1 n2 n3")
	c.stop(1)
	awaitReady(t, c.start(2))
	c.put("b", "2", 0)
}

// A member that was told addresses of another cluster, which was begun with the same names, is not
// told that it was removed because a member of its name was removed there.
func TestWhoWasRemovedFromAnotherClusterGoesOn(t *testing.T) {
	t.Parallel()
	c, other := newTestCluster(t, options{servers: 3}), newTestCluster(t, options{servers: 3})
	c.startAll()
	other.startAll()
	c.change(func(ctx context.Context, m *member.Member) (member.Info, error) { return m.Remove(ctx, named("n3")) })
	c.awaitEnd(2, member.ErrRemoved)
	for i := range 3 {
		id := other.servers[i].id()
		for _, s := range c.servers[:2] { // until the connections to the one that was removed have ended
			for _, ok := s.member.Peer(id); i == 2 && ok; _, ok = s.member.Peer(id) {
				time.Sleep(5 * time.Millisecond)
			}
		}
		other.stop(i)
	}
	other.configs[2].Cluster = c.configs[0].Cluster // the addresses are those of the other one
	s := other.start(2)
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if p, ok := s.member.Peer(c.servers[0].id()); ok && strings.Contains(p.LastError, "begun apart") {
			return
		}
		if time.Now().After(deadline) || s.Err() != nil {
			t.Fatalf("it is told something else, and ends with %v", s.Err())
		}
	}
}

// In a cluster that was begun by an older version, until it has a roster: it has no addresses of clients,
// this server's neither, and no schemes.
func TestWhereMembersAreWithoutARoster(t *testing.T) {
	t.Parallel()
	for scheme, o := range map[string]options{"http": {servers: 1}, "https": {servers: 1, tls: true}} {
		c := newTestCluster(t, o)
		c.startAll()
		s := c.servers[0]
		own, want := s.clientURLs(member.Info{ID: s.id()}), s.cfg.AdvertiseClient[0].String()
		if len(own) != 1 || own[0] != want {
			t.Errorf("%s: clients find this server at %q, want %q", scheme, own, want)
		}
		got := s.peerURLs(member.Info{Peers: []string{"n2:1", scheme + "://n2:2"}})
		if !slices.Equal(got, []string{scheme + "://n2:1", scheme + "://n2:2"}) {
			t.Errorf("%s: members find it at %q", scheme, got)
		}
	}
}

// After each of these errors nothing has changed. Clients are told so: what has no code of its own counts as not known.
func TestClientsAreToldThatNothingHasChanged(t *testing.T) {
	for _, err := range []error{
		member.ErrNoMember, member.ErrAmbiguous, member.ErrExists, member.ErrAddressTaken, member.ErrTooMany, member.ErrTooManyLearners, member.ErrVotes,
		member.ErrNotStarted, member.ErrLastVoter, member.ErrBeingReplaced, member.ErrWitness, member.ErrNotCaughtUp, member.ErrLosesQuorum, member.ErrBadChange,
		member.ErrOlder, member.ErrNoLeader,
	} {
		if code := status.Code(memberStatus(fmt.Errorf("change: %w", err))); code == codes.Unknown {
			t.Errorf("%v: %s", err, code)
		}
	}
	if code := status.Code(memberStatus(member.ErrUnknown)); code != codes.Unknown {
		t.Error(code)
	}
}

// A server whose cluster has begun knows the others, also if it is told of itself alone.
func TestAServerIsToldOfItselfAloneLater(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	i := (c.leader() + 1) % 3
	c.stop(i)
	c.put("a", "2", 1)
	name := c.configs[i].Name
	alone, err := ParseCluster("test", name+"="+c.configs[i].Cluster.PeerURLs(name)[0].String())
	if err != nil {
		t.Fatal(err)
	}
	c.configs[i].Cluster = alone
	c.start(i)
	awaitReady(t, c.servers[i])
	c.stop((i + 1) % 3)
	c.put("a", "3", 2) // which takes it
	c.wants("a", "3")
}
