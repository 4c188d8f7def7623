package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
)

func TestThreeServersKeepTheirDataAcrossRestarts(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, dir: t.TempDir()})
	c.startAll()
	c.put("a", "1", 0)
	c.put("a", "2", 1)
	for range 2 {
		c.stopAll()
		c.startAll()
		c.wants("a", "2")
	}
	c.put("a", "3", 2)
	c.wants("a", "3")
}

func TestServiceGoesOnWithoutOneServer(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("a", "1", 0)
	leader := c.leader()
	c.stop(leader)
	c.wants("a", "1")
	c.put("a", "2", 1)

	c.start(leader)
	awaitReady(t, c.servers[leader])
	c.awaitSameState()
}

func TestLeaderThatStopsHandsOver(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	for i := range c.configs { // so long that nobody else is elected meanwhile
		c.configs[i].HeartbeatInterval, c.configs[i].ElectionTimeout = 100*time.Millisecond, time.Second
	}
	c.startAll()
	c.put("a", "1", 0)
	old := c.servers[c.leader()]
	eventually(t, "it leads still, or knows no other leader", func() bool {
		old.member.HandOver(t.Context(), old.native.Replica().Node) // on a slow machine its second may not do
		s := old.status()
		return s.Role != api.Role_LEADER && s.LeaderId != 0 && s.LeaderId != s.NodeId
	})
}

func TestNewClusterWaitsForAllMembers(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	n1 := c.start(0)
	c.start(1)
	// n1 and n2 would be a majority, but n3 could not tell later if one of them came
	// back empty.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		status, err := c.clerk.Status(ctx, c.configs[0].ListenClient[0].Host)
		if err != nil {
			t.Fatal(err)
		}
		if status.ClusterId == 0 && strings.HasSuffix(n1.native.Waiting(), "waiting for n3") {
			break // it has heard n2
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-n1.Ready():
		t.Fatal("n1 takes part without n3")
	case <-time.After(50 * time.Millisecond): // this can only miss a fault, not make one up
	}
	n1.native.Handle(&api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte("a")}, func(r *api.Reply) {
		if r.Code != api.Reply_UNAVAILABLE || !strings.Contains(r.Message, "waiting for n3") {
			t.Errorf("a put meanwhile: %v", r)
		}
	})
	c.start(2)
	for _, s := range c.servers {
		awaitReady(t, s)
	}
	c.put("a", "1", 0)
}

func TestServerWithEmptiedDirectoryIsRefused(t *testing.T) {
	for _, allRestart := range []bool{false, true} {
		t.Run(fmt.Sprintf("all restart %t", allRestart), func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t, options{servers: 3})
			c.startAll()
			c.put("a", "1", 0)
			if allRestart {
				c.stopAll()
				c.start(0)
				c.start(1)
			} else {
				c.stop(2)
			}
			c.configs[2].FS = crashfs.NewMem()
			n3 := c.start(2)
			select {
			case <-n3.Failed():
			case <-n3.Ready():
				t.Fatal("n3 takes part with an empty directory")
			case <-time.After(patience):
				t.Fatal("n3 waits for ever")
			}
			if err := n3.Err(); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), "knows it by an earlier one") {
				t.Errorf("n3 failed with %v", err)
			}
			c.wants("a", "1")
		})
	}
}

// One server that was told something else ends; the others wait for the right one.
func TestServersOfDifferentClustersDoNotMix(t *testing.T) {
	for name, test := range map[string]struct{ token, members, says string }{
		"another token": {"another token", "", "n3 was told other members or another token than n1"},
		"a stranger":    {"test", ",n4=", "n4 is no member of the cluster of n1: n1, n2, n3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t, options{servers: 3})
			list, wrong := memberList(c.configs[0].Cluster), c.configs[2]
			if test.members != "" {
				wrong.Name = "n4"
				list += test.members + strings.Replace(wrong.ListenPeer[0].String(), "127.0.0.1", "127.0.0.2", 1)
			}
			var err error
			if wrong.Cluster, err = ParseCluster(test.token, list); err != nil {
				t.Fatal(err)
			}
			c.configs[2] = wrong
			c.start(0)
			c.start(1)
			s := c.start(2)
			select {
			case <-s.Failed():
			case <-time.After(patience):
				t.Fatal("it waits for ever")
			}
			if err := s.Err(); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it failed with %v", err)
			}
			for _, s := range c.servers[:2] {
				if s.Err() != nil {
					t.Errorf("%s failed with it: %v", s.cfg.Name, s.Err())
				}
			}
		})
	}
}

func TestLeadershipGoesWhereItIsSent(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	for i := range c.configs { // so long that a slow machine does not elect anybody else meanwhile
		c.configs[i].HeartbeatInterval, c.configs[i].ElectionTimeout = 100*time.Millisecond, time.Second
	}
	c.startAll()
	c.put("a", "1", 0)
	leader := c.leader()
	follower := (leader + 1) % 3
	endpoint := func(i int) string { return c.configs[i].ListenClient[0].Host }
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	target := uint64(c.servers[follower].id())
	if _, err := c.clerk.TransferLeadership(ctx, endpoint(follower), target); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a follower that is to hand over: %v", err)
	}
	if _, err := c.clerk.TransferLeadership(ctx, endpoint(leader), 12345); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a target that is no member: %v", err)
	}
	if reply, err := c.clerk.TransferLeadership(ctx, endpoint(leader), uint64(c.servers[leader].id())); err != nil || c.leader() != leader {
		t.Errorf("the leader itself as target: %v, %v", reply, err)
	}
	reply, err := c.clerk.TransferLeadership(ctx, endpoint(leader), target)
	if err != nil || reply.LeaderId != target || c.leader() != follower {
		t.Errorf("got %v, %v", reply, err)
	}
}

func TestHealthFollowsTheLifeOfAServer(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	s := c.start(0)
	check := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, service := range []string{"", api.KV_ServiceDesc.ServiceName} {
			got, err := s.port.Health().Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
			if err != nil || got.Status != want {
				t.Errorf("%q is %v, %v; want %v", service, got, err, want)
			}
		}
	}
	check(healthpb.HealthCheckResponse_NOT_SERVING)
	c.start(1)
	c.start(2)
	awaitReady(t, s)
	check(healthpb.HealthCheckResponse_SERVING)
	c.stop(0)
	check(healthpb.HealthCheckResponse_NOT_SERVING)
}
