package embed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/internal/check/leak"
	"balsa.example/member"
)

func started(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	<-s.Ready()
	return s
}

// A cluster of one needs no address for clients, also where it is named in InitialCluster:
// then it may be told so from the beginning, or later.
func TestAClusterOfOneNeedsNoAddressForClients(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for i, cfg := range []Config{
		{Dir: dir},
		{Dir: dir, InitialCluster: "default=http://127.0.0.1:1"},
	} {
		c, err := cfg.server()
		if err != nil {
			t.Fatal(err)
		}
		if cfg.InitialCluster != "" {
			c.PeerListener = leak.Listen(t)
		}
		s, err := run(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Stop(context.Background()) })
		<-s.Ready()
		put(t, newClerk(t, s), fmt.Sprint("key", i), "v")
		get(t, newClerk(t, s), "key0", "v")
		s.Stop(t.Context())
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
	}
	_, err := Start(Config{Dir: dir, Name: "other"})
	if !errors.Is(err, member.ErrForeign) || !strings.Contains(err.Error(), "other") {
		t.Errorf("another name: %v", err)
	}
	_, err = Start(Config{Dir: dir, InitialClusterToken: "other"})
	if !errors.Is(err, member.ErrForeign) {
		t.Errorf("another token: %v", err)
	}
	s := started(t, Config{Dir: dir})
	if _, err = Start(Config{Dir: dir}); !errors.Is(err, member.ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	get(t, newClerk(t, s), "key1", "v")
}

func TestAPortInUseLeavesNothingBehind(t *testing.T) {
	busy := leak.Listen(t)
	defer busy.Close()
	taken := "http://" + busy.Addr().String()
	before := leak.Now(t)
	for name, change := range map[string]func(*Config){
		"clients": func(c *Config) { c.ListenClientURLs = []string{taken} },
		"peers":   func(c *Config) { c.ListenPeerURL = taken },
		"metrics": func(c *Config) { c.ListenMetricsURLs = []string{taken} },
	} {
		cfg := Config{
			Dir: filepath.Join(t.TempDir(), "data"), InitialCluster: "default=http://127.0.0.1:1",
			ListenClientURLs: []string{"http://127.0.0.1:2"},
		}
		change(&cfg)
		c, err := cfg.server()
		if err != nil {
			t.Fatal(err)
		}
		if name != "peers" { // the other ports are open, and have to be closed again
			c.PeerListener = leak.Listen(t)
			defer leak.WantClosed(t, c.PeerListener)
		}
		if name != "clients" {
			c.ClientListeners = []net.Listener{leak.Listen(t)}
			defer leak.WantClosed(t, c.ClientListeners[0])
		}
		s, err := run(c)
		if err == nil {
			s.Stop(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), busy.Addr().String()) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(cfg.Dir); err == nil {
			t.Errorf("%s: the directory was made", name)
		}
	}
	before.Settle(t)
}

// Stop may come at any time, and more than once. Clerks that are open do not keep it.
func TestStopAtAnyTime(t *testing.T) {
	before := leak.Now(t)
	for i := range 6 {
		s, err := Start(Config{Dir: filepath.Join(t.TempDir(), "data")})
		if err != nil {
			t.Fatal(err)
		}
		ck := newClerk(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Millisecond)
		ck.Put(ctx, "a", []byte("1"), 0) // while it starts
		cancel()
		var work sync.WaitGroup
		for range 2 {
			work.Go(func() { s.Stop(t.Context()) })
		}
		work.Wait()
		if s.Err() != nil {
			t.Error(s.Err())
		}
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := ck.Get(ctx, "a"); err == nil {
			t.Error("a server that has stopped answers")
		}
		cancel()
		late, err := s.Clerk()
		if err != nil {
			t.Error(err)
		}
		late.Close()
		ck.Close()
		s.Stop(t.Context())
	}
	before.Settle(t)
}

func TestMetricsAreServed(t *testing.T) {
	l := leak.Listen(t)
	address := l.Addr().String()
	c, err := Config{Dir: filepath.Join(t.TempDir(), "data"), ListenMetricsURLs: []string{"http://" + address}}.server()
	if err != nil {
		t.Fatal(err)
	}
	c.MetricsListeners = []net.Listener{l}
	s, err := run(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	<-s.Ready()
	put(t, newClerk(t, s), "a", "1")
	for path, want := range map[string]string{"/metrics": "balsa_server_info", "/health": ""} {
		r, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d, %v, %.500s", path, r.StatusCode, err, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
