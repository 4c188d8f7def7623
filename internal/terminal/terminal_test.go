package terminal

import (
	"bytes"
	"errors"
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

// A Cleaner lets text through, and no command, however the text comes in parts.
func TestACleanerLetsOnlyTextThrough(t *testing.T) {
	for text, want := range map[string]string{
		"plain\ttext\n": "plain\ttext\n",
		"naïve 日本語 👩\u200d👩\u200d👧 می\u200cخواهم\n": "naïve 日本語 👩\u200d👩\u200d👧 می\u200cخواهم\n",
		"lines\r\nof Windows\r\n": "lines\r\nof Windows\r\n",
		"a\x1b[2Jb\ac\rd\x7f":     "a?[2Jb?c?d?",
		"\u009b2J":                "?2J", // CSI in one character
		"\xff\x9b\xc2":            "??",  // no UTF-8; the last byte waits for more
		"\ufffd":                  "\ufffd",
		"txt.\u202eexe\u202c":     "txt.?exe?", // shown as txt.exe backwards
		"\u2066a\u2069\u200e\u200f\u061c\u202ab\u202d\u2067\u2068\u202b": "?a????" + "?b????",
		"": "",
	} {
		var whole, parts bytes.Buffer
		if n, err := (&Cleaner{Out: &whole}).Write([]byte(text)); n != len(text) || err != nil || whole.String() != want {
			t.Errorf("%q: %d, %v: %q, want %q", text, n, err, whole.String(), want)
		}
		c := &Cleaner{Out: &parts}
		for _, b := range []byte(text) {
			if n, err := c.Write([]byte{b}); n != 1 || err != nil {
				t.Fatalf("%q: %d, %v", text, n, err)
			}
			if len(c.rest) >= 4 {
				t.Errorf("%q: %d bytes wait", text, len(c.rest))
			}
		}
		if got := parts.String(); got != strings.ReplaceAll(want, "\r\n", "?\n") {
			t.Errorf("%q in bytes: %q, want %q", text, got, want)
		}
	}
}

func TestFprintfCleansWhatOthersSay(t *testing.T) {
	var out bytes.Buffer
	Fprintf(&out, "%s\t%v\t%d\t%s\n", "a\nb\x1b", errors.New("c\u202ed"), 5, label("e\af"))
	if got, want := out.String(), "a?b?\tc?d\t5\te?f\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

type label string

func (l label) String() string { return string(l) }
