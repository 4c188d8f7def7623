package overgrpc_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"

	"balsa.example/internal/check/naive"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/overgrpc"
	"balsa.example/kv"
	"balsa.example/state"
)

// The memory of a range is used again when it was sent: each of many that are read at the same time is
// whole, whatever its size.
func TestRangesInUsedMemoryAreWhole(t *testing.T) {
	const keys = 200
	value := func(key string) string { return strings.Repeat(key, 100) }
	n := &node{store: store{machine: naive.New(naive.Limits{})}, leader: 1}
	for i := range keys {
		key := fmt.Sprintf("k%03d", i)
		n.store.machine.DoOp(state.Command{Op: kv.Op{Kind: kv.Put, Key: key, Value: []byte(value(key)), Unconditional: true}})
	}
	entrance := etcd.NewEntrance(nil)
	entrance.Open(etcd.New(etcd.Config{Node: n, ClusterID: 7, MemberID: 8, ElectionTimeout: time.Second}))
	g := grpc.NewServer(grpc.ForceServerCodecV2(overgrpc.Codec(encoding.GetCodecV2("proto"))))
	overgrpc.New(entrance).Register(g, etcd.Methods)
	conn, err := grpc.NewClient(listen(t, g), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client := pb.NewKVClient(conn)
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for i := range 60 {
				first, limit := (caller*31+i*7)%keys, []int{1, 15, 40, keys}[i%4]
				r, err := client.Range(t.Context(), &pb.RangeRequest{Key: fmt.Appendf(nil, "k%03d", first), RangeEnd: []byte("l"), Limit: int64(limit)})
				want := min(limit, keys-first)
				if err != nil || len(r.Kvs) != want || r.Count != int64(keys-first) || r.More != (want < keys-first) || r.Header.MemberId != 8 {
					t.Errorf("from %d, at most %d: %d keys of %d, %v", first, limit, len(r.GetKvs()), r.GetCount(), err)
					return
				}
				for j, e := range r.Kvs {
					if key := fmt.Sprintf("k%03d", first+j); string(e.Key) != key || string(e.Value) != value(key) {
						t.Errorf("%q with %d bytes in place of %s", e.Key, len(e.Value), key)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
