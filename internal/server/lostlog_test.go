package server

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/api"
	"balsa.example/raft"
)

// An old copy of a follower's data directory is put back while its leader goes on. The
// follower is told, stops, and starts no more; the leader shows it as lost; the others go on.
func TestServerWithAnOldCopyOfItsDirectoryStopsForGood(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newTestCluster(t, options{servers: 3, dir: dir})
	for i := range c.configs { // a slow machine shall not change the leader, nor miss ticks
		c.configs[i].HeartbeatInterval, c.configs[i].ElectionTimeout = 250*time.Millisecond, 3*time.Second
	}
	c.startAll()
	leader := c.leader()
	odd := (leader + 1) % 3
	c.put("a", "1", 0)
	data, old := c.configs[odd].DataDir, filepath.Join(dir, "old")

	c.awaitSameState()
	c.stop(odd)
	if err := os.CopyFS(old, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	c.start(odd)
	c.put("a", "2", 1)
	c.awaitSameState()
	c.awaitPeer(leader, odd, func(p *api.Peer) bool { return p.MatchIndex == c.servers[leader].status().LastIndex })
	c.stop(odd)
	if err := errors.Join(os.RemoveAll(data), os.CopyFS(data, os.DirFS(old))); err != nil {
		t.Fatal(err)
	}
	c.start(odd)

	select {
	case <-c.servers[odd].Failed():
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if err := c.servers[odd].Err(); !errors.Is(err, raft.ErrLostLog) {
		t.Errorf("it stops: %v", err)
	}
	c.stop(odd)
	if c.leader() != leader {
		t.Fatal("the leader has changed")
	}
	for _, p := range c.servers[leader].status().Peers {
		if want := p.Name == c.configs[odd].Name; (p.Progress == api.Peer_LOST) != want {
			t.Errorf("the leader shows %s as %s", p.Name, p.Progress)
		}
	}
	for _, p := range c.servers[leader].sample().Peers {
		if want := p.Name == c.configs[odd].Name; p.Lost != want {
			t.Errorf("in the metrics, %s is lost: %t", p.Name, p.Lost)
		}
	}
	c.put("b", "1", 0)
	c.wants("a", "2")

	s := c.start(odd)
	select {
	case <-s.Failed():
	case <-time.After(patience):
		t.Fatal("it goes on when it is started again")
	}
	if err := s.Err(); !errors.Is(err, raft.ErrLostLog) || !strings.Contains(err.Error(), "do not start it from "+data) {
		t.Errorf("it is started again, and stops: %v", err)
	}
}
