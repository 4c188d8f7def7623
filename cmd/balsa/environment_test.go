//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"balsa.example/internal/sink"
)

// runAs makes this test's program be balsa, or a server that panics.
const runAs = "TEST_RUN_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(runAs) {
	case "balsa":
		main()
	case "panic":
		detachStderr()
		panic("an invariant is broken")
	}
	os.Exit(m.Run())
}

// process is balsa as a process of its own, to be given its files and started.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), runAs+"=balsa")
	return cmd
}

// start starts a process that the test ends.
func start(t *testing.T, cmd *exec.Cmd) (ended chan error) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() { ended <- cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	return ended
}

// within is what f returns, if it returns in time.
func within[T any](t *testing.T, what string, result <-chan T) T {
	t.Helper()
	select {
	case r := <-result:
		return r
	case <-time.After(patience):
		t.Fatalf("%s: nothing within %s", what, patience)
		panic("unreachable")
	}
}

// outputReader is a state of the readers of a server's output.
type outputReader struct {
	name string
	// give sets cmd's output. started is called when cmd has started; read reads all of the
	// output in the end; nil: it is not read.
	give func(t *testing.T, cmd *exec.Cmd) (started func(), read func() string)
	// waits tells that lines wait in the queue.
	waits bool
}

func pipe(t *testing.T, cmd *exec.Cmd) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	cmd.Stdout, cmd.Stderr = w, w
	return r, w
}

// fullPipe has no room for a single byte.
func fullPipe(t *testing.T, cmd *exec.Cmd) (r, w *os.File) {
	r, w = pipe(t, cmd)
	conn, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for chunk := 4096; chunk > 0; chunk /= 2 { // what has no room as a whole is not written in part
		conn.Write(func(fd uintptr) bool {
			for err = nil; err == nil; {
				_, err = syscall.Write(int(fd), bytes.Repeat([]byte("#"), chunk))
			}
			return true
		})
	}
	if err != syscall.EAGAIN {
		t.Fatal(err)
	}
	return r, w
}

var outputReaders = []outputReader{
	{"the reader has ended", func(t *testing.T, cmd *exec.Cmd) (func(), func() string) {
		r, w := fullPipe(t, cmd) // full, so that no line gets out before its reader ends
		return func() { w.Close(); r.Close() }, nil
	}, true},
	{"the reader has stopped", func(t *testing.T, cmd *exec.Cmd) (func(), func() string) {
		_, w := fullPipe(t, cmd)
		return func() { w.Close() }, nil
	}, true},
	{"the reader stops for a while", func(t *testing.T, cmd *exec.Cmd) (func(), func() string) {
		r, w := fullPipe(t, cmd)
		return func() { w.Close() }, func() string {
			text, _ := io.ReadAll(r)
			return string(text)
		}
	}, true},
	{"the disk is full", func(t *testing.T, cmd *exec.Cmd) (func(), func() string) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		cmd.Stdout, cmd.Stderr = full, full
		return func() { full.Close() }, nil
	}, true},
	{"the output is closed", func(t *testing.T, cmd *exec.Cmd) (func(), func() string) {
		// sh closes them; what the process opens next must not get their numbers.
		cmd.Args = append([]string{"sh", "-c", `exec "$0" "$@" 1>&- 2>&-`}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
		cmd.Path = "/bin/sh"
		return func() {}, nil
	}, false},
}

