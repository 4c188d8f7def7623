package grpcserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"balsa.example/internal/wake"
)

// stream is one call. It is the grpc.ServerStream of its handler.
type stream struct {
	ctx     callContext
	conn    *conn
	id      uint32
	request *request
	in      inbox
	out     outbox
	place   place
	large   large
	timer   *time.Timer // nil: the call has no deadline; guarded by conn.mu
	waits   atomic.Bool // for the request of a unary method; whoever unsets it ends the stream, or calls

	received     int64 // bytes of data; of the reader alone
	requestBytes int   // see RequestBytes; of the handler alone

	arrival arrival

	headers, trailers metadata.MD // which the handler has set
}

func newStream(c *conn, id uint32, r *request) *stream {
	st := &stream{conn: c, id: id, request: r}
	st.ctx.Context, st.ctx.stream = r.values, st
	st.in.window = c.server.cfg.StreamWindow
	if r.method != nil {
		st.in.most = r.method.maxMessage
	}
	if !st.isUnary() {
		st.in.came, st.out.room = wake.New(), wake.New()
	} else {
		st.in.hungry = true
	}
	return st
}

// expireAfter ends the stream's context after a time.
func (st *stream) expireAfter(d time.Duration) {
	st.ctx.deadline = time.Now().Add(d)
	if d <= 0 {
		st.expire()
		return
	}
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	if !st.out.gone {
		st.timer = time.AfterFunc(d, st.expire)
	}
}

func (st *stream) expire() {
	st.breakOff(errDeadline, context.DeadlineExceeded)
	if st.waits.CompareAndSwap(true, false) { // no handler answers
		st.finish(nil, trailers{status: status.Convert(errDeadline)})
	}
}

var (
	errCanceled = status.Error(codes.Canceled, context.Canceled.Error())
	errDeadline = status.Error(codes.DeadlineExceeded, context.DeadlineExceeded.Error())
)

// isUnary tells whether it is a call of a unary method, or of none.
func (st *stream) isUnary() bool { return st.request.method == nil || st.request.method.stream == nil }

// settle ends what a stream has besides the answer: what has come, its deadline, its context. conn.mu is held.
func (st *stream) settle(err, cause error) {
	st.waits.Store(false)
	if st.timer != nil {
		st.timer.Stop()
	}
	st.breakOff(err, cause)
}

// breakOff lets the handler neither receive nor send any more. What it returns is the answer still.
func (st *stream) breakOff(err, cause error) {
	st.in.close(err)
	st.ctx.end(cause)
	st.out.room.Set()
}

// Context implements grpc.ServerStream.
func (st *stream) Context() context.Context { return &st.ctx }

// SetHeader implements grpc.ServerStream.
func (st *stream) SetHeader(md metadata.MD) error {
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	if st.out.begun || st.out.flush || st.out.size > 0 {
		return errors.New("the headers were sent")
	}
	all := metadata.Join(st.headers, md)
	block, err := encodeMetadata(all)
	if err != nil {
		return err
	}
	st.headers, st.out.headers = all, block
	return nil
}

// SendHeader implements grpc.ServerStream.
func (st *stream) SendHeader(md metadata.MD) error {
	if err := st.SetHeader(md); err != nil {
		return err
	}
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	st.out.flush = true
	st.conn.schedule(st)
	return nil
}

// SetTrailer implements grpc.ServerStream. Trailers that cannot be sent fail the call.
func (st *stream) SetTrailer(md metadata.MD) {
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	st.trailers = metadata.Join(st.trailers, md)
}

// maxMetadata bounds what a handler may set as headers, and as trailers, in bytes: headers of a response
// are one frame.
const maxMetadata = 8 << 10

var errLargeMetadata = status.Errorf(codes.Internal, "metadata of a response has more than %d bytes", maxMetadata)

// RecvMsg implements grpc.ServerStream. The one message of a method to which clients stream none is there when
// the end has come behind it.
func (st *stream) RecvMsg(m any) error {
	received, err := st.await(st.in.take)
	one := !st.request.method.stream.ClientStreams
	switch {
	case errors.Is(err, io.EOF) && one:
		return errNoMessage
	case err != nil:
		return err
	}
	if _, err = st.decode(received, m); err != nil || !one {
		return err
	}
	_, err = st.await(st.in.end)
	return err
}

