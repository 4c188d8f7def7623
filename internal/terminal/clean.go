package terminal

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Clean returns text without what a terminal would take for a command, and without line breaks and invisible
// characters: names and reasons that others have sent may hold those.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '?'
		}
		return r
	}, text)
}

// Fprintf is fmt.Fprintf for texts of others: strings, errors and Stringers are cleaned.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	cleaned := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			cleaned[i] = Clean(arg)
		case error:
			cleaned[i] = Clean(arg.Error())
		case fmt.Stringer:
			cleaned[i] = Clean(arg.String())
		default:
			cleaned[i] = arg
		}
	}
	return fmt.Fprintf(w, format, cleaned...)
}

// Cleaner writes texts of others to a terminal: keys, values, and what servers say. Line breaks and tabs pass; other
// control characters, those that change the direction in which text is shown, and what is no UTF-8, become question
// marks.
type Cleaner struct {
	Out io.Writer

	mu   sync.Mutex
	rest []byte // of a character whose end is yet to come: at most utf8.UTFMax - 1 bytes
}

// Write implements io.Writer.
func (c *Cleaner) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := append(c.rest, b...)
	c.rest = nil
	clean := make([]byte, 0, len(text))
	for len(text) > 0 {
		if !utf8.FullRune(text) {
			c.rest = append(c.rest, text...)
			break
		}
		r, size := utf8.DecodeRune(text)
		if passes(r, size, text[size:]) {
			clean = append(clean, text[:size]...)
		} else {
			clean = append(clean, '?')
		}
		text = text[size:]
	}
	if _, err := c.Out.Write(clean); err != nil {
		return 0, err
	}
	return len(b), nil
}

// passes tells whether a character of so many bytes does nothing to a terminal but to appear, where it stands. A carriage return
// does nothing before a line feed.
func passes(r rune, size int, next []byte) bool {
	switch {
	case r == '\n' || r == '\t':
		return true
	case r == '\r':
		return len(next) > 0 && next[0] == '\n'
	case r == utf8.RuneError:
		return size > 1
	}
	return !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r)
}
