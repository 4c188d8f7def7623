package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
)

func TestStartRefusesADirectoryThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newTestCluster(t, options{servers: 1, dir: dir})
	c.startAll()
	c.put("a", "1", 0)
	dataDir := c.configs[0].DataDir

	second := newTestCluster(t, options{servers: 1, dir: dir}).configs[0]
	if _, err := Start(second); !errors.Is(err, ErrInUse) {
		t.Errorf("a second process on the directory: %v", err)
	}
	c.stopAll()
	before := listing(t, dataDir)

	cluster := c.configs[0].Cluster
	otherName, err := ParseCluster("test", strings.Replace(memberList(cluster), "n1", "n2", 1))
	if err != nil {
		t.Fatal(err)
	}
	otherToken, err := ParseCluster("another", memberList(cluster))
	if err != nil {
		t.Fatal(err)
	}
	strange := t.TempDir()
	if err := os.WriteFile(filepath.Join(strange, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   error
	}{
		{"another name", func(c *Config) { c.Name, c.Cluster = "n2", otherName }, ErrForeign},
		{"another cluster", func(c *Config) { c.Cluster = otherToken }, ErrForeign},
		{"a directory of something else", func(c *Config) { c.DataDir = strange }, ErrForeign},
		{"joining with an empty directory", func(c *Config) { c.Join, c.DataDir = true, filepath.Join(dir, "new") }, ErrConfig},
		{"requests larger than a message", func(c *Config) { c.Limits.MaxValueBytes = 16<<20 + 1 }, ErrConfig},
		{"transactions of more parts than a message", func(c *Config) { c.Limits.MaxTxnOps = 10<<10 + 1 }, ErrConfig},
		{"a name outside of the cluster", func(c *Config) { c.Name = "n9" }, ErrConfig},
	} {
		cfg := c.configs[0]
		test.change(&cfg)
		if _, err := Start(cfg); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	if after := listing(t, dataDir); after != before {
		t.Errorf("the directory changed:\n%s\nbecame\n%s", before, after)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("a refused start has made a directory")
	}
}

// listing describes all files under dir, with their times and sizes.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStartRefusesADamagedLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newTestCluster(t, options{servers: 1, dir: dir})
	c.startAll()
	c.put("a", "1", 0)
	c.put("b", "2", 0)
	c.stopAll()

	damaged := flipBit(t, filepath.Join(dir, "n1", "wal"))
	_, err := Start(c.configs[0])
	if err == nil || !strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), "offset") {
		t.Errorf("got %v, want the file %s and an offset", err, damaged)
	}

	if err := os.RemoveAll(filepath.Join(dir, "n1", "wal")); err != nil {
		t.Fatal(err)
	}
	if _, err = Start(c.configs[0]); !errors.Is(err, ErrDamaged) {
		t.Errorf("without its log: %v", err)
	}
}

// flipBit damages the first record of a log, which is not its last: no crash can have
// torn it.
func flipBit(t *testing.T, dir string) (path string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	data[100] ^= 1
	if err := os.WriteFile(paths[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	return paths[0]
}

func TestServerWhoseDiskFailsStops(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1})
	var broken atomic.Bool
	c.configs[0].FS = crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			return errorfs.ErrInjected
		}
		return nil
	}))
	c.startAll()
	c.put("a", "1", 0)
	broken.Store(true)
	s := c.servers[0]
	put := &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte("b")}
	reply, err := s.native.Replica().Do(t.Context(), put)
	if err != nil || reply.Code != api.Reply_UNKNOWN {
		t.Errorf("a put that could not be synced: %v, %v", reply, err)
	}
	select {
	case <-s.Failed():
	case <-time.After(patience):
		t.Fatal("the server goes on")
	}
	if !errors.Is(s.Err(), errorfs.ErrInjected) {
		t.Errorf("it failed with %v", s.Err())
	}
}

func TestServerWithAFullDiskServesReadsAndRecovers(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 1})
	mem := crashfs.NewMem()
	c.configs[0].FS = mem
	c.startAll()
	c.put("a", "1", 0)
	mem.SetAvailable(1 << 20)
	replica := c.servers[0].native.Replica()
	put := &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte("b"), Value: make([]byte, 64<<10)}
	awaitPut := func(want api.Reply_Code) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			reply, err := replica.Do(t.Context(), put)
			if err == nil && reply.Code == want {
				return
			} else if err != nil || time.Now().After(deadline) {
				t.Fatalf("a put gets %v, %v; want %s", reply, err, want)
			}
		}
	}
	awaitPut(api.Reply_BUSY)
	c.wants("a", "1")
	mem.SetAvailable(1 << 30)
	awaitPut(api.Reply_OK)
}

func TestStartTellsThatAPortIsInUse(t *testing.T) {
	dir := t.TempDir()
	for _, side := range []string{"peers", "clients"} {
		c := newTestCluster(t, options{servers: 1, dir: dir})
		cfg := c.configs[0]
		if side == "peers" {
			cfg.PeerListener = nil // while the test's own still listens there
		} else {
			cfg.ClientListeners = nil
		}
		_, err := Start(cfg)
		if err == nil || !strings.Contains(err.Error(), "listen for "+side) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: got %v", side, err)
		}
		if _, err := os.Stat(cfg.DataDir); err == nil {
			t.Errorf("%s: the data directory was made", side)
		}
	}
}
