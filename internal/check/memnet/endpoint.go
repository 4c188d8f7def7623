package memnet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"balsa.example/raft"
)

// Receiver receives what an Endpoint delivers. It is an rsm.Receiver.
type Receiver interface {
	Receive(m raft.Message)
	ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error
}

// Endpoint connects one server to the network. It is an rsm.Transport. A server that restarts
// takes a new Endpoint for the same id, so that messages of the earlier process are not sent
// for the new one.
type Endpoint struct {
	net *Network
	id  raft.NodeID

	mu      sync.Mutex
	session *session // nil while stopped
}

// session is an Endpoint between Start and Stop.
type session struct {
	id         raft.NodeID
	receiver   Receiver
	ctx        context.Context
	cancel     context.CancelFunc
	deliveries sync.WaitGroup // calls of receiver in progress; only added to while up
}

// Node returns a new, stopped endpoint for the server id.
func (n *Network) Node(id raft.NodeID) *Endpoint {
	return &Endpoint{net: n, id: id}
}

// Start lets r receive what arrives from now on, also messages that were sent before. It
// panics if a server with this id runs already.
func (e *Endpoint) Start(r Receiver) {
	l := &session{id: e.id, receiver: r}
	l.ctx, l.cancel = context.WithCancel(context.Background())

	e.net.mu.Lock()
	other := e.net.up[e.id]
	if other == nil && !e.net.closed {
		e.net.up[e.id] = l
		e.net.notify()
	}
	e.net.mu.Unlock()
	if other != nil {
		l.cancel()
		panic(fmt.Sprintf("memnet: two servers called %s", e.id))
	}

	e.mu.Lock()
	e.session = l
	e.mu.Unlock()
}

// Stop takes the server off the network, as a crash does: messages to it are lost, calls to
// it fail, snapshots in both directions break off. When Stop returns, the receiver is not
// called any more. The contexts of handlers of calls end, but Stop does not wait for these
// handlers.
func (e *Endpoint) Stop() {
	e.mu.Lock()
	l := e.session
	e.session = nil
	e.mu.Unlock()
	if l != nil {
		e.net.stop(l)
	}
}

func (n *Network) stop(l *session) {
	n.mu.Lock()
	if n.up[l.id] == l {
		delete(n.up, l.id)
		n.notify()
	}
	n.mu.Unlock()
	l.cancel()
	l.deliveries.Wait()
}

func (e *Endpoint) current() *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.session
}

// Send implements rsm.Transport. Messages of a stopped endpoint are lost.
func (e *Endpoint) Send(ms []raft.Message) {
	if l := e.current(); l != nil {
		e.net.send(l, ms)
	}
}

// resuming is rsm.ResumingReceiver.
type resuming interface {
	SnapshotOffset(m *raft.InstallSnapshot) int64
}

// SendSnapshot implements rsm.Transport. It reads all of data before anything is
// sent; one round trip later the receiver has it.
func (e *Endpoint) SendSnapshot(ctx context.Context, m *raft.InstallSnapshot, data io.Reader) error {
	from := e.current()
	if from == nil {
		return ErrUnreachable
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // breaks the stream off at the receiver
	defer context.AfterFunc(from.ctx, cancel)()

	image, err := io.ReadAll(data)
	if err != nil {
		return fmt.Errorf("read snapshot to send: %w", err)
	}
	e.net.mu.Lock()
	e.net.counts.Messages++
	e.net.counts.Requests++
	e.net.counts.Bytes += uint64(len(image))
	e.net.mu.Unlock()

	var refusal error
	err = e.net.exchange(ctx, nodeHop(e.id, m.To), func(ctx context.Context, to *session) {
		m := *m
		if r, ok := to.receiver.(resuming); ok && m.Stream != 0 {
			m.Offset = min(uint64(r.SnapshotOffset(&m)), uint64(len(image)))
		}
		refusal = to.receiver.ReceiveSnapshot(&m, &stream{ctx: ctx, data: bytes.NewReader(image[m.Offset:])})
	})
	if err != nil {
		return err
	}
	if refusal != nil {
		return fmt.Errorf("%s refused the snapshot: %v", m.To, refusal) // %v: only text travels
	}
	return nil
}

// stream is the receiver's end of a snapshot: cut short when its context ends.
type stream struct {
	ctx  context.Context
	data io.Reader
}

func (s *stream) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, io.ErrUnexpectedEOF
	}
	return s.data.Read(p)
}
