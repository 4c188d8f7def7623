package etcdfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"balsa.example/internal/etcdfile"
)

// What a Draft makes is whole for bbolt, and File reads it. A Draft that a crash left is replaced.
func TestDraft(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "etcd-snapshot.tmp"), []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := etcdfile.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Error(left, err)
	}
	const keys = 20000 // some transactions, in no order of revisions
	for i := range keys {
		kv := &mvccpb.KeyValue{Key: fmt.Append(nil, "k", i), Value: []byte("v"), ModRevision: int64(2 + i*7919%5000)}
		if err := d.Put(kv); err != nil {
			t.Fatal(err)
		}
	}
	err = d.Finish(&etcdfile.State{
		Revision: 6000, Index: 9, Term: 2, Voters: []uint64{1, 2}, StorageVersion: "3.7.0",
		Leases: []etcdfile.Lease{{ID: 7, TTL: 1500 * time.Millisecond}},
		Users:  []*authpb.User{{Name: []byte("u")}}, Roles: []*authpb.Role{{Name: []byte("r")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	if err := d.Read(1000, func(part []byte, _ int64) error { data = append(data, part...); return nil }); err != nil {
		t.Fatal(err)
	}
	path := write(t, data)
	has, _ := contents(t, path)
	if has.Keys != keys || !has.Hashed || len(has.Users) != 1 || len(has.Roles) != 1 || has.Leases[0].TTL != 2*time.Second {
		t.Errorf("%+v", has)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		if got := string(tx.Bucket([]byte("meta")).Get([]byte("confState"))); got != `{"auto_leave":false,"voters":[1,2]}` {
			t.Error(got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
