package transport

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// repeatAfter is when a warning that has not changed is logged again.
	repeatAfter = time.Minute
	// warnEvery is the least time between two warnings, changed or not.
	warnEvery = time.Second
)

// changeLog logs what goes wrong at one place when it changes: a peer that is down
// for an hour is tried thousands of times, and worth a few lines.
type changeLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last string
	at   time.Time
}

// warn logs err unless that was said just now.
func (l *changeLog) warn(what string, err error, args ...any) { l.warnOf("", what, err, args...) }

// warnOf logs err unless that was said just now of the same subject.
func (l *changeLog) warnOf(subject, what string, err error, args ...any) {
	if l.changed(subject + " " + err.Error()) {
		l.log.Warn(what, append(args, "error", err)...)
	}
}

// clear makes the next warning new.
func (l *changeLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.at = "", time.Time{}
}

func (l *changeLog) changed(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	since := now.Sub(l.at)
	if !l.at.IsZero() && (since < warnEvery || text == l.last && since < repeatAfter) {
		return false
	}
	l.last, l.at = text, now
	return true
}
