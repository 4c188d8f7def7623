package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/member"
	"balsa.example/raft"
)

// joinWitness starts a witness, which joins, and waits until it votes and all know that. Before that
// the change may need every server.
func (c *testCluster) joinWitness(name string) int {
	c.t.Helper()
	i := c.prepare(name)
	c.configs[i].Witness = true
	awaitReady(c.t, c.start(i))
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if c.servers[0].votes(c.servers[i].id()) && c.servers[1].votes(c.servers[i].id()) {
			return i
		}
	}
	c.t.Fatalf("%s does not vote", name)
	return i
}

// votes tells whether a member is a witness that votes, as far as s knows of no change since.
func (s *Server) votes(id raft.NodeID) bool {
	latest, committed := s.running.Load().Node.Configuration()
	return latest.Equal(committed) && !latest.Voters.IsJoint() && latest.Part(id) == raft.Witness
}

// Two servers and a witness: one server is away while the other one writes, and is alone when that one
// is lost for good. Nothing is lost.
func TestTwoServersAndAWitness(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{"plain": {servers: 2}, "TLS": {servers: 2, tls: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t, o)
			c.startAll()
			c.put("a", "1", 0)
			w := c.joinWitness("w")
			c.stop(1)
			for i := range 20 {
				c.put(fmt.Sprint("while n2 is away ", i), "x", 0)
			}
			c.stop(w)
			c.start(w)
			awaitReady(t, c.servers[w])
			c.put("b", "2", 0)
			c.servers[0].Abort()
			c.servers[0] = nil
			awaitReady(t, c.start(1))
			c.wants("b", "2")
			for i := range 20 {
				c.wants(fmt.Sprint("while n2 is away ", i), "x")
			}
			c.put("c", "3", 0)
			if got := c.servers[1].status().Role; got != api.Role_LEADER {
				t.Errorf("the only server with a state is %s", got)
			}
		})
	}
}

// A witness answers no requests, is no address for clients, and says so. It can be removed.
func TestAWitnessAnswersNothing(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 2})
	c.startAll()
	w := c.joinWitness("w")
	if st := c.servers[w].status(); st.Role != api.Role_FOLLOWER || st.Term == 0 || st.CommandVersion != c.servers[0].status().CommandVersion {
		t.Errorf("its status is %v", st)
	}
	for i, s := range c.servers {
		st := s.status()
		if st.Witness != (i == w) {
			t.Errorf("%s says that it is a witness: %t", st.Name, st.Witness)
		}
		for _, p := range st.Peers {
			if p.Witness != (p.Name == "w") {
				t.Errorf("%s says that %s is a witness: %t", st.Name, p.Name, p.Witness)
			}
		}
	}
	if err := c.servers[w].begun(); err != nil {
		t.Errorf("it is not healthy: %v", err)
	}
	for _, l := range (membership{c.servers[0]}).Known() {
		if l.Name == "w" {
			t.Errorf("clients are told of it: %v", l)
		}
	}
	known, err := c.clerk.Members(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range known.All {
		if m.Witness != (m.Name == "w") || !m.Voter {
			t.Errorf("a member is %+v", m)
		}
	}
	all, err := pb.NewClusterClient(c.etcdConn(0)).MemberList(etcdContext(t), &pb.MemberListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all.Members {
		if (len(m.ClientURLs) == 0) != (m.Name == "w") {
			t.Errorf("clients of etcd are told of %v", m)
		}
	}
	begin := time.Now()
	_, err = pb.NewKVClient(c.etcdConn(w)).Range(etcdContext(t), &pb.RangeRequest{Key: []byte("a")})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), errWitness.Error()) || time.Since(begin) > 5*time.Second {
		t.Errorf("a request of etcd, after %s: %v", time.Since(begin), err)
	}
	asks, err := clerk.New([]string{c.configs[w].ListenClient[0].Host})
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := asks.Get(ctx, "a"); err == nil {
		t.Error("it answers a get")
	}
	c.change(func(ctx context.Context, m *member.Member) (member.Info, error) { return m.Remove(ctx, named("w")) })
	c.awaitEnd(w, member.ErrRemoved)
	c.put("a", "1", 0)
}

// A witness is measured as other members are, but for the store that it lacks: to Prometheus it takes part in the
// cluster, and knows the leader.
func TestAWitnessIsMeasured(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 2})
	c.startAll()
	c.put("a", "1", 0)
	w := c.joinWitness("w")
	of := func(i int) figures { return scrape(t, "http://"+c.configs[i].ListenClient[0].Host) }
	eventually(t, "the witness knows no leader, or does not execute what it gets", func() bool {
		f, other := of(w), of(0)
		return f.of("server_has_leader") == 1 && f.of("server_applied_index") == other.of("server_applied_index")
	})
	f := of(w)
	if got := f.of("server_alarm", witnessFull); got != 0 {
		t.Errorf("the alarm of a witness is %v", got)
	}
	for name, least := range map[string]float64{
		"server_admitted": 1, "server_term": 1, "server_commit_index": 1, "server_last_index": 1, "wal_wait_seconds": 0, "store_keys": -1, "store_bytes": -1,
	} {
		if got := f.of(name); got < least || least < 0 && got != least {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// The directory of a witness is that of no other server, nor the other way round.
func TestADirectoryIsOfAWitnessForGood(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 2})
	c.startAll()
	w := c.joinWitness("w")
	for _, x := range []struct {
		server  int
		witness bool
	}{{w, false}, {1, true}} {
		c.stop(x.server)
		c.configs[x.server].Witness = x.witness
		c.configs[x.server].JoinAt = []string{c.configs[0].ListenPeer[0].Host}
		s, err := Start(c.configs[x.server])
		if err == nil {
			select {
			case <-s.Failed():
				err = s.Err()
			case <-time.After(patience):
			}
			s.Abort()
		}
		if err == nil {
			t.Errorf("%s goes on with witness: %t", c.configs[x.server].Name, x.witness)
		} else if !errors.Is(err, member.ErrWitness) {
			t.Logf("%s: %v", c.configs[x.server].Name, err)
		}
		c.configs[x.server].Witness, c.configs[x.server].JoinAt = !x.witness, nil
		if x.server == w {
			c.configs[w].JoinAt = []string{c.configs[0].ListenPeer[0].Host}
		}
		awaitReady(t, c.start(x.server))
	}
	c.put("a", "1", 0)
}
