package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/kv/watch"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

// node is a member without Raft, over the real machine.
type node struct {
	mu      sync.Mutex
	machine *state.Machine
}

func (n *node) Submit(_ context.Context, _ <-chan struct{}, c state.Command) (state.Result, rsm.EntryID, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, err := state.Codec{}.Decode(state.Codec{}.Append(nil, c))
	if err != nil {
		return state.Result{}, rsm.EntryID{}, err
	}
	return n.machine.DoOp(c), rsm.EntryID{}, nil
}

func (n *node) KeepAlive(id int64, done func(ttl int64, err error)) {
	r, _, err := n.Submit(context.Background(), nil, state.Command{More: &state.More{Kind: state.KindTick, Leases: []int64{id}, Stamp: logtime.Stamp{Log: 1}}})
	if err != nil {
		done(0, err)
		return
	}
	done(r.TTL[0], nil)
}

func (n *node) Read(context.Context, <-chan struct{}) error { return nil }
func (n *node) Term() raft.Term                             { return 2 }
func (n *node) Leader() raft.NodeID                         { return 1 }
func (n *node) Store() etcd.Store                           { return n.machine }

// Members, Status and MoveLeader are those of the member that etcd's answers are of.
func (n *node) Members() []translate.Member {
	return []translate.Member{{
		ID: 7383792418829112008, Name: "default",
		PeerURLs: []string{"http://127.0.0.1:42380"}, ClientURLs: []string{"http://127.0.0.1:42379"},
	}}
}

func (n *node) Status() translate.Status                 { return translate.Status{} }
func (n *node) MoveLeader(context.Context, uint64) error { return nil }

func (n *node) AddMember(context.Context, []string, bool) (uint64, error) { return 1, nil }
func (n *node) RemoveMember(context.Context, uint64) error                { return nil }
func (n *node) UpdateMember(context.Context, uint64, []string) error      { return nil }
func (n *node) PromoteMember(context.Context, uint64) error               { return nil }

// Scan and Previous are those of a watch.History.
func (n *node) Scan(from uint64, yield func(uint64, []kv.Event) bool) error {
	return n.machine.Scan(from, yield)
}

func (n *node) Previous(key string, revision uint64) (*kv.Entry, error) {
	return n.machine.Previous(key, revision)
}

// newGateway is a Gateway over a new member.
func newGateway(t testing.TB, methods []etcd.Method) *Gateway {
	n, published := new(node), wake.New()
	hub := watch.New(n, 1, 0, watch.Limits{}, published.Set)
	n.machine = state.New(state.Config{FS: crashfs.NewMem(), Dir: "state", Cluster: 7, ID: 1, Publisher: hub})
	if _, _, err := n.machine.Open(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var matching sync.WaitGroup
	matching.Go(func() {
		for {
			select {
			case <-published.C():
				hub.Match()
			case <-done:
				return
			}
		}
	})
	face := etcd.New(etcd.Config{
		Node: n, Member: n, ClusterID: 7, MemberID: 8, ElectionTimeout: time.Second,
		Watches: etcd.Watches{Hub: hub, Leaderless: func() <-chan struct{} { return nil }},
	})
	t.Cleanup(func() {
		face.Wait()
		close(done)
		matching.Wait()
		n.machine.Close()
	})
	port := clients.New(clients.Config{Codec: api.Codec(), Logger: slog.New(slog.DiscardHandler)})
	entrance := etcd.NewEntrance(nil)
	entrance.Open(face)
	return New(Config{
		Methods: methods, Entrance: entrance, Client: port.ClientOf,
		Bounds: clients.Bounds{MessageBytes: 2 << 20, Expect: etcd.Expect},
	})
}

// exchange is a request, and what etcd answered.
type exchange struct {
	method, path, body string
	status             int
	content            string
	answer             []string // lines
}

// recorded reads testdata.
func recorded(t *testing.T) (all []exchange) {
	data, err := os.ReadFile("testdata/etcd-3.7.3.txt")
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq("\n"+string(data), "\n### ") {
		request, answer, ok := strings.Cut(part, "\n")
		if !ok || strings.HasPrefix(part, "\n#") || strings.HasPrefix(part, "#") {
			continue
		}
		var e exchange
		fields := strings.SplitN(request, " ", 3)
		e.method, e.path = fields[0], fields[1]
		if len(fields) == 3 {
			e.body = fields[2]
		}
		head, body, _ := strings.Cut(answer, "\n\n")
		if _, err := fmt.Sscanf(head, "HTTP/1.1 %d", &e.status); err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		if _, content, ok := strings.Cut(head, "Content-Type: "); ok {
			e.content, _, _ = strings.Cut(content, "\n")
		}
		if body = strings.TrimSpace(body); body != "" {
			e.answer = strings.Split(body, "\n")
		}
		all = append(all, e)
	}
	return all
}

// comparable is an answer without what differs between any two clusters.
func comparable(t *testing.T, line string) any {
	t.Helper()
	line = strings.ReplaceAll(line, "\u00a0", " ") // in errors of protobuf, at random
	var v any
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		return line
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range []string{"cluster_id", "member_id", "raft_term"} {
				delete(v, name)
			}
			if v["TTL"] == "99" { // the clock of a test stands still
				v["TTL"] = "100"
			}
			for _, of := range v {
				walk(of)
			}
		case []any:
			for _, of := range v {
				walk(of)
			}
		}
	}
	walk(v)
	return v
}

