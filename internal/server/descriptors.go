package server

import "fmt"

// What a server needs of the descriptors that its process may have, besides connections
// that others open to it.
const (
	// ownDescriptors are for the runtime, the log and its directory, a snapshot that is
	// written and one that is read, certificates, and the output.
	ownDescriptors = 28
	// peerDescriptors are for each other member: a connection for messages and one for a
	// snapshot in each direction, one more that replaces one, a snapshot's file, and the
	// resolver.
	peerDescriptors = 7
	// minConnections is the least that is left for connections of each kind.
	minConnections = 4
	// maxMetrics bounds the connections to the addresses for metrics.
	maxMetrics = 32
)

// descriptors says how many connections of each kind a server may have.
type descriptors struct {
	clients    int // to the addresses for clients
	handshakes int // of peers that have not identified themselves; see transport.Limits
	metrics    int // to the addresses for metrics
}

// shareDescriptors divides the descriptors of which a process may have limit. What the
// server itself needs is kept back.
func (c Config) shareDescriptors(limit int) (descriptors, error) {
	own := ownDescriptors + peerDescriptors*(len(c.Cluster.Members)-1) + len(c.ListenClient) + 1 + len(c.ListenMetrics)
	left := limit - own
	d := descriptors{handshakes: min(max(left/4, minConnections), 64)}
	left -= d.handshakes
	if len(c.ListenMetrics) > 0 {
		d.metrics = min(max(left/8, minConnections), maxMetrics)
		left -= d.metrics
	}
	if left < minConnections {
		return d, fmt.Errorf("%w: this server may have %d open files (RLIMIT_NOFILE, ulimit -n); it needs at least %d",
			ErrConfig, limit, limit-left+minConnections)
	}
	d.clients = min(left, c.Clients.WithDefaults().Connections)
	return d, nil
}
