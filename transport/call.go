package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"balsa.example/internal/dialing"
	"balsa.example/raft"
)

// A call is one request and its answer, on a connection of its own. After the handshake come
//
//	node that calls                     node that is called
//	call (request) ────────────────────►
//	                                   ◄─ reply (answer), or failed (why)
//
// Who calls may be a stranger: a node that has no ID yet, because it wants to join. Its hello
// has neither an ID nor a node that it is for, and it is told only who answers.

// MaxCall bounds the request of a call, and its answer, in bytes.
const MaxCall = 64 << 10

const (
	// callTime bounds a call, whatever its context says.
	callTime = 30 * time.Second
	// maxServedCalls is how many calls of members are served at a time, and maxStrangers how many
	// of strangers, who so cannot take the place of members.
	maxServedCalls = 16
	maxStrangers   = 4
)

// Caller is who calls.
type Caller struct {
	// ID is the node that calls, which has been admitted as in every handshake. None: a stranger,
	// who has proved no more than TLS demands of whoever connects.
	ID raft.NodeID
	// TLS is the state of the connection; nil without TLS.
	TLS *tls.ConnectionState
	// Address is where the call came from.
	Address net.Addr
}

// Call asks node to, a peer, and returns its answer. The request has at most 64 KiB. The error is
// a *Refusal if the peer, or its Config.OnCall, has refused. After any other error than
// ErrUnknownPeer and ErrNotCalled nobody knows whether OnCall was called. A call takes at most 30 s.
func (t *Transport) Call(ctx context.Context, to raft.NodeID, request []byte) ([]byte, error) {
	p := t.peer(to)
	if p == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownPeer, to)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	stop := context.AfterFunc(p.ctx, cancel)
	defer stop()
	conn, f, err := p.dialCall(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: call %s: %w", ErrNotCalled, to, contextCause(ctx, err))
	}
	defer conn.Close()
	answer, err := exchange(ctx, conn, f, to, request)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", to, err)
	}
	return answer, nil
}

// dialCall connects to the peer, and does the handshake.
func (p *peer) dialCall(ctx context.Context) (net.Conn, *frameReader, error) {
	deadline := time.Now().Add(p.t.cfg.Limits.KeepaliveTimeout)
	raw, address, err := p.connect(ctx, deadline, forCall)
	if err != nil {
		return nil, nil, err
	}
	conn := raw
	if p.t.cfg.TLS != nil {
		conn = tls.Client(raw, clientTLS(p.t.cfg.TLS, address))
	}
	defer closeWith(ctx, conn)()
	conn.SetDeadline(deadline)
	f := newFrameReader(conn, helloMax)
	if err = p.t.dialTLS(conn, p.id); err == nil {
		_, err = p.t.dialHandshake(conn, f, p.id, forCall)
	}
	if err != nil {
		hangUp(conn)
		return nil, nil, err
	}
	return conn, f, nil
}

// Stranger calls nodes of a cluster of which it is no member.
type Stranger struct {
	// Name is what it is called in logs.
	Name string
	// TLS is as in Config.
	TLS *tls.Config
	// Authorize, if not nil, decides about the other end of a TLS connection, which was dialed at
	// address.
	Authorize func(address string, state tls.ConnectionState) error
	// Dial, if not nil, makes the connections in place of TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Call asks the node at address, host and port, as Transport.Call does.
func (s *Stranger) Call(ctx context.Context, address string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	dial := s.Dial
	if dial == nil {
		dial = dialing.Dial
	}
	raw, err := dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("%w: call %s: %w", ErrNotCalled, address, err)
	}
	conn := raw
	if s.TLS != nil {
		conn = tls.Client(raw, clientTLS(s.TLS, address))
	}
	defer conn.Close()
	defer closeWith(ctx, conn)()
	f := newFrameReader(conn, helloMax)
	by, err := s.greet(conn, f, address)
	if err != nil {
		return nil, fmt.Errorf("%w: call %s: %w", ErrNotCalled, address, contextCause(ctx, err))
	}
	answer, err := exchange(ctx, conn, f, by, request)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", address, err)
	}
	return answer, nil
}