// The same requests, one after the other, get the same answers as from etcd.
func TestAnswersAreThoseOfEtcd(t *testing.T) {
	g := newGateway(t, etcd.Methods)
	s := httptest.NewServer(g)
	defer s.Close()
	asked := 0
	for _, e := range recorded(t) {
		asked++
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, e.method, s.URL+e.path, strings.NewReader(e.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != e.status || resp.Header.Get("Content-Type") != e.content {
			t.Errorf("%s %s %s: %s %s, want %d %s", e.method, e.path, e.body, resp.Status, resp.Header.Get("Content-Type"), e.status, e.content)
		}
		lines := bufio.NewScanner(resp.Body)
		for i, want := range e.answer { // a watch goes on after them
			if !lines.Scan() {
				t.Errorf("%s %s: line %d is missing, %v", e.path, e.body, i, lines.Err())
				break
			}
			if got, want := comparable(t, lines.Text()), comparable(t, want); !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s:\n got %s\nwant %s", e.path, e.body, lines.Text(), want)
			}
		}
		cancel()
		resp.Body.Close()
	}
	if asked < 30 {
		t.Errorf("%d requests were compared", asked)
	}
}

func post(g http.Handler, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

func TestLargeMessagesAreRefused(t *testing.T) {
	g := newGateway(t, etcd.Methods)
	for size, want := range map[int]string{
		1 << 20: `"revision":"2"`,
		3 << 20: `{"code":8,"message":"grpc: received message larger than max (3145736 vs. 2097152)"}`,
		9 << 20: `{"code":8,"message":"grpc: received message larger than max"}`,
	} {
		w := post(g, "/v3/kv/put", `{"key":"YQ==","value":"`+strings.Repeat("AAAA", size/3)+`"}`)
		if got := strings.ReplaceAll(w.Body.String(), " ", ""); !strings.Contains(got, strings.ReplaceAll(want, " ", "")) {
			t.Errorf("%d bytes: %d %.200s", size, w.Code, w.Body)
		}
	}
}

// seen are a request's caller and deadline.
type seen struct {
	caller   etcd.Caller
	deadline time.Time
}

// spy is the list with one method that only tells who calls it.
func spy(err error, s *seen) []etcd.Method {
	for _, m := range etcd.Methods {
		if m.Name == "/etcdserverpb.KV/Range" {
			call := m.Call
			m.Call = func(f *etcd.Face, ctx context.Context, c *etcd.Caller, r proto.Message) (proto.Message, error) {
				s.caller = *c
				s.deadline, _ = ctx.Deadline()
				if err != nil {
					return nil, err
				}
				return call(f, ctx, c, r)
			}
			return []etcd.Method{m}
		}
	}
	return nil
}

func TestCallerIsWhoTheTokenSays(t *testing.T) {
	for name, tt := range map[string]struct {
		header []string
		want   etcd.Caller
	}{
		"nobody":          {nil, etcd.Caller{}},
		"authorization":   {[]string{"Authorization", "abc"}, etcd.Caller{Token: "abc"}},
		"metadata":        {[]string{"Grpc-Metadata-Token", "t", "Authorization", "abc"}, etcd.Caller{Token: "t"}},
		"leader required": {[]string{"Grpc-Metadata-Hasleader", "true"}, etcd.Caller{RequireLeader: true}},
	} {
		var s seen
		post(newGateway(t, spy(nil, &s)), "/v3/kv/range", `{"key":"YQ=="}`, tt.header...)
		if s.caller != tt.want {
			t.Errorf("%s: %+v", name, s.caller)
		}
	}
}

// A certificate names no user here, the client's as little as the server's own: whoever comes without a token is nobody.
func TestACertificateNamesNobody(t *testing.T) {
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "root"}}
	var s seen
	r := httptest.NewRequest(http.MethodPost, "/v3/kv/range", strings.NewReader(`{"key":"YQ=="}`))
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{root}, VerifiedChains: [][]*x509.Certificate{{root}}}
	w := httptest.NewRecorder()
	newGateway(t, spy(nil, &s)).ServeHTTP(w, r)
	if w.Code != http.StatusOK || s.caller != (etcd.Caller{}) {
		t.Errorf("%d for %+v", w.Code, s.caller)
	}
}

