package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/internal/check/ports"
	"balsa.example/internal/wake"
)

const patience = 20 * time.Second

// balsa runs a command line in this process.
func balsa(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := program{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, env: noEnv}
	code = p.run(t.Context(), args)
	return code, out.String(), errs.String()
}

func noEnv(string) (string, bool) { return "", false }

// lines is a writer whose text can be waited for.
type lines struct {
	mu      sync.Mutex
	text    strings.Builder
	changed wake.Signal
}

func newLines() *lines { return &lines{changed: wake.New()} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	l.text.Write(b)
	l.mu.Unlock()
	l.changed.Set()
	return len(b), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) await(t *testing.T, text string, ended <-chan int) {
	t.Helper()
	timeout := time.After(patience)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.changed.C():
		case code := <-ended:
			t.Fatalf("ended with %d: %s", code, l)
		case <-timeout:
			t.Fatalf("no %q in %s", text, l)
		}
	}
}

// background runs a command line until stop is called, which returns its exit code.
func background(t *testing.T, until string, args ...string) (output *lines, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	output = newLines()
	ended := make(chan int, 1)
	go func() {
		p := program{stdout: output, stderr: output, env: noEnv}
		ended <- p.run(ctx, args)
	}()
	interrupt := func() { cancel(errors.New("interrupt signal received")) } // as signal.NotifyContext does
	t.Cleanup(interrupt)
	output.await(t, until, ended)
	return output, func() int {
		interrupt()
		return <-ended
	}
}

// freePorts finds n consecutive ports that are free, and stay so for others until the test ends.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	return ports.RowOf(t, n)
}

func TestDevClusterFromTheCommandLine(t *testing.T) {
	base := freePorts(t, 2*peerPortOffset)
	dir := filepath.Join(t.TempDir(), "dev")
	metrics := base + peerPortOffset + defaultServers
	dev := []string{"dev", "--base-port", fmt.Sprint(base), "--data-dir", dir, "--listen-metrics-urls", loopback(metrics)}
	output, stop := background(t, "Ctrl-C", dev...)
	endpoints := fmt.Sprintf("--endpoints=127.0.0.1:%d", base)

	for _, step := range []struct {
		args  string // without endpoints
		stdin string
		code  int
		out   string // all of the standard output
		err   string // part of the standard error
	}{
		{"get a", "", exitNotFound, "", `key "a" does not exist`},
		{"put a 1", "", exitOK, "version=1 revision=2\n", ""},
		{"put a 2 --version 1", "", exitOK, "version=2 revision=3\n", ""},
		{"put a 3 --version 1", "", exitVersion, "", "at version 2, not 1"},
		{"put a 3 --version 0", "", exitVersion, "", "at version 2, not 0"},
		{"put b 1 --version 4", "", exitNotFound, "", "does not exist"},
		{"get a", "", exitOK, "2\n", ""},
		{"get a --raw", "", exitOK, "2", ""},
		{"get a -v", "", exitOK, "2\n", "version=2 create_revision=2 mod_revision=3 revision=3"},
		{"get a --consistency lease", "", exitOK, "2\n", ""},
		{"get a -o json", "", exitOK, `{"key":"a","value":"2","version":2,"create_revision":2,"mod_revision":3,"revision":3}` + "\n", ""},
		{"put b - -o json", "from stdin", exitOK, `{"key":"b","version":1,"create_revision":4,"mod_revision":4,"revision":4}` + "\n", ""},
		{"get b", "", exitOK, "from stdin\n", ""},
		{"put c - ", "\xff", exitOK, "version=1 revision=5\n", ""},
		{"get c -o json", "", exitOK, `{"key":"c","value_base64":"/w==","version":1,"create_revision":5,"mod_revision":5,"revision":5}` + "\n", ""},
		{"del a --version 1", "", exitVersion, "", "at version 2, not 1"},
		{"del a --version 2", "", exitOK, "deleted\n", ""},
		{"del a", "", exitNotFound, "", "does not exist"},
		{"del b -o json", "", exitOK, `{"key":"b","deleted":true}` + "\n", ""},
	} {
		code, out, errs := balsa(t, step.stdin, append(strings.Fields(step.args), endpoints)...)
		if code != step.code || out != step.out || !strings.Contains(errs, step.err) || (step.err == "") != (errs == "") {
			t.Errorf("%s: code %d, out %q, err %q", step.args, code, out, errs)
		}
		if strings.Count(errs, "\n") > 1 {
			t.Errorf("%s: more than one line of error: %q", step.args, errs)
		}
	}
	checkStatus(t, endpoints)
	for i := range defaultServers {
		checkMetrics(t, loopback(metrics+i), fmt.Sprintf(`balsa_server_info{name="n%d",`, i+1))
	}

	if code, _, errs := balsa(t, "", "dev", "--base-port", fmt.Sprint(base), "--data-dir", dir+"2"); code != exitError ||
		!strings.Contains(errs, "in use") || !strings.Contains(errs, "--base-port") {
		t.Errorf("a second dev on the same ports: %d %q", code, errs)
	}
	if code := stop(); code != exitOK {
		t.Errorf("dev ended with %d: %s", code, output)
	}
	if code, _, errs := balsa(t, "", "get", "c", endpoints, "--timeout", "300ms"); code != exitUnavailable {
		t.Errorf("a get without servers: %d %q", code, errs)
	}
	if code, out, errs := balsa(t, "", "status", endpoints, "--timeout", "300ms"); code != exitUnavailable || !strings.Contains(out, "unreachable") {
		t.Errorf("status without servers: %d %q %q", code, out, errs)
	}

	_, stop = background(t, "Ctrl-C", dev...)
	if code, out, _ := balsa(t, "", "get", "c", "--raw", endpoints); code != exitOK || out != "\xff" {
		t.Errorf("after a restart: %d %q", code, out)
	}
	stop()
	if code, _, errs := balsa(t, "", append(dev, "--nodes", "1")...); code != exitError || !strings.Contains(errs, "--nodes") {
		t.Errorf("with another number of servers: %d %q", code, errs)
	}
}

