package ui

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/internal/metrics"
)

// fake is a Cluster that says what was asked.
type fake struct {
	mu       sync.Mutex // guards what a stream of overviews uses
	overview Overview
	err      error
	asked    []string
	tokens   []string
	since    map[string]int64
	broken   bool // backups end midway
}

func (f *fake) note(what, token string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.tokens = append(f.asked, what), append(f.tokens, token)
	return f.err
}

func (f *fake) Login(_ context.Context, user, password string) (string, error) {
	return "token of " + user, f.note("login with "+password, "")
}

func (f *fake) Overview(_ context.Context, token string, since map[string]int64) (*Overview, error) {
	f.mu.Lock()
	f.since = maps.Clone(since)
	o := f.overview
	f.mu.Unlock()
	return &o, f.note("overview", token)
}

func (f *fake) Weigh(_ context.Context, token string, c *Change) (*Outlook, error) {
	return &Outlook{Member: "n1", Before: []string{"n1", "n2", "n3"}, After: []string{"n2", "n3"}}, f.note("weigh "+c.Do, token)
}

func (f *fake) Change(_ context.Context, token string, c *Change) error {
	return f.note(c.Do+" "+c.Member, token)
}

func (f *fake) MoveLeader(_ context.Context, token, id string) error {
	return f.note("move "+id, token)
}

func (f *fake) MayBackup(_ context.Context, token string) error { return f.note("may", token) }

func (f *fake) Backup(_ context.Context, token string, begin func(string) io.Writer) error {
	if err := f.note("backup", token); err != nil {
		return err
	}
	_, _ = begin("a.tar").Write([]byte("all of it"))
	if f.broken {
		return errors.New("broken")
	}
	return nil
}

// show is a dashboard over a fake. Its etcd API answers with the path.
func show(f *fake, writes bool) http.Handler {
	etcd := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "etcd "+r.URL.Path) })
	named := func(r *http.Request) bool { return r.Host != "evil.example" }
	return New(Config{Cluster: f, Etcd: etcd, Writes: writes, Named: named, Stopping: make(chan struct{})})
}