func TestTimeouts(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "5S": 5 * time.Second, "2M": 2 * time.Minute, "99999999H": 1<<63 - 1, "x": -1, "S": -1, "123456789S": 1<<63 - 1, "1x": -1, "0m": 0, "99999999999999999999S": -1,
	} {
		var s seen
		w := post(newGateway(t, spy(nil, &s)), "/v3/kv/range", `{"key":"YQ=="}`, "Grpc-Timeout", text)
		switch left := time.Until(s.deadline); {
		case want < 0:
			if w.Code != http.StatusBadRequest {
				t.Errorf("%q: %d", text, w.Code)
			}
		case w.Code != http.StatusOK || want == 0 && !s.deadline.IsZero() || want > 0 && want < time.Hour && (left > want || left < want-time.Minute):
			t.Errorf("%q: %d, %v are left", text, w.Code, left)
		}
	}
}

// A client whose own time is over is told so, and not that the server was slow.
func TestTheEndOfATimeoutIsTold(t *testing.T) {
	g := newGateway(t, etcd.Methods)
	const late = `{"code":4,"message":"context deadline exceeded"}`
	w := post(g, "/v3/kv/range", `{"key":"YQ=="}`, "Grpc-Timeout", "1n")
	if w.Code != http.StatusGatewayTimeout || w.Body.String() != late {
		t.Errorf("range: %d %s", w.Code, w.Body)
	}
	if w := post(g, "/v3/kv/range", `{"key":"YQ=="}`, "Grpc-Timeout", "-1S"); w.Code != http.StatusGatewayTimeout {
		t.Errorf("of less than nothing: %d", w.Code)
	}
	w = post(g, "/v3/watch", `{"create_request":{"key":"YQ=="}}`, "Grpc-Timeout", "10m")
	if !strings.HasSuffix(w.Body.String(), `{"error":`+late+"}\n") {
		t.Errorf("watch: %d %s", w.Code, w.Body)
	}
}

func TestStatuses(t *testing.T) {
	for want, err := range map[int]error{
		http.StatusUnauthorized:        &translate.Error{Code: translate.Unauthenticated, Text: "a"},
		http.StatusForbidden:           &translate.Error{Code: translate.PermissionDenied, Text: "a"},
		http.StatusServiceUnavailable:  fmt.Errorf("wrapped: %w", translate.ErrNoLeader),
		http.StatusInternalServerError: errors.New("what nobody thought of"),
		http.StatusGatewayTimeout:      context.DeadlineExceeded,
		499:                            context.Canceled,
	} {
		w := post(newGateway(t, spy(err, new(seen))), "/v3/kv/range", `{"key":"YQ=="}`)
		if w.Code != want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}

func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		allowed      []string
		origin, want string
	}{
		{nil, "http://a", "*"}, {[]string{"*"}, "http://a", "*"}, {[]string{"http://a"}, "http://a", "http://a"},
		{[]string{"http://a"}, "http://b", ""}, {[]string{}, "http://a", ""},
	} {
		g := newGateway(t, etcd.Methods)
		g.cfg.Origins = tt.allowed
		g = New(g.cfg)
		r := httptest.NewRequest(http.MethodOptions, "/v3/kv/range", nil)
		r.Header.Set("Origin", tt.origin)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != tt.want || w.Code != http.StatusOK {
			t.Errorf("%q allows %q: %q", tt.allowed, tt.origin, got)
		}
	}
}

