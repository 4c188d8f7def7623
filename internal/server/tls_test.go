package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/certs/certstest"
)

func TestServersAndClientsTalkTLS(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	c.startAll()
	c.put("a", "1", 0)
	c.wants("a", "1")

	d := certstest.Write(t, certstest.Pair{}, c.ca.PEM)
	conf, err := clerk.LoadTLS(d.CA, "", "")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := clerk.New(c.endpoints, clerk.WithTLS(conf))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := stranger.Get(ctx, "a"); !errors.Is(err, clerk.ErrTLS) {
		t.Errorf("a client without a certificate: %v", err)
	}
}

// The authority and all certificates are exchanged while clients come and go: first both
// authorities are trusted, then the certificates are new, then the old authority is gone.
// Each file is seen half written and alone.
func TestEverythingIsRenewedUnderLoad(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	var log lockedLog
	for i := range c.configs {
		c.configs[i].Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	c.startAll()
	c.put("k", "v", 0)
	next := certstest.NewCA(t, "ca of the next year")
	both := append(bytes.Clone(c.ca.PEM), next.PEM...)
	client := c.ca.Issue(certstest.Leaf{CN: "client"})

	// visit connects anew and reads. Also the servers connect anew.
	visit := func(when string) {
		t.Helper()
		ck := c.newClerk(client, both)
		defer ck.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := ck.Get(ctx, "k"); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	replace := func(path func(certstest.Dir) string, data func(i int) []byte, what string) {
		t.Helper()
		for i, d := range c.dirs {
			content := data(i)
			d.Put(path(d), content[:len(content)/2])
			visit("half of " + what)
			d.Put(path(d), content)
			visit("all of " + what)
		}
	}
	ca := func(d certstest.Dir) string { return d.CA }
	replace(ca, func(int) []byte { return both }, "the bundle")
	renewed := make([]certstest.Pair, len(c.dirs))
	for i, cfg := range c.configs {
		renewed[i] = c.issue(next, cfg.Name)
	}
	replace(func(d certstest.Dir) string { return d.Key }, func(i int) []byte { return renewed[i].Key }, "the keys")
	replace(func(d certstest.Dir) string { return d.Cert }, func(i int) []byte { return renewed[i].Cert }, "the certificates")
	client = next.Issue(certstest.Leaf{CN: "client"})
	replace(ca, func(int) []byte { return next.PEM }, "the new authority")

	c.stop(0) // and comes back among the others
	c.start(0)
	awaitReady(t, c.servers[0])
	c.awaitSameState()
	for _, d := range c.dirs {
		if !strings.Contains(log.String(), d.Cert) || !strings.Contains(log.String(), d.CA) {
			t.Errorf("the log does not tell of %s and %s", d.Cert, d.CA)
		}
	}
	if old := c.newClerk(c.ca.Issue(certstest.Leaf{CN: "client"}), both); true {
		defer old.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := old.Get(ctx, "k"); err == nil {
			t.Error("a certificate of the old authority is still taken")
		}
	}
}

// lockedLog is a log that can be read while it is written.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedLog) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(l.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %s", text, l)
		}
	}
}

func TestConfigRefusesHalfTLS(t *testing.T) {
	for _, test := range []struct {
		tls  TLS
		url  string
		says string
	}{
		{TLS{CertFile: "c"}, "https://h:1", "both a certificate and a key"},
		{TLS{CAFile: "ca"}, "http://h:1", "no certificate"},
		{TLS{ClientAuth: true}, "http://h:1", "no certificate"},
		{TLS{CertFile: "c", KeyFile: "k", ClientAuth: true}, "https://h:1", "needs a trusted CA"},
		{TLS{CertFile: "c", KeyFile: "k"}, "http://h:1", "must be https"},
		{TLS{}, "https://h:1", "needs a certificate"},
		{TLS{CertFile: "c", KeyFile: "k", AllowedCNs: []string{"x"}}, "https://h:1", "does not demand certificates"},
		{TLS{CertFile: "c", KeyFile: "k", CAFile: "ca", ClientAuth: true, AllowedCNs: []string{""}}, "https://h:1", "empty name"},
		{TLS{CertFile: "c", KeyFile: "k", CAFile: "ca", ClientAuth: true, AllowedCNs: []string{"x"}, AllowedHostnames: []string{"x"}}, "https://h:1", "one kind"},
	} {
		u, err := ParseURL(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkTLS(test.tls, "client", u); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v on %s: %v", test.tls, test.url, err)
		}
	}
}

func TestASecretAndCertificatesExclude(t *testing.T) {
	cfg := newTestCluster(t, options{servers: 1}).configs[0]
	cfg.ClusterSecretFile = "secret"
	cluster, err := ParseCluster("test", "n1=https://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cluster, cfg.ListenPeer, cfg.PeerTLS = cluster, cluster.PeerURLs("n1"), TLS{CertFile: "c", KeyFile: "k"}
	if _, err := Start(cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "one of the two") {
		t.Errorf("got %v", err)
	}
}
