package memnet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"balsa.example/raft"
)

// Receiver is what an Endpoint delivers to: an rsm.Receiver.
type Receiver interface {
	Receive(m raft.Message)
	ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error
}

// Endpoint is the network card of one server, and an rsm.Transport. A server that
// restarts takes a new one for the same id, so that what is left of its earlier
// life cannot speak for the new one.
type Endpoint struct {
	net *Network
	id  raft.NodeID

	mu   sync.Mutex
	life *life // nil while stopped
}

// life is the time of an Endpoint between Start and Stop.
type life struct {
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

// Start lets r receive what arrives from now on, messages sent before included. It
// panics if a server of this id runs already.
func (e *Endpoint) Start(r Receiver) {
	l := &life{id: e.id, receiver: r}
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
	e.life = l
	e.mu.Unlock()
}

// Stop takes the server off the network, as a crash does: messages to it vanish,
// calls to it fail, snapshots in both directions break off. When Stop returns, the
// receiver is not being called and will not be. The handlers of calls are told by
// their contexts, but not waited for.
func (e *Endpoint) Stop() {
	e.mu.Lock()
	l := e.life
	e.life = nil
	e.mu.Unlock()
	if l != nil {
		e.net.stop(l)
	}
}

func (n *Network) stop(l *life) {
	n.mu.Lock()
	if n.up[l.id] == l {
		delete(n.up, l.id)
		n.notify()
	}
	n.mu.Unlock()
	l.cancel()
	l.deliveries.Wait()
}

func (e *Endpoint) current() *life {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.life
}

// Send implements rsm.Transport. Messages of a stopped endpoint vanish.
func (e *Endpoint) Send(ms []raft.Message) {
	if l := e.current(); l != nil {
		e.net.send(l, ms)
	}
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
	err = e.net.exchange(ctx, nodeHop(e.id, m.To), func(ctx context.Context, to *life) {
		refusal = to.receiver.ReceiveSnapshot(m, &stream{ctx: ctx, data: bytes.NewReader(image)})
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