// checkStatus asks one server for the status of all three.
func checkStatus(t *testing.T, endpoints string) {
	t.Helper()
	code, out, errs := balsa(t, "", "status", endpoints)
	if code != exitOK || errs != "" || strings.Count(out, "\n") != 4 || strings.Count(out, "follower") != 2 || strings.Count(out, "leader ") != 1 {
		t.Errorf("status: %d %q\n%s", code, errs, out)
	}
	code, out, _ = balsa(t, "", "status", "-o", "json", endpoints)
	var all struct{ Nodes []nodeStatus }
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitOK || len(all.Nodes) != 3 {
		t.Fatalf("status -o json: %d %v %s", code, err, out)
	}
	for i, n := range all.Nodes {
		if n.Name != fmt.Sprintf("n%d", i+1) || n.Term == 0 || n.Leader == "" || len(n.Reaches) != 2 {
			t.Errorf("status of server %d: %+v", i, n)
		}
	}
}

// checkMetrics looks for a text in the metrics of a server, which must be well, and for
// profiles, which nobody asked for.
func checkMetrics(t *testing.T, url, text string) {
	t.Helper()
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/metrics":      {http.StatusOK, text},
		"/health":       {http.StatusOK, `{"health":"true","reason":""}`},
		"/debug/pprof/": {http.StatusNotFound, ""},
	} {
		r, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != want.code || !strings.Contains(string(body), want.text) {
			t.Errorf("%s%s: %s, %v, no %s in %s", url, path, r.Status, err, want.text, body)
		}
	}
}

