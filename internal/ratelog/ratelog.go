// Package ratelog logs warnings that could come very often at a bounded rate: a peer that is
// down for an hour is dialed thousands of times, and worth a few lines.
package ratelog

import (
	"log/slog"
	"sync"
	"time"
)

// defaultRepeat is when WarnChange logs a state again that has not changed.
const defaultRepeat = time.Minute

// Logger logs the warnings of one kind, and counts them. A line says in not_logged how many
// warnings before it were left out.
type Logger struct {
	log    *slog.Logger
	lines  int
	period time.Duration
	repeat time.Duration

	mu     sync.Mutex
	count  uint64
	since  time.Time // when the period began
	logged int       // lines in it
	left   int       // warnings left out since the last line

	state string    // what WarnChange logged last
	at    time.Time // and when; zero if never
}

// New returns a Logger of at most so many lines in each period.
func New(log *slog.Logger, lines int, period time.Duration) *Logger {
	return &Logger{log: log, lines: lines, period: period, repeat: defaultRepeat}
}

// RepeatAfter sets when WarnChange logs a state again that has not changed, in place of a
// minute. It returns l.
func (l *Logger) RepeatAfter(d time.Duration) *Logger {
	l.repeat = d
	return l
}

// Warn logs a warning, if the rate allows it. The arguments are those of slog.Logger.Warn.
func (l *Logger) Warn(msg string, args ...any) {
	l.mu.Lock()
	ok, left := l.admit(time.Now())
	l.mu.Unlock()
	if ok {
		l.write(msg, left, args)
	}
}

// WarnChange is Warn for something that lasts: it logs a state again only when that has
// changed, or after a minute (see RepeatAfter).
func (l *Logger) WarnChange(state, msg string, args ...any) {
	l.mu.Lock()
	now := time.Now()
	if state == l.state && !l.at.IsZero() && now.Sub(l.at) < l.repeat {
		l.count++
		l.left++
		l.mu.Unlock()
		return
	}
	ok, left := l.admit(now)
	if ok {
		l.state, l.at = state, now
	}
	l.mu.Unlock()
	if ok {
		l.write(msg, left, args)
	}
}

// Reset lets the next warning be logged, whatever came before: all has been well meanwhile.
func (l *Logger) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logged, l.left, l.at = 0, 0, time.Time{}
}

// Count returns the number of warnings so far, logged or not.
func (l *Logger) Count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// admit counts a warning, and tells whether the rate allows a line for it, and how many were
// left out before it. Caller holds mu.
func (l *Logger) admit(now time.Time) (ok bool, left int) {
	l.count++
	if now.Sub(l.since) >= l.period {
		l.since, l.logged = now, 0
	}
	if l.logged >= l.lines {
		l.left++
		return false, 0
	}
	l.logged++
	left, l.left = l.left, 0
	return true, left
}

func (l *Logger) write(msg string, left int, args []any) {
	if left > 0 {
		args = append(args, "not_logged", left)
	}
	l.log.Warn(msg, args...)
}
