package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// memberChecks change the members, and leave those that were there.
var memberChecks = []check{
	{name: "members/learner", loose: true, run: learnerCheck},
	{name: "members/voter", loose: true, run: func(t *T) {
		peer := []string{"http://127.0.0.1:1"}
		added := t.add("a member that votes", &pb.MemberAddRequest{PeerURLs: peer})
		t.list("with it", 0)
		_, err := t.sendTo(1, &pb.MemberPromoteRequest{ID: added.GetMember().GetID()})
		t.say("promoted", "%s", errorText(err))
		removed, err := t.sendTo(1, &pb.MemberRemoveRequest{ID: added.GetMember().GetID()})
		t.say("removed", "%s, %d are left", errorText(err), len(removed.(*pb.MemberRemoveResponse).Members))
		t.list("without it", 2)
		t.put("a", "1")
	}},
}

// learnerCheck adds a learner as etcd's manual says, lets it vote, and removes it.
func learnerCheck(t *T) {
	s, err := t.cluster.newServer("m3")
	t.fail("new server", err)
	before, now := []string{"http://127.0.0.1:1"}, []string{"http://" + s.peer}
	added := t.add("learner", &pb.MemberAddRequest{PeerURLs: before, IsLearner: true})
	id := added.GetMember().GetID()
	time.Sleep(1100 * time.Millisecond) // etcd makes ids of addresses and the second
	t.add("again", &pb.MemberAddRequest{PeerURLs: before, IsLearner: true})
	t.add("a second one", &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:2"}, IsLearner: true})
	t.add("with two addresses, one of them taken", &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:2", "http://" + t.cluster.servers[1].peer}})
	for i := range t.conns {
		t.list(fmt.Sprint("at member ", i), i)
	}
	_, err = t.sendTo(1, &pb.MemberPromoteRequest{ID: id})
	t.say("promoted before it starts", "%s", errorText(err))
	updated, err := t.sendTo(2, &pb.MemberUpdateRequest{ID: id, PeerURLs: now})
	all := updated.(*pb.MemberUpdateResponse).Members
	i := slices.IndexFunc(all, func(m *pb.Member) bool { return m.ID == id })
	t.say("updated", "%s, %d members, as asked: %t", errorText(err), len(all), i >= 0 && slices.Equal(all[i].PeerURLs, now))

	t.fail("start", s.start())
	t.cleanup = append(t.cleanup, func() { s.stop(syscall.SIGKILL) })
	t.fail("ready", s.awaitReady(t.ctx))
	t.list("started", 0)
	t.ofLearner("learner", s)
	t.await("learner is ready", func() bool {
		err = second(t.sendTo(1, &pb.MemberPromoteRequest{ID: id}))
		return rpctypes.Error(err) != rpctypes.ErrMemberLearnerNotReady
	})
	t.say("promoted", "%s", errorText(err))
	_, err = t.sendTo(1, &pb.MemberPromoteRequest{ID: id})
	t.say("promoted twice", "%s", errorText(err))
	t.list("votes", 0)
	t.await("it knows", func() bool { return !t.statusOf(s).GetIsLearner() })
	t.ofLearner("voter", s)
	t.put("a", "1")

	removed, err := t.sendTo(0, &pb.MemberRemoveRequest{ID: id})
	t.say("removed", "%s, %d are left", errorText(err), len(removed.(*pb.MemberRemoveResponse).Members))
	select {
	case <-s.ended:
		t.say("the removed server", "ends")
	case <-time.After(patience):
		t.say("the removed server", "goes on")
	}
	_, err = t.sendTo(0, &pb.MemberRemoveRequest{ID: id})
	t.say("removed twice", "%s", errorText(err))
	_, err = t.sendTo(0, &pb.MemberUpdateRequest{ID: id, PeerURLs: now})
	t.say("updated after that", "%s", errorText(err))
	t.list("without it", 1)
	t.put("a", "2")
}

// add adds a member. Etcd takes no member that votes before all have been connected for 5 seconds.
func (t *T) add(what string, r *pb.MemberAddRequest) *pb.MemberAddResponse {
	var resp proto.Message
	var err error
	t.await(what, func() bool {
		resp, err = t.sendTo(1, r)
		return rpctypes.Error(err) != rpctypes.ErrUnhealthy
	})
	added := resp.(*pb.MemberAddResponse)
	m := added.GetMember()
	t.say(what, "%s, %d members, name %q, learner %t, addresses as asked: %t, of clients: %d", errorText(err),
		len(added.GetMembers()), m.GetName(), m.GetIsLearner(), err == nil && slices.Equal(m.GetPeerURLs(), r.PeerURLs), len(m.GetClientURLs()))
	return added
}

// list says which members one of them knows.
func (t *T) list(what string, at int) {
	resp, err := t.sendTo(at, &pb.MemberListRequest{Linearizable: true})
	var members []string
	for _, m := range resp.(*pb.MemberListResponse).Members {
		members = append(members, fmt.Sprintf("%q learner %t, %d and %d addresses", m.Name, m.IsLearner, len(m.PeerURLs), len(m.ClientURLs)))
	}
	slices.Sort(members)
	t.say("list "+what, "%s %s", errorText(err), strings.Join(members, "; "))
}

// ofLearner says what a member tells of itself that is, or was, a learner.
func (t *T) ofLearner(what string, s *server) {
	t.say(what+": status", "learner %t", t.statusOf(s).GetIsLearner())
	for _, path := range []string{"/readyz/non_learner", "/livez"} {
		resp, err := http.Get("http://" + s.endpoint + path)
		t.fail(path, err)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		t.say(what+": "+path, "%d %s", resp.StatusCode, strings.TrimSpace(string(body)))
	}
}

// statusOf is the status of a member that has no proxy before it.
func (t *T) statusOf(s *server) *pb.StatusResponse {
	conn, err := grpc.NewClient(s.endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	t.fail("connect", err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	t.fail("status", err)
	return status
}