// ask makes a request as the page does, with other headers.
func ask(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://balsa.local:23790/ui/api/"+path, strings.NewReader(body))
	r.Header.Set("X-Balsa-Dashboard", "1")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "alice's")
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Del(headers[i]); headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestPagesOfOthersAreRefused has what browsers send for a page of another site, for every call.
func TestPagesOfOthersAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers []string
		want    bool
	}{
		{"the page itself", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://balsa.local:23790"}, true},
		{"the page in a browser without Sec-Fetch-Site", []string{"Origin", "http://balsa.local:23790"}, true},
		{"no browser", nil, true},
		{"another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		{"another site that knows the header", []string{"Origin", "https://evil.example"}, false},
		{"another port of the same host", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://balsa.local:80"}, false},
		{"that, in an old browser", []string{"Origin", "http://balsa.local:80"}, false},
		{"a sandboxed frame", []string{"Origin", "null"}, false},
		{"a form", []string{"X-Balsa-Dashboard", "", "Content-Type", "application/x-www-form-urlencoded"}, false},
		{"a form that sends text", []string{"Content-Type", "text/plain"}, false},
		{"without the header", []string{"X-Balsa-Dashboard", ""}, false},
	} {
		for path := range calls {
			f := new(fake)
			w := ask(show(f, true), "POST", path, `{"member":"1","do":"remove"}`, tt.headers...)
			if ok := w.Code == http.StatusOK; ok != tt.want {
				t.Errorf("%s: %s is answered with %d %s", tt.name, path, w.Code, w.Body)
			}
			if !tt.want && len(f.asked) > 0 {
				t.Errorf("%s: %s has led to %v", tt.name, path, f.asked)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("%s: %s lets %q read it", tt.name, path, got)
			}
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS"} {
		if w := ask(show(new(fake), true), method, "members", "{}"); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s is answered with %d", method, w.Code)
		}
	}
	if w := ask(show(new(fake), true), "GET", "overview", "", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("another site gets an overview: %d", w.Code)
	}
}

// TestNothingChangesUnlessAllowed has a row for each call.
func TestNothingChangesUnlessAllowed(t *testing.T) {
	rows := map[string]bool{
		"login": false, "backup": false, "weigh": false, "members": true, "leader": true,
		"v3/kv/range": false, "v3/watch": false, "v3/lease/leases": false, "v3/lease/timetolive": false,
		"v3/auth/user/list": false, "v3/auth/user/get": false, "v3/auth/role/list": false, "v3/auth/role/get": false,
		"v3/kv/txn": true, "v3/lease/revoke": true,
	}
	for path := range calls {
		changes, ok := rows[path]
		if !ok {
			t.Errorf("%s has no row", path)
		}
		for _, writes := range []bool{false, true} {
			w := ask(show(new(fake), writes), "POST", path, "{}")
			if allowed := w.Code == http.StatusOK; allowed != (writes || !changes) {
				t.Errorf("%s, where writes are allowed: %t, is answered with %d %s", path, writes, w.Code, w.Body)
			}
		}
	}
	for path, changes := range rows {
		r := httptest.NewRequest("POST", "http://evil.example/ui/api/"+path, strings.NewReader("{}"))
		r.Header.Set("X-Balsa-Dashboard", "1")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if show(new(fake), true).ServeHTTP(w, r); (w.Code == http.StatusOK) == changes {
			t.Errorf("%s, by a name that points here and is not ours, is answered with %d", path, w.Code)
		}
	}
	for _, path := range []string{"v3/kv/put", "v3/kv/compaction", "v3/auth/enable", "v3/maintenance/snapshot", "v3/kv/range/", "nothing", ""} {
		if w := ask(show(new(fake), true), "POST", path, "{}"); w.Code != http.StatusNotFound {
			t.Errorf("%q is answered with %d", path, w.Code)
		}
	}
}

func TestCallsReachTheCluster(t *testing.T) {
	for _, tt := range []struct{ path, body, asked, answer string }{
		{"login", `{"user":"alice","password":"secret"}`, "login with secret", `{"token":"token of alice"}`},
		{"members", `{"do":"remove","member":"7"}`, "remove 7", `{}`},
		{"leader", `{"member":"8"}`, "move 8", `{}`},
		{"v3/kv/range", `{}`, "", "etcd /v3/kv/range"},
		{"weigh", `{"do":"remove","member":"7"}`, "weigh remove",
			`{"will":["n1 is removed for good: its process ends, and its data directory is of no use any more.","Afterwards 2 members vote, and both must run: none may fail."]}`},
	} {
		f := new(fake)
		w := ask(show(f, true), "POST", tt.path, tt.body)
		if got := strings.Join(f.asked, ","); got != tt.asked || w.Body.String() != tt.answer {
			t.Errorf("%s: %q, %s", tt.path, got, w.Body)
		}
		if tt.path != "login" && tt.asked != "" && f.tokens[0] != "alice's" {
			t.Errorf("%s: asked by %q", tt.path, f.tokens[0])
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control: %q", tt.path, got)
		}
	}
	f := &fake{err: status.Error(codes.FailedPrecondition, "a quorum would be lost")}
	if w := ask(show(f, true), "POST", "members", `{"do":"remove"}`); w.Code != http.StatusConflict || w.Body.String() != `{"code":9,"message":"a quorum would be lost"}` {
		t.Errorf("a refusal is %d %s", w.Code, w.Body)
	}
	if w := ask(show(new(fake), true), "POST", "members", `{`); w.Code != http.StatusBadRequest {
		t.Errorf("what is no JSON is answered with %d", w.Code)
	}
	if w := ask(show(new(fake), true), "POST", "members", `{"name":"`+strings.Repeat("n", maxRequest)+`"}`); w.Code != http.StatusBadRequest {
		t.Errorf("a request that is too long is answered with %d", w.Code)
	}
}

// TestOverviewsFollowEachOther reads a stream: points come once, and it ends when the server stops, or who
// looks may not look any more.
func TestOverviewsFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{overview: Overview{Members: []Member{{ID: "1", Started: true, Connected: true, Report: &Report{Points: []metrics.Point{{UnixMilli: 40}, {UnixMilli: 42}}}}}}}
		stopping := make(chan struct{})
		h := New(Config{Cluster: f, Writes: true, Stopping: stopping})
		r, w := io.Pipe()
		go func() {
			h.ServeHTTP(&streamed{ResponseRecorder: httptest.NewRecorder(), w: w}, httptest.NewRequest("GET", "/ui/api/overview", nil))
			w.Close()
		}()
		in := bufio.NewReader(r)
		next := func() (kind string, o Overview) {
			kind, _ = in.ReadString('\n')
			data, _ := in.ReadString('\n')
			_, _ = in.ReadString('\n')
			if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &o); kind != "" && err != nil {
				t.Errorf("%s %s: %v", kind, data, err)
			}
			return strings.TrimSpace(kind), o
		}
		if kind, o := next(); kind != "event: overview" || !o.Writes || o.Notes == nil {
			t.Errorf("the first event: %s %+v", kind, o)
		}
		began := time.Now()
		kind, _ := next()
		f.mu.Lock()
		if kind != "event: overview" || f.since["1"] != 42 || time.Since(began) != overviewEvery {
			t.Errorf("the second event: %s, since %v, after %s", kind, f.since, time.Since(began))
		}
		f.err = status.Error(codes.Unauthenticated, "no more")
		f.mu.Unlock()
		if kind, _ := next(); kind != "event: failure" {
			t.Errorf("who may not look any more gets %s", kind)
		}
		if kind, _ := next(); kind != "" {
			t.Errorf("and then %s", kind)
		}
	})
}

