package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// outside is a module of its own that uses the checkout as README says, with the bank as
// its program.
func outside(t *testing.T) (program string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// Addresses of the loopback network that no other program uses.
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(255), 1+rand.IntN(254))
	for name, text := range map[string]string{
		"main.go": strings.ReplaceAll(read("main.go"), "127.0.0.1", host),
		"go.mod":  fmt.Sprintf("module bank\n\ngo 1.26\n\nrequire balsa.example v0.0.0\n\nreplace balsa.example => %s\n", root),
		"go.sum":  read(filepath.Join(root, "go.sum")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-mod=mod", "-buildvcs=false", "-o", "bank", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "bank")
}

// teller is one process of the bank.
type teller struct {
	t       *testing.T
	process *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Scanner
	log     *syncBuffer
}

type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func open(t *testing.T, program, name string) *teller {
	t.Helper()
	b := &teller{t: t, process: exec.Command(program, name), log: new(syncBuffer)}
	b.process.Dir, b.process.Stderr = filepath.Dir(program), b.log
	var err error
	if b.in, err = b.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := b.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.answers = bufio.NewScanner(out)
	if err := b.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.kill)
	return b
}

// kill is kill -9.
func (b *teller) kill() {
	b.process.Process.Kill()
	b.process.Wait()
}

func (b *teller) transfer(order, want string) {
	b.t.Helper()
	if got := b.ask(order); got != want+" <nil>" {
		b.t.Fatalf("%s: got %q, want %q; the log says\n%s", order, got, want, b.log)
	}
}

func (b *teller) ask(order string) string {
	b.t.Helper()
	fmt.Fprintln(b.in, order)
	if !b.answers.Scan() {
		b.t.Fatalf("%s: no answer; the log says\n%s", order, b.log)
	}
	return b.answers.Text()
}

// awaitLeader moves nothing until that succeeds: a leader that is killed may take an
// operation along, whose outcome is unknown then.
func (b *teller) awaitLeader() {
	b.t.Helper()
	for !strings.HasSuffix(b.ask("alice alice 0"), "<nil>") {
	}
}

// The bank that README shows, built by a module outside the checkout, on three processes: one is
// killed, and comes back; one loses its disk, and is not let in.
func TestTheBankSurvivesAKillAndShutsOutAnEmptiedDisk(t *testing.T) {
	program := outside(t)
	bank := map[string]*teller{}
	for _, name := range []string{"n1", "n2", "n3"} {
		bank[name] = open(t, program, name)
	}
	bank["n1"].transfer("mint alice 100", "mint has 0, alice has 100")
	bank["n2"].transfer("alice bob 30", "alice has 70, bob has 30")
	bank["n3"].transfer("bob carol 50", "refused: bob has 30")

	bank["n1"].kill()
	bank["n2"].awaitLeader()
	bank["n2"].transfer("alice bob 1", "alice has 69, bob has 31")
	bank["n1"] = open(t, program, "n1")
	bank["n1"].transfer("alice bob 1", "alice has 68, bob has 32")

	bank["n3"].kill()
	if err := os.RemoveAll(filepath.Join(filepath.Dir(program), "n3.bank")); err != nil {
		t.Fatal(err)
	}
	emptied := open(t, program, "n3")
	err := emptied.process.Wait() // or until the tests' own time is over
	if exit := new(exec.ExitError); !errors.As(err, &exit) || !strings.Contains(emptied.log.String(), "not admitted") {
		t.Errorf("the emptied member ended with %v; its log says\n%s", err, emptied.log)
	}
	bank["n2"].awaitLeader()
	bank["n2"].transfer("alice bob 1", "alice has 67, bob has 33")
}
