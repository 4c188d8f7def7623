package main

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"time"
)

// The faults of the readers of the servers' logs, as the report names them.
const (
	kindLogStops = "log readers stop"
	kindLogEnds  = "log readers end"
)

// pipeSize is at least the size of a pipe's buffer.
const pipeSize = 64 << 10

// logReader copies the output of a process from a pipe to its log file.
type logReader struct {
	r, w *os.File
	log  *os.File
	done chan struct{} // closed when run has returned

	mu      sync.Mutex
	stopped chan struct{} // closed when reading goes on; nil while it does
}

func newLogReader(path string) (*logReader, error) {
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		log.Close()
		return nil, err
	}
	l := &logReader{r: r, w: w, log: log, done: make(chan struct{})}
	go l.run()
	return l, nil
}

func (l *logReader) run() {
	defer close(l.done)
	defer l.log.Close()
	defer l.r.Close()
	buf := make([]byte, 4<<10)
	for {
		l.mu.Lock()
		stopped := l.stopped
		l.mu.Unlock()
		if stopped != nil {
			<-stopped
		}
		n, err := l.r.Read(buf)
		if _, failed := l.log.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// stop stops reading, and fills the pipe, so that the next line of the server does not fit.
func (l *logReader) stop() {
	l.mu.Lock()
	l.stopped = make(chan struct{})
	l.mu.Unlock()
	go l.w.Write(bytes.Repeat([]byte("\n"), 2*pipeSize)) // until reading goes on
}

func (l *logReader) goOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped != nil {
		close(l.stopped)
		l.stopped = nil
	}
}

// end closes the pipe, as if the reader's process had ended.
func (l *logReader) end() { l.r.Close() }

// close is called when the process that writes has ended. It returns when all output is in the log
// file.
func (l *logReader) close() {
	l.goOn()
	l.w.Close()
	<-l.done
}

// logFault stops or ends the readers of the logs, and then kills the leader, so that the servers
// have much to log. Clients must not notice that the readers are missing.
func (t *torture) logFault(ends bool) error {
	leader, err := t.leader()
	if err != nil {
		return err
	}
	others, kind := t.c.but(leader), kindLogStops
	for _, m := range others {
		if ends {
			kind = kindLogEnds
			m.reader.end()
		} else {
			m.reader.stop()
		}
	}
	at := time.Now()
	leader.kill()
	took, err := t.load.resumed(t.ctx, at, t.o.within)
	if err != nil {
		return fmt.Errorf("%s, after the kill of %s: %w", kind, leader.name, err)
	}
	t.done(kind, took, "%s was killed", leader.name)
	if err := t.c.start(leader); err != nil {
		return err
	}
	for _, m := range others {
		if !m.running() {
			return fmt.Errorf("%s: %s has ended", kind, m.name)
		}
		m.reader.goOn()
		if !ends {
			continue
		}
		if err := t.healthy(); err != nil { // a restart gives it a reader
			return err
		}
		m.kill()
		if err := t.c.start(m); err != nil {
			return err
		}
	}
	return nil
}
