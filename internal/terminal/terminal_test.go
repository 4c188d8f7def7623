package terminal

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func fixed(columns, rows int) func() Size { return func() Size { return Size{columns, rows} } }

func env(of ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, v := range of {
			if n, value, _ := strings.Cut(v, "="); n == name {
				return value, true
			}
		}
		return "", false
	}
}

func TestWhatIsNoTerminalHasNeitherColoursNorSize(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var text bytes.Buffer
	for name, term := range map[string]*Terminal{
		"a buffer": Of(&text, &text, env("TERM=xterm")),
		"a file":   Of(file, file, env("TERM=xterm")),
		"dumb":     Of(&text, os.Stdout, env("TERM=dumb")),
	} {
		if term.IsSeen() || term.Paint(Red, "x") != "x" || term.Size() != usual {
			t.Errorf("%s: seen %t, %q, %v", name, term.IsSeen(), term.Paint(Red, "x"), term.Size())
		}
	}
}

func TestPaint(t *testing.T) {
	if got := Fake(nil, fixed(80, 24), true).Paint(Red, "bad"); got != "\x1b[31mbad\x1b[0m" {
		t.Errorf("%q", got)
	}
	if got := Fake(nil, fixed(80, 24), false).Paint(Red, "bad"); got != "bad" {
		t.Errorf("without colours: %q", got)
	}
}

func TestLinesAreCutByWhatIsSeen(t *testing.T) {
	for line, want := range map[string]string{
		"abc":                     "abc",
		"abcdef":                  "abcd",
		"äöüßx":                   "äöüß",
		"\x1b[31mabcdef\x1b[0m":   "\x1b[31mabcd\x1b[0m",
		"ab\x1b[31mcd\x1b[0m":     "ab\x1b[31mcd\x1b[0m",
		"ab\x1b[31mcd\x1b[0m and": "ab\x1b[31mcd\x1b[0m\x1b[0m",
	} {
		if got := cut(line, 4); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestTextOfOthersCommandsNoTerminal(t *testing.T) {
	if got := Clean("n1\x1b[2J\r\n\u202e\u009bü"); got != "n1?[2J????ü" {
		t.Errorf("%q", got)
	}
}

// A picture is drawn over the last one, is no larger than the terminal of that moment, and leaves no trace.
func TestAScreenIsDrawnInPlace(t *testing.T) {
	var out bytes.Buffer
	size := Size{6, 3}
	screen, err := Fake(&out, func() Size { return size }, false).Open()
	if err != nil {
		t.Fatal(err)
	}
	for _, lines := range [][]string{{"one", "longer than that", "three", "four"}, {"x"}} {
		if err := screen.Draw(lines); err != nil {
			t.Fatal(err)
		}
		size = Size{3, 1}
	}
	screen.Close()
	screen.Close()
	want := "\x1b[?1049h\x1b[?25l" +
		"\x1b[Hone\x1b[K\r\nlonger\x1b[K\r\nthree\x1b[K\x1b[J" +
		"\x1b[Hx\x1b[K\x1b[J" +
		"\x1b[?25h\x1b[?1049l"
	if out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}

func TestALineGoesAway(t *testing.T) {
	var out bytes.Buffer
	line := Fake(&out, fixed(5, 2), false).Line()
	line.Show("12345")
	line.Show("1")
	line.Clear()
	if want := "\r1234\x1b[K\r1\x1b[K\r\x1b[K"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}