// streamed writes to a pipe.
type streamed struct {
	*httptest.ResponseRecorder
	w io.Writer
}

func (s *streamed) Write(b []byte) (int, error) { return s.w.Write(b) }

func TestOverviewsEndWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := make(chan struct{})
		h := New(Config{Cluster: new(fake), Stopping: stopping})
		var ended atomic.Int32
		for range maxLookers {
			go func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/ui/api/overview", nil))
				ended.Add(1)
			}()
			synctest.Wait()
		}
		if w := ask(h, "GET", "overview", ""); w.Code != http.StatusTooManyRequests {
			t.Errorf("one more than %d is answered with %d", maxLookers, w.Code)
		}
		close(stopping)
		time.Sleep(time.Millisecond)
		if n := ended.Load(); n != maxLookers {
			t.Errorf("%d of %d streams have ended", n, maxLookers)
		}
	})
}

// TestABackupIsDownloadedOnce: the address of a download is good for one, and for a minute.
func TestABackupIsDownloadedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		h := show(f, false)
		draw := func() string {
			var to struct{ Path string }
			w := ask(h, "POST", "backup", "{}")
			if err := json.Unmarshal(w.Body.Bytes(), &to); err != nil || w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			return strings.TrimPrefix(to.Path, "/ui/api/")
		}
		path := draw()
		w := ask(h, "GET", path, "", "Authorization", "", "X-Balsa-Dashboard", "")
		if w.Body.String() != "all of it" || w.Header().Get("Content-Disposition") != "attachment; filename=a.tar" || f.tokens[len(f.tokens)-1] != "alice's" {
			t.Errorf("%d %v %s, by %v", w.Code, w.Header(), w.Body, f.tokens)
		}
		if w := ask(h, "GET", path, ""); w.Code != http.StatusNotFound {
			t.Errorf("the second time it is answered with %d", w.Code)
		}
		late := draw()
		time.Sleep(ticketTime + time.Second)
		if w := ask(h, "GET", late, ""); w.Code != http.StatusNotFound {
			t.Errorf("after %s it is answered with %d", ticketTime, w.Code)
		}
		for range maxTickets {
			draw()
		}
		if w := ask(h, "POST", "backup", "{}"); w.Code != http.StatusTooManyRequests {
			t.Errorf("one more than %d is answered with %d", maxTickets, w.Code)
		}
		time.Sleep(ticketTime + time.Second)
		draw()

		f.broken = true
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("a download that fails midway ends as one that is whole")
			}
		}()
		ask(h, "GET", draw(), "")
	})
}

// TestThePageIsStrict finds what the policy would refuse, and ways by which texts could become markup.
func TestThePageIsStrict(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<script(?:[^>]*[^c]|)>[^<]|<style|\son\w+\s*=|javascript:|\sstyle\s*=`)
	markup := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|createContextualFragment|srcdoc|https?://[a-z]`)
	h := show(new(fake), false)
	for path, a := range page {
		if strings.HasSuffix(path, ".js") {
			for _, m := range markup.FindAllString(a.data, -1) {
				if !strings.HasPrefix(m, "http://H") && !strings.Contains(m, "http://w") {
					t.Errorf("%s has %s", path, m)
				}
			}
		} else if m := inline.FindString(a.data); m != "" {
			t.Errorf("%s has %s", path, m)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/ui/"+path, nil))
		if w.Code != http.StatusOK || w.Body.String() != a.data || a.kind == "" || w.Header().Get("Content-Type") != a.kind {
			t.Errorf("%q is answered with %d, %q", path, w.Code, a.kind)
		}
		again := httptest.NewRequest("GET", "/ui/"+path, nil)
		again.Header.Set("If-None-Match", w.Header().Get("ETag"))
		w = httptest.NewRecorder()
		if h.ServeHTTP(w, again); w.Code != http.StatusNotModified {
			t.Errorf("%q, which the browser has, is answered with %d", path, w.Code)
		}
	}
	for _, path := range []string{"/ui/", "/ui", "/ui/nothing", "/ui/api/overview", "/ui/api/nothing"} {
		w := httptest.NewRecorder()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil).WithContext(ctx))
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the policy is %q", path, csp)
		}
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest("GET", "/ui", nil)); w.Header().Get("Location") != "/ui/" {
		t.Errorf("/ui leads to %q", w.Header().Get("Location"))
	}
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest("POST", "/ui/", bytes.NewReader(nil))); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("the page, posted, is answered with %d", w.Code)
	}
}
