package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/metrics"
)

// stream answers a method that is a stream. An error that it returns has been sent.
func (g *Gateway) stream(ctx context.Context, w http.ResponseWriter, r *http.Request, f *etcd.Face, m etcd.Method, call *metrics.Call) error {
	control := http.NewResponseController(w)
	// Without it HTTP/1 would read all requests before it sends the first response. HTTP/2 has no
	// need of it.
	_ = control.EnableFullDuplex()
	s := &stream{ctx: ctx, in: g.newReader(r), one: !m.ClientStreams, w: w, control: control, call: call}
	cl, done := g.cfg.Client(ctx)
	defer done()
	c := g.callerOf(r)
	c.Bounds = cl
	err := late(ctx, m.Serve(f, c, s))
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) { // else nobody hears it
		s.fail(err)
	}
	return err
}

// stream is an etcd.Stream of lines of JSON.
type stream struct {
	ctx     context.Context
	in      *reader
	one     bool // the client sends one request
	ended   bool // it sends no more
	w       http.ResponseWriter
	control *http.ResponseController
	call    *metrics.Call
	began   bool // a response was sent
}

// Context implements etcd.Stream.
func (s *stream) Context() context.Context { return s.ctx }

// Stopping implements etcd.Stream.
func (s *stream) Stopping() <-chan struct{} { return s.ctx.Done() }

// Receive implements etcd.Stream.
func (s *stream) Receive(m proto.Message) error {
	if s.ended {
		return io.EOF
	}
	s.ended = s.one
	err := s.in.read(m)
	if err == io.EOF && s.one { // an empty request is one of zeros
		err = nil
	}
	if s.one {
		s.in.discard()
	}
	if err == nil {
		s.call.Received()
	}
	return err
}

// Send implements etcd.Stream.
func (s *stream) Send(m proto.Message) error {
	data, err := marshal.Marshal(m)
	if err != nil {
		return err
	}
	if !s.began {
		s.began = true
		s.w.Header().Set("Content-Type", "application/json")
		s.w.Header().Set("Grpc-Metadata-Content-Type", "application/grpc")
	}
	if err := s.line(`{"result":`, data); err != nil {
		return err
	}
	s.call.Sent()
	return nil
}

// line sends one line.
func (s *stream) line(begin string, data []byte) error {
	var line bytes.Buffer
	line.Grow(len(begin) + len(data) + 2)
	line.WriteString(begin)
	if err := json.Compact(&line, data); err != nil { // etcd's have no spaces
		return err
	}
	line.WriteString("}\n")
	if _, err := s.w.Write(line.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}

// fail tells the client why the stream ends.
func (s *stream) fail(err error) {
	known, status := statusOf(err)
	if !s.began {
		s.w.Header().Set("Content-Type", "application/json")
		s.w.WriteHeader(status)
	}
	_ = s.line(`{"error":`, known)
}
