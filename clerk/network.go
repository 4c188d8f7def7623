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
)

const (
	// connectTimeout bounds how long a server may take to say Hello.
	connectTimeout = 2 * time.Second
	// dialTimeout bounds an attempt to connect, and maxRedial the time between two (gRPC
	// adds up to a fifth): a server that is back is used again within 1.5 s.
	dialTimeout = time.Second
	maxRedial   = 250 * time.Millisecond
	// maxReplyBatch bounds what a server may send at once, in bytes.
	maxReplyBatch = 4 << 20
	// maxHeaderBytes bounds the headers of what a server answers.
	maxHeaderBytes = 16 << 10
	// windowBytes is how much a server may send before it is read here. It is fixed, since
	// gRPC sends a ping with almost each message where it has to find out.
	windowBytes = 4 << 20
)

// network is the Caller that talks gRPC: one connection and one stream per server.
type network struct {
	dial     func(ctx context.Context, address string) (net.Conn, error)
	security security
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup
	calls    sync.Pool // of *call

	mu      sync.Mutex
	links   map[string]*link
	cluster uint64 // of the first Hello that named one; 0 before
	closed  bool

	reached atomic.Uint64 // the newest revision that a Hello or a reply told
}

func newNetwork(dial func(context.Context, string) (net.Conn, error), security security) *network {
	if dial == nil {
		dial = dialing.Dial
	}
	n := &network{dial: dial, security: security, links: make(map[string]*link)}
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
	l.hands = newHandshake(n.security)
	// passthrough leaves names to the dialer, which resolves them anew each time.
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			l.hands.note(nil)
			conn, err := n.dial(ctx, address)
			if err != nil {
				return nil, err
			}
			return l.watch.over(conn), nil
		}),
		grpc.WithTransportCredentials(l.hands),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReplyBatch), grpc.ForceCodecV2(api.Codec())),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxRedial},
			MinConnectTimeout: dialTimeout,
		}),
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithStaticStreamWindowSize(windowBytes),
		grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	l.conn = conn
	n.links[address] = l
	n.running.Go(func() { l.run(n.ctx) })
	return l, nil
}

// admit takes note of a server's cluster, and refuses one that is not the cluster
// met first: two clusters have no history in common. A server whose cluster has not begun
// names none; it executes nothing, and ends the stream when it has one.
func (n *network) admit(h *api.Hello) error {
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

// sameCluster refuses a server of another cluster than that of the first Hello. Caller
// holds mu.
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
