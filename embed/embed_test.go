package embed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/check/leak"
	"balsa.example/internal/server"
	"balsa.example/member"
	"balsa.example/state"
)

func newClerk(t *testing.T, s *Server) *clerk.Clerk {
	t.Helper()
	ck, err := s.Clerk()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ck.Close() })
	return ck
}

func put(t *testing.T, ck *clerk.Clerk, key, value string) {
	t.Helper()
	if _, err := ck.Put(t.Context(), key, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, ck *clerk.Clerk, key, want string) {
	t.Helper()
	if kv, err := ck.Get(t.Context(), key); err != nil || string(kv.Value) != want {
		t.Fatalf("%s is %q, %v", key, kv.Value, err)
	}
}

// TestRetentionHasDefaultsAndAnEnd: 0 is the default of "balsa serve", and -1 no limit.
func TestRetentionHasDefaultsAndAnEnd(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want state.Retention
	}{
		{Config{}, server.DefaultRetention},
		{Config{HistoryAge: -1, HistoryRevisions: -1}, state.Retention{}},
		{Config{HistoryAge: 3, HistoryRevisions: 4}, state.Retention{Age: 3, Revisions: 4}},
	} {
		test.cfg.Dir = "data"
		got, err := test.cfg.server()
		if err != nil || got.Retention != test.want {
			t.Errorf("age %d, revisions %d: got %+v, %v, want %+v", test.cfg.HistoryAge, test.cfg.HistoryRevisions, got.Retention, err, test.want)
		}
	}
}

// A server alone opens no port, and finds its data again.
func TestAServerAloneNeedsNoPort(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for i := range 3 {
		s, err := Start(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		<-s.Ready()
		ck := newClerk(t, s)
		put(t, ck, fmt.Sprint("key", i), "v")
		get(t, ck, "key0", "v")
		ck.Close()
		s.Stop(t.Context())
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
	}
}

// Three servers in one process: each one's Clerk is served, whoever leads.
func TestEachServerOfSeveralHasAClerk(t *testing.T) {
	var peers, clients []net.Listener
	var members, endpoints []string
	for i := range 3 {
		peers, clients = append(peers, leak.Listen(t)), append(clients, leak.Listen(t))
		members = append(members, fmt.Sprintf("n%d=http://%s", i+1, peers[i].Addr()))
		endpoints = append(endpoints, fmt.Sprintf("http://%s", clients[i].Addr()))
	}
	var servers []*Server
	dir := t.TempDir()
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		cfg := Config{Name: name, Dir: filepath.Join(dir, name), InitialCluster: strings.Join(members, ","), ListenClientURLs: endpoints[i : i+1]}
		c, err := cfg.server()
		if err != nil {
			t.Fatal(err)
		}
		c.PeerListener, c.ClientListeners = peers[i], clients[i:i+1:i+1]
		s, err := run(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Stop(context.Background()) })
		servers = append(servers, s)
	}
	for i, s := range servers {
		<-s.Ready()
		put(t, newClerk(t, s), fmt.Sprint("from", i), "v")
	}
	for i := range servers {
		get(t, newClerk(t, servers[0]), fmt.Sprint("from", i), "v")
	}
	outside, err := clerk.New(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	get(t, outside, "from0", "v")
}

func TestABadConfigTouchesNothing(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no directory":                {},
		"a name that is none's":       {Dir: "d", Name: "x", InitialCluster: "n1=http://h:1", ListenClientURLs: []string{"http://127.0.0.1:1"}},
		"several, and none for users": {Dir: "d", Name: "n1", InitialCluster: "n1=http://h:1,n2=http://h:2"},
		"no scheme":                   {Dir: "d", ListenClientURLs: []string{"127.0.0.1:1"}},
		"TLS and no port":             {Dir: "d", ClientTLS: member.TLS{CertFile: "c", KeyFile: "k"}},
		"half TLS":                    {Dir: "d", ListenClientURLs: []string{"https://127.0.0.1:1"}, ClientTLS: member.TLS{CertFile: "c"}},
		"a short election timeout":    {Dir: "d", ElectionTimeout: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			if cfg.Dir != "" {
				cfg.Dir = filepath.Join(t.TempDir(), cfg.Dir)
			}
			s, err := Start(cfg)
			if err == nil {
				s.Stop(t.Context())
			}
			if !errors.Is(err, ErrConfig) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(cfg.Dir); cfg.Dir != "" && err == nil {
				t.Error("the directory was made")
			}
		})
	}
}

// A socket in the file system is no address that a Clerk dials: the server in its own process it finds all the same.
func TestAServerWithASocketHasAClerk(t *testing.T) {
	dir := t.TempDir()
	s, err := Start(Config{Dir: filepath.Join(dir, "data"), ListenClientURLs: []string{"unix://" + filepath.Join(dir, "s")}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	<-s.Ready()
	ck := newClerk(t, s)
	put(t, ck, "a", "1")
	get(t, ck, "a", "1")
}
