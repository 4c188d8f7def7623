package transport

import (
	"time"

	"balsa.example/raft"
)

// RoundTrip is how long packets to a peer take there and back, as TCP measures it on the connection
// for messages. It is false where that is not known.
func (t *Transport) RoundTrip(id raft.NodeID) (time.Duration, bool) {
	p := t.peer(id)
	if p == nil {
		return 0, false
	}
	p.mu.Lock()
	out := p.out
	p.mu.Unlock()
	if out == nil || out.monitor == nil {
		return 0, false
	}
	return roundTrip(out.monitor.Conn)
}
