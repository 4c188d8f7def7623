package dialing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// lookupTimeout bounds a look-up. A resolver waits 5 s for each name server that is
	// down, twice, and asks three at most.
	lookupTimeout = 30 * time.Second
	// lookupKept is how long a result is kept if its look-up was too slow for an attempt to
	// connect: the next attempt uses it, and has time left to connect.
	lookupKept = time.Second
)

// names looks up hosts. A look-up goes on when the attempt to connect that began it has ended,
// and the next attempt waits for the same look-up. Otherwise, if the first of two name servers
// is down, each attempt would end before the second one is asked.
type names struct {
	lookup func(ctx context.Context, host string) ([]string, error)

	mu      sync.Mutex
	present map[string]*lookup // by host: look-ups under way, and those kept
}

// lookup is one look-up of a host.
type lookup struct {
	done  chan struct{} // closed when the fields below are set
	hosts []string
	err   error
	slow  bool // an attempt ended before it; guarded by names.mu
}

var resolver = &names{lookup: net.DefaultResolver.LookupHost, present: make(map[string]*lookup)}

// of returns the addresses of a host.
func (n *names) of(ctx context.Context, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	l := n.begin(host)
	select {
	case <-l.done:
		return l.hosts, l.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			n.mu.Lock()
			l.slow = true
			n.mu.Unlock()
		}
		return nil, fmt.Errorf("lookup %s: no answer from the name server yet: %w", host, ctx.Err())
	}
}

// begin begins a look-up of a host, unless there is one.
func (n *names) begin(host string) *lookup {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.present[host]
	if l == nil {
		l = &lookup{done: make(chan struct{})}
		n.present[host] = l
		go n.run(host, l)
	}
	return l
}

func (n *names) run(host string, l *lookup) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	l.hosts, l.err = n.lookup(ctx, host)
	close(l.done)
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.slow && l.err == nil {
		time.AfterFunc(lookupKept, func() { n.forget(host) })
	} else {
		delete(n.present, host)
	}
}

func (n *names) forget(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.present, host)
}
