package server

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"balsa.example/clerk"
	"balsa.example/internal/certs/certstest"
)

// A client that does not fit together with a server is told so by name, and long before
// its patience ends.
func TestClientsAreToldWhatIsWrongWithTLS(t *testing.T) {
	t.Parallel()
	ca, other := certstest.NewCA(t, "ca"), certstest.NewCA(t, "other")
	past, hour := time.Now().Add(-2*time.Hour), time.Hour
	here := certstest.Leaf{CN: "n1", Hosts: []string{"127.0.0.1"}}
	expired := here
	expired.NotBefore, expired.NotAfter = past, past.Add(hour)
	elsewhere := certstest.Leaf{CN: "n1", Hosts: []string{"db.example.com"}}
	alice := ca.Issue(certstest.Leaf{CN: "alice"})
	late := ca.Issue(certstest.Leaf{CN: "late", NotBefore: past, NotAfter: past.Add(hour)})
	none := certstest.Pair{}

	type client struct {
		scheme string
		ca     []byte
		pair   certstest.Pair
	}
	for name, tc := range map[string]struct {
		server certstest.Leaf // the zero one: no TLS
		allow  []string
		client client
		want   string
	}{
		"wrong CA":              {here, nil, client{"https://", other.PEM, alice}, "of an authority that is not trusted here"},
		"no certificate":        {here, nil, client{"https://", ca.PEM, none}, "demands a certificate of its clients"},
		"certificate of others": {here, nil, client{"https://", ca.PEM, other.Issue(certstest.Leaf{CN: "x"})}, "does not trust the authority of this client's"},
		"expired client":        {here, nil, client{"https://", ca.PEM, late}, "this client's certificate has expired"},
		"client not in list":    {here, []string{"apps"}, client{"https://", ca.PEM, alice}, "refuses this client's certificate"},
		"expired server":        {expired, nil, client{"https://", ca.PEM, alice}, "the server's certificate has expired"},
		"wrong host":            {elsewhere, nil, client{"https://", ca.PEM, alice}, "not good for this address"},
		"http for https":        {here, nil, client{"http://", nil, none}, "must begin with https://"},
		"no scheme for https":   {here, nil, client{"", nil, none}, "must begin with https://"},
		"https for http":        {certstest.Leaf{}, nil, client{"https://", ca.PEM, alice}, "must begin with http://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTestCluster(t, options{servers: 1})
			if tc.server.CN != "" {
				d := certstest.Write(t, ca.Issue(tc.server), ca.PEM)
				c.configs[0].ListenClient[0].Scheme = "https"
				c.configs[0].ClientTLS = TLS{CertFile: d.Cert, KeyFile: d.Key, CAFile: d.CA, ClientAuth: true, AllowedHostnames: tc.allow}
			}
			c.startAll()
			endpoint := tc.client.scheme + c.configs[0].ListenClient[0].Host
			ck := clerkFor(t, tc.client.ca, tc.client.pair, endpoint)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := ck.Put(ctx, "a", nil, 0)
			if !errors.Is(err, clerk.ErrTLS) || errors.Is(err, clerk.ErrMaybe) || ctx.Err() != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("put: %v", err)
			}
			if _, err := ck.Status(ctx, endpoint); !errors.Is(err, clerk.ErrTLS) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("status: %v", err)
			}
		})
	}
}

// clerkFor makes a Clerk with the files that are not empty.
func clerkFor(t *testing.T, ca []byte, pair certstest.Pair, endpoints ...string) *clerk.Clerk {
	t.Helper()
	d := certstest.Write(t, pair, ca)
	if ca == nil {
		d.CA = ""
	}
	if pair.Cert == nil {
		d.Cert, d.Key = "", ""
	}
	var options []clerk.Option
	if ca != nil || pair.Cert != nil {
		options = append(options, clerk.WithTLSFiles(d.CA, d.Cert, d.Key))
	}
	ck, err := clerk.New(endpoints, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ck.Close() })
	return ck
}

// Where some servers fit, a Clerk finds them. Where others are down, it waits for them,
// and says in the end what is wrong with the rest.
func TestAClerkGoesOnFromAServerThatDoesNotFit(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	misfit := newTestCluster(t, options{servers: 1}) // without TLS
	misfit.startAll()
	c.startAll()
	wrong := "https://" + misfit.configs[0].ListenClient[0].Host
	alice := c.ca.Issue(certstest.Leaf{CN: "alice"})

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := clerkFor(t, c.ca.PEM, alice, append([]string{wrong}, c.endpoints...)...).Put(ctx, "a", nil, 0); err != nil {
		t.Errorf("with others that fit: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ck := clerkFor(t, c.ca.PEM, alice, wrong, "https://"+l.Addr().String())
	for wait := 500 * time.Millisecond; ; wait *= 2 { // on a slow machine it has to be asked for longer
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		_, err = ck.Put(ctx, "a", nil, 0)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("with others that are down: %v", err)
		}
		if errors.Is(err, clerk.ErrTLS) && strings.Contains(err.Error(), "must begin with http://") {
			return
		}
		if wait > patience {
			t.Fatalf("with others that are down, it does not say what is wrong with this one: %v", err)
		}
	}
}

// The files of a client may be renewed while its Clerk is in use.
func TestAClerkReadsItsFilesAgain(t *testing.T) {
	t.Parallel()
	c := newTestCluster(t, options{servers: 3, tls: true})
	late := certstest.Leaf{CN: "alice", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	c.startAll()
	d := certstest.Write(t, c.ca.Issue(late), c.ca.PEM)
	ck, err := clerk.New(c.endpoints, clerk.WithTLSFiles(d.CA, d.Cert, d.Key))
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := ck.Put(ctx, "a", nil, 0); !errors.Is(err, clerk.ErrTLS) {
		t.Errorf("with a certificate that has expired: %v", err)
	}
	pair := c.ca.Issue(certstest.Leaf{CN: "alice"})
	d.Put(d.Cert, pair.Cert)
	d.Put(d.Key, pair.Key)
	for ctx.Err() == nil {
		if _, err = ck.Put(ctx, "a", nil, 0); !errors.Is(err, clerk.ErrTLS) {
			break // until gRPC connects anew, it repeats why it failed the last time
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Errorf("with a new certificate: %v", err)
	}
}
