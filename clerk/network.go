package clerk

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"balsa.example/api"
	"balsa.example/internal/dialing"
	"balsa.example/internal/wake"
)

const (
	// connectTimeout bounds how long a server may take to say Hello.
	connectTimeout = 2 * time.Second
	// dialTimeout bounds an attempt to connect. maxRedial, and up to a fifth more, is the time
	// between two attempts. So a server that can be reached again is used within 1.5 s.
	dialTimeout = time.Second
	maxRedial   = 250 * time.Millisecond
	// maxReplyBatch bounds what a server may send at once, in bytes.
	maxReplyBatch = api.MaxReplyBytes
	// maxHeaderBytes bounds the headers of what a server answers.
	maxHeaderBytes = 16 << 10
	// windowBytes is how many bytes a server may send before they are read. It is fixed,
	// since gRPC sends a ping with almost each message to find out a good window itself.
	windowBytes = 4 << 20
	// readBytes is how much is read at once: what a server writes at once, or half of it.
	readBytes = 64 << 10
	// idleTimeout is how long gRPC tries to connect to a server of which nobody wants anything.
	idleTimeout = 2 * time.Second
)

// network is the Caller that talks gRPC: one connection and one stream per server.
type network struct {
	dial     func(ctx context.Context, address string) (net.Conn, error)
	security security
	login    *login          // nil: no user
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup
	calls    sync.Pool // of *call

	mu      sync.Mutex
	links   map[string]*link
	watches map[string]*watchLink
	cluster uint64 // of the first Hello that named one; 0 before
	closed  bool
	kept    []string // the servers that are asked; nil: not known yet

	streams atomic.Int64 // that are open
	opened  atomic.Int64 // so far
	deaf    wake.Signal  // a stream has ended, or could not be opened

	// onMembers is told who the members are. It is set before the first call.
	onMembers func(members []*api.Leader, revision uint64)

	reached atomic.Uint64 // the highest revision in any Hello or reply
}

func newNetwork(dial func(context.Context, string) (net.Conn, error), security security, login *login) *network {
	if dial == nil {
		dial = dialing.Dial
	}
	n := &network{dial: dial, security: security, login: login, links: make(map[string]*link), watches: make(map[string]*watchLink), deaf: wake.New()}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.calls.New = func() any { return newCall() }
	return n
}

// link returns the link to a server, which is made at first use.
func (n *network) link(address string) (*link, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if l := n.links[address]; l != nil {
		return l, nil
	}
	l := newLink(n)
	l.address = address
	l.handshake = newHandshake(n.security)
	// With passthrough the dialer looks names up, each time that it connects.
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := n.dial(ctx, address)
			if err != nil {
				l.handshake.note(nil, true)
				return nil, err
			}
			return l.watchdog.watch(conn), nil
		}),
		grpc.WithTransportCredentials(l.handshake),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReplyBatch), grpc.ForceCodecV2(api.Codec())),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxRedial},
			MinConnectTimeout: dialTimeout,
		}),
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithReadBufferSize(readBytes),
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithIdleTimeout(idleTimeout),
		grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	l.conn = conn
	n.links[address] = l
	n.running.Go(l.run)
	return l, nil
}

// admit notes the cluster of the first server, and refuses servers of other clusters: two
// clusters have no history in common. A server that is in no cluster yet names none. It
// executes nothing, and ends the stream when it is in one.
func (n *network) admit(h *api.Hello) error {
	if err := n.enroll(h); err != nil {
		return err
	}
	n.hear(h)
	return nil
}

// hear takes note of the members that a Hello names.
func (n *network) hear(h *api.Hello) {
	if len(h.GetMembers()) > 0 && n.onMembers != nil {
		n.onMembers(h.GetMembers(), h.GetRevision())
	}
}

// enroll is admit but for the members.
func (n *network) enroll(h *api.Hello) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cluster == 0 && h.GetClusterId() != 0 {
		n.cluster = h.GetClusterId()
	}
	if h.GetClusterId() == 0 {
		return nil
	}
	if err := n.sameCluster(h.GetName(), h.GetClusterId()); err != nil {
		return err
	}
	n.reach(h.GetRevision())
	return nil
}

// sameCluster refuses a server whose cluster is not that of the first Hello. Caller holds
// mu.
func (n *network) sameCluster(name string, cluster uint64) error {
	if n.cluster != 0 && cluster != n.cluster {
		return fmt.Errorf("%w: server %s is of cluster %016x, and this client began with cluster %016x", ErrOtherCluster, name, cluster, n.cluster)
	}
	return nil
}

// reach notes a revision that the store has reached.
func (n *network) reach(revision uint64) {
	for {
		known := n.reached.Load()
		if revision <= known || n.reached.CompareAndSwap(known, revision) {
			return
		}
	}
}

// OnMembers implements MemberCaller.
func (n *network) OnMembers(tell func(members []*api.Leader, revision uint64)) { n.onMembers = tell }

// Call implements Caller.
func (n *network) Call(ctx context.Context, address string, req *api.Request, timeout time.Duration) (Answer, error) {
	l, err := n.link(address)
	if err != nil {
		return Answer{}, notSent(err)
	}
	return l.call(ctx, req, timeout)
}

// Node implements Caller.
func (n *network) Node(address string) uint64 {
	n.mu.Lock()
	l := n.links[address]
	n.mu.Unlock()
	if l == nil {
		return 0
	}
	return l.node.Load()
}

// Close implements Caller.
func (n *network) Close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	n.running.Wait()
	return nil
}

func notSent(err error) error { return fmt.Errorf("%w: %w", ErrNotSent, err) }
