package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/check/ports"
	"balsa.example/vfs"
)

// Two clusters are begun apart with the same names and the same token. They have
// different identities, a Clerk does not move from one to the other, and a directory of
// one among the members of the other is refused, by both, who name each other.
func TestTwoClustersWithTheSameNamesNeverMix(t *testing.T) {
	t.Parallel()
	prod, stage := newTestCluster(t, options{servers: 3}), newTestCluster(t, options{servers: 3})
	prod.startAll()
	stage.startAll()
	prod.put("a", "1", 0)
	id := func(c *testCluster) string { return fmt.Sprintf("%016x", c.servers[0].status().ClusterId) }
	if id(prod) == id(stage) || id(prod) == fmt.Sprintf("%016x", 0) {
		t.Fatalf("the identities are %s and %s", id(prod), id(stage))
	}

	var told, said lockedLog
	prod.configs[0].Logger = slog.New(slog.NewTextHandler(&told, nil))
	prod.stop(0)
	prod.start(0)
	awaitReady(t, prod.servers[0])
	disk := stage.configs[2].FS
	stage.stop(2)
	prod.stop(2)
	prod.configs[2].FS, prod.configs[2].Logger = disk, slog.New(slog.NewTextHandler(&said, nil))
	prod.start(2)
	stranger := fmt.Sprintf("%016x", stage.servers[0].status().ClusterId)
	// A directory says of which cluster it is, so this one talks to the members of that.
	told.await(t, fmt.Sprintf("n1 is of cluster %s, and n3 of cluster %s", id(prod), stranger))
	said.await(t, fmt.Sprintf("n1 is of cluster %s, and n3 of cluster %s", id(prod), stranger))
	prod.put("a", "2", 1) // two of three go on

	endpoints := []string{prod.configs[0].ListenClient[0].Host, stage.configs[0].ListenClient[0].Host}
	ck, err := clerk.New(endpoints[:1])
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := ck.Get(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := ck.TransferLeadership(ctx, endpoints[1], 0); !errors.Is(err, clerk.ErrOtherCluster) {
		t.Errorf("a command for another cluster: %v", err)
	}
}

// A copy of a directory that runs beside its original is shut out, and named by all.
func TestACopiedDirectoryIsShutOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newTestCluster(t, options{servers: 3, dir: dir})
	c.startAll()
	c.put("a", "1", 0)
	c.stop(2)
	if err := os.CopyFS(dir+"/copy", os.DirFS(c.configs[2].DataDir)); err != nil {
		t.Fatal(err)
	}
	var logs [3]lockedLog
	c.stop(0)
	c.configs[0].Logger = slog.New(slog.NewTextHandler(&logs[0], nil))
	c.configs[2].Logger = slog.New(slog.NewTextHandler(&logs[1], nil))
	c.start(0)
	c.start(2)
	for _, s := range c.servers {
		awaitReady(t, s)
	}
	c.put("a", "2", 1)
	c.awaitSameState()

	copied := c.configs[2]
	copied.DataDir, copied.Logger = dir+"/copy", slog.New(slog.NewTextHandler(&logs[2], nil))
	copied.PeerListener, copied.ClientListeners = ports.Listen(t), []net.Listener{ports.Listen(t)}
	twin, err := Start(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer twin.Abort()
	logs[0].await(t, "n3 runs twice")
	logs[1].await(t, "this node runs twice")
	logs[2].await(t, "n3 runs twice")
	time.Sleep(time.Second)
	if s := twin.status(); s.CommitIndex > 0 && s.LeaderId != 0 {
		t.Errorf("the copy takes part: %v", s)
	}
	c.put("a", "3", 2)
	c.awaitSameState()
}

// A directory of a version whose clusters had no identity is refused, with its reason.
func TestStartRefusesADirectoryOfAnOlderFormat(t *testing.T) {
	c := newTestCluster(t, options{servers: 1})
	fs := crashfs.NewMem()
	c.configs[0].FS = fs
	if err := errors.Join(fs.MkdirAll("n1", 0o700), vfs.WriteFile(fs, "n1/MEMBERS", []byte("balsa members 1\nself 1 2 3 active\n"))); err != nil {
		t.Fatal(err)
	}
	_, err := Start(c.configs[0])
	if !errors.Is(err, ErrOlderFormat) || !strings.Contains(err.Error(), "MEMBERS") {
		t.Errorf("got %v", err)
	}
}
