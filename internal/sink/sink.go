// Package sink writes the lines of a server's log without waiting for their reader. The reader
// may have ended, or be slow or stopped, and the disk of a log file may be full. None of that
// may stop, slow down or end the server.
//
//	log lines ──► Write (never waits) ──► queue, at most MaxQueue bytes ──► one goroutine ──► pipe, file, terminal
//
// Lines that have no room in the queue are dropped and counted. A note in their place says how
// many were dropped.
package sink

import (
	"io"
	"sync"
	"time"

	"balsa.example/internal/wake"
)

// MaxQueue bounds the bytes that wait to be written. The goroutine that writes may hold as
// many again.
const MaxQueue = 1 << 20

// A write that fails is tried again after minRetry, then each time after twice the last pause,
// up to maxRetry: a named pipe may get a reader again, and a disk may get space.
const (
	minRetry = 10 * time.Millisecond
	maxRetry = time.Second
)

// Writer is an io.Writer that never waits and never fails. Each Write counts as one line.
type Writer struct {
	to   io.Writer
	wake wake.Signal   // the queue may have become non-empty
	quit chan struct{} // closed by Close
	done chan struct{} // closed when run has returned

	mu      sync.Mutex
	note    func(lines uint64) []byte
	queue   []byte
	queued  int    // lines in queue
	taken   int    // lines that are being written
	missing uint64 // lines that were dropped after those in queue
	dropped uint64 // all lines that were dropped
	closed  bool
}

// New returns a Writer that writes to to. note returns the line that stands in the place of
// dropped lines. Close must be called in the end.
func New(to io.Writer, note func(lines uint64) []byte) *Writer {
	w := &Writer{
		to: to, note: note,
		wake: wake.New(), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go w.run()
	return w
}

// SetNote replaces the note.
func (w *Writer) SetNote(note func(lines uint64) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note = note
}

// Write puts a line into the queue, or counts it as dropped.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// After one line was dropped the next ones are dropped too, until the note is written: it
	// stands in the right place then.
	if w.closed || w.missing > 0 || len(w.queue)+len(line) > MaxQueue {
		w.missing++
		w.dropped++
	} else {
		w.queue = append(w.queue, line...)
		w.queued++
	}
	w.wake.Set()
	return len(line), nil
}

// Stats returns how many lines were dropped so far, and how many wait to be written.
func (w *Writer) Stats() (dropped uint64, waiting int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped, w.queued + w.taken
}

// Close accepts no more lines, and waits for those in the queue to be written, for within at
// most.
func (w *Writer) Close(within time.Duration) {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	if first {
		close(w.quit)
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
}

// run writes until Close, and then the rest of the queue.
func (w *Writer) run() {
	defer close(w.done)
	for {
		select {
		case <-w.wake.C():
		case <-w.quit:
			if lines := w.take(); len(lines) > 0 {
				w.deliver(lines)
			}
			return
		}
		if lines := w.take(); !w.deliver(lines) {
			return
		}
	}
}

// take empties the queue.
func (w *Writer) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := w.queue
	if w.missing > 0 && w.note != nil {
		lines = append(lines, w.note(w.missing)...)
	}
	w.queue, w.queued, w.taken, w.missing = nil, 0, w.queued, 0
	return lines
}

// deliver writes lines, however long that takes. It returns false if a write fails after
// Close.
func (w *Writer) deliver(lines []byte) bool {
	for pause := minRetry; len(lines) > 0; pause = min(2*pause, maxRetry) {
		n, err := w.to.Write(lines)
		lines = lines[n:]
		if n > 0 {
			pause = minRetry
		}
		if err != nil && !w.wait(pause) {
			return false
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = 0
	return true
}

// wait waits for the pause. It returns false if Close comes before its end.
func (w *Writer) wait(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.quit:
		return false
	}
}
