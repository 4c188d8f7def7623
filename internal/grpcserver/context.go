package grpcserver

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// callContext is the context of a stream. What it costs is paid by those who ask for it: its channel is
// made when Done is called first.
type callContext struct {
	context.Context // has the values: the client, and its metadata
	stream          *stream

	mu       sync.Mutex
	done     chan struct{} // nil until somebody asks
	err      error         // nil until it ends
	deadline time.Time     // zero: none
	after    map[*func()]struct{}
}

// closedChan is closed.
var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Value implements context.Context.
func (c *callContext) Value(key any) any {
	switch key {
	case transportKey:
		return transportStream{c.stream}
	case streamKey{}:
		return c.stream
	}
	return c.Context.Value(key)
}

// RequestBytes is how many bytes the request of a unary call was, decompressed. ctx is that of its handler.
func RequestBytes(ctx context.Context) int {
	st, ok := ctx.Value(streamKey{}).(*stream)
	if !ok {
		return 0
	}
	return st.requestBytes
}

// Break ends a stream for its handler, as if the client had canceled it, but what the handler returns is sent. ctx is
// that of the stream. It receives err.
func Break(ctx context.Context, err error) {
	if st, ok := ctx.Value(streamKey{}).(*stream); ok {
		st.breakOff(err, context.Canceled)
	}
}

type streamKey struct{}

// transportKey is the key by which package grpc asks a context for its grpc.ServerTransportStream, as
// grpc.SetHeader and the like do. The package keeps it to itself, and would have a further context made for
// each call.
var transportKey = func() any {
	var asked asks
	grpc.ServerTransportStreamFromContext(&asked)
	return asked.key
}()

// asks is a context that remembers what it was asked for.
type asks struct {
	context.Context
	key any
}

// Value implements context.Context.
func (a *asks) Value(key any) any {
	a.key = key
	return nil
}

// transportStream is a grpc.ServerTransportStream.
type transportStream struct{ *stream }

// Method implements grpc.ServerTransportStream.
func (t transportStream) Method() string { return t.request.method.name }

// SetTrailer implements grpc.ServerTransportStream.
func (t transportStream) SetTrailer(md metadata.MD) error {
	t.stream.SetTrailer(md)
	return nil
}

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		if c.err != nil {
			c.done = closedChan
		} else {
			c.done = make(chan struct{})
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc is what package context looks for, so that contexts that are made of this one need no
// goroutine.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	key := &f
	c.after[key] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waits := c.after[key]
		delete(c.after, key)
		return waits
	}
}

// end ends the context, unless it has ended.
func (c *callContext) end(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for f := range after {
		go (*f)()
	}
}
