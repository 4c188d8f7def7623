package clerk

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"balsa.example/internal/wake"
)

// link connects to one server: it has a queue of calls, and a stream that carries them
// while the server can be reached. Two goroutines serve all calls: run sends requests,
// receive hands out replies.
//
// The states of a call are queued, sent and over. If its time is up when it is sent, it is
// late before it is over. While it is sent or late it is in the map sent. When the stream
// breaks, the calls of the map may have been executed, and the queued ones were certainly
// never sent.
type link struct {
	net       *network
	address   string
	ctx       context.Context // ends when the link is dropped
	cancel    context.CancelFunc
	former    atomic.Bool // the server is not asked any more
	conn      *grpc.ClientConn
	handshake *handshake
	watchdog  *watchdog
	node      atomic.Uint64 // the node id in the server's last Hello
	wake      wake.Signal   // the queue may have become non-empty
	pinging   atomic.Bool   // see ping

	mu         sync.Mutex
	queue      []*call // with calls that are over, until they are drained
	queueBytes int
	sent       map[uint64]*call // by id of the request; late ones too
	streams    bool             // a stream is open
	noCluster  bool             // the stream's server is in no cluster yet, so that it executes nothing
	stale      bool             // the stream's user is none any more: nothing is sent on it
	token      string           // of the stream
	unary      int              // unary requests that wait for an answer
	lastID     uint64
	mostBytes  int           // that the stream's server takes at once
	room       chan struct{} // closed when the queue has shrunk; nil if nobody waits for that
	closed     bool
}

// newLink returns a link without its conn.
func newLink(n *network) *link {
	l := &link{net: n, wake: wake.New(), sent: make(map[uint64]*call), mostBytes: defaultMessageBytes}
	l.ctx, l.cancel = context.WithCancel(n.ctx)
	l.watchdog = newWatchdog(l.unanswered, l.ping)
	return l
}

func (l *link) gone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// run serves the link until it is dropped. It opens a stream when a call is queued. gRPC decides
// when to connect, and until the next attempt a stream fails at once.
func (l *link) run() {
	for !l.net.drop(l) && awaitWork(l.ctx, l.wake, nil) {
		if l.net.drop(l) {
			break
		}
		l.fail(l.runStream(l.ctx))
		l.net.deaf.Set()
	}
	l.cancel()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.fail(ErrClosed)
	l.conn.Close()
}
