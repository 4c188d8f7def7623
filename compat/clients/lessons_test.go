package clients

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"balsa.example/compat/rig"
)

// lesson is a page, or a part of one, whose commands one types line by line.
type lesson struct {
	name, page, heading string // heading: of the part; empty: the whole page
	cluster             bool   // balsa dev runs in another terminal
	least               int    // commands
}

var lessons = []lesson{
	{"the first minute", "README.md", "## The first minute", true, 5},
	{"getting started", "docs/getting-started.md", "", false, 20},
	{"concepts", "docs/concepts.md", "", true, 14},
	{"transactions", "docs/commands.md", "## Transactions", true, 3},
	{"leases", "docs/commands.md", "## Leases", true, 6},
	{"users", "docs/users.md", "", true, 5},
}

// typed is a command of a page.
type typed struct {
	line    int
	command string
	note    string   // the comment behind it
	prints  []string // the block of output behind it
}

var (
	begins  = regexp.MustCompile(`^((\./)?balsa|go|export|kill|start|tail) |^[A-Z]+=`)
	noted   = regexp.MustCompile(`\s+# (.*)$`)
	shown   = regexp.MustCompile(`^(version=|lease=|\{"key|hello$)`) // notes that are what is printed
	id      = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	endless = regexp.MustCompile(`^balsa (watch|elect|lease keep-alive)`)
	looks   = regexp.MustCompile(`^(sleep 3; )?(balsa status|balsa member list|tail) ?`)
)

