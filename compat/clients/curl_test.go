package clients

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"balsa.example/compat/rig"
)

// step is a command of the page, and what it prints there.
type step struct {
	line    int
	command string
	want    []string
}

// stepsOf are the commands of a page: the lines that begin with a dollar in its blocks of the kind console.
func stepsOf(page string) (steps []step) {
	inside := false
	for i, line := range strings.Split(page, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case !inside:
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, step{line: i + 1, command: line[2:]})
		default:
			last := &steps[len(steps)-1]
			last.want = append(last.want, line)
		}
	}
	return steps
}

// Headers of answers, which name ids that no two servers have in common.
var (
	header = regexp.MustCompile(`"header":\{[^}]*\}`)
	ids    = regexp.MustCompile(`"(cluster_id|member_id|raft_term)":"\d+"`)
)

// alike is a line without what differs from run to run: whole headers where the page leaves them out, else ids. Package protojson
// puts spaces behind commas in some builds of a program, and in others not, so that nobody relies on them.
func alike(line, onPage string) string {
	line = strings.ReplaceAll(line, `, "`, `,"`)
	line = strings.ReplaceAll(line, `}, {`, `},{`)
	if strings.Contains(onPage, `"header":{...}`) {
		return header.ReplaceAllString(line, `"header":{...}`)
	}
	return ids.ReplaceAllString(line, `"$1":"N"`)
}

// shell is a shell that goes from command to command, so that what one sets the next one has.
type shell struct {
	t     *testing.T
	stdin io.Writer
	lines chan string
}

func newShell(t *testing.T, dir string) *shell {
	t.Helper()
	cmd := exec.Command("bash")
	cmd.Dir, cmd.Env = dir, rig.Environment("CURL_HOME="+dir) // where there is no .curlrc
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it has started ends with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, stdin: stdin, lines: make(chan string)}
	done := make(chan struct{})
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			select {
			case s.lines <- scanner.Text():
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		stdin.Close()
		close(done)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return s
}

// next is the next line that the shell prints.
func (s *shell) next() string {
	s.t.Helper()
	select {
	case line, ok := <-s.lines:
		if ok {
			return line
		}
		s.t.Fatal("the shell has ended")
	case <-time.After(rig.Patience):
		s.t.Fatal("nothing is printed")
	}
	return ""
}

// endMark is what the shell prints behind a command.
const endMark = "--- end ---"

// run runs a command, and returns the lines that it prints. One that goes on until it is interrupted is interrupted after so many
// lines.
func (s *shell) run(command string, lines int) (printed []string) {
	s.t.Helper()
	endless := strings.Contains(command, "curl -sN ")
	if endless {
		command += " &"
	}
	fmt.Fprintln(s.stdin, command)
	for range lines {
		if !endless {
			break
		}
		printed = append(printed, s.next())
	}
	if endless {
		fmt.Fprintln(s.stdin, "{ kill $!; wait $!; } 2>/dev/null")
	}
	fmt.Fprintf(s.stdin, "printf '\\n%%s\\n' '%s'\n", endMark)
	for line := s.next(); line != endMark; line = s.next() {
		printed = append(printed, line)
	}
	for len(printed) > 0 && printed[len(printed)-1] == "" {
		printed = printed[:len(printed)-1]
	}
	return printed
}

// TestCurl: every command of the page prints what the page says.
func TestCurl(t *testing.T) {
	for _, tool := range []string{"curl", "bash", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("SKIPPED: ", err)
		}
	}
	page, err := os.ReadFile("../../docs/curl.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := stepsOf(string(page))
	if len(steps) < 30 {
		t.Fatalf("the page has %d commands", len(steps))
	}
	dir := t.TempDir()
	certify(t, dir)
	sh := newShell(t, dir)
	plain := start(t, "http", "--bcrypt-cost", "4")
	file := func(name string) string { return dir + "/" + name }
	secure := start(t, "https", "--cert-file", file("n1.pem"), "--key-file", file("n1.key"), "--trusted-ca-file", file("client-ca.pem"), "--client-cert-auth")
	here := strings.NewReplacer("http://127.0.0.1:23790", "http://"+plain, "https://127.0.0.1:23790", "https://"+secure)
	for _, step := range steps {
		got := sh.run(here.Replace(step.command), len(step.want))
		for i := range max(len(got), len(step.want)) {
			var g, w string
			if i < len(got) {
				g = got[i]
			}
			if i < len(step.want) {
				w = step.want[i]
			}
			if alike(g, w) != alike(w, w) {
				t.Errorf("docs/curl.md:%d: %s\nprints  %s\nnot     %s", step.line, step.command, g, w)
			}
		}
	}
}
