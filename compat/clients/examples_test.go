package clients

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"balsa.example/compat/rig"
)

// output runs a program in a directory, and returns what it prints, and what it says besides.
func output(t *testing.T, dir, env, name string, args ...string) (printed, errors string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), rig.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, rig.Environment(env)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err = cmd.Run(); err != nil {
		t.Logf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String(), errs.String(), err
}

// expect compares what a program prints with lines.
func expect(t *testing.T, printed string, err error, want ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSpace(printed), "\n")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("it printed\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestPython runs the example with the first Python that has the client. Debian's is for Debian's Python.
func TestPython(t *testing.T) {
	var python string
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import etcd3").Run() == nil {
			python = name
			break
		}
	}
	if python == "" {
		t.Skip("SKIPPED: there is no Python with etcd3 (Debian: apt-get install python3-etcd3)")
	}
	out, _, err := output(t, "../../examples/python", "ENDPOINT="+start(t, "http"), python, "example.py")
	expect(t, out, err,
		"get: hello at version 1", "list: python/list/1 = one", "list: python/list/2 = two", "watch: first", "watch: second",
		"transaction: True", "transaction, again: False", "lease: is alive", "lease: its key is None", "lock: held is True", "lock: held is False")
}

// wrongPackages are the errors of npm that are not the network's or the registry's.
var wrongPackages = regexp.MustCompile(`code (EUSAGE|EINTEGRITY|ETARGET|EJSONPARSE)`)

// TestJavaScript installs the client as package-lock.json says, and runs the example.
func TestJavaScript(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("SKIPPED: ", err)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"example.js", "package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("../../examples/javascript", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, why, err := output(t, dir, "npm_config_fetch_timeout=10000", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"); err != nil {
		if wrongPackages.MatchString(why) {
			t.Fatal("package-lock.json asks for what there is not")
		}
		t.Skip("SKIPPED: npm cannot install the client here")
	}
	out, _, err := output(t, dir, "ENDPOINTS="+start(t, "http"), "node", "example.js")
	expect(t, out, err,
		"get: hello", "list: { 'list/1': 'one', 'list/2': 'two' }", "watch: first", "watch: second",
		"transaction: true", "transaction, again: false", "lease: its key is alive", "lease: its key is null",
		"lock: held", "lock: refused to another one", "lock: held again")
}
