package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"balsa.example/compat/rig"
	"balsa.example/internal/check/ports"
)

// lesson is a page, or a part of one, whose commands one types line by line.
type lesson struct {
	name, page, heading string // heading: of the part; empty: the whole page
	cluster             bool   // balsa dev runs in another terminal
	before              string // what has happened before
	least               int    // commands
}

var lessons = []lesson{
	{"the first minute", "README.md", "## The first minute", true, "", 5},
	{"getting started", "docs/getting-started.md", "", false, "", 20},
	{"concepts", "docs/concepts.md", "", true, "", 14},
	{"transactions", "docs/commands.md", "## Transactions", true, "", 3},
	{"leases", "docs/commands.md", "## Leases", true, "", 6},
	{"users", "docs/users.md", "", true, "", 5},
	{"backup", "docs/backup.md", "", true, "balsa put greeting hello", 7},
	{"recovery", "docs/recovery.md", "", false, alone + " & balsa put greeting hello && kill $! && wait $!", 4},
}

// alone is a server with the directory of the pages.
const alone = "balsa serve --name n1 --data-dir /var/lib/balsa --listen-client-urls http://127.0.0.1:23790 --listen-peer-urls http://127.0.0.1:23800 2> n1.log"

// typed is a command of a page.
type typed struct {
	line    int
	command string
	note    string   // the comment behind it
	prints  []string // the block of output behind it, but for rows that begin with a number
}

var (
	begins  = regexp.MustCompile(`^((\./)?balsa|go|export|kill|start|tail) |^[A-Z]+=`)
	noted   = regexp.MustCompile(`\s+# (.*)$`)
	shown   = regexp.MustCompile(`^(version=|lease=|\{"key|hello$)`) // notes that are what is printed
	id      = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	row     = regexp.MustCompile(`^n\d$`)
	value   = regexp.MustCompile(`=\S+|\d+`)
	endless = regexp.MustCompile(`^balsa (watch|elect|lease keep-alive|serve)`)
	looks   = regexp.MustCompile(`^(sleep 3; )?(balsa status|balsa member list|tail) ?`)
)

// commandsOf are the commands of a lesson: lines that are indented, in blocks of which the first line is a command.
func commandsOf(text string) (all []typed) {
	isCommand, open, follows := false, 0, false // follows: there is no prose since the last command
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
			isCommand, follows = true, true
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
		case follows && (bare[0] < '0' || bare[0] > '9'):
			all[len(all)-1].prints = append(all[len(all)-1].prints, bare)
		}
		isCommand = isCommand && indented
		follows = follows && (indented || bare == "")
		before = line
	}
	return all
}

// student types the commands of a lesson into a shell of its own, in a directory of its own.
type student struct {
	*shell
	ports *strings.Replacer // those of the pages to free ones
	base  int               // the first of four times ten ports: the pages have 23780 to 23809, and some more
	lease string            // the id that was printed last
	dev   bool              // balsa dev runs
}

func newStudent(t *testing.T) *student {
	s := &student{shell: newShell(t, t.TempDir()), base: ports.RowOf(t, 40)}
	tens := func(after int) string { return strconv.Itoa(s.base/10 + after) }
	s.ports = strings.NewReplacer("2378", tens(0), "2379", tens(1), "2380", tens(2), "./balsa", "balsa", "sleep 5", "sleep 0.1",
		"2479", tens(0), "2480", tens(3), // of a second server, in backup.md
		"10.0.0.", "127.0.0.", "/var/lib/", "", "/backup/", "backup/", "--revision 120000", "--revision 2", "--time 2026", "--time 2001")
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
	if s.dev && (strings.HasPrefix(command, "C=") || strings.HasPrefix(command, "balsa serve")) {
		s.do("kill $DEV; wait $DEV") // the pages say so
		s.dev = false
	}
	switch {
	case strings.HasPrefix(command, "go build"), strings.HasPrefix(command, "export "), strings.HasPrefix(command, "balsa dev --"), strings.HasPrefix(command, "balsa doctor"):
		return // the program is there, and doctor looks at the machine of the test
	case command == "balsa dev":
		s.start()
		return
	case endless.MatchString(command):
		if _, code := s.do(strings.TrimSuffix(command, "&") + " 2> endless.log & sleep 0.5; kill $! && wait $!"); code != 0 && code != 128+15 {
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
	case shown.MatchString(c.note) && (len(printed) == 0 || !isNoted(printed[len(printed)-1], c.note)):
		return printed, "not " + c.note
	}
	rest := printed
	for _, want := range c.prints {
		for len(rest) > 0 && !similar(rest[0], s.ports.Replace(want)) {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return printed, "not " + want
		}
		rest = rest[1:]
	}
	return printed, ""
}

// isNoted compares a line with the comment behind its command, up to where that leaves something out. Ids differ.
func isNoted(line, note string) bool {
	note, _, cut := strings.Cut(id.ReplaceAllString(note, "ID"), "...")
	line = id.ReplaceAllString(line, "ID")
	return line == note || cut && strings.HasPrefix(line, note)
}

// similar compares a line with that of a page: of a table, its title and the first column of each row; of another line, what is no value,
// up to where the page leaves something out, or names a member that may be another one.
func similar(line, want string) bool {
	fields, wanted := strings.Fields(line), strings.Fields(want)
	if len(wanted) > 4 && len(fields) > 0 && row.MatchString(wanted[0]) {
		return fields[0] == wanted[0]
	}
	plain := func(line string) string {
		return value.ReplaceAllString(id.ReplaceAllString(strings.Join(strings.Fields(line), " "), "N"), "N")
	}
	line, want = plain(line), plain(want)
	want, _, cut := strings.Cut(want, "...")
	want, _, isOther := strings.Cut(want, "but nN")
	return line == want || (cut || isOther) && strings.HasPrefix(line, want)
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
			s.do("mkdir backup")
			if l.cluster {
				s.start()
			}
			if out, code := s.do(s.ports.Replace("true; " + l.before)); code != 0 {
				t.Fatalf("%s: %d %s", l.before, code, out)
			}
			for _, c := range commands {
				s.follow(c)
			}
		})
	}
}