// What a client is told that sends another number of messages than the one that there has to be, in the words of grpc-go.
var (
	errNoMessage    = status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC")
	errMoreMessages = status.Error(codes.Internal, "cardinality violation: received multiple request messages for non-client-streaming RPC")
)

// await waits for what the inbox is asked for: its next message, or its end.
func (st *stream) await(ask func(cfg *Config, encoding string) (message, bool, error)) (message, error) {
	in, cfg := &st.in, &st.conn.server.cfg
	for {
		in.mu.Lock()
		m, ok, err := ask(cfg, st.request.encoding)
		d := in.due(cfg)
		in.mu.Unlock()
		st.conn.carryOut(st, d)
		if ok || err != nil {
			return m, err
		}
		<-in.came.C()
	}
}

// decode decodes a message, and returns how many bytes it was.
func (st *stream) decode(received message, m any) (size int, err error) {
	s, data := st.conn.server, received.data
	switch {
	case received.compressed:
		s.decompressing <- struct{}{}
		defer func() { <-s.decompressing }()
		if data, err = decompress(data, st.in.most); err != nil {
			return 0, err
		}
	case !received.own: // nobody is to keep what is not its own in memory
		data = bytes.Clone(data)
	}
	if err := s.cfg.Codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m); err != nil {
		return 0, status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
	}
	return len(data), nil
}

// decodeRequest decodes the one message of a unary call.
func (st *stream) decodeRequest(m any) error {
	st.in.mu.Lock()
	received, ok, err := st.in.take(&st.conn.server.cfg, st.request.encoding)
	var wrong error
	if ok {
		_, _, wrong = st.in.end(nil, st.request.encoding)
	}
	d := st.in.due(&st.conn.server.cfg)
	st.in.mu.Unlock()
	st.conn.carryOut(st, d)
	switch {
	case errors.Is(err, io.EOF) || err == nil && !ok:
		return errNoMessage
	case err != nil:
		return err
	}
	if st.requestBytes, err = st.decode(received, m); err != nil {
		return err
	}
	return wrong
}

// SendMsg implements grpc.ServerStream. It returns when the writer has taken all but sendQuota bytes. So a handler that
// counts what it sends until then leaves little that nobody counts, however slow its client is.
func (st *stream) SendMsg(m any) error {
	data, err := st.encode(m)
	if err != nil {
		return err
	}
	large := data.Len() >= sendQuota
	if err := st.awaitRoom(func() bool { return st.send(data) }); err != nil {
		data.Free()
		return err
	}
	if !large {
		return nil
	}
	return st.awaitRoom(st.hasRoom)
}

// awaitRoom waits until there is room, or the stream is over.
func (st *stream) awaitRoom(is func() bool) error {
	for {
		if err := st.ctx.Err(); err != nil {
			return status.FromContextError(err).Err()
		}
		if is() {
			return nil
		}
		<-st.out.room.C()
	}
}

// hasRoom tells whether the writer has taken all but sendQuota bytes.
func (st *stream) hasRoom() bool {
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	return st.out.size < sendQuota
}

// send hands a message to the writer, unless others wait there.
func (st *stream) send(data mem.BufferSlice) bool {
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	if st.out.size >= sendQuota {
		return false
	}
	if st.out.gone {
		data.Free()
		return true // whose context ends at once
	}
	st.out.add(data)
	st.conn.schedule(st)
	return true
}

// maxMessage is the largest message that has a length.
const maxMessage = 1<<32 - 1

func (st *stream) encode(m any) (mem.BufferSlice, error) {
	data, err := st.conn.server.cfg.Codec.Marshal(m)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "grpc: error while marshaling: %v", err)
	}
	if size := int64(data.Len()); size > maxMessage {
		data.Free()
		return nil, status.Error(codes.ResourceExhausted, fmt.Sprintf("grpc: message too large (%d bytes)", size))
	}
	if data == nil {
		data = mem.BufferSlice{} // an empty message is one, too
	}
	return data, nil
}

// finish ends the stream, with a last message unless that is nil.
func (st *stream) finish(data mem.BufferSlice, t trailers) {
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	o := &st.out
	if o.gone {
		data.Free()
		return
	}
	if data != nil {
		o.add(data)
	}
	o.trailers, o.ending = t, true
	st.settle(errCanceled, context.Canceled)
	st.conn.schedule(st)
}
