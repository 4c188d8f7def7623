package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	rpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
)

var maintenanceChecks = []check{
	{name: "maintenance/status", run: func(t *T) {
		for i := range t.conns {
			t.sendTo(i, &pb.StatusRequest{})
		}
	}},
	{name: "maintenance/cluster", run: func(t *T) {
		t.send(&pb.MemberListRequest{})
		t.send(&pb.MemberListRequest{Linearizable: true})
		t.sendTo(1, &pb.MemberListRequest{Linearizable: true})
		t.send(&pb.MemberRemoveRequest{ID: 12345})
		t.send(&pb.MemberUpdateRequest{ID: 12345, PeerURLs: []string{"http://127.0.0.1:1"}})
		t.send(&pb.MemberPromoteRequest{ID: 12345})
		t.send(&pb.MemberAddRequest{PeerURLs: []string{"nonsense"}})
		t.send(&pb.MemberAddRequest{})
	}},
	{name: "maintenance/hashes", run: func(t *T) {
		t.put("a", "1")
		rev := t.put("a", "2")
		t.send(&pb.HashRequest{})
		t.send(&pb.HashKVRequest{})
		t.send(&pb.HashKVRequest{Revision: rev})
		t.send(&pb.HashKVRequest{Revision: rev + 1000})
		t.send(&pb.CompactionRequest{Revision: rev})
		t.send(&pb.HashKVRequest{Revision: rev - 1})
		t.send(&pb.HashKVRequest{Revision: rev})
		t.send(&pb.HashKVRequest{Revision: -1})
	}},
	{name: "maintenance/alarms", run: func(t *T) {
		t.awaitAlarms()
		get := &pb.AlarmRequest{Action: pb.AlarmRequest_GET}
		t.send(get)
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_GET, Alarm: pb.AlarmType_NOSPACE})
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_NOSPACE})
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE, MemberID: 5})
		t.send(get)
		t.send(&pb.PutRequest{Key: t.b("a"), Value: []byte("1")})
		t.send(&pb.LeaseGrantRequest{TTL: 60})
		t.send(&pb.TxnRequest{Success: ops(opPut(t.b("a"), "1"))})
		t.send(&pb.TxnRequest{Success: ops(opGet(t.b("a")))})
		t.send(&pb.DeleteRangeRequest{Key: t.b("a")})
		t.send(&pb.RangeRequest{Key: t.b("a")})
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_NOSPACE, MemberID: 5})
		t.send(get)
		t.send(&pb.PutRequest{Key: t.b("a"), Value: []byte("1")})
	}},
	{name: "maintenance/alarms-corrupt", run: func(t *T) {
		t.awaitAlarms()
		t.put("a", "1")
		lease, err := t.sendTo(0, &pb.LeaseGrantRequest{TTL: 60})
		t.fail("grant", err)
		id := lease.(*pb.LeaseGrantResponse).ID
		raise := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_CORRUPT, MemberID: 7}
		t.send(raise)
		t.send(raise)
		for i := range t.conns {
			t.sendTo(i, &pb.AlarmRequest{})
		}
		t.send(&pb.AlarmRequest{MemberID: 8})
		t.send(&pb.AlarmRequest{Alarm: pb.AlarmType_NOSPACE})
		for _, r := range []proto.Message{
			&pb.PutRequest{Key: t.b("a")}, &pb.DeleteRangeRequest{Key: t.b("a")}, &pb.CompactionRequest{Revision: 1 << 40},
			&pb.TxnRequest{Success: ops(opDelete(t.b("a"), nil))}, &pb.TxnRequest{Success: ops(opGet(t.b("a")))}, &pb.RangeRequest{Key: t.b("a")},
			&pb.RangeRequest{Key: t.b("a"), Serializable: true}, &pb.LeaseGrantRequest{TTL: 60}, &pb.LeaseRevokeRequest{ID: id},
			&pb.LeaseTimeToLiveRequest{ID: 1}, &pb.LeaseLeasesRequest{}, &pb.PutRequest{},
		} {
			t.send(r)
		}
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_CORRUPT, MemberID: 8})
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 7})
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_CORRUPT, MemberID: 7})
		t.send(&pb.LeaseRevokeRequest{ID: id})
	}},
	{name: "maintenance/alarms-others", run: func(t *T) {
		t.awaitAlarms()
		for _, kind := range []pb.AlarmType{pb.AlarmType_NONE, 7, -1} {
			t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: kind})
			t.send(&pb.AlarmRequest{})
			t.send(&pb.PutRequest{Key: t.b("a")})
			t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: kind})
		}
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE, MemberID: 7})
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_CORRUPT, MemberID: 7})
		t.send(&pb.PutRequest{Key: t.b("a")})
		t.send(&pb.TxnRequest{Success: ops(opGet(t.b("a"))), Failure: ops(opPut(t.b("a"), "1"))})
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_CORRUPT, MemberID: 7})
		t.send(&pb.TxnRequest{Success: ops(opGet(t.b("a"))), Failure: ops(opPut(t.b("a"), "1"))})
		t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_NOSPACE, MemberID: 7})
	}},
	{name: "maintenance/alarms-health", loose: true, run: func(t *T) {
		t.awaitAlarms()
		for _, kind := range []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT, 7} {
			t.send(&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: kind, MemberID: 7})
			for _, path := range []string{"/health", "/health?exclude=" + kind.String(), "/livez?verbose", "/readyz?verbose", "/readyz?exclude=data_corruption", "/readyz/data_corruption"} {
				t.http("GET", path, "")
			}
			t.ctl("alarm", "list")
			t.ctl("alarm", "disarm")
		}
	}},
	{name: "maintenance/quota", loose: true, run: quota},
	{name: "maintenance/defragment", run: func(t *T) { t.send(&pb.DefragmentRequest{}) }},
	{name: "maintenance/move-leader", loose: true, run: func(t *T) {
		leads, follows := t.leader()
		target := t.status(follows).Header.MemberId
		_, err := t.sendTo(follows, &pb.MoveLeaderRequest{TargetID: target})
		t.say("at a follower", "%s", errorText(err))
		_, err = t.sendTo(leads, &pb.MoveLeaderRequest{TargetID: 12345})
		t.say("to nobody", "%s", errorText(err))
		_, err = t.sendTo(leads, &pb.MoveLeaderRequest{TargetID: target})
		t.say("moved", "%v", err)
		now, _ := t.leader()
		t.say("leads now", "%t", now == follows)
	}},
	{name: "maintenance/carry", loose: true, run: maintenanceCarry},
	{name: "maintenance/snapshot", loose: true, run: func(t *T) {
		t.put("a", strings.Repeat("x", 1000))
		s, err := pb.NewMaintenanceClient(t.conns[0]).Snapshot(t.ctx, &pb.SnapshotRequest{})
		t.fail("snapshot", err)
		var data []byte
		last := ""
		for {
			r, err := s.Recv()
			if err == io.EOF {
				break
			}
			t.fail("part", err)
			data = append(data, r.Blob...)
			last = fmt.Sprintf("remaining %d version %q", r.RemainingBytes, r.Version)
		}
		n := len(data) - sha256.Size
		if n < 0 {
			t.say("size", "%d", len(data))
			return
		}
		sum := sha256.Sum256(data[:n])
		t.say("payload", "of 512 bytes each: %t; checksum is right: %t; %s", n%512 == 0, string(sum[:]) == string(data[n:]), last)
	}},
	{name: "maintenance/downgrade", run: func(t *T) {
		t.send(&pb.DowngradeRequest{Action: pb.DowngradeRequest_VALIDATE, Version: "3.6.0"})
		t.send(&pb.DowngradeRequest{Action: pb.DowngradeRequest_VALIDATE, Version: "3.0.0"})
		t.send(&pb.DowngradeRequest{Action: pb.DowngradeRequest_VALIDATE, Version: "nonsense"})
		t.send(&pb.DowngradeRequest{Action: pb.DowngradeRequest_CANCEL})
	}},
	{name: "maintenance/health", run: func(t *T) {
		for _, service := range []string{"", "etcdserverpb.Health", "nonsense"} {
			t.send(&grpc_health_v1.HealthCheckRequest{Service: service})
		}
	}},
	{name: "maintenance/reflection", loose: true, run: func(t *T) {
		s, err := rpb.NewServerReflectionClient(t.conns[0]).ServerReflectionInfo(t.ctx)
		t.fail("reflection", err)
		t.fail("ask", s.Send(&rpb.ServerReflectionRequest{MessageRequest: &rpb.ServerReflectionRequest_ListServices{}}))
		r, err := s.Recv()
		t.fail("answer", err)
		var names []string
		for _, service := range r.GetListServicesResponse().GetService() {
			names = append(names, service.Name)
		}
		slices.Sort(names)
		t.say("services", "%q", names)
	}},
	{name: "maintenance/metadata", run: func(t *T) {
		for _, md := range []metadata.MD{
			metadata.Pairs("hasleader", "true"), metadata.Pairs("hasleader", "no"), metadata.Pairs("client-api-version", "3.7.3"),
			metadata.Pairs("token", "nonsense"), metadata.Pairs("authorization", "nonsense"),
		} {
			t.sendWith(metadata.NewOutgoingContext(t.ctx, md), 0, &pb.RangeRequest{Key: t.b("a")})
		}
	}},
	{name: "maintenance/unknown", loose: true, run: func(t *T) {
		for _, method := range []string{"/etcdserverpb.KV/Nonsense", "/nonsense.KV/Range"} {
			err := t.conns[0].Invoke(t.ctx, method, &pb.RangeRequest{}, &pb.RangeResponse{})
			t.say(method, "%s", errorText(err))
		}
		ctx, cancel := context.WithTimeout(t.ctx, 0)
		defer cancel()
		err := t.conns[0].Invoke(ctx, "/etcdserverpb.KV/Range", &pb.RangeRequest{Key: t.b("a")}, &pb.RangeResponse{})
		t.say("no time", "%s", errorText(err))
	}},
}

// awaitAlarms returns when alarms can be raised. A new cluster of balsa takes them when its leader knows that all
// members do, a second or two after its birth.
func (t *T) awaitAlarms() {
	probe := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: 99}
	t.await("alarms", func() bool { return second(t.sendTo(0, probe)) == nil })
	probe.Action = pb.AlarmRequest_DEACTIVATE
	t.send(probe)
	t.cluster.rec.take()
}
