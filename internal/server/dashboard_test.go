package server

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/backup"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/frontend/native"
	"balsa.example/internal/frontend/ui"
	"balsa.example/vfs"
)

// withDashboards starts a cluster that shows them.
func withDashboards(t *testing.T, servers int, mode UI) *testCluster {
	c := newTestCluster(t, options{servers: servers})
	for i := range c.configs {
		c.configs[i].UI = mode
	}
	c.startAll()
	return c
}

// browser makes requests as the page does.
type browser struct {
	t      *testing.T
	client http.Client
	base   string
	token  string
}

func (c *testCluster) browser(i int) *browser {
	// Without keep-alive: no goroutine of the client's stays.
	return &browser{t: c.t, base: c.configs[i].ListenClient[0].String(), client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

func (b *browser) do(method, path, body string) *http.Response {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("X-Balsa-Dashboard", "1")
	r.Header.Set("Content-Type", "application/json")
	if b.token != "" {
		r.Header.Set("Authorization", b.token)
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// post returns the status and the body of an answer.
func (b *browser) post(path, body string) (int, string) {
	b.t.Helper()
	resp := b.do("POST", "/ui/api/"+path, body)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// watch returns a function that waits for an overview, and one that ends the stream.
func (b *browser) watch() (await func(what string, is func(*ui.Overview) bool) *ui.Overview, end func()) {
	b.t.Helper()
	resp := b.do("GET", "/ui/api/overview", "")
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("overview: %s", resp.Status)
	}
	lines := bufio.NewReader(resp.Body)
	return func(what string, is func(*ui.Overview) bool) *ui.Overview {
		b.t.Helper()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			line, err := lines.ReadString('\n')
			if err != nil {
				b.t.Fatalf("while waiting for %s: %v", what, err)
			}
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				continue
			}
			o := new(ui.Overview)
			if err := json.Unmarshal([]byte(data), o); err != nil {
				b.t.Fatal(err)
			}
			if is(o) {
				return o
			}
		}
		b.t.Fatalf("no overview has %s", what)
		return nil
	}, func() { resp.Body.Close() }
}

func memberOf(o *ui.Overview, name string) *ui.Member {
	i := slices.IndexFunc(o.Members, func(m ui.Member) bool { return m.Name == name })
	return &o.Members[i]
}

// TestTheDashboardSeesTheLeaderGo looks at a follower while the leader stops.
func TestTheDashboardSeesTheLeaderGo(t *testing.T) {
	c := withDashboards(t, 3, LookUI)
	c.put("greeting", "hello", 0)
	l := c.leader()
	await, end := c.browser((l + 1) % 3).watch()
	defer end()
	first, other := c.configs[l].Name, c.configs[(l+2)%3].Name
	o := await("all members with their figures", func(o *ui.Overview) bool {
		return o.Leader != "" && !slices.ContainsFunc(o.Members, func(m ui.Member) bool { return m.Report == nil || m.Report.Keys != 1 })
	})
	if m := memberOf(o, first); m.ID != o.Leader || m.Report.Role != "leader" || !m.Connected || o.Writes || len(o.Notes) != 0 || o.Members[0].Name != "n1" {
		t.Errorf("%s leads, and the overview is %+v", first, o)
	}
	if m := memberOf(o, other); m.RoundTrip == 0 || m.Report.Memory == 0 || m.Behind > 100 {
		t.Errorf("of another member: %+v %+v", m, m.Report)
	}
	await("points of all members", func(o *ui.Overview) bool {
		return !slices.ContainsFunc(o.Members, func(m ui.Member) bool { return m.Report == nil || len(m.Report.Points) == 0 })
	})
	c.stop(l)
	o = await("another leader", func(o *ui.Overview) bool {
		m := memberOf(o, first)
		return o.Leader != "" && o.Leader != m.ID && !m.Connected && m.Report == nil
	})
	if len(o.Notes) != 2 || !o.Notes[0].Grave || !strings.Contains(o.Notes[0].Text, "No further voter may fail") {
		t.Errorf("it says %+v", o.Notes)
	}
	c.stop((l + 2) % 3)
	o = await("no leader", func(o *ui.Overview) bool { return o.Leader == "" })
	if !strings.Contains(o.Notes[0].Text, "a majority must be reached") {
		t.Errorf("it says %+v", o.Notes)
	}
}

// TestTheDashboardByTLS uses both versions of HTTP. The browser's certificate lets it in, and names nobody.
func TestTheDashboardByTLS(t *testing.T) {
	m := newMixed(t, func(c *Config) { c.UI = ChangeUI })
	m.put("greeting", "hello", 0)
	for _, two := range []bool{false, true} {
		b := m.browser(0)
		transport := &http.Transport{TLSClientConfig: m.tls("evil"), ForceAttemptHTTP2: two}
		b.client.Transport = transport
		await, end := b.watch()
		o := await("the member", func(o *ui.Overview) bool { return len(o.Members) == 1 && o.Members[0].Report != nil })
		if r := o.Members[0].Report; len(r.Certificates) != 2 || r.Certificates[0].Expires < o.Now {
			t.Errorf("HTTP/2: %t: its certificates are %+v", two, r.Certificates)
		}
		await("the next one", func(*ui.Overview) bool { return true })
		if code, text := b.post("v3/kv/range", `{"key":"`+b64("greeting")+`"}`); code != http.StatusOK || !strings.Contains(text, b64("hello")) {
			t.Errorf("HTTP/2: %t: %d %s", two, code, text)
		}
		resp := b.do("POST", "/ui/api/v3/watch", `{"create_request":{"key":"`+b64("greeting")+`","start_revision":"2"}}`)
		lines := bufio.NewReader(resp.Body)
		for _, want := range []string{`"created":true`, b64("hello")} {
			if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, want) {
				t.Errorf("HTTP/2: %t: the watcher gets %s, %v; want %s", two, line, err, want)
			}
		}
		if resp.ProtoMajor == 2 != two {
			t.Errorf("it is %s", resp.Proto)
		}
		resp.Body.Close()
		end()
		transport.CloseIdleConnections()
	}
}

// TestTheDashboardOfAWitness tells that it answers nothing.
func TestTheDashboardOfAWitness(t *testing.T) {
	c := withDashboards(t, 2, LookUI)
	w := c.joinWitness("w")
	await, end := c.browser(w).watch()
	defer end()
	o := await("what it is", func(o *ui.Overview) bool { return len(o.Members) == 1 })
	if m := o.Members[0]; m.Name != "w" || !m.Connected || m.Report == nil || len(o.Notes) == 0 || !strings.Contains(o.Notes[0].Text, "it votes, and answers no requests") {
		t.Errorf("%+v", o)
	}
}

// TestNamesThatPointHere: a page by a name that is no member's may not change anything.
func TestNamesThatPointHere(t *testing.T) {
	c := withDashboards(t, 1, ChangeUI)
	c.servers[0].cfg.Hosts = []string{"allowed.example"}
	for host, want := range map[string]bool{
		c.endpoints[0]: true, "localhost:23790": true, "[::1]:23790": true, "10.0.0.1": true, "allowed.example:1": true,
		"evil.example": false, "evil.example:23790": false, "": false,
	} {
		if got := c.servers[0].ours(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+c.endpoints[0]+"/ui/api/leader", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example"
	r.Header.Set("X-Balsa-Dashboard", "1")
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.browser(0).client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a change by that name: %s", resp.Status)
	}
}

// TestTheDashboardChangesMembers asks a follower, since any member will do.
func TestTheDashboardChangesMembers(t *testing.T) {
	c := withDashboards(t, 3, ChangeUI)
	c.put("greeting", "hello", 0)
	l := c.leader()
	f := (l + 1) % 3
	b := c.browser(f)
	id := func(i int) string { return idText(c.servers[i].id()) }
	name := func(i int) string { return c.configs[i].Name }

	code, text := b.post("weigh", `{"do":"remove","member":"`+id(l)+`"}`)
	if code != http.StatusOK || !strings.Contains(text, name(l)+" leads. It hands over") || !strings.Contains(text, "2 members vote, and both must run") {
		t.Errorf("to remove the leader will: %d %s", code, text)
	}
	if n := len(c.any().member.Known().All); n != 3 {
		t.Fatalf("what was weighed was done: %d members", n)
	}
	if code, text := b.post("leader", `{"member":"`+id(f)+`"}`); code != http.StatusOK {
		t.Errorf("to move the leader: %d %s", code, text)
	}
	eventually(t, "the leader does not move", func() bool { return c.servers[f].running.Load().Node.Leads() })
	for body, want := range map[string]int{
		`{"do":"add","name":"n4","peers":["http://127.0.0.1:9"]}`:   http.StatusOK,
		`{"do":"add","name":"n4","peers":["http://127.0.0.1:9"]} `:  http.StatusOK, // again
		`{"do":"add","name":"n5","peers":["https://127.0.0.1:10"]}`: http.StatusBadRequest,
		`{"do":"add"}`: http.StatusBadRequest,
		`{"do":"promote","member":"` + id(l) + `"}`: http.StatusConflict,
		`{"do":"remove","member":"12345"}`:          http.StatusNotFound,
		`{"do":"remove","member":"n1"}`:             http.StatusBadRequest,
		`{"do":"dance","member":"` + id(l) + `"}`:   http.StatusBadRequest,
	} {
		if code, text := b.post("weigh", body); code != want {
			t.Errorf("to weigh %s: %d %s, want %d", body, code, text, want)
		}
	}
	if code, text := b.post("members", `{"do":"add","name":"n4","peers":["http://127.0.0.1:9"]}`); code != http.StatusOK {
		t.Errorf("to add: %d %s", code, text)
	}
	await, end := b.watch()
	o := await("the new member", func(o *ui.Overview) bool { return len(o.Members) == 4 })
	if m := memberOf(o, "n4"); m.Started || m.Voter || !m.Promote {
		t.Errorf("the new member is %+v", m)
	}
	if code, text := b.post("members", `{"do":"remove","member":"`+memberOf(o, "n4").ID+`"}`); code != http.StatusOK {
		t.Errorf("to remove: %d %s", code, text)
	}
	end()

	c.stop((l + 2) % 3)
	eventually(t, "a removal that loses the quorum is not refused", func() bool {
		code, text := b.post("weigh", `{"do":"remove","member":"`+id(l)+`"}`)
		return code == http.StatusConflict && strings.Contains(text, "no majority")
	})
	if code, text := b.post("members", `{"do":"remove","member":"`+id(l)+`"}`); code != http.StatusConflict {
		t.Errorf("and made: %d %s", code, text)
	}
}

// What is weighed is refused as it would be if it were made.
func TestTheDashboardWeighsAsItChanges(t *testing.T) {
	c := newTestCluster(t, options{servers: 3})
	for i := range c.configs {
		c.configs[i].UI = ChangeUI
		c.configs[i].MaxLearners = 1
	}
	c.startAll()
	c.put("greeting", "hello", 0)
	b := c.browser(c.leader())
	i := c.prepare("n4")
	if code, text := b.post("members", `{"do":"add","name":"n4","peers":["`+c.configs[i].ListenPeer[0].String()+`"],"learner":true}`); code != http.StatusOK {
		t.Fatalf("to add: %d %s", code, text)
	}
	awaitReady(t, c.start(i))
	id := idText(c.servers[i].id())
	c.stop(i)
	another := `{"do":"add","name":"n5","peers":["http://127.0.0.1:10"],"learner":true}` // there is one
	if code, text := b.post("members", another); code != http.StatusConflict {
		t.Errorf("another learner: %d %s", code, text)
	}
	silent := `{"do":"promote","member":"` + id + `"}`
	for _, body := range []string{another, silent} {
		if code, text := b.post("weigh", body); code != http.StatusConflict {
			t.Errorf("to weigh %s: %d %s", body, code, text)
		}
	}
}

// TestTheDashboardGivesBackups downloads one, and verifies it.
func TestTheDashboardGivesBackups(t *testing.T) {
	c := withDashboards(t, 1, LookUI)
	for i := range uint64(20) {
		c.put("greeting", strings.Repeat("hello", 100), i)
	}
	b := c.browser(0)
	var to struct{ Path string }
	if code, text := b.post("backup", "{}"); code != http.StatusOK || json.Unmarshal([]byte(text), &to) != nil {
		t.Fatalf("%d %s", code, text)
	}
	resp := b.do("GET", to.Path, "")
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	fsys, dir := crashfs.NewMem(), ""
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		file, readErr := io.ReadAll(r)
		if err = errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		dir = filepath.Dir(h.Name)
		if err := errors.Join(vfs.MakeDir(fsys, dir), vfs.WriteFile(fsys, h.Name, file)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := backup.Open(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Verify(t.Context(), nil, func(err error) { t.Error(err) }); err != nil || len(d.Points()) != 1 || d.Points()[0].Revision != 21 {
		t.Errorf("%v, %+v", err, d.Points())
	}
	figures := scrape(t, "http://"+c.configs[0].ListenClient[0].Host)
	for _, work := range []string{"backup", "checkpoint"} {
		if figures.of("work_last_success_timestamp_seconds", work) < float64(time.Now().Unix()-3600) || figures.of("work_failures_total", work) != 0 {
			t.Errorf("the %s is not counted: %v", work, figures["balsa_work_last_success_timestamp_seconds"])
		}
	}
	c.servers[0].native.Drain()
	if code, text := b.post("backup", "{}"); code != http.StatusOK || json.Unmarshal([]byte(text), &to) != nil {
		t.Fatalf("%d %s", code, text)
	}
	late := b.do("GET", to.Path, "")
	defer late.Body.Close()
	if late.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a server that stops gives a backup: %s", late.Status)
	}
}

// dashboardRights say who may do what: nobody, a user with the role reader (of keys that begin with
// "open/"), and root. d is denied; another letter is what comes of it.
var dashboardRights = []struct{ path, body, rights string }{
	{"login", `{"user":"nobody","password":"x"}`, "ddd"}, // a wrong one
	{"login", `{"user":"reader","password":"reader"}`, "..."},
	{"backup", `{}`, "dd."},
	{"weigh", `{"do":"add","name":"n2"}`, "dd."},
	{"leader", `{"member":"7"}`, "ddx"}, // there is none
	{"members", `{"do":"add","name":"n2"}`, "dd."},
	{"v3/kv/range", `{"key":"` + b64("open/a") + `"}`, "d.."},
	{"v3/kv/range", `{"key":"` + b64("secret") + `"}`, "dd."},
	{"v3/watch", `{"create_request":{"key":"` + b64("open/a") + `"}}`, "d.."},
	{"v3/watch", `{"create_request":{"key":"` + b64("secret") + `"}}`, "dd."},
	{"v3/kv/txn", `{"success":[{"request_put":{"key":"` + b64("open/a") + `"}}]}`, "dd."},
	{"v3/lease/leases", `{}`, "d.."},
	{"v3/lease/timetolive", `{"ID":"7"}`, "d.."},
	{"v3/auth/user/list", `{}`, "dd."},
	{"v3/auth/user/get", `{"name":"reader"}`, "d.."},
	{"v3/auth/user/get", `{"name":"root"}`, "dd."},
	{"v3/auth/role/list", `{}`, "dd."},
	{"v3/auth/role/get", `{"role":"reader"}`, "d.."},
	{"v3/auth/role/get", `{"role":"root"}`, "ddx"}, // it has no rights of its own
	{"v3/lease/revoke", `{"ID":"7"}`, "dxx"},       // there is none
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// TestRightsInTheDashboard fails for a call that has no row.
func TestRightsInTheDashboard(t *testing.T) {
	c := withDashboards(t, 1, ChangeUI)
	c.put("open/a", "1", 0)
	c.put("secret", "2", 0)
	ctx, ck := t.Context(), c.clerk
	for _, err := range []error{
		ck.AddUser(ctx, "root", "root"), ck.GrantRole(ctx, "root", "root"),
		ck.AddUser(ctx, "reader", "reader"), ck.AddRole(ctx, "reader"), ck.GrantRole(ctx, "reader", "reader"),
		ck.Allow(ctx, "reader", clerk.Permission{Access: clerk.ReadAccess, Span: clerk.Span{From: "open/", To: "open0"}}),
		ck.EnableAuth(ctx),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	named := map[string]bool{}
	for who, user := range []string{"", "reader", "root"} {
		b := c.browser(0)
		if user != "" {
			_, text := b.post("login", `{"user":"`+user+`","password":"`+user+`"}`)
			var got struct{ Token string }
			if err := json.Unmarshal([]byte(text), &got); err != nil || got.Token == "" {
				t.Fatalf("%s logs in: %s", user, text)
			}
			b.token = got.Token
		}
		for _, row := range dashboardRights {
			named[row.path] = true
			want := row.rights[who]
			resp := b.do("POST", "/ui/api/"+row.path, row.body)
			line, _ := bufio.NewReader(resp.Body).ReadString('\n')
			resp.Body.Close()
			got := byte('.')
			switch {
			case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden,
				strings.Contains(line, "user name is empty"), strings.Contains(line, `"canceled":true`):
				got = 'd'
			case resp.StatusCode != http.StatusOK:
				got = 'x'
			}
			if got != want {
				t.Errorf("%s %s as %q: %d %s, want %c", row.path, row.body, user, resp.StatusCode, line, want)
			}
		}
		resp := b.do("GET", "/ui/api/overview", "")
		r := bufio.NewReader(resp.Body)
		_, _ = r.ReadString('\n') // the kind of the event
		line, _ := r.ReadString('\n')
		if resp.Body.Close(); (resp.StatusCode == http.StatusOK) != (user != "") || strings.Contains(line, `"root":true`) != (user == "root") {
			t.Errorf("an overview as %q: %s %s", user, resp.Status, line)
		}
	}
	for _, path := range ui.Calls() {
		if !named[path] {
			t.Errorf("%s has no row", path)
		}
	}
	b := c.browser(0)
	b.token = "made up"
	if resp := b.do("GET", "/ui/api/overview", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("an overview by a token that is made up: %s", resp.Status)
	} else {
		resp.Body.Close()
	}
}

func TestMembersComeInOrder(t *testing.T) {
	members := []ui.Member{{Name: "n10", ID: "1"}, {Name: "n2", ID: "2", Replaces: "3"}, {Name: "n2", ID: "3"}, {Name: "n1", ID: "4"}, {ID: "5"}}
	slices.SortFunc(members, inOrder)
	var got string
	for _, m := range members {
		got += m.ID
	}
	if got != "54321" {
		t.Errorf("they come as %s", got)
	}
}

// A member that is connected and answers late is still as it was a moment ago.
func TestALateReportStandsForAWhile(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		late  bool
		after time.Duration
		want  bool
	}{{true, time.Second, true}, {true, reportKept + time.Second, false}, {false, time.Second, false}} {
		h := heard{report: new(ui.Report), at: now}
		if h.silent("no answer", tt.late, now.Add(tt.after)); (h.report != nil) != tt.want || h.why == "" {
			t.Errorf("late: %t, after %s: %+v", tt.late, tt.after, h)
		}
	}
}

// The address alone leads to the dashboard.
func TestTheAddressAloneLeadsToTheDashboard(t *testing.T) {
	c := withDashboards(t, 1, LookUI)
	if code, body := fetch(t, "http://"+c.endpoints[0]); code != http.StatusOK || !strings.Contains(string(body), "<title>balsa</title>") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := fetch(t, "http://"+c.endpoints[0]+"/nothing"); code != http.StatusNotFound {
		t.Errorf("another path: %d", code)
	}
}

// TestNoDashboardUnlessWanted: the zero Config shows none.
func TestNoDashboardUnlessWanted(t *testing.T) {
	c := withDashboards(t, 1, NoUI)
	for _, path := range []string{"/", "/ui", "/ui/", "/ui/api/overview"} {
		if code, _ := fetch(t, "http://"+c.endpoints[0]+path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// The reply of a backup that nobody takes is given up when the time of the backup is over: a browser may pause.
func TestABackupOfTheDashboardEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, cancel := newBackupCall(t.Context())
		defer cancel()
		begun := time.Now()
		if err := c.Send(&api.BackupReply{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != native.BackupTime {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}
