package terminal

import (
	"io"
	"os"
)

// Style is how a text looks: the number of an escape sequence (ECMA-48, SGR).
type Style string

const (
	Plain  Style = ""
	Bold   Style = "1"
	Faint  Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Size is how many columns and rows a terminal has.
type Size struct{ Columns, Rows int }

// usual is the size of a terminal that does not say.
var usual = Size{80, 24}

// Terminal is where text goes. The zero value of size says that nobody looks.
type Terminal struct {
	out     io.Writer
	size    func() (Size, bool)
	painted bool
	is      bool
}

// Of returns the Terminal for text that goes to out. device is what is behind out: a file that is a
// terminal, perhaps.
func Of(out, device io.Writer, env func(string) (string, bool)) *Terminal {
	f, ok := device.(*os.File)
	if !ok || !prepare(f) {
		return &Terminal{out: out}
	}
	if term, _ := env("TERM"); term == "dumb" {
		return &Terminal{out: out, is: true}
	}
	none, _ := env("NO_COLOR")
	return &Terminal{out: out, size: func() (Size, bool) { return sizeOf(f) }, painted: none == "", is: true}
}

// Fake returns a terminal of a size that a test says.
func Fake(out io.Writer, size func() Size, painted bool) *Terminal {
	return &Terminal{out: out, size: func() (Size, bool) { return size(), true }, painted: painted, is: true}
}

// IsTerminal tells whether text goes to a terminal at all, be it one that cannot be drawn anew.
func (t *Terminal) IsTerminal() bool { return t.is }

// IsSeen tells whether somebody looks at a terminal that can be drawn anew.
func (t *Terminal) IsSeen() bool {
	if t.size == nil {
		return false
	}
	_, ok := t.size()
	return ok
}

// Size is the size of the terminal now; one of 80 columns and 24 rows if it does not say.
func (t *Terminal) Size() Size {
	if t.size != nil {
		if s, ok := t.size(); ok && s.Columns > 0 && s.Rows > 0 {
			return s
		}
	}
	return usual
}

// Paint returns text in a style, where there are colours.
func (t *Terminal) Paint(style Style, text string) string {
	if !t.painted || style == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

// Write writes text as it is.
func (t *Terminal) Write(b []byte) (int, error) { return t.out.Write(b) }

// cut returns the part of a line that fits in so many columns. Colours take none.
func cut(line string, columns int) string {
	seen, escape, painted := 0, false, false
	for i, r := range line {
		switch {
		case r == '\x1b':
			escape, painted = true, true
		case escape:
			escape = r != 'm'
		case seen == columns:
			if painted {
				return line[:i] + "\x1b[0m"
			}
			return line[:i]
		default:
			seen++
		}
	}
	return line
}