// A page that may not use the API has nothing executed, though it need not see the answer.
func TestOtherPagesChangeNothing(t *testing.T) {
	const put, get = `{"key":"YQ==","value":"YQ=="}`, `{"key":"YQ==","count_only":true}`
	for _, tt := range []struct {
		name    string
		allowed []string
		headers []string
		want    bool
	}{
		{"no browser", []string{"http://a"}, nil, true},
		{"a page that may", []string{"http://a"}, []string{"Origin", "http://a", "Sec-Fetch-Site", "cross-site"}, true},
		{"another page", []string{"http://a"}, []string{"Origin", "http://b", "Sec-Fetch-Site", "cross-site"}, false},
		{"another page, in an old browser", []string{"http://a"}, []string{"Origin", "http://b"}, false},
		{"a sandboxed frame", []string{"http://a"}, []string{"Origin", "null"}, false},
		{"a page of this server", []string{"http://a"}, []string{"Origin", "http://ours:1", "Host", "ours:1", "Sec-Fetch-Site", "same-origin"}, true},
		{"a page whose name points here", []string{"http://a"}, []string{"Origin", "http://evil:1", "Host", "evil:1", "Sec-Fetch-Site", "same-origin"}, false},
		{"no page may", []string{}, []string{"Origin", "http://b"}, false},
		{"all may", []string{"http://a", "*"}, []string{"Origin", "http://b", "Sec-Fetch-Site", "cross-site"}, true},
	} {
		g := newGateway(t, etcd.Methods)
		g.cfg.Origins, g.cfg.Named = tt.allowed, func(r *http.Request) bool { return r.Host == "ours:1" }
		g = New(g.cfg)
		r := httptest.NewRequest(http.MethodPost, "/v3/kv/put", strings.NewReader(put))
		r.Header.Set("Content-Type", "text/plain") // for which a browser asks nobody before
		for i := 0; i < len(tt.headers); i += 2 {
			if r.Header.Set(tt.headers[i], tt.headers[i+1]); tt.headers[i] == "Host" {
				r.Host = tt.headers[i+1]
			}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if done := strings.Contains(post(g, "/v3/kv/range", get).Body.String(), `"count"`); done != tt.want || w.Code == http.StatusOK != tt.want {
			t.Errorf("%s: %d %s, written: %t", tt.name, w.Code, w.Body, done)
		}
	}
}

// A stream of requests is answered one by one, while it is open; the messages that have come count
// no more.
func TestRequestsAndResponsesOfAStreamTakeTurns(t *testing.T) {
	g := newGateway(t, etcd.Methods)
	s := httptest.NewServer(g)
	defer s.Close()
	in, out := io.Pipe()
	defer out.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v3/lease/keepalive", in)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan *http.Response, 1)
	go func() {
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	var lines *bufio.Scanner
	for id := range 3 {
		fmt.Fprintf(out, `{"ID":"%d"}`, id+1)
		if lines == nil {
			resp := <-answered
			if resp == nil {
				return
			}
			defer resp.Body.Close()
			lines = bufio.NewScanner(resp.Body)
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf(`"ID":"%d"`, id+1)) {
			t.Fatalf("request %d: %q, %v", id, lines.Text(), lines.Err())
		}
	}
	io.WriteString(out, `{"ID":"no number"}`)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"error":{"code":3,`) {
		t.Errorf("bad request: %q, %v", lines.Text(), lines.Err())
	}
	if lines.Scan() {
		t.Errorf("after the error: %q", lines.Text())
	}
}

// Each method that etcd's gateway has is at its paths.
func TestPathsAreThoseOfTheDescriptors(t *testing.T) {
	paths := pathsOf(etcd.Methods)
	for path, name := range map[string]string{
		"/v3/kv/range": "/etcdserverpb.KV/Range", "/v3/kv/compaction": "/etcdserverpb.KV/Compact",
		"/v3/lease/revoke": "/etcdserverpb.Lease/LeaseRevoke", "/v3/kv/lease/revoke": "/etcdserverpb.Lease/LeaseRevoke",
	} {
		if paths[path].Name != name {
			t.Errorf("%s is %q", path, paths[path].Name)
		}
	}
	if len(paths) < 12 {
		t.Errorf("%d paths", len(paths))
	}
}

// A path without its last slash leads to the one with it, as the multiplexer of etcd has it.
func TestThePrefixWithoutASlashIsRedirected(t *testing.T) {
	g := newGateway(t, etcd.Methods)
	for path, want := range map[string]string{"/v3": "/v3/", "/v3?a=b": "/v3/?a=b", "/v3beta": "", "/v3x": "", "/": ""} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w := httptest.NewRecorder()
			g.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			code := http.StatusNotFound
			if want != "" {
				code = http.StatusTemporaryRedirect
			}
			if w.Code != code || w.Header().Get("Location") != want {
				t.Errorf("%s %s: %d to %q", method, path, w.Code, w.Header().Get("Location"))
			}
		}
	}
}

func FuzzRequests(f *testing.F) {
	g := newGateway(f, etcd.Methods)
	f.Add("/v3/kv/put", `{"key":"YQ==","value":"YQ=="}`)
	f.Add("/v3/kv/txn", `{"compare":[{"key":"YQ==","target":"VERSION","version":"1"}],"success":[{"request_txn":{"success":[{"request_range":{"key":"YQ=="}}]}}]}`)
	f.Add("/v3/kv/range", `{"key":"AA==","range_end":"AA==","limit":-1,"sort_order":7}`)
	f.Add("/v3/lease/grant", `{"TTL":"9000000001"}`)
	f.Add("/v3/lease/keepalive", `{"ID":1}{"ID":2}`)
	f.Fuzz(func(t *testing.T, path, body string) {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#%\x7f") || strings.ContainsFunc(path, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
			path = "/v3/kv/range"
		}
		r := httptest.NewRequest(http.MethodPost, "/", iotest.HalfReader(strings.NewReader(body)))
		r.URL.Path = path
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r.WithContext(ctx))
		if w.Header().Get("Content-Type") != "application/json" {
			return
		}
		for line := range strings.Lines(w.Body.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s %q is answered with %q", path, body, line)
			}
		}
	})
}
