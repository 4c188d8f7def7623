package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind says what a token of a transaction's text is.
type tokenKind int

const (
	tokenEnd    tokenKind = iota // of the text
	tokenWord                    // a keyword, a number, or a key or value without quotes
	tokenString                  // in quotes
	tokenMark                    // one of ( ) ; = != < >
)

// token is a piece of a transaction's text, with the place where it begins. Both count from 1, the
// column in characters.
type token struct {
	kind         tokenKind
	text         string // of a string what it stands for
	line, column int
}

func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end"
	case tokenString:
		return "the string " + strconv.Quote(short(t.text))
	default:
		return strconv.Quote(short(t.text))
	}
}

// fail is a usage error at the place of a token.
func (t token) fail(format string, args ...any) error {
	return usageError("line %d, column %d: %s", t.line, t.column, fmt.Sprintf(format, args...))
}

// lexer cuts a text into tokens.
type lexer struct {
	rest         string
	line, column int
}

// tokens cuts a whole text. The last token is the end.
func tokens(text string) (all []token, err error) {
	l := lexer{rest: text, line: 1, column: 1}
	for {
		l.skipBlank()
		t := token{line: l.line, column: l.column}
		if l.rest == "" {
			return append(all, t), nil
		}
		n := 0
		switch first := l.rest[0]; {
		case first == '"' || first == '\'':
			t.kind = tokenString
			if t.text, n, err = quoted(l.rest); err != nil {
				return nil, t.fail("%v", err)
			}
		case strings.HasPrefix(l.rest, "!="):
			t.kind, n = tokenMark, 2
			t.text = l.rest[:n]
		case strings.IndexByte("();=<>", first) >= 0:
			t.kind, n = tokenMark, 1
			t.text = l.rest[:n]
		default:
			n = strings.IndexFunc(l.rest, endsWord)
			if n < 0 {
				n = len(l.rest)
			}
			if n == 0 {
				return nil, t.fail("! is not followed by =; write a key or value that has it in quotes")
			}
			t.kind, t.text = tokenWord, l.rest[:n]
			if !utf8.ValidString(t.text) {
				return nil, t.fail(`a word is not UTF-8; write other bytes in quotes, as in "\xff"`)
			}
		}
		l.advance(n)
		all = append(all, t)
	}
}

func endsWord(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`();=<>!"'`, r) }

// skipBlank skips spaces, line feeds, and comments, which go from # to the end of the line.
func (l *lexer) skipBlank() {
	for l.rest != "" {
		r, n := utf8.DecodeRuneInString(l.rest)
		switch {
		case r == '#':
			if n = strings.IndexByte(l.rest, '\n'); n < 0 {
				n = len(l.rest)
			}
		case !unicode.IsSpace(r):
			return
		}
		l.advance(n)
	}
}

// advance goes n bytes ahead.
func (l *lexer) advance(n int) {
	for _, r := range l.rest[:n] {
		if l.column++; r == '\n' {
			l.line, l.column = l.line+1, 1
		}
	}
	l.rest = l.rest[n:]
}

// quoted returns what the string at the beginning of a text stands for, and its length with the
// quotes. Double quotes have the escapes of Go, single quotes have none.
func quoted(text string) (value string, n int, err error) {
	quote := text[0]
	for n = 1; n < len(text) && text[n] != quote && text[n] != '\n'; n++ {
		if quote == '"' && text[n] == '\\' {
			n++
		}
	}
	if n >= len(text) || text[n] != quote {
		return "", 0, fmt.Errorf("the string that begins here has no %c at its end", quote)
	}
	if n++; quote == '\'' {
		return text[1 : n-1], n, nil
	}
	if value, err = strconv.Unquote(text[:n]); err != nil {
		return "", 0, fmt.Errorf(`the string that begins here has an unknown escape; there are \" \\ \n \t \xff \u00e9 and the like`)
	}
	return value, n, nil
}
