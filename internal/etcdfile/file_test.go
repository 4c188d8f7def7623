package etcdfile_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/etcdfile"
)

// snapshot returns what etcdctl 3.7.3 saved of an etcd 3.7.3: 10 keys at revision 26, compacted at 8,
// one of them on a lease of an hour, another lease without keys, a user and two roles.
func snapshot(t *testing.T) []byte {
	t.Helper()
	return unpacked(t, "snapshot.db.gz")
}

func unpacked(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, data []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// contents reads all of a file.
func contents(t *testing.T, path string) (etcdfile.Contents, []string) {
	t.Helper()
	f, err := etcdfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var keys []string
	if err := f.Each(func(kv *mvccpb.KeyValue) error {
		keys = append(keys, fmt.Sprintf("%s=%s %x", kv.Key, kv.Value, kv.Lease))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return f.Contents, keys
}

func TestFileOfARealEtcd(t *testing.T) {
	data := snapshot(t)
	want := []string{
		"many=12 0", "leased=v1 54a6a216d0d3f812", "again=second 0", "one=1 0", "two=2 0", "three=3 0",
		"unleased=b 0", "bin=binary\xff\x00 0", "empty= 0", "last=z 0",
	}
	leases := []etcdfile.Lease{{ID: 0x54a6a216d0d3f812, TTL: time.Hour}, {ID: 0x54a6a216d0d3f814, TTL: 10 * time.Minute}}
	for name, file := range map[string][]byte{"snapshot": data, "database": data[:len(data)-sha256.Size]} {
		t.Run(name, func(t *testing.T) {
			has, keys := contents(t, write(t, file))
			if !slices.Equal(keys, want) {
				t.Errorf("keys %q, want %q", keys, want)
			}
			if has.Hashed != (name == "snapshot") || has.Revision != 26 || has.Keys != 10 || len(has.Users) != 1 || len(has.Roles) != 2 {
				t.Errorf("%+v", has)
			}
			if !slices.Equal(has.Leases, leases) {
				t.Errorf("leases %+v", has.Leases)
			}
		})
	}
}

// A snapshot that is changed in any place is refused, and so is one that is cut anywhere.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	data := snapshot(t)
	rnd := rand.New(rand.NewSource(1))
	for range 200 {
		bad := slices.Clone(data)
		at := rnd.Intn(len(bad))
		bad[at] ^= 1 << rnd.Intn(8)
		refused(t, fmt.Sprint("changed at ", at), bad)
		refused(t, fmt.Sprint("cut at ", at), data[:at])
		refused(t, fmt.Sprint("cut near ", at), data[:at/512*512])
		refused(t, fmt.Sprint("cut behind ", at), data[:min(at/512*512+sha256.Size, len(data)-1)])
	}
	refused(t, "longer", append(slices.Clone(data), make([]byte, 512)...))
	refused(t, "text", []byte(strings.Repeat("text", 512)))
	refused(t, "nothing", nil)
}

func refused(t *testing.T, what string, data []byte) {
	t.Helper()
	f, err := etcdfile.Open(write(t, data))
	if err == nil {
		f.Close()
	}
	if !errors.Is(err, etcdfile.ErrDamaged) {
		t.Errorf("%s: %v", what, err)
	}
}

// A database has no hash, so not all damage is found. What is not must not end the program, though.
func TestDamagedDatabasesEndNothing(t *testing.T) {
	data := snapshot(t)
	data = data[:len(data)-sha256.Size]
	rnd := rand.New(rand.NewSource(2))
	found := 0
	for range 500 {
		bad := slices.Clone(data)
		for range 20 {
			bad[rnd.Intn(len(bad))] ^= 1 << rnd.Intn(8)
		}
		f, err := etcdfile.Open(write(t, bad))
		if err != nil {
			found++
			continue
		}
		if err := f.Each(func(*mvccpb.KeyValue) error { return nil }); err != nil {
			t.Error("found late: ", err)
		}
		f.Close()
	}
	if found < 20 {
		t.Errorf("damage was found in %d files of 500", found)
	}
}

// record is a record of the bucket of keys.
type record struct {
	main, sub uint64
	suffix    string
	key       string
	value     []byte // as it is, if there is no key
}

// database makes a database with records and leases.
func database(t *testing.T, records []record, leases ...[]byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("key"))
		if err != nil {
			return err
		}
		for _, r := range records {
			at := binary.BigEndian.AppendUint64(nil, r.main)
			at = binary.BigEndian.AppendUint64(append(at, '_'), r.sub)
			value := r.value
			if r.key != "" {
				if value, err = proto.Marshal(&mvccpb.KeyValue{Key: []byte(r.key), Value: r.value}); err != nil {
					return err
				}
			}
			if err := b.Put(append(at, r.suffix...), value); err != nil {
				return err
			}
		}
		if b, err = tx.CreateBucket([]byte("lease")); err != nil {
			return err
		}
		for i, l := range leases {
			if err := b.Put([]byte{byte(i)}, l); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewestRecordCounts(t *testing.T) {
	path := database(t, []record{
		{2, 0, "", "a", []byte("1")}, {2, 1, "", "b", []byte("1")}, {2, 2, "t", "a", nil},
		{3, 0, "t", "b", nil}, {3, 1, "", "b", []byte("2")}, {3, 2, "", "c", []byte("1")},
		{9, 0, "", "", nil}, // as etcdutl leaves it to raise the revision
	}, []byte("\x08\x05\x10\x1e"), []byte("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x00\x18\x07"))
	has, keys := contents(t, path)
	if want := []string{"b=2 0", "c=1 0"}; !slices.Equal(keys, want) || has.Revision != 9 {
		t.Errorf("%q, revision %d", keys, has.Revision)
	}
	if want := []etcdfile.Lease{{5, 30 * time.Second}, {-1, time.Second}}; !slices.Equal(has.Leases, want) {
		t.Errorf("%+v", has.Leases)
	}
}

// A database that is whole for bbolt may be none of etcd.
func TestOtherDatabasesAreRefused(t *testing.T) {
	for name, path := range map[string]string{
		"a long revision":  database(t, []record{{2, 0, "x", "a", nil}}),
		"revision 0":       database(t, []record{{0, 0, "", "a", nil}}),
		"a huge revision":  database(t, []record{{1 << 63, 0, "", "a", nil}}),
		"no message":       database(t, []record{{2, 0, "", "", []byte("\xff")}}),
		"no key":           database(t, []record{{2, 0, "", "", []byte("\x10\x01")}}),
		"a lease cut":      database(t, nil, []byte("\x08")),
		"a lease of no id": database(t, nil, []byte("\x10\x01")),
	} {
		f, err := etcdfile.Open(path)
		if err == nil {
			f.Close()
		}
		if !errors.Is(err, etcdfile.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFileInUseIsRefused(t *testing.T) {
	path := database(t, nil)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := etcdfile.Open(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

func TestEachEndsWithAnError(t *testing.T) {
	f, err := etcdfile.Open(write(t, snapshot(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, stop := 0, errors.New("stop")
	if err := f.Each(func(*mvccpb.KeyValue) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Error(n, err)
	}
}

// The file is what etcdctl 3.7.3 saved of an etcd 3.7.3 with authentication on, and --bcrypt-cost 4: hashes of the usual cost
// take a second each under the race detector.
func TestUsersOfARealEtcd(t *testing.T) {
	has, _ := contents(t, write(t, unpacked(t, "users.db.gz")))
	var got []string
	for _, r := range has.Roles {
		got = append(got, string(r.Name))
		for _, p := range r.KeyPermission {
			got = append(got, fmt.Sprintf("%v %q %q", p.PermType, p.Key, p.RangeEnd))
		}
	}
	for _, u := range has.Users {
		got = append(got, fmt.Sprintf("%s has %s, no password: %v", u.Name, u.Roles, u.Options.GetNoPassword()))
	}
	want := []string{
		"all", `READ "\x00" "\x00"`, "app", `READWRITE "app/" "app0"`, `READ "conf" ""`, "ops", `WRITE "m" "\x00"`, "root", "unused",
		"ann has [app ops], no password: false", "cert has [all], no password: true", "root has [root], no password: false",
	}
	if !has.AuthEnabled || !slices.Equal(got, want) {
		t.Errorf("enabled: %v\ngot  %q\nwant %q", has.AuthEnabled, got, want)
	}
	if bcrypt.CompareHashAndPassword(has.Users[0].Password, []byte("word")) != nil {
		t.Errorf("ann's password is not that of the hash %s", has.Users[0].Password)
	}
}
