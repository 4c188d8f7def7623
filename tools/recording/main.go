// Command recording kills the leader of three servers of balsa while a client writes, and draws
// what the two terminals showed as an animated SVG. It runs from the root of the repository:
//
//	cd tools && go run ./recording
//
// The servers are real processes with the default ports, which must be free. Nothing in the picture is
// written by hand but the commands below, and its times are those of the run.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// start is what both shells know: how to start a server, as in docs/getting-started.md.
const start = `
C=n1=http://127.0.0.1:23800,n2=http://127.0.0.1:23801,n3=http://127.0.0.1:23802
start() {
  balsa serve --name n$1 --data-dir demo/n$1 --initial-cluster $C \
    --listen-peer-urls http://127.0.0.1:$((23799+$1)) --listen-client-urls http://127.0.0.1:$((23789+$1)) >> n$1.log 2>&1 &
  echo $! > n$1.pid
  disown
}
`

// write is what the client's terminal runs. It prints how long each put took, the start of the program included.
const write = `while sleep 0.1; do
  s=$EPOCHREALTIME; ((i++)); r=$(balsa put counter $i)
  echo "$r  $(( (${EPOCHREALTIME/./} - ${s/./}) / 1000 )) ms"
done
`

// step is a command of the operator's terminal, and how long after the one before it was given. LEADER stands
// for the number of the server that led first.
type step struct {
	after   time.Duration
	command string
}

var steps = []step{
	{500 * time.Millisecond, `balsa status`},
	{2500 * time.Millisecond, `kill -9 $(cat nLEADER.pid)    # the leader`},
	{2500 * time.Millisecond, `balsa status`},
	{2500 * time.Millisecond, `start LEADER`},
	{2500 * time.Millisecond, `balsa status`},
	{2 * time.Second, `balsa get counter`},
}

// line is one that a terminal showed, and when.
type line struct {
	at   time.Duration
	text string
}

// terminal collects what one shell is told and says.
type terminal struct {
	shell *exec.Cmd
	in    io.WriteCloser
	begun time.Time

	mu    sync.Mutex
	lines []line
	read  sync.WaitGroup
}

func open(dir string, begun time.Time) (*terminal, error) {
	t := &terminal{shell: exec.Command("bash"), begun: begun}
	t.shell.Dir = dir
	t.shell.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t.shell.Stdout, t.shell.Stderr = w, w
	if t.in, err = t.shell.StdinPipe(); err != nil {
		return nil, err
	}
	if err := t.shell.Start(); err != nil {
		return nil, err
	}
	w.Close()
	t.read.Go(func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			t.show(s.Text())
		}
	})
	_, err = io.WriteString(t.in, start)
	return t, err
}

func (t *terminal) show(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line{time.Since(t.begun), text})
}

// run gives a command, which is shown behind a prompt.
func (t *terminal) run(command string) error {
	for text := range strings.Lines(command) {
		prompt := "$ "
		if text[0] == ' ' || strings.HasPrefix(text, "done") {
			prompt = "> "
		}
		t.show(prompt + strings.TrimRight(text, "\n"))
	}
	_, err := io.WriteString(t.in, strings.TrimRight(command, "\n")+"\n")
	return err
}

func main() {
	out := flag.String("out", "../docs/pictures/kill-the-leader.svg", "file for the picture")
	flag.Parse()
	if err := record(*out); err != nil {
		fmt.Fprintln(os.Stderr, "recording:", err)
		os.Exit(1)
	}
}

func record(out string) error {
	dir, err := os.MkdirTemp("", "recording")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "balsa"), "./cmd/balsa")
	build.Dir, build.Stderr = "..", os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build balsa: %w", err)
	}
	leader, err := begin(dir)
	defer end(dir)
	if err != nil {
		return err
	}
	begun := time.Now()
	operator, err := open(dir, begun)
	if err != nil {
		return err
	}
	client, err := open(dir, begun)
	if err != nil {
		return err
	}
	if err := client.run(write); err != nil {
		return err
	}
	for _, s := range steps {
		time.Sleep(s.after)
		if err := operator.run(strings.ReplaceAll(s.command, "LEADER", leader)); err != nil {
			return err
		}
	}
	time.Sleep(time.Second)
	client.shell.Process.Kill()
	took := time.Since(begun)
	operator.mu.Lock()
	client.mu.Lock()
	return os.WriteFile(out, draw(operator.lines, client.lines, took), 0o644)
}

// begin starts three servers and returns the number of the one that leads.
func begin(dir string) (string, error) {
	script := start + `
start 1; start 2; start 3
for try in $(seq 100); do balsa put hello world --timeout 1s > /dev/null 2>&1 && break; sleep 0.1; done
balsa status -o json`
	shell := exec.Command("bash", "-c", script)
	shell.Dir = dir
	shell.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
	said, err := shell.Output()
	if err != nil {
		return "", fmt.Errorf("start three servers: %w", err)
	}
	_, after, found := strings.Cut(string(said), `"leader":"n`)
	if !found {
		return "", fmt.Errorf("nobody leads: %s", said)
	}
	return after[:1], nil
}

// end kills the servers, by the ids that their shells have written down.
func end(dir string) {
	for n := 1; n <= 3; n++ {
		if id, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("n%d.pid", n))); err == nil {
			exec.Command("kill", "-9", strings.TrimSpace(string(id))).Run()
		}
	}
}