func TestServeFromTheCommandLine(t *testing.T) {
	base := freePorts(t, 2)
	dir := filepath.Join(t.TempDir(), "data")
	serve := []string{"serve", "--data-dir", dir, "--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base + 1)}
	output, stop := background(t, "ready to serve client requests", serve...)
	endpoints := "--endpoints=" + loopback(base)
	if code, _, errs := balsa(t, "", "put", "a", "1", endpoints); code != exitOK {
		t.Errorf("put: %d %q", code, errs)
	}
	if code := stop(); code != exitOK {
		t.Errorf("serve ended with %d: %s", code, output)
	}
	if code, _, errs := balsa(t, "", append(serve, "--listen-metrics-urls", loopback(base))...); code != exitError ||
		!strings.Contains(errs, "in use") || !strings.Contains(errs, "metrics") {
		t.Errorf("metrics on the port of the clients: %d %q", code, errs)
	}
	if code, _, errs := balsa(t, "", append(serve, "--name", "other")...); code != exitError || !strings.Contains(errs, "belongs to another server") {
		t.Errorf("another name on the directory: %d %q", code, errs)
	}
	if code, _, errs := balsa(t, "", append(serve, "--election-timeout", "10")...); code != exitUsage || !strings.Contains(errs, "election timeout") {
		t.Errorf("a short election timeout: %d %q", code, errs)
	}
	if code, _, errs := balsa(t, "", append(serve, "--election-timeout", "10ms")...); code != exitUsage || !strings.Contains(errs, "milliseconds, such as 500") {
		t.Errorf("an election timeout with a unit: %d %q", code, errs)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A command that was executed, and whose result cannot be written, has an exit code of its own.
func TestWhatIsDoneAndCannotBeToldHasItsOwnExitCode(t *testing.T) {
	base := freePorts(t, 2)
	_, stop := background(t, "ready to serve client requests", "serve", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base+1))
	defer stop()
	endpoints := "--endpoints=" + loopback(base)
	run := func(args ...string) (int, string) {
		var errs bytes.Buffer
		p := program{stdout: brokenWriter{}, stderr: &errs, env: noEnv}
		return p.run(t.Context(), args), errs.String()
	}
	for _, args := range []string{
		"put a 1", "put b 1 -o json", "put a 2 --version 1", "get a", "get a -o json", "get --prefix a", "get --from-key a -o json",
		"get --prefix a --count-only", "ls", "ls -o json", "export", "import /dev/null", "import /dev/null -o json", "compact 3", "compact --keep 1 -o json", "del a", "del b -o json", "del --prefix a", "del --all -o json",
		"status", "status -o json", "bench put --ops 1 --keys 1", "bench get --ops 1 --keys 1 -o json",
		"version", "version -o json", "--help", "put --help", "completion bash",
	} {
		all := strings.Fields(args)
		if code, _, errs := balsa(t, "", append(strings.Fields(args), "--help")...); code != exitOK {
			t.Fatal(code, errs)
		} else if _, out, _ := balsa(t, "", append(strings.Fields(args), "--help")...); strings.Contains(out, "--endpoints") {
			all = append(all, endpoints)
		}
		code, errs := run(all...)
		if code != exitUnreported || !strings.HasSuffix(errs, "done, but the result could not be written: no space left on device\n") {
			t.Errorf("%s: code %d, err %q", args, code, errs)
		}
	}
	for args, want := range map[string]int{"put a 1 --version 9": exitNotFound, "get none": exitNotFound, "put": exitUsage} {
		if code, errs := run(append(strings.Fields(args), endpoints)...); code != want {
			t.Errorf("%s: code %d, err %q", args, code, errs)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range []string{"", "--help", "put --help", "get --help", "ls --help", "del --help", "compact --help", "export --help", "import --help", "status --help", "dev --help", "serve --help", "completion bash"} {
		if code, out, errs := balsa(t, "", strings.Fields(args)...); code != exitOK || errs != "" || len(out) < 100 {
			t.Errorf("%q: %d %q %q", args, code, out, errs)
		}
	}
	if code, out, _ := balsa(t, "", "version"); code != exitOK || !strings.HasPrefix(out, "balsa ") {
		t.Errorf("version: %d %q", code, out)
	}
	code, out, _ := balsa(t, "", "version", "-o", "json")
	var b build
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != exitOK || b.Go == "" {
		t.Errorf("version -o json: %d %v %q", code, err, out)
	}
}

func TestEndpointsComeFromTheEnvironment(t *testing.T) {
	var errs bytes.Buffer
	p := program{stdout: &bytes.Buffer{}, stderr: &errs, env: func(name string) (string, bool) {
		return "from-env", name == "BALSA_ENDPOINTS"
	}}
	if code := p.run(t.Context(), []string{"get", "a"}); code != exitUsage || !strings.Contains(errs.String(), "from-env") {
		t.Errorf("%d %q", code, errs.String())
	}
	errs.Reset()
	if p.run(t.Context(), []string{"get", "a", "--endpoints", "from-flag"}); !strings.Contains(errs.String(), "from-flag") {
		t.Errorf("the command line does not go first: %q", errs.String())
	}
}

func TestStrayVariablesAreWarnedOf(t *testing.T) {
	environ := []string{
		"HOME=/", "BALSA_ENDPOINT=h:1", "BALSA_ENDPOINTS=h:1", "BALSA_HEARTBEAT_INTERVAL=9", "BALSA_CONFIG_FILE=x",
		"BALSA_CERTFILE=x", "BALSA_XYZZY=1", "ETCD_NAMES=x",
		"BALSA_SERVICE_HOST=10.0.0.1", "BALSA_SERVICE_PORT_CLIENT=1", "BALSA_PORT=tcp://10.0.0.1:1", "BALSA_PORT_1_TCP_ADDR=10.0.0.1",
	}
	want := []string{
		"environment variable BALSA_CERTFILE is not known, and ignored; did you mean BALSA_CERT_FILE?",
		"environment variable BALSA_ENDPOINT is not known, and ignored; did you mean BALSA_ENDPOINTS?",
		"environment variable BALSA_XYZZY is not known, and ignored",
	}
	if got := strayVariables(environ); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, args := range []string{"get a --endpoints 127.0.0.1:1 --timeout 1ms", "serve --listen-metrics-urls https://127.0.0.1:1"} {
		var errs bytes.Buffer
		p := program{stdout: io.Discard, stderr: &errs, env: noEnv, environ: environ}
		p.run(t.Context(), strings.Fields(args))
		for _, warning := range want {
			if !strings.Contains(errs.String(), warning) {
				t.Errorf("%s: no %q in %s", args, warning, &errs)
			}
		}
	}
}

func TestStatusTellsWhetherTheClusterServes(t *testing.T) {
	node := func(name, role string, term uint64, leader string) nodeStatus {
		others := slices.DeleteFunc([]string{"n1", "n2", "n3"}, func(n string) bool { return n == name })
		return nodeStatus{Name: name, Cluster: "c", Role: role, Term: term, Leader: leader, Misses: others}
	}
	down := nodeStatus{Name: "n3", Error: "connection refused"}
	for _, test := range []struct {
		name  string
		nodes []nodeStatus
		code  int
		says  string
	}{
		{"all are well", []nodeStatus{node("n1", "leader", 2, "n1"), node("n2", "follower", 2, "n1"), node("n3", "follower", 2, "n1")}, exitOK, ""},
		{"one is down", []nodeStatus{node("n1", "leader", 2, "n1"), node("n2", "follower", 2, "n1"), down}, exitOK, ""},
		{"nobody leads", []nodeStatus{node("n1", "follower", 2, ""), node("n2", "candidate", 3, ""), down}, exitUnavailable, "no server that answers leads"},
		{"all wait", []nodeStatus{node("n1", "waiting", 0, ""), down}, exitUnavailable, "no server that answers leads"},
		{"a leader alone", []nodeStatus{node("n1", "leader", 2, "n1"), down, down}, exitUnavailable, "n1 leads, but only 1 of 3 members"},
		{"a leader that others have left", []nodeStatus{node("n1", "leader", 2, "n1"), node("n2", "follower", 3, ""), node("n3", "follower", 3, "")}, exitUnavailable, "n1 leads, but"},
		{"two leaders", []nodeStatus{node("n1", "leader", 2, "n1"), node("n2", "leader", 3, "n2"), node("n3", "follower", 3, "n2")}, exitOK, ""},
		{"nobody answers", []nodeStatus{down}, exitUnavailable, "no server answers at h:1 (connection refused)"},
		{"the user is missing", []nodeStatus{down, {Error: "status of h:2: no user", Denied: true}}, exitDenied, "status of h:2: no user; see --user"},
		{"two clusters", []nodeStatus{node("n1", "leader", 2, "n1"), {Name: "n2", Cluster: "d"}}, exitError, "more than one cluster: n1 of c, n2 of d"},
	} {
		err := (&connection{endpoints: []string{"h:1"}}).verdict(test.nodes)
		if got := exitCode(err); got != test.code || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: code %d, %v", test.name, got, err)
		}
	}
}

// A server that waits for the others is not shown as a follower, and its log has its settings.
func TestAServerThatWaitsSaysSo(t *testing.T) {
	base := freePorts(t, 4)
	cluster := fmt.Sprintf("n1=%s,n2=%s,n3=%s", loopback(base+1), loopback(base+2), loopback(base+3))
	dir := filepath.Join(t.TempDir(), "data")
	output, stop := background(t, "waiting for n2, n3", "serve", "--name", "n1", "--initial-cluster", cluster, "--data-dir", dir,
		"--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base+1), "--election-timeout", "700")
	defer stop()
	for _, part := range []string{"msg=\"server starts\"", " version=", " data_dir=" + dir, "members=\"" + cluster, "settings.election-timeout=700", "settings.heartbeat-interval=50"} {
		if !strings.Contains(output.String(), part) {
			t.Errorf("no %q in %s", part, output)
		}
	}
	endpoint := "--endpoints=" + loopback(base)
	code, out, errs := balsa(t, "", "status", endpoint)
	if code != exitUnavailable || !strings.Contains(out, "  waiting  ") || strings.Contains(out, "follower") || !strings.Contains(errs, "no server that answers leads") ||
		!strings.Contains(out, "\nn1: new data directory: the cluster begins when all members have been reached once; waiting for n2, n3\n") {
		t.Errorf("code %d, out %s, err %s", code, out, errs)
	}
	code, out, _ = balsa(t, "", "status", "-o", "json", endpoint)
	if code != exitUnavailable || !strings.Contains(out, `"role":"waiting","waiting":"new data directory: the cluster begins when all members have been reached once; waiting for n2, n3"`) {
		t.Errorf("code %d, out %s", code, out)
	}
	code, out, _ = balsa(t, "", "doctor", "--sample", "0s", endpoint)
	if code != exitProblem || !strings.Contains(out, "the cluster has not begun; it waits for n2, n3") || strings.Contains(out, "recovery.md") || strings.Contains(out, "learners") {
		t.Errorf("code %d, out %s", code, out)
	}
}

func TestCalledAs(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	cache := "/home/u/.cache/go-build/5f/" + strings.Repeat("5f", 32) + "-d/balsa"
	for name, want := range map[string]string{
		"":                                "balsa",
		"balsa":                           "balsa",
		"./balsa":                         "./balsa",
		"/opt/my tools/balsa":             "'/opt/my tools/balsa'",
		"/tmp/go-build123/b001/exe/balsa": "go run ./cmd/balsa",
		cache:                             "go run ./cmd/balsa",
		"/home/u/go-build/balsa":          "/home/u/go-build/balsa",
	} {
		if got := calledAs(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	t.Chdir(t.TempDir())
	if got, want := calledAs(cache), "go run balsa.example/cmd/balsa"; got != want {
		t.Errorf("elsewhere: %s, want %s", got, want)
	}
}
