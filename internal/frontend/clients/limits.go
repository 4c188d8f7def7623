package clients

import (
	"cmp"
	"fmt"
	"time"

	"balsa.example/kv/watch"
)

// Limits bounds what clients may take up of a server. A zero field stands for its
// default. A client is one connection. When room gets scarce, the clients of one source
// address (package fair) share it with those of the others.
type Limits struct {
	// Connections to the client port, and streams of one connection. 4096 (less where the
	// process may have few descriptors) and 8192. See streamsOf for those of all connections.
	Connections, Streams int
	// MessageBytes bounds one message from a client: a largest request, and room for others in its
	// batch. 4 MiB.
	MessageBytes int
	// Requests in progress, and the bytes for which they and their replies count.
	// 131,072, and 256 MiB or 16 messages if that is more.
	Requests, RequestBytes int64
	// Watchers of all streams. 262,144; of one connection 16,384.
	Watchers int64
	// UnfinishedBytes bounds all messages of which a part has come, but not all. 16 messages: 64 MiB.
	UnfinishedBytes int64
	// Stall is how long a client may leave replies unread, or a message unfinished, before
	// it loses its connection. 30 s.
	Stall time.Duration
}

// WithDefaults fills in what was left out.
func (l Limits) WithDefaults() Limits {
	message := cmp.Or(l.MessageBytes, DefaultMessageBytes)
	return Limits{
		Connections:     cmp.Or(l.Connections, 4096),
		Streams:         cmp.Or(l.Streams, 8192),
		MessageBytes:    message,
		Requests:        cmp.Or(l.Requests, 128<<10),
		RequestBytes:    cmp.Or(l.RequestBytes, max(256<<20, 16*int64(message))),
		Watchers:        cmp.Or(l.Watchers, int64(watch.DefaultLimits.Watchers)),
		UnfinishedBytes: cmp.Or(l.UnfinishedBytes, 16*int64(message)),
		Stall:           cmp.Or(l.Stall, 30*time.Second),
	}
}

// Check refuses bounds with which no client could be served.
func (l Limits) Check() error {
	switch {
	case l.Connections < 1:
		return fmt.Errorf("there must be room for 1 client connection, not %d", l.Connections)
	case l.Streams < 1 || l.Streams > maxStreams:
		return fmt.Errorf("a client connection may have 1 to %d streams, not %d", maxStreams, l.Streams)
	case l.Requests < 1:
		return fmt.Errorf("there must be room for 1 request in progress, not %d", l.Requests)
	case l.MessageBytes < DefaultMessageBytes:
		return fmt.Errorf("a message from a client may have at least %d bytes, not %d", DefaultMessageBytes, l.MessageBytes)
	case l.RequestBytes < 2*int64(l.MessageBytes):
		return fmt.Errorf("requests in progress need at least %d bytes, not %d", 2*l.MessageBytes, l.RequestBytes)
	case l.Watchers < 1:
		return fmt.Errorf("there must be room for 1 watcher, not %d", l.Watchers)
	case l.UnfinishedBytes < 2*int64(l.MessageBytes):
		return fmt.Errorf("unfinished messages need at least %d bytes, not %d", 2*l.MessageBytes, l.UnfinishedBytes)
	case l.Stall < clientCheck:
		return fmt.Errorf("a client may stall for at least %s, not %s", clientCheck, l.Stall)
	}
	return nil
}

// clientBytes bounds what one client has in progress: eight messages, so that it may have a few of the largest.
func (l Limits) clientBytes() int64 { return max(MaxClientBytes, 8*int64(l.MessageBytes)) }

// streamsOf bounds the streams of all connections: unary calls in progress eight times as many as
// connections, or as those of one connection where that is more; streams that may bring or send
// more than one message twice as many as connections.
func streamsOf(l Limits) Bound {
	return Bound{int64(max(8*l.Connections, l.Streams)), int64(2*l.Connections) * StreamWindow}
}

const (
	// maxStreams is the most that a connection may be allowed to have.
	maxStreams = 1 << 16
	// DefaultMessageBytes is the default of Limits.MessageBytes, and the least.
	DefaultMessageBytes = 4 << 20
	// MaxClientRequests and MaxClientBytes bound what one client has in progress. Where larger messages than
	// the default are allowed, see clientBytes.
	MaxClientRequests = 16 << 10
	MaxClientBytes    = 32 << 20
	// quietClient is how long a connection must have sent no request before it is closed in
	// favour of a new one from the same address.
	quietClient = 5 * time.Second
	// clientCheck is how often the server looks for clients that have stalled.
	clientCheck = time.Second
)
