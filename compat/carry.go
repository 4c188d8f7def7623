package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// maintenanceCarry carries leases and the keys of them to an etcd and back, by snapshots: etcdutl restores that of the
// cluster, and an etcd runs on what it has made. Of that etcd balsa imports a snapshot. In its place etcd, which imports
// nothing, is asked for the same again.
func maintenanceCarry(t *T) {
	t.makeLeases()
	t.sayLeases("at first", t.cluster.endpoints()[0])
	dir := filepath.Join(t.cluster.dir, "carry")
	t.fail("folder", os.RemoveAll(dir))
	t.fail("folder", os.MkdirAll(dir, 0o700))
	there, back := filepath.Join(dir, "there.db"), filepath.Join(dir, "back.db")
	t.save(there, t.cluster.endpoints()[0])
	s := t.restored(there, dir)
	defer s.stop(syscall.SIGKILL)
	t.sayLeases("at a restored etcd", s.endpoint)
	t.save(back, s.endpoint)
	_, err := t.newClient(clientv3.Config{Endpoints: []string{s.endpoint}}).Revoke(t.ctx, carriedLease)
	t.say("revoke there", "%s", errorText(err))
	t.sayLeases("after that", s.endpoint)

	for _, id := range []int64{carriedLease, carriedLease + 1, carriedLease + 2} {
		t.send(&pb.LeaseRevokeRequest{ID: id})
	}
	t.sayLeases("without leases", t.cluster.endpoints()[0])
	if t.cluster.system == "etcd" {
		t.makeLeases()
	} else {
		t.run(t.programs.balsa, "import", "--etcd", back, "--endpoints", t.cluster.servers[0].endpoint)
	}
	t.sayLeases("back", t.cluster.endpoints()[0])
}

// carriedLease is the id of the first of three leases: of two keys, of one, and of none.
const carriedLease = 7001

func (t *T) makeLeases() {
	for i, keys := range [][]string{{"a", "b"}, {"c"}, nil} {
		id := int64(carriedLease + i)
		t.send(&pb.LeaseGrantRequest{ID: id, TTL: 600 + int64(i)})
		for _, key := range keys {
			t.send(&pb.PutRequest{Key: t.b(key), Value: []byte(key), Lease: id})
		}
	}
	t.put("d", "d") // has none
}

// sayLeases says what a server has of the leases and the keys.
func (t *T) sayLeases(step, endpoint string) {
	client := t.newClient(clientv3.Config{Endpoints: []string{endpoint}})
	for id := clientv3.LeaseID(carriedLease); id < carriedLease+3; id++ {
		r, err := client.TimeToLive(t.ctx, id, clientv3.WithAttachedKeys())
		t.fail(step, err)
		t.say(step, "lease %d of %d s, lives: %t, %q", id, r.GrantedTTL, r.TTL > 0, attachedKeys(r))
	}
	r, err := client.Get(t.ctx, t.k(""), clientv3.WithPrefix())
	t.fail(step, err)
	for _, kv := range r.Kvs {
		t.say(step, "%s=%s lease %d", kv.Key, kv.Value, kv.Lease)
	}
}

// save lets etcdctl save a snapshot of a server.
func (t *T) save(path, endpoint string) {
	_, errs, code := t.ctlQuiet("", "snapshot", "save", path, "--endpoints="+endpoint)
	if code != "0" {
		t.say("save", "%s %s", code, onlyErrors(errs))
		panic(errStop)
	}
}

// restored is an etcd on what etcdutl makes of a snapshot. Leases have no less time there than they had.
func (t *T) restored(snapshot, dir string) *server {
	first, err := t.cluster.ports(2)
	t.fail("ports", err)
	s := &server{name: "restored", program: t.programs.etcd, log: filepath.Join(dir, "log"), endpoint: loopback(first), peer: loopback(first + 1)}
	members := []string{s.name + "=http://" + s.peer}
	t.run(t.programs.etcdutl, "snapshot", "restore", snapshot, "--data-dir="+filepath.Join(dir, s.name), "--name="+s.name,
		"--initial-advertise-peer-urls=http://"+s.peer, "--initial-cluster="+members[0], "--initial-cluster-token=compat")
	s.args = s.argsOf(dir, members, "new")
	t.fail("start", s.start())
	t.fail("start", s.awaitReady(t.ctx))
	return s
}

// run runs a program, which has to succeed.
func (t *T) run(program string, args ...string) {
	cmd := exec.CommandContext(t.ctx, program, args...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.say(filepath.Base(program)+" "+args[0], "%v: %s", err, t.masks.text(strings.ReplaceAll(string(out), t.cluster.dir, "DIR")))
		panic(errStop)
	}
}