// TestNoReaderOfTheOutputStopsAServer runs real servers whose log is not read. They must serve,
// count the dropped lines, and stop when asked to.
func TestNoReaderOfTheOutputStopsAServer(t *testing.T) {
	for _, reader := range outputReaders {
		for _, command := range []string{"serve", "dev"} {
			t.Run(command+", "+reader.name, func(t *testing.T) {
				base := freePorts(t, 30)
				args := []string{command, "--log-level", "debug", "--data-dir", filepath.Join(t.TempDir(), "data"),
					"--listen-metrics-urls", loopback(base + 20)}
				if command == "dev" {
					args = append(args, "--base-port", strconv.Itoa(base))
				} else {
					args = append(args, "--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base+10))
				}
				checkOutputReader(t, reader, process(t, args...), base)
			})
		}
	}
}

func checkOutputReader(t *testing.T, reader outputReader, cmd *exec.Cmd, base int) {
	started, read := reader.give(t, cmd)
	ended := start(t, cmd)
	started()
	put := func(value string) {
		t.Helper()
		code, out, errs := balsa(t, "", "put", "k", value, "--endpoints", loopback(base), "--timeout", patience.String())
		if code != exitOK {
			t.Fatalf("put: %d %q %q", code, out, errs)
		}
	}
	put("1")
	waiting := figureOf(t, base+20, "balsa_log_waiting_lines")
	if dropped := figureOf(t, base+20, "balsa_log_dropped_lines_total"); (waiting > 0) != reader.waits || dropped != 0 {
		t.Errorf("%d lines wait and %d are dropped", waiting, dropped)
	}
	put("2")
	text := make(chan string, 1)
	if read != nil {
		go func() { text <- read() }()
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "SIGTERM", ended); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if read != nil {
		if text := within(t, "the output", text); !strings.Contains(text, "ready to serve client requests") {
			t.Errorf("the reader read %q in the end", strings.TrimLeft(text, "#"))
		}
	}
}

// figureOf reads one figure of a server's metrics.
func figureOf(t *testing.T, port int, name string) int {
	t.Helper()
	r, err := http.Get(loopback(port) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	line := regexp.MustCompile("^" + name + ` (\d+)`)
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if m := line.FindStringSubmatch(lines.Text()); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal(fmt.Errorf("no %s", name))
	return 0
}

// What dev says to try works as it is printed, from the folder it was started in.
func TestWhatDevPrintsWorks(t *testing.T) {
	base := freePorts(t, 30)
	cmd := process(t, "dev", "--base-port", strconv.Itoa(base), "--data-dir", filepath.Join(t.TempDir(), "data"))
	r, w := pipe(t, cmd)
	start(t, cmd)
	w.Close()
	var script []string
	for lines := bufio.NewScanner(r); lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C"); {
		if line := lines.Text(); strings.HasPrefix(line, "  export ") || strings.HasPrefix(line, "  "+cmd.Path) {
			script = append(script, line)
		}
	}
	sh := exec.Command("sh", "-e", "-c", strings.Join(script, "\n"))
	sh.Env = cmd.Env
	out, err := sh.CombinedOutput()
	if err != nil || len(script) != 5 || !strings.HasPrefix(string(out), "version=1 revision=2\nhello\nversion=2 revision=3\nNAME") {
		t.Errorf("%q: %v, %s", script, err, out)
	}
}

// Go's runtime writes the text of a panic itself. A stopped reader must not keep the server from
// ending.
func TestAPanicEndsAServerWhoeverReads(t *testing.T) {
	cmd := process(t)
	cmd.Env = append(cmd.Env, runAs+"=panic")
	_, w := fullPipe(t, cmd)
	ended := start(t, cmd)
	w.Close()
	if err := within(t, "the end", ended); err == nil || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("it ended with %v", err)
	}
	cmd = process(t)
	cmd.Env = append(cmd.Env, runAs+"=panic")
	r, w := pipe(t, cmd)
	start(t, cmd)
	w.Close()
	if text, err := io.ReadAll(r); err != nil || !strings.Contains(string(text), "panic: an invariant is broken") {
		t.Errorf("read %q, %v", text, err)
	}
}

// A server that logs much, here warnings of unknown variables, writes how many lines were dropped when
// its output is read again.
func TestWhatIsDroppedOfALogIsToldWhenItFlowsAgain(t *testing.T) {
	base := freePorts(t, 30)
	cmd := process(t, "serve", "--data-dir", filepath.Join(t.TempDir(), "data"), "--listen-metrics-urls", loopback(base+2),
		"--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base+1))
	const variables, size = 15, 100_000 // the system bounds both; a line is four times as large
	for i := range variables {
		cmd.Env = append(cmd.Env, fmt.Sprintf("BALSA_%02d_%s=1", i, strings.Repeat("\x01", size)))
	}
	r, w := fullPipe(t, cmd)
	start(t, cmd)
	w.Close()
	if code, out, errs := balsa(t, "", "put", "k", "v", "--endpoints", loopback(base), "--timeout", patience.String()); code != exitOK {
		t.Fatalf("put: %d %q %q", code, out, errs)
	}
	dropped := figureOf(t, base+2, "balsa_log_dropped_lines_total")
	if dropped < variables-2*sink.MaxQueue/(4*size)-1 {
		t.Errorf("%d lines are dropped", dropped)
	}
	notes := make(chan int, 1000)
	go func() {
		note := regexp.MustCompile(`lines of the log are missing here.* lines=(\d+)\n$`)
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if m := note.FindStringSubmatch(line); m != nil {
				n, _ := strconv.Atoi(m[1])
				notes <- n
			}
		}
	}()
	// On a slow machine the lines come so fast that some are dropped before the first is written.
	// Those have a note of their own.
	for told := 0; told != dropped; {
		told += within(t, "a note", notes)
		if dropped = figureOf(t, base+2, "balsa_log_dropped_lines_total"); told > dropped {
			t.Fatalf("%d lines are dropped, and the log says %d", dropped, told)
		}
	}
}
