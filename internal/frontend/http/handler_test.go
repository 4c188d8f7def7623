package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// state is what the checks see.
type state struct {
	begun     error
	alarms    []string
	noLeader  bool
	learner   bool
	readError error // of reads of the cluster
	localRead error
}

func (s *state) handler(pprof bool) http.Handler {
	return Handler(Config{
		Versions: Versions{"3.7.3", "3.7.0", "3.7.0"}, Pprof: pprof, Variables: map[string]func() any{"answer": func() any { return 42 }},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("figures")) }),
		Checks: Checks{
			Begun: func() error { return s.begun }, Alarms: func() []string { return s.alarms }, IsLearner: func() bool { return s.learner },
			HasLeader: func() bool { return !s.noLeader }, Timeout: time.Second,
			Read: func(_ context.Context, local bool) error {
				if local {
					return s.localRead
				}
				return s.readError
			},
		},
	})
}

func get(h http.Handler, path string) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestAnswersAreThoseOfEtcd(t *testing.T) {
	hangs := errors.New("context deadline exceeded")
	for name, tt := range map[string]struct {
		state state
		path  string
		code  int
		body  string
	}{
		"version":             {state{}, "/version", 200, `{"etcdserver":"3.7.3","etcdcluster":"3.7.0","storage":"3.7.0"}`},
		"healthy":             {state{}, "/health", 200, `{"health":"true","reason":""}`},
		"not begun":           {state{begun: errors.New("waiting for n2")}, "/health", 503, `{"health":"false","reason":"waiting for n2"}`},
		"no leader":           {state{noLeader: true}, "/health", 503, `{"health":"false","reason":"RAFT NO LEADER"}`},
		"no leader, local":    {state{noLeader: true}, "/health?serializable=true", 200, `{"health":"true","reason":""}`},
		"alarm":               {state{alarms: []string{"NOSPACE"}}, "/health", 503, `{"health":"false","reason":"ALARM NOSPACE"}`},
		"alarm, excluded":     {state{alarms: []string{"NOSPACE"}}, "/health?exclude=NOSPACE", 200, `{"health":"true","reason":""}`},
		"one of two alarms":   {state{alarms: []string{"NOSPACE", "CORRUPT"}}, "/health?exclude=NOSPACE", 503, `{"health":"false","reason":"ALARM CORRUPT"}`},
		"another alarm":       {state{alarms: []string{"7"}}, "/health", 503, `{"health":"false","reason":"ALARM UNKNOWN"}`},
		"another, excluded":   {state{alarms: []string{"7"}}, "/health?exclude=7", 200, `{"health":"true","reason":""}`},
		"read fails":          {state{readError: hangs}, "/health", 503, `{"health":"false","reason":"RANGE ERROR:context deadline exceeded"}`},
		"live":                {state{readError: hangs, noLeader: true}, "/livez", 200, "ok\n"},
		"live, in words":      {state{}, "/livez?verbose", 200, "[+]serializable_read ok\nok\n"},
		"not live":            {state{localRead: hangs}, "/livez", 503, "[-]serializable_read failed: context deadline exceeded\n\n"},
		"one check":           {state{}, "/livez/serializable_read", 200, "ok\n"},
		"no such check":       {state{}, "/livez/linearizable_read", 404, "404 page not found\n"},
		"ready":               {state{alarms: []string{"NOSPACE"}}, "/readyz", 200, "ok\n"},
		"ready, in words":     {state{}, "/readyz?verbose", 200, "[+]data_corruption ok\n[+]linearizable_read ok\n[+]non_learner ok\n[+]serializable_read ok\nok\n"},
		"ready, without some": {state{readError: hangs}, "/readyz?verbose&exclude=linearizable_read&exclude=new", 200, "[+]data_corruption ok\n[+]non_learner ok\n[+]serializable_read ok\nok\n"},
		"not ready":           {state{readError: hangs}, "/readyz/linearizable_read", 503, "[-]linearizable_read failed: context deadline exceeded\n\n"},
		"corrupt":             {state{alarms: []string{"CORRUPT"}}, "/readyz/data_corruption", 503, "[-]data_corruption failed: alarm activated: CORRUPT\n\n"},
		"ready before begun":  {state{begun: errors.New("waiting")}, "/readyz/serializable_read", 503, "[-]serializable_read failed: waiting\n\n"},
		"learner":             {state{learner: true}, "/readyz/non_learner", 503, "[-]non_learner failed: not supported for learner\n\n"},
		"learner, excluded":   {state{learner: true}, "/readyz?exclude=non_learner", 200, "ok\n"},
		"live learner":        {state{learner: true}, "/livez", 200, "ok\n"},
		"figures":             {state{}, "/metrics", 200, "figures"},
		"root":                {state{}, "/", 404, "404 page not found\n"},
	} {
		if code, body := get(tt.state.handler(false), tt.path); code != tt.code || body != tt.body {
			t.Errorf("%s: %d %q, want %d %q", name, code, body, tt.code, tt.body)
		}
	}
}

func TestVariablesAreJSON(t *testing.T) {
	code, body := get(new(state).handler(false), "/debug/vars")
	var all map[string]any
	if err := json.Unmarshal([]byte(body), &all); err != nil || code != 200 || all["memstats"] == nil || all["answer"] != 42.0 {
		t.Errorf("%d, %v: %.100s", code, err, body)
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	for _, path := range []string{"/version", "/health", "/livez", "/readyz/non_learner", "/debug/vars"} {
		w := httptest.NewRecorder()
		new(state).handler(false).ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}")))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
}

// Some probes ask by HEAD.
func TestMetricsAreForAnyMethod(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		w := httptest.NewRecorder()
		new(state).handler(false).ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestProfilesAreServedOnlyIfAskedFor(t *testing.T) {
	for _, on := range []bool{false, true} {
		want := http.StatusNotFound
		if on {
			want = http.StatusOK
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/trace?seconds=0.001"} {
			if code, _ := get(new(state).handler(on), path); code != want {
				t.Errorf("pprof %t: %s is %d", on, path, code)
			}
		}
	}
}

// Each answer of /health is told, for it is counted.
func TestAnswersOfHealthAreTold(t *testing.T) {
	var told []bool
	s := &state{}
	checks := Checks{
		Begun: func() error { return s.begun }, Alarms: func() []string { return nil }, HasLeader: func() bool { return true },
		Read: func(context.Context, bool) error { return nil }, Timeout: time.Second, Told: func(healthy bool) { told = append(told, healthy) },
	}
	h := Handler(Config{Checks: checks})
	for _, err := range []error{nil, errors.New("starting")} {
		s.begun = err
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/health", nil))
	}
	if len(told) != 2 || !told[0] || told[1] {
		t.Errorf("told %v", told)
	}
}

// Each result of a check is told, of those that were made.
func TestResultsOfChecksAreTold(t *testing.T) {
	var told []string
	checks := Checks{
		Begun: func() error { return nil }, Alarms: func() []string { return nil }, HasLeader: func() bool { return true },
		IsLearner: func() bool { return true }, Timeout: time.Second, Read: func(context.Context, bool) error { return nil },
		Checked: func(kind, name string, ok bool) { told = append(told, fmt.Sprint(kind, " ", name, " ", ok)) },
	}
	h := Handler(Config{Checks: checks})
	for _, path := range []string{"/livez", "/readyz?exclude=data_corruption", "/readyz/data_corruption"} {
		get(h, path)
	}
	want := []string{
		"livez serializable_read true", "readyz linearizable_read true", "readyz non_learner false", "readyz serializable_read true",
		"readyz data_corruption true",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
