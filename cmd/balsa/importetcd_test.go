package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// etcdSnapshot is a snapshot that etcdctl saved: see internal/etcdfile.
func etcdSnapshot(t *testing.T) (path string, data []byte) {
	t.Helper()
	return etcdTestdata(t, "snapshot.db.gz")
}

func etcdTestdata(t *testing.T, name string) (path string, data []byte) {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "internal", "etcdfile", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if data, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestImportOfEtcd(t *testing.T) {
	endpoints := oneServer(t, "--bcrypt-cost", "4")
	path, _ := etcdSnapshot(t)
	const there = `user "root" is there already`
	steps{
		{"put many before", "", exitOK, "version=1 revision=2\n", ""},
		{"put other stays", "", exitOK, "version=1 revision=3\n", ""},
		{"import -o json --etcd " + path, "", exitOK, `{"count":10,"leases":2,"users":1,"roles":2,"revision":4}` + "\n", ""},
		{"ls", "", exitOK, "again\nbin\nempty\nlast\nleased\nmany\none\nother\nthree\ntwo\nunleased\n", ""},
		{"get many", "", exitOK, "12\n", ""},
		{"get unleased", "", exitOK, "b\n", ""},
		{"get bin --raw", "", exitOK, "binary\xff\x00", ""},
	}.run(t, endpoints)
	if _, out, errs := balsa(t, "", "lease", "ttl", "54a6a216d0d3f812", endpoints); !strings.HasSuffix(out, "granted_ttl=3600s\n  \"leased\"\n") {
		t.Error(out, errs)
	}
	steps{
		{"import --from-record 9 --etcd " + path, "", exitOK, "imported 2 keys, 10 B\n", there}, // the leases are there
		{"lease revoke 54a6a216d0d3f812", "", exitOK, "revoked\n", ""},
		{"get leased", "", exitNotFound, "", "does not exist"},
		{"del --all", "", exitOK, "deleted 10\n", ""},
		{"import --without-leases --without-users --from-record 2 -o json --etcd " + path, "", exitOK, `{"count":9,"revision":8}` + "\n", ""},
		{"lease ttl 54a6a216d0d3f812", "", exitNotFound, "", "does not exist"},
		{"get leased", "", exitOK, "v1\n", ""},
	}.run(t, endpoints)
}

// The file is of an etcd with authentication on: roles all, app, ops, root and unused, users ann, cert
// and root, and two keys.
func TestImportOfUsersOfEtcd(t *testing.T) {
	endpoints := oneServer(t, "--bcrypt-cost", "4")
	path, _ := etcdTestdata(t, "users.db.gz")
	steps{
		{"role add app", "", exitOK, "added\n", ""}, // it may do nothing
		{"import --etcd " + path, "", exitOK, "imported 2 keys, 12 B\nimported 3 users and 4 roles; authentication is on\n", `role "app" is there already, and stays as it is`},
		{"get app/1", "", exitDenied, "", "see --user"},
		{"get app/1 --user ann:word", "", exitDenied, "", "denied"},
		{"user get ann --user root:rootpw -o json", "", exitOK, `{"user":"ann","roles":["app","ops"]}` + "\n", ""},
		{"user get cert --user root:rootpw -o json", "", exitOK, `{"user":"cert","roles":["all"],"no_password":true}` + "\n", ""},
		{"role get all --user root:rootpw -o json", "", exitOK, `{"role":"all","permissions":[{"access":"read","from":{"key":"\u0000"}}]}` + "\n", ""},
		{"put zoo new --user ann:word", "", exitOK, "version=2 revision=3\n", ""},
		{"put a new --user ann:word", "", exitDenied, "", "denied"},
		{"get zoo --user ann:other", "", exitDenied, "", "authentication failed"},
		// It stopped at record 4, the role app, and goes on there.
		{"import --user root:rootpw --without-leases --from-record 4 -o json --etcd " + path, "", exitOK, `{"count":0,"roles":1,"auth_enabled":true}` + "\n", "already"},
		{"get app/1 --user ann:word", "", exitOK, "one\n", ""},
	}.run(t, endpoints)
}

// A file that is damaged changes nothing.
func TestImportRefusesDamagedFilesOfEtcd(t *testing.T) {
	endpoints := oneServer(t, "--bcrypt-cost", "4")
	path, data := etcdSnapshot(t)
	cut, changed := path+".cut", path+".changed"
	if err := os.WriteFile(cut, data[:len(data)-1000], 0o600); err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(changed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	steps{
		{"import --etcd " + cut, "", exitUsage, "", cut + ": damaged, or not a file of etcd: 19512 bytes are neither"},
		{"import --etcd " + changed, "", exitUsage, "", "the hash at its end is not that of its contents; nothing is written"},
		{"import --etcd " + path + "2", "", exitUsage, "", "no such file"},
		{"import --etcd " + filepath.Dir(path), "", exitUsage, "", "not a regular file"},
		{"import x --etcd " + path, "", exitUsage, "", "--etcd goes with neither FILE nor --from-line"},
		{"import --from-line 2 --etcd " + path, "", exitUsage, "", "--etcd goes with neither FILE nor --from-line"},
		{"import --from-record 2", "", exitUsage, "", "go with --etcd"},
		{"import --without-leases", "", exitUsage, "", "go with --etcd"},
		{"import --without-users", "", exitUsage, "", "go with --etcd"},
		{"ls", "", exitOK, "", ""},
		{"lease ls", "", exitOK, "", ""}, // no server was asked
	}.run(t, endpoints)
}

func TestImportOfEtcdSaysWhereItStopped(t *testing.T) {
	path, _ := etcdSnapshot(t)
	args := []string{"import", "--endpoints=127.0.0.1:1", "--timeout", "50ms", "--etcd", path}
	code, out, errs := balsa(t, "", args...)
	if code != exitUnavailable || out != "" || !strings.Contains(errs, "lease grant: not done") || !strings.Contains(errs, "--from-record 1 goes on there") {
		t.Errorf("without servers: %d %q", code, errs)
	}
	code, out, errs = balsa(t, "", append(args, "--without-leases", "--from-record", "3")...)
	if code != exitUnavailable || out != "" || !strings.Contains(errs, "records 3 to 10: ") || !strings.Contains(errs, "--from-record 3 goes on there") {
		t.Errorf("without servers and leases: %d %q", code, errs)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received"))
	var buf bytes.Buffer
	p := program{stdin: strings.NewReader(""), stdout: io.Discard, stderr: &buf, env: noEnv}
	if code := p.run(ctx, append(args, "--without-leases")); code != exitError ||
		!strings.HasSuffix(buf.String(), "balsa: stopped: interrupt signal received; all records before are written; --from-record 1 goes on there\n") {
		t.Errorf("stopped: %d %q", code, &buf)
	}
}

// A snapshot of one server, imported into another, makes the same keys.
func TestSnapshotIsImported(t *testing.T) {
	from, to := oneServer(t), oneServer(t)
	etcds, _ := etcdSnapshot(t)
	for _, args := range [][]string{{"import", "--etcd", etcds}, {"put", "a", "1"}, {"put", "b", "2"}, {"del", "one"}, {"put", "a", "3"}} {
		if code, _, errs := balsa(t, "", append(args, from)...); code != exitOK {
			t.Fatal(args, errs)
		}
	}
	path := saveSnapshot(t, strings.TrimPrefix(from, "--endpoints="))
	if code, out, errs := balsa(t, "", "import", "-o", "json", "--etcd", path, to); code != exitOK || out != `{"count":11,"leases":2,"users":1,"roles":2,"revision":2}`+"\n" || errs != "" {
		t.Fatal(code, out, errs)
	}
	for _, args := range [][]string{{"get", "a"}, {"ls"}, {"get", "leased"}} {
		_, want, _ := balsa(t, "", append(args, from)...)
		if _, got, errs := balsa(t, "", append(args, to)...); got != want {
			t.Errorf("%s: %q, want %q; %s", args, got, want, errs)
		}
	}
	if code, _, errs := balsa(t, "", "lease", "revoke", "54a6a216d0d3f812", to); code != exitOK {
		t.Error(errs)
	}
	if code, _, _ := balsa(t, "", "get", "leased", to); code != exitNotFound {
		t.Error("the key is not on its lease")
	}
}

// saveSnapshot does what "etcdctl snapshot save" does.
func saveSnapshot(t *testing.T, endpoint string) (path string) {
	t.Helper()
	conn, err := grpc.NewClient(strings.TrimPrefix(endpoint, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := pb.NewMaintenanceClient(conn).Snapshot(t.Context(), &pb.SnapshotRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, r.Blob...)
	}
	path = filepath.Join(t.TempDir(), "saved.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
