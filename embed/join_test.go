package embed

import (
	"errors"
	"path/filepath"
	"testing"

	"balsa.example/internal/check/leak"
)

// A server in a program joins a cluster that runs.
func TestAServerJoinsARunningCluster(t *testing.T) {
	dir := t.TempDir()
	first := func(name string) Config {
		peer, client := leak.Listen(t), leak.Listen(t)
		cfg := Config{
			Name: name, Dir: filepath.Join(dir, name), ListenPeerURL: "http://" + peer.Addr().String(),
			ListenClientURLs: []string{"http://" + client.Addr().String()},
		}
		peer.Close()
		client.Close()
		return cfg
	}
	one, two := first("one"), first("two")
	one.InitialCluster = "one=" + one.ListenPeerURL
	a := started(t, one)
	put(t, newClerk(t, a), "k", "v")
	two.Join = []string{one.ListenPeerURL}
	if _, err := Start(Config{Dir: two.Dir, Join: two.Join}); !errors.Is(err, ErrConfig) {
		t.Errorf("without addresses: %v", err)
	}
	b := started(t, two)
	get(t, newClerk(t, b), "k", "v")
}
