package clerk

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// How a link watches its connection while an answer is awaited. gRPC's own pings are at
// least 10 s apart, and the kernel sends lost packets again for minutes.
const (
	// checkEvery is how often the watchdog checks. The other limits count checks, not time:
	// a process that was stopped for a while first reads what has arrived meanwhile.
	checkEvery = 100 * time.Millisecond
	// The watchdog pings the server after pingAfter checks in which nothing has arrived, and
	// closes the connection after closeAfter.
	pingAfter  = 4
	closeAfter = 10
	// minBytesPerCheck is the lowest throughput that a connection to a server is expected to
	// have: requests that wait for an answer may still be on their way.
	minBytesPerCheck = 100 << 10
)

// watchdog closes a connection on which nothing arrives although an answer is awaited. The
// next call connects anew, and looks the server's name up again. A server may take its time
// for an answer as long as anything arrives: the answer to a ping, or a part of a large
// reply.
type watchdog struct {
	// unanswered returns how many answers are awaited, and the bytes of their requests.
	unanswered func() (answers, bytes int)
	// ping asks the server for any answer, and does not wait for it.
	ping    func()
	running atomic.Bool // the timer is set
	timer   *time.Timer

	mu   sync.Mutex
	conn *watchedConn // the newest; nil: none yet
}

// watchedConn is a connection that notes when something arrives.
type watchedConn struct {
	net.Conn
	silentChecks atomic.Int64 // number of checks since anything has arrived
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.silentChecks.Store(0)
	return n, err
}

func newWatchdog(unanswered func() (int, int), ping func()) *watchdog {
	w := &watchdog{unanswered: unanswered, ping: ping}
	w.timer = time.AfterFunc(time.Hour, w.check)
	w.timer.Stop()
	return w
}

// watch makes conn the connection that is watched.
func (w *watchdog) watch(conn net.Conn) net.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = &watchedConn{Conn: conn}
	return w.conn
}

func (w *watchdog) watched() *watchedConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn
}

// begin makes the watchdog run until no answer is awaited. It costs next to nothing if the
// watchdog runs already.
func (w *watchdog) begin() {
	if w.running.Load() || w.running.Swap(true) {
		return
	}
	w.timer.Reset(checkEvery)
}

// check is called by the timer.
func (w *watchdog) check() {
	answers, bytes := w.unanswered()
	if answers == 0 {
		w.running.Store(false)
		if answers, _ = w.unanswered(); answers > 0 { // begin may have been called in between
			w.begin()
		}
		return
	}
	if conn := w.watched(); conn != nil {
		switch silent := conn.silentChecks.Add(1); {
		case silent > closeAfter+int64(bytes/minBytesPerCheck):
			conn.Close()
		case silent >= pingAfter:
			w.ping()
		}
	}
	w.timer.Reset(checkEvery)
}

// awaitUnary counts a unary request as unanswered until done is called.
func (l *link) awaitUnary() (done func()) {
	l.mu.Lock()
	l.unary++
	l.mu.Unlock()
	l.watchdog.begin()
	return func() {
		l.mu.Lock()
		l.unary--
		l.mu.Unlock()
	}
}

// unanswered is for the watchdog.
func (l *link) unanswered() (answers, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, 0
	}
	for _, c := range l.sent {
		bytes += c.bytes
	}
	return len(l.sent) + l.unary, bytes
}

// ping is for the watchdog: one health check at a time. Any answer will do, also the error
// of a server that does not know the health service.
func (l *link) ping() {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || l.pinging.Swap(true) {
		return
	}
	n.running.Go(func() {
		defer l.pinging.Store(false)
		_ = l.check(n.ctx)
	})
}

// pingNow asks the server for any answer, and waits for it: the watchdog does the rest.
func (l *link) pingNow(ctx context.Context) {
	defer l.awaitUnary()()
	_ = l.check(ctx)
}

func (l *link) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := healthpb.NewHealthClient(l.conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}
