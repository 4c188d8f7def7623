package clerk

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// How a link watches its connection while somebody waits for its server. gRPC's own pings
// are 10 s apart at least, and the kernel repeats what was lost for minutes.
const (
	// lookEvery is how often the watch looks. The other times count in looks, so that a
	// process that was stopped finds what has arrived meanwhile.
	lookEvery = 100 * time.Millisecond
	// askAfter is after how many looks without a sign of life the server is asked for one,
	// and hangUpAfter after how many the connection is given up.
	askAfter    = 4
	hangUpAfter = 10
	// slowest is how many bytes a connection brings to its server between two looks at
	// least: what waits for an answer may still be on its way there.
	slowest = 100 << 10
)

// watch gives up a connection on which nothing arrives although somebody waits for it.
// The next call connects anew, and looks the server's name up again. As long as
// anything arrives, be it the answer to a question of the watch or a part of a large reply,
// a server may take its time.
type watch struct {
	// unanswered tells how many answers are awaited, and the bytes of what was asked.
	unanswered func() (answers, bytes int)
	// ask asks the server for a sign of life, without waiting for it.
	ask   func()
	looks atomic.Bool // the timer is set
	timer *time.Timer

	mu   sync.Mutex
	conn *ear // the newest; nil before
}

// ear is a connection that takes note of what arrives.
type ear struct {
	net.Conn
	quiet atomic.Int64 // looks, while somebody waited, since something has arrived
}

func (e *ear) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	e.quiet.Store(0)
	return n, err
}

func newWatch(unanswered func() (int, int), ask func()) *watch {
	w := &watch{unanswered: unanswered, ask: ask}
	w.timer = time.AfterFunc(time.Hour, w.look)
	w.timer.Stop()
	return w
}

// over watches conn from now on.
func (w *watch) over(conn net.Conn) net.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = &ear{Conn: conn}
	return w.conn
}

func (w *watch) present() *ear {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn
}

// begin watches until nobody waits any more. It costs next to nothing while it does so
// already.
func (w *watch) begin() {
	if w.looks.Load() || w.looks.Swap(true) {
		return
	}
	w.timer.Reset(lookEvery)
}

// look is what the timer runs.
func (w *watch) look() {
	answers, bytes := w.unanswered()
	if answers == 0 {
		w.looks.Store(false)
		if answers, _ = w.unanswered(); answers > 0 { // since begin may have come in between
			w.begin()
		}
		return
	}
	if conn := w.present(); conn != nil {
		switch quiet := conn.quiet.Add(1); {
		case quiet > hangUpAfter+int64(bytes/slowest):
			conn.Close()
		case quiet >= askAfter:
			w.ask()
		}
	}
	w.timer.Reset(lookEvery)
}

// awaiting counts one more answer until the result is called.
func (l *link) awaiting() (done func()) {
	l.mu.Lock()
	l.others++
	l.mu.Unlock()
	l.watch.begin()
	return func() {
		l.mu.Lock()
		l.others--
		l.mu.Unlock()
	}
}

// unanswered is for the watch.
func (l *link) unanswered() (answers, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, 0
	}
	for _, c := range l.sent {
		bytes += c.bytes
	}
	return len(l.sent) + l.others, bytes
}

// ask is for the watch. What the server answers does not matter: one that does not know
// the question says so. One question at a time waits for its answer.
func (l *link) ask() {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || l.asking.Swap(true) {
		return
	}
	n.running.Go(func() {
		defer l.asking.Store(false)
		ctx, cancel := context.WithTimeout(n.ctx, connectTimeout)
		defer cancel()
		_, _ = healthpb.NewHealthClient(l.conn).Check(ctx, &healthpb.HealthCheckRequest{})
	})
}
