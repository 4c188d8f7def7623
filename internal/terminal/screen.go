package terminal

import (
	"io"
	"strings"
	"sync"
)

const (
	// The alternate screen leaves what stood on the terminal as it was.
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// Screen is a picture on the whole terminal, which is drawn anew.
type Screen struct {
	t     *Terminal
	close sync.Once
}

// Open takes the whole terminal for a picture, until Close.
func (t *Terminal) Open() (*Screen, error) {
	_, err := io.WriteString(t.out, enterScreen)
	return &Screen{t: t}, err
}

// Draw shows lines, as far as they fit.
func (s *Screen) Draw(lines []string) error {
	size := s.t.Size()
	var b strings.Builder
	b.WriteString(home)
	for i, line := range lines {
		if i == size.Rows {
			break
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(cut(line, size.Columns))
		b.WriteString(clearLine)
	}
	b.WriteString(clearBelow)
	_, err := io.WriteString(s.t.out, b.String())
	return err
}

// Close gives the terminal back as it was.
func (s *Screen) Close() (err error) {
	s.close.Do(func() { _, err = io.WriteString(s.t.out, leaveScreen) })
	return err
}

// Line is a line of the terminal that changes. It goes away in the end.
type Line struct{ t *Terminal }

// Line returns one. Nothing else may be written to the terminal until it is cleared.
func (t *Terminal) Line() *Line { return &Line{t} }

// Show puts text in place of what the line showed.
func (l *Line) Show(text string) {
	io.WriteString(l.t.out, "\r"+cut(text, l.t.Size().Columns-1)+clearLine)
}

// Clear leaves nothing of it.
func (l *Line) Clear() { io.WriteString(l.t.out, "\r"+clearLine) }
