package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"balsa/api"
)

func TestThreeServersKeepTheirDataAcrossRestarts(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, t.TempDir())
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
	c := newTestCluster(t, 3, "")
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
	c := newTestCluster(t, 3, "")
	c.startAll()
	c.put("a", "1", 0)
	old := c.servers[c.leader()]
	old.handOver(t.Context())
	if s := old.status(); s.Role == api.Role_LEADER || s.LeaderId == 0 || s.LeaderId == s.NodeId {
		t.Errorf("after the handover: %v", s)
	}
}

func TestNewServerWaitsForAMajorityOfTheOthers(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
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
		if status.Peers[0].Connected {
			break
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-n1.Ready():
		t.Fatal("n1 takes part without n3")
	case <-time.After(50 * time.Millisecond): // this can only miss a fault, not make one up
	}
	n1.front.Handle(&api.Request{Kind: api.Request_PUT, Key: []byte("a")}, func(r *api.Reply) {
		if r.Code != api.Reply_UNAVAILABLE || !strings.Contains(r.Message, "waiting to be recorded by n3") {
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
			c := newTestCluster(t, 3, "")
			c.startAll()
			c.put("a", "1", 0)
			if allRestart {
				c.stopAll()
				c.start(0)
				c.start(1)
			} else {
				c.stop(2)
			}
			c.configs[2].FS = vfs.NewMem()
			n3 := c.start(2)
			select {
			case <-n3.Failed():
			case <-n3.Ready():
				t.Fatal("n3 takes part with an empty directory")
			case <-time.After(patience):
				t.Fatal("n3 waits for ever")
			}
			if err := n3.Err(); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), ErrIncarnation.Error()) {
				t.Errorf("n3 failed with %v", err)
			}
			c.wants("a", "1")
		})
	}
}

func TestServersOfDifferentClustersDoNotMix(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	other, err := ParseCluster("another token", memberList(c.configs[0].Cluster))
	if err != nil {
		t.Fatal(err)
	}
	c.configs[2].Cluster = other
	c.start(0)
	n3 := c.start(2)
	select {
	case <-n3.Failed():
	case <-time.After(patience):
		t.Fatal("n3 waits for ever")
	}
	if err := n3.Err(); !errors.Is(err, ErrNotAdmitted) || !strings.Contains(err.Error(), "cluster") {
		t.Errorf("n3 failed with %v", err)
	}
}

func TestLeadershipGoesWhereItIsSent(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	for i := range c.configs { // so long that a slow machine does not elect anybody else meanwhile
		c.configs[i].ElectionTimeout = time.Second
	}
	c.startAll()
	c.put("a", "1", 0)
	leader := c.leader()
	follower := (leader + 1) % 3
	endpoint := func(i int) string { return c.configs[i].ListenClient[0].Host }
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	target := uint64(c.servers[follower].self.ID)
	if _, err := c.clerk.TransferLeadership(ctx, endpoint(follower), target); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a follower that is to hand over: %v", err)
	}
	if _, err := c.clerk.TransferLeadership(ctx, endpoint(leader), 12345); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a target that is no member: %v", err)
	}
	reply, err := c.clerk.TransferLeadership(ctx, endpoint(leader), target)
	if err != nil || reply.LeaderId != target || c.leader() != follower {
		t.Errorf("got %v, %v", reply, err)
	}
}

func TestHealthFollowsTheLifeOfAServer(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, 3, "")
	s := c.start(0)
	check := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, service := range []string{"", api.KV_ServiceDesc.ServiceName} {
			got, err := s.front.health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
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
