package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Each server answers the etcd API, whoever leads: by gRPC, as JSON, and with what clients of the
// native API have written.
func TestEtcdAPIAtEachServer(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3})
	c.startAll()
	c.put("native", "1", 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last int64
	for i, cfg := range c.configs {
		address := cfg.ListenClient[0].Host
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		key := []byte(fmt.Sprint("etcd", i))
		put, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: key, Value: []byte("v")})
		if err != nil {
			t.Fatal(err)
		}
		last = put.Header.Revision
		resp, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
		if err != nil || len(resp.Kvs) != i+2 || string(resp.Kvs[i+1].Key) != "native" {
			t.Errorf("server %d: %v, %v", i+1, resp, err)
		}
		members, err := pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{})
		if err != nil || len(members.Members) != 3 || members.Members[i].ClientURLs == nil {
			t.Errorf("server %d: %v, %v", i+1, members, err)
		}
		status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
		if err != nil || status.Leader == 0 || status.Version != etcdVersions.Server || status.DbSize == 0 {
			t.Errorf("server %d: %v, %v", i+1, status, err)
		}
		watch, err := pb.NewWatchClient(conn).Watch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		create := &pb.WatchCreateRequest{Key: key, StartRevision: 1}
		if err := watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
			t.Fatal(err)
		}
		for events := 0; events == 0; {
			r, err := watch.Recv()
			if err != nil {
				t.Fatal(err)
			}
			events += len(r.Events)
		}
	}
	for i, cfg := range c.configs {
		r, err := http.Post("http://"+cfg.ListenClient[0].Host+"/v3/kv/range", "application/json", strings.NewReader(`{"key":"ZXRjZDA="}`))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(body), fmt.Sprintf(`"revision":"%d"`, last)) {
			t.Errorf("server %d: %s %s, %v", i+1, r.Status, body, err)
		}
	}
	// Watches do not hold up a server that stops.
	c.stop(0)
}

// unreadable is a response that is encoded already, and that nobody may decode to encode it again.
type unreadable struct{}

func (unreadable) ProtoReflect() protoreflect.Message  { panic("decoded") }
func (unreadable) Size() int                           { return 5 }
func (unreadable) Wire() (own []byte, shared [][]byte) { return []byte("ab"), [][]byte{[]byte("cde")} }

func TestWhatIsEncodedIsSentAsItIs(t *testing.T) {
	out, err := clientCodec().Marshal(unreadable{})
	if err != nil || string(out.Materialize()) != "abcde" {
		t.Errorf("%q, %v", out.Materialize(), err)
	}
}
