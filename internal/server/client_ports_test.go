package server

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"balsa.example/clerk"
	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/check/ports"
)

// mixed is a server with an address of TLS, which demands certificates, and one without.
type mixed struct {
	*testCluster
	secure, plain, metrics string
}

func newMixed(t *testing.T, change func(*Config)) *mixed {
	c := newTestCluster(t, options{servers: 1, tls: true})
	plain, metrics := ports.Listen(t), ports.Listen(t)
	cfg := &c.configs[0]
	cfg.PlainClients = true
	cfg.ListenClient = append(cfg.ListenClient, &url.URL{Scheme: "http", Host: plain.Addr().String()})
	cfg.ClientListeners = append(cfg.ClientListeners, plain)
	cfg.ListenMetrics, cfg.MetricsListeners = []*url.URL{{Scheme: "https", Host: metrics.Addr().String()}}, []net.Listener{metrics}
	if change != nil {
		change(cfg)
	}
	c.startAll()
	return &mixed{c, cfg.ListenClient[0].Host, plain.Addr().String(), metrics.Addr().String()}
}

// tls is that of a client with a common name.
func (m *mixed) tls(cn string) *tls.Config {
	m.t.Helper()
	d := certstest.Write(m.t, m.ca.Issue(certstest.Leaf{CN: cn}), m.ca.PEM)
	conf, err := clerk.LoadTLS(d.CA, d.Cert, d.Key)
	if err != nil {
		m.t.Fatal(err)
	}
	return conf
}

// conn connects as a client of etcd with a common name; without one, to the address without TLS.
func (m *mixed) conn(cn string) *grpc.ClientConn {
	m.t.Helper()
	address, creds := m.plain, insecure.NewCredentials()
	if cn != "" {
		address, creds = m.secure, credentials.NewTLS(m.tls(cn))
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	return conn
}

// ask asks by HTTP, as a client with a common name.
func (m *mixed) ask(cn, method, target, body string) (int, string) {
	m.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: m.tls(cn)}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(etcdContext(m.t), method, target, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

// The common name of a client's certificate is its user: by gRPC over TLS, and in no other way.
func TestCertificatesNameUsers(t *testing.T) {
	t.Parallel()
	m := newMixed(t, nil)
	ctx := etcdContext(t)
	root := pb.NewAuthClient(m.conn("root"))
	for _, u := range []string{"root", "alice"} {
		if _, err := root.UserAdd(ctx, &pb.AuthUserAddRequest{Name: u, Options: &authpb.UserAddOptions{NoPassword: true}}); err != nil {
			t.Fatal(err)
		}
	}
	steps := []func() error{
		func() error { _, err := root.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"}); return err },
		func() error { _, err := root.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "r"}); return err },
		func() error {
			_, err := root.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: &authpb.Permission{PermType: authpb.READWRITE, Key: []byte("a")}})
			return err
		},
		func() error {
			_, err := root.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
			return err
		},
		func() error {
			_, err := root.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "r"})
			return err
		},
		func() error { _, err := root.AuthEnable(ctx, &pb.AuthEnableRequest{}); return err },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	for _, test := range []struct {
		cn, token, key string
		want           error
	}{
		{"alice", "", "a", nil},
		{"alice", "", "b", rpctypes.ErrPermissionDenied},
		{"root", "", "b", nil},
		{"bob", "", "a", rpctypes.ErrPermissionDenied}, // no such user
		{"", "", "a", rpctypes.ErrUserEmpty},
		{"root", "nonsense", "b", rpctypes.ErrInvalidAuthToken}, // a token goes before the certificate
	} {
		call := ctx
		if test.token != "" {
			call = metadata.AppendToOutgoingContext(ctx, "token", test.token)
		}
		_, err := pb.NewKVClient(m.conn(test.cn)).Put(call, &pb.PutRequest{Key: []byte(test.key)})
		if got := rpctypes.Error(err); got != test.want && (err != nil || test.want != nil) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	if code, text := m.ask("alice", "POST", "https://"+m.secure+"/v3/kv/range", `{"key":"YQ=="}`); code != http.StatusBadRequest || !strings.Contains(text, "user name is empty") {
		t.Errorf("by the gateway: %d %s", code, text)
	}
}

func TestPlainAndSecureAddressesSideBySide(t *testing.T) {
	t.Parallel()
	m := newMixed(t, func(c *Config) { c.PprofClients, c.NoGateway, c.Hosts = true, true, []string{"127.0.0.1"} })
	ctx := etcdContext(t)
	for _, cn := range []string{"alice", ""} {
		if _, err := pb.NewKVClient(m.conn(cn)).Put(ctx, &pb.PutRequest{Key: []byte("a")}); err != nil {
			t.Errorf("%q: %v", cn, err)
		}
	}
	for target, want := range map[string]int{
		"https://" + m.metrics + "/metrics":            http.StatusOK,
		"https://" + m.metrics + "/debug/pprof/":       http.StatusNotFound,
		"https://" + m.secure + "/health":              http.StatusOK,
		"http://" + m.plain + "/health":                http.StatusOK,
		"http://" + m.plain + "/debug/pprof/cmdline":   http.StatusOK,
		"http://" + m.plain + "/v3/kv/range":           http.StatusNotFound, // without the gateway
		"http://localhost:" + portOf(t, m.plain) + "/": http.StatusMisdirectedRequest,
	} {
		if code, text := m.ask("alice", "GET", target, ""); code != want {
			t.Errorf("%s: %d %s", target, code, text)
		}
	}
	if _, err := pb.NewKVClient(m.conn("alice")).Range(ctx, &pb.RangeRequest{Key: []byte("a")}); err != nil {
		t.Error(err)
	}
}

func portOf(t *testing.T, address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// An address without TLS beside a certificate is a mistake, unless it is asked for.
func TestAPlainAddressBesideACertificateIsRefused(t *testing.T) {
	c := newTestCluster(t, options{servers: 1, tls: true})
	cfg := c.configs[0]
	cfg.ListenClient = append(cfg.ListenClient, &url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	if err := cfg.check(); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:1 must be https") {
		t.Errorf("got %v", err)
	}
}