// commandsOf are the commands of a lesson: lines that are indented, in blocks of which the first line is a command.
func commandsOf(text string) (all []typed) {
	isCommand, open := false, 0
	before := ""
	for i, line := range strings.Split(text, "\n") {
		bare := strings.TrimSpace(line)
		indented := strings.HasPrefix(line, "    ")
		switch {
		case !indented:
		case open > 0:
			last := &all[len(all)-1]
			last.command += "\n" + bare
			open += strings.Count(bare, "{") - strings.Count(bare, "}")
		case begins.MatchString(bare) && !strings.HasPrefix(before, "    "), isCommand && strings.HasPrefix(before, "    "):
			isCommand = true
			if strings.HasSuffix(before, `\`) {
				all[len(all)-1].command += "\n" + bare
				break
			}
			one := typed{line: i + 1, command: bare}
			if m := noted.FindStringSubmatchIndex(bare); m != nil {
				one.command, one.note = bare[:m[0]], bare[m[2]:]
			}
			all = append(all, one)
			open = strings.Count(one.command, "{") - strings.Count(one.command, "}")
		case len(all) > 0:
			isCommand = false
			all[len(all)-1].prints = append(all[len(all)-1].prints, bare)
		}
		if !indented {
			isCommand = false
		}
		before = line
	}
	return all
}

// student types the commands of a lesson into a shell of its own, in a directory of its own.
type student struct {
	*shell
	ports *strings.Replacer // those of the pages to free ones
	base  int
	lease string // the id that was printed last
	dev   bool   // balsa dev runs
}

// freePorts are three times ten ports in a row that are free: the pages have 23780 to 23809. They are below those that a kernel gives to
// whoever asks for any.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		base, free := 10*(1000+rand.N(1900)), true
		for i := 0; i < 30 && free; i++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return base / 10
		}
	}
	t.Fatal("there are no 30 free ports in a row")
	return 0
}

func newStudent(t *testing.T) *student {
	base := freePorts(t)
	s := &student{shell: newShell(t, t.TempDir()), base: base * 10}
	decade := strconv.Itoa
	s.ports = strings.NewReplacer("2378", decade(base), "2379", decade(base+1), "2380", decade(base+2), "./balsa", "balsa", "sleep 5", "sleep 0.1")
	s.do(fmt.Sprintf("export PATH=%s:$PATH BALSA_TIMEOUT=50s BALSA_ENDPOINTS=127.0.0.1:%[2]d,127.0.0.1:%d,127.0.0.1:%d",
		filepath.Dir(rig.Program(t)), s.base+10, s.base+11, s.base+12))
	return s
}

// do runs a command, and returns what it prints on both outputs, and its exit code.
func (s *student) do(command string) (printed []string, code int) {
	s.t.Helper()
	fmt.Fprintf(s.stdin, "{ %s\n} 2>&1; printf '\\n%s%%d\\n' $?\n", command, endMark)
	for {
		line := s.next()
		if rest, is := strings.CutPrefix(line, endMark); is {
			code, _ = strconv.Atoi(rest)
			for len(printed) > 0 && printed[len(printed)-1] == "" {
				printed = printed[:len(printed)-1]
			}
			return printed, code
		}
		printed = append(printed, line)
	}
}

// start runs balsa dev in the background, until it is ready.
func (s *student) start() {
	s.t.Helper()
	s.do(fmt.Sprintf("balsa dev --base-port %d > dev.log 2>&1 & DEV=$!", s.base+10))
	if _, code := s.do("until balsa get --prefix x > /dev/null 2>&1; do kill -0 $DEV || break; sleep 0.1; done; kill -0 $DEV"); code != 0 {
		out, _ := s.do("cat dev.log")
		s.t.Fatal("balsa dev has ended: ", strings.Join(out, "\n"))
	}
	s.dev = true
}

// follow types a command of the page.
func (s *student) follow(c typed) {
	s.t.Helper()
	command := s.ports.Replace(c.command)
	if s.lease != "" {
		command = id.ReplaceAllString(command, s.lease)
	}
	switch {
	case strings.HasPrefix(command, "go build"), strings.HasPrefix(command, "export "), strings.HasPrefix(command, "balsa dev --"), strings.HasPrefix(command, "balsa doctor"):
		return // the program is there, and doctor looks at the machine of the test
	case command == "balsa dev":
		s.start()
		return
	case strings.HasPrefix(command, "C=") && s.dev:
		s.do("kill $DEV; wait $DEV") // "Stop it before you go on"
		s.dev = false
	case endless.MatchString(command):
		if _, code := s.do(command + " & sleep 0.5; kill $! && wait $!"); code != 0 && code != 128+15 {
			s.t.Errorf("line %d: %s ends with %d", c.line, command, code)
		}
		return
	case strings.HasPrefix(command, "kill -9 $(cat n2.pid)"):
		command += "; wait $(cat n2.pid)"
		s.do(command)
		return
	}
	printed, wrong := s.try(c, command)
	for deadline := time.Now().Add(rig.Patience); wrong != "" && looks.MatchString(command) && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
		printed, wrong = s.try(c, command)
	}
	if wrong != "" {
		s.t.Errorf("line %d: %s: %s; it prints\n%s", c.line, command, wrong, strings.Join(printed, "\n"))
	}
	if len(printed) > 0 && strings.HasPrefix(printed[0], "lease=") {
		s.lease = id.FindString(printed[0])
	}
}

// try runs a command, and says what is not as the page has it.
func (s *student) try(c typed, command string) (printed []string, wrong string) {
	s.t.Helper()
	printed, code := s.do(command)
	refused := strings.HasPrefix(c.note, "refused") || strings.Contains(command, "else get a")
	switch {
	case (code != 0) != refused:
		return printed, fmt.Sprint("exit code ", code)
	case shown.MatchString(c.note) && (len(printed) == 0 || !similar(printed[len(printed)-1], c.note)):
		return printed, "not " + c.note
	case len(c.prints) > len(printed):
		return printed, "too few lines"
	}
	for i, want := range c.prints {
		if !similar(printed[i], want) {
			return printed, "not " + want
		}
	}
	return printed, ""
}

// similar compares a line with that of a page: of a table, its title and the first column of each row; of another line, what is no id,
// up to where the page leaves something out, or names a member that may be another one.
func similar(line, want string) bool {
	fields, wanted := strings.Fields(line), strings.Fields(want)
	if len(wanted) > 4 && len(fields) > 0 && regexp.MustCompile(`^n\d$`).MatchString(wanted[0]) {
		return fields[0] == wanted[0]
	}
	want, _, cut := strings.Cut(id.ReplaceAllString(want, "ID"), "...")
	want, _, isOther := strings.Cut(want, "but n")
	line = id.ReplaceAllString(line, "ID")
	if cut || isOther {
		return strings.HasPrefix(line, want)
	}
	return strings.Join(strings.Fields(line), " ") == strings.Join(strings.Fields(want), " ")
}

// TestLessons types the commands of the first pages of the manual, and compares what they print with what the pages say.
func TestLessons(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("SKIPPED: ", err)
	}
	for _, l := range lessons {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(filepath.Join("..", "..", l.page))
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			if l.heading != "" {
				above, part, found := strings.Cut(text, l.heading+"\n")
				if !found {
					t.Fatalf("%s has no %s", l.page, l.heading)
				}
				part, _, _ = strings.Cut(part, "\n## ")
				text = strings.Repeat("\n", strings.Count(above, "\n")+1) + part
			}
			commands := commandsOf(text)
			if len(commands) < l.least {
				t.Fatalf("%d commands: %+v", len(commands), commands)
			}
			s := newStudent(t)
			if l.cluster {
				s.start()
			}
			for _, c := range commands {
				s.follow(c)
			}
		})
	}
}
