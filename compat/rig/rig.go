// Package rig runs balsa for the tests of the packages beside it, which need real servers: it builds the
// program, starts and kills processes of it, waits for them, and makes certificates.
//
// It is for packages that are one folder below compat. The TestMain of each calls Run.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/internal/check/ports"
)

// Patience is how long anything may take.
const Patience = time.Minute

// folder is where the program is built.
var folder string

// program builds the program once, when a test first needs it.
var program = sync.OnceValues(func() (string, error) {
	if folder == "" {
		return "", errors.New("TestMain must call rig.Run")
	}
	path := filepath.Join(folder, "balsa")
	build := exec.Command("go", "build", "-o", path, "./cmd/balsa")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// Run runs the tests of a package, and then removes the program. It returns the code to exit with.
func Run(m *testing.M) int {
	var err error
	if folder, err = os.MkdirTemp("", "balsa-compat-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	return m.Run()
}

// Program is the path of the program.
func Program(t testing.TB) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Environment is that of the tests and more, without what would lead a program elsewhere: the settings of another
// cluster, and a proxy for addresses of this machine, which curl and gRPC's library in C would take.
func Environment(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "BALSA_") || strings.HasPrefix(entry, "ETCD") || strings.HasPrefix(strings.ToLower(entry), "no_proxy=")
	})
	const here = "localhost,127.0.0.1,::1"
	return append(append(env, "no_proxy="+here, "NO_PROXY="+here), more...)
}

// Start starts a process of balsa. It is killed at the end of the test, if it was not before. With -v one
// sees what it logs.
func Start(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Program(t), args...)
	cmd.Env = Environment()
	if testing.Verbose() {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Kill(cmd) })
	return cmd
}

// Kill ends a process as a loss of power would. One that was killed is left alone, and so is nil.
func Kill(cmd *exec.Cmd) {
	if cmd == nil || cmd.ProcessState != nil {
		return
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// Do runs a command of balsa with these variables in its environment, and returns what it prints.
func Do(t testing.TB, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Program(t), args...)
	cmd.Env = Environment(env...)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("balsa %s: %w: %s", strings.Join(args, " "), err, bad.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// FreePort is an address that nobody listens on, and that belongs to the test until it ends.
func FreePort(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", ports.RowOf(t, 1))
}

// Ready waits until a server answers reads of the cluster. It is asked at an address without TLS.
func Ready(t testing.TB, name, address string) {
	t.Helper()
	Eventually(t, name+" is not ready", func() bool {
		r, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// Eventually waits until something is so.
func Eventually(t testing.TB, otherwise string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}
