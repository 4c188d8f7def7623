package etcd_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/etcdfile"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
)

// collector is a Stream with one request. It collects what is sent.
type collector struct {
	ctx   context.Context
	parts []*pb.SnapshotResponse
	each  func() error
}

func (c *collector) Context() context.Context    { return c.ctx }
func (c *collector) Stopping() <-chan struct{}   { return c.ctx.Done() }
func (c *collector) Receive(proto.Message) error { return nil }
func (c *collector) Send(m proto.Message) error {
	c.parts = append(c.parts, proto.Clone(m).(*pb.SnapshotResponse))
	if c.each != nil {
		return c.each()
	}
	return nil
}

// A snapshot is a file of etcd with all that is in the store, and leaves nothing behind.
func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	w := newWorldWith(t, func(c *etcd.Config) { c.SnapshotDir = dir })
	do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 60})
	put := func(key, value string, lease int64) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease}}}
	}
	large := string(make([]byte, 1<<20))
	for i := range 20 { // some transactions of the draft
		do(t, w, w.Put, &pb.PutRequest{Key: fmt.Append(nil, "k", i), Value: []byte(large)})
	}
	do(t, w, w.Put, &pb.PutRequest{Key: []byte("gone"), Value: []byte("1")})
	do(t, w, w.Txn, &pb.TxnRequest{Success: []*pb.RequestOp{put("c", "3", 0), put("a", "1", 5), put("b", "2", 0)}})
	do(t, w, w.DeleteRange, &pb.DeleteRangeRequest{Key: []byte("gone")})
	do(t, w, w.UserAdd, &pb.AuthUserAddRequest{Name: "u", Password: "p", Options: &authpb.UserAddOptions{}})
	do(t, w, w.RoleAdd, &pb.AuthRoleAddRequest{Name: "r"})
	revision := w.node.machine.Revision()

	c := &collector{ctx: t.Context()}
	if err := w.Snapshot(w.any, c); err != nil {
		t.Fatal(err)
	}
	var data []byte
	left := uint64(len(c.parts)-2) * 32 << 10 // the last parts are what is left, and the hash
	for i, p := range c.parts {
		data = append(data, p.Blob...)
		if p.Version != "3.7.0" || p.RemainingBytes > left || i >= len(c.parts)-2 && p.RemainingBytes != 0 {
			t.Errorf("part %d: %d bytes, %d remain, version %s", i, len(p.Blob), p.RemainingBytes, p.Version)
		}
		left = p.RemainingBytes
	}
	path := filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := etcdfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := do(t, w, w.Range, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Limit: 30}).Kvs
	var got []*mvccpb.KeyValue
	if err := f.Each(func(kv *mvccpb.KeyValue) error { got = append(got, kv); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b *mvccpb.KeyValue) int { return slices.Compare(a.Key, b.Key) })
	if !slices.EqualFunc(got, want, func(a, b *mvccpb.KeyValue) bool { return proto.Equal(a, b) }) || len(got) != 23 {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
	if !f.Hashed || f.Revision != int64(revision)-1 || len(f.Users) != 1 || len(f.Roles) != 1 || !slices.Equal(f.Leases, []etcdfile.Lease{{ID: 5, TTL: time.Minute}}) {
		t.Errorf("%+v, revision %d", f.Contents, revision)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Error(left, err)
	}
}

func TestOneSnapshotAtATime(t *testing.T) {
	w := newWorld(t)
	c := &collector{ctx: t.Context()}
	c.each = func() error {
		c.each = nil
		refused(t, w.Snapshot(w.any, &collector{ctx: t.Context()}), translate.ErrTooManyRequests)
		return nil
	}
	for range 2 { // the second comes when the first has ended
		if err := w.Snapshot(w.any, c); err != nil {
			t.Error(err)
		}
	}
}

func TestSnapshotWithoutSpaceOrKeysOfOneRevision(t *testing.T) {
	w := newWorld(t)
	w.node.status = translate.Status{LiveBytes: 1 << 60}
	refused(t, w.Snapshot(w.any, &collector{ctx: t.Context()}), &translate.Error{
		Code: translate.ResourceExhausted, Text: "etcdserver: too little space on the disk for the file of a snapshot",
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.node.status = translate.Status{}
	if err := w.Snapshot(w.any, &collector{ctx: ctx}); err == nil {
		t.Error("a caller that is gone gets a snapshot")
	}
}
