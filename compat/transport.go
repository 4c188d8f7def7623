package main

import (
	"bytes"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// direct connects to a member itself, without the recorder, which would say things in its own way.
func (t *T) direct() (conn *grpc.ClientConn, done func()) {
	conn, err := grpc.NewClient(t.cluster.servers[0].endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	t.fail("connect", err)
	return conn, func() { conn.Close() }
}

var transportChecks = []check{
	{name: "transport/compressed", run: func(t *T) {
		conn, done := t.direct()
		defer done()
		kv := pb.NewKVClient(conn)
		for _, n := range []int{0, 1000, 1 << 20, 3 << 19, 100 << 20} {
			value := bytes.Repeat([]byte("x"), n)
			_, err := kv.Put(t.ctx, &pb.PutRequest{Key: t.b("a"), Value: value}, grpc.UseCompressor(gzip.Name))
			t.say(fmt.Sprintf("put of %d bytes", n), "%s", errorText(err))
		}
		r, err := kv.Range(t.ctx, &pb.RangeRequest{Key: t.b("a")}, grpc.UseCompressor(gzip.Name))
		t.say("range", "%d of %d bytes: %s", r.GetCount(), len(r.GetKvs()[0].GetValue()), errorText(err))
		watch, err := pb.NewWatchClient(conn).Watch(t.ctx, grpc.UseCompressor(gzip.Name))
		t.fail("watch", err)
		t.fail("watch", watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: t.b("a")}}}))
		created, err := watch.Recv()
		t.say("watch", "%v: %s", created.GetCreated(), errorText(err))
	}},
	{name: "transport/number-of-messages", run: func(t *T) {
		conn, done := t.direct()
		defer done()
		say := func(method string, n int) {
			stream, err := conn.NewStream(t.ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
			t.fail(method, err)
			for range n {
				if err := stream.SendMsg(&pb.RangeRequest{Key: t.b("a")}); err != io.EOF {
					t.fail(method, err)
				}
			}
			t.fail(method, stream.CloseSend())
			t.say(method, "%d: %s", n, errorText(stream.RecvMsg(&pb.RangeResponse{})))
		}
		for _, method := range []string{"/etcdserverpb.KV/Range", "/etcdserverpb.KV/RangeStream", "/etcdserverpb.Maintenance/Snapshot", "/v3electionpb.Election/Observe", "/grpc.health.v1.Health/Watch"} {
			say(method, 0)
			say(method, 2)
		}
	}},
}
