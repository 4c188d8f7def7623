package replica_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
	"balsa.example/vfs"
)

// harms are what may become of a file, which has a byte at an offset.
var harms = map[string]func(fs *crashfs.Mem, file string, at int) error{
	"a byte is another": func(fs *crashfs.Mem, file string, at int) error {
		f, err := fs.OpenReadWrite(file)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte{'V'}, int64(at))
		return errors.Join(err, f.Close())
	},
	"cut": func(fs *crashfs.Mem, file string, at int) error {
		b, err := vfs.ReadFile(fs, file)
		if err != nil {
			return err
		}
		return vfs.WriteFile(fs, file, b[:at])
	},
	"missing": func(fs *crashfs.Mem, file string, _ int) error { return fs.Remove(file) },
}

// TestDamageIsRepairedFromAnotherServer: files of a follower's history are damaged. Its reads are refused,
// those of the others are right, and soon its own are, too; also where nobody reads.
func TestDamageIsRepairedFromAnotherServer(t *testing.T) {
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) { damageIsRepaired(t, harm) })
	}
}

func damageIsRepaired(t *testing.T, harm func(fs *crashfs.Mem, file string, at int) error) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 100
		c := newCluster(t, options{servers: 3, seed: 1, runBytes: 8 << 10})
		defer c.close()
		c.start(c.ids...)
		leader := c.leader()
		value := func(i int) string { return strings.Repeat(fmt.Sprintf("value %03d ", i), 10) }
		do := func(req *api.Request, of *member) *api.Reply {
			reply, err := of.replica.Do(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			return reply
		}
		for i := range keys {
			if r := do(&api.Request{Kind: api.Request_PUT, Key: fmt.Append(nil, i), Value: []byte(value(i))}, c.server(leader)); r.Code != api.Reply_OK {
				t.Fatal(r)
			}
		}
		c.converge()
		for _, r := range c.replicas() {
			r.Node.Checkpoint()
		}
		time.Sleep(10 * time.Second)

		damaged := c.server(c.others(leader)[0])
		damage := func(i int) {
			t.Helper()
			names, err := damaged.disk.mem.List(stateDir)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				file := path.Join(stateDir, name)
				b, err := vfs.ReadFile(damaged.disk.mem, file)
				if err != nil {
					t.Fatal(err)
				}
				if at := bytes.Index(b, []byte(value(i))); at >= 0 {
					if err := harm(damaged.disk.mem, file, at); err != nil {
						t.Fatal(err)
					}
					return
				}
			}
			t.Fatalf("%q is in no file", value(i))
		}
		get := func(i int, of *member) *api.Reply {
			return do(&api.Request{Kind: api.Request_GET, Key: fmt.Append(nil, i), Consistency: api.Request_LOCAL}, of)
		}

		damage(10)
		if r := get(10, damaged); r.Code != api.Reply_UNAVAILABLE || len(r.Value) > 0 {
			t.Errorf("the damaged value is answered with %s, %q", r.Code, r.Value)
		}
		if r := get(10, c.server(leader)); string(r.Value) != value(10) {
			t.Errorf("the leader has %s, %q", r.Code, r.Value)
		}
		time.Sleep(5 * time.Second)
		if r := get(10, damaged); string(r.Value) != value(10) {
			t.Errorf("5 s after the read that met damage: %s, %q", r.Code, r.Value)
		}

		damage(20) // nobody reads it
		figures, begin := damaged.replica.State.Figures(), time.Now()
		for bound := time.Duration(figures.Runs+1) * 5 * time.Minute; damaged.replica.State.Figures().Repaired != figures.Repaired+1; {
			if time.Since(begin) > bound {
				t.Fatalf("not repaired within %s: %+v", bound, damaged.replica.State.Figures())
			}
			time.Sleep(10 * time.Second)
		}
		t.Logf("repaired after %s", time.Since(begin))
		for i := range keys {
			if r := get(i, damaged); string(r.Value) != value(i) {
				t.Errorf("key %d in the end: %s, %q", i, r.Code, r.Value)
			}
		}
	})
}

// Nobody writes, and the small file and the manifest of a server are damaged. Both are written anew, and the alarm ends.
func TestDamageIsRepairedWhereNobodyWrites(t *testing.T) {
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, options{servers: 1, seed: 1})
				defer c.close()
				c.start(c.ids...)
				m := c.server(c.leader())
				if r, err := m.replica.Do(context.Background(), &api.Request{Kind: api.Request_PUT, Key: []byte("k")}); err != nil || r.Code != api.Reply_OK {
					t.Fatal(r, err)
				}
				for s := m.replica.Node.Status(); s.Applied > s.Snapshot.Index; s = m.replica.Node.Status() {
					m.replica.Node.Checkpoint()
					time.Sleep(10 * time.Second)
				}
				small := func() (file string) {
					names, err := m.disk.mem.List(stateDir)
					if err != nil {
						t.Fatal(err)
					}
					for _, name := range names {
						if strings.HasPrefix(name, "small-") {
							file = path.Join(stateDir, name)
						}
					}
					return file
				}
				damaged, executed := small(), m.replica.Node.Status().Applied
				for _, file := range []string{damaged, path.Join(stateDir, "MANIFEST")} {
					if err := harm(m.disk.mem, file, 20); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(20 * time.Minute) // two reads: of the manifest, and of the small file
				f, now := m.replica.State.Figures(), m.replica.Node.Status().Applied
				if f.Damaged > 0 || f.Repaired == 0 || small() == damaged || now != executed {
					t.Errorf("after 20 minutes: %+v, %s; executed %d and then %d", f, small(), executed, now)
				}
				c.stop(c.ids[0])
				c.start(c.ids...) // it opens what was written
			})
		})
	}
}