// greet does the handshake, and returns who is at the other end.
func (s *Stranger) greet(conn net.Conn, f *frameReader, address string) (raft.NodeID, error) {
	conn.SetDeadline(time.Now().Add(Limits{}.withDefaults().HandshakeTimeout))
	if c, ok := conn.(*tls.Conn); ok {
		if err := c.Handshake(); err != nil {
			return raft.None, explainPlain(err)
		}
		if s.Authorize != nil {
			if err := s.Authorize(address, c.ConnectionState()); err != nil {
				return raft.None, err
			}
		}
	}
	h := hello{purpose: forCall, from: identity{name: []byte(s.Name), process: newProcessID()}}
	b := appendLayout(appendPreamble(nil), frameHello, func(c *coder) { c.hello(&h) })
	if _, err := conn.Write(b); err != nil {
		return raft.None, fmt.Errorf("write hello: %w", err)
	}
	if err := readPreamble(f); err != nil {
		return raft.None, err
	}
	var w welcome
	if err := readFrame(f, frameWelcome, func(c *coder) { c.welcome(&w) }); err != nil {
		return raft.None, fmt.Errorf("read welcome: %w", err)
	}
	if err := w.verdict.err(max(w.from.id, 1)); err != nil {
		return w.from.id, err
	}
	_, err := conn.Write(appendLayout(nil, frameConfirm, func(c *coder) { c.verdict(&verdict{}) }))
	return w.from.id, err
}

// exchange sends the request, and returns the answer of node by.
func exchange(ctx context.Context, conn net.Conn, f *frameReader, by raft.NodeID, request []byte) (answer []byte, err error) {
	defer closeWith(ctx, conn)()
	defer func() { err = contextCause(ctx, err) }()
	if len(request) > MaxCall {
		return nil, fmt.Errorf("transport: a request of %d bytes, at most %d are allowed", len(request), MaxCall)
	}
	conn.SetDeadline(time.Now().Add(callTime))
	f.maxPayload = MaxCall
	if _, err := conn.Write(appendFrame(nil, frameCall, request)); err != nil {
		return nil, fmt.Errorf("write call: %w", err)
	}
	kind, payload, err := f.read()
	switch {
	case err == io.EOF:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	case kind == frameFailed:
		return nil, decodeFailed(payload, max(by, 1))
	case kind != frameReply:
		return nil, fmt.Errorf("%w: frame of kind %d in answer to a call", ErrCorrupt, kind)
	}
	return append([]byte(nil), payload...), nil
}

// contextCause replaces an error that only follows from the end of ctx by that.
func contextCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// checkStranger decides about the hello of a node that has no ID.
func (t *Transport) checkStranger() error {
	if t.cfg.OnCall == nil {
		return fmt.Errorf("%w: %s takes no calls", errMismatch, t.self)
	}
	return nil
}

// callerOn is who is at the other end of conn, as far as is known.
func callerOn(conn net.Conn, id raft.NodeID) Caller {
	c := Caller{ID: id, Address: conn.RemoteAddr()}
	if conn, ok := conn.(*tls.Conn); ok {
		state := conn.ConnectionState()
		c.TLS = &state
	}
	return c
}

// readCall reads a request.
func readCall(f *frameReader) ([]byte, error) {
	f.maxPayload = MaxCall
	kind, payload, err := f.read()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read call: %w", err)
	case kind != frameCall:
		return nil, fmt.Errorf("%w: frame of kind %d where a call was expected", ErrCorrupt, kind)
	}
	return append([]byte(nil), payload...), nil
}

// serveCall answers the call of node from, None for a stranger.
func (t *Transport) serveCall(conn net.Conn, f *frameReader, from raft.NodeID, request []byte) {
	conn.SetDeadline(time.Now().Add(callTime))
	ctx, cancel := context.WithTimeout(t.ctx, callTime)
	defer cancel()
	// Who calls sends nothing more, and hangs up when it has the answer, or does not want it any
	// more.
	ended := make(chan struct{})
	t.work.Go(func() {
		defer close(ended)
		f.r.Peek(1)
		cancel()
	})
	answer, err := t.answer(ctx, conn, from, request)
	b := appendFrame(nil, frameReply, answer)
	if err != nil {
		b = appendFailed(nil, err)
	}
	if _, err := conn.Write(b); err != nil {
		return
	}
	if c, ok := conn.(writeCloser); ok {
		c.CloseWrite()
	}
	conn.SetDeadline(time.Now().Add(lingerMax))
	<-ended
}

// answer calls OnCall, within the bounds.
func (t *Transport) answer(ctx context.Context, conn net.Conn, from raft.NodeID, request []byte) ([]byte, error) {
	places := t.serving
	if from == raft.None {
		places = t.strangers
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	default:
		return nil, &Refusal{Code: CodeBusy, Reason: fmt.Sprintf("%d calls are served already", cap(places))}
	}
	if t.cfg.OnCall == nil {
		return nil, fmt.Errorf("%w: %s takes no calls", errMismatch, t.self)
	}
	answer, err := t.cfg.OnCall(ctx, callerOn(conn, from), request)
	if err == nil && len(answer) > MaxCall {
		return nil, fmt.Errorf("transport: an answer of %d bytes, at most %d are allowed", len(answer), MaxCall)
	}
	return answer, err
}
