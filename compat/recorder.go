package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// recorder is a proxy between clients and servers that writes down every call.
type recorder struct {
	mu      sync.Mutex
	calls   []*call
	servers []*grpc.Server
	conns   []*grpc.ClientConn
}

// call is one call: what the client has sent, what the server has sent, and how it ended.
type call struct {
	method    string
	desc      protoreflect.MethodDescriptor
	requests  []proto.Message
	responses []proto.Message
	err       error // nil while it goes on, too
}

func newRecorder() *recorder { return &recorder{} }

// raw is a codec that leaves messages as they are.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) ([]byte, error) {
	return *v.(*[]byte), nil
}
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

// serve starts a proxy before a server, and returns its endpoint and its connection to the server.
func (r *recorder) serve(endpoint string) (proxy string, conn *grpc.ClientConn, err error) {
	conn, err = grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		conn.Close()
		return "", nil, err
	}
	s := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.MaxRecvMsgSize(1<<30),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return r.proxy(conn, stream) }))
	r.servers, r.conns = append(r.servers, s), append(r.conns, conn)
	go s.Serve(l)
	return l.Addr().String(), conn, nil
}

func (r *recorder) stop() {
	for _, s := range r.servers {
		s.Stop()
	}
	for _, c := range r.conns {
		c.Close()
	}
}

// take returns the calls since the last take.
func (r *recorder) take() []*call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// proxy carries one call, in both directions.
func (r *recorder) proxy(conn *grpc.ClientConn, down grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(down)
	c := &call{method: method, desc: methodOf(method)}
	r.mu.Lock()
	r.calls = append(r.calls, c)
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		md = md.Copy()
		for name := range md {
			if strings.HasPrefix(name, ":") || name == "user-agent" || name == "content-type" {
				delete(md, name)
			}
		}
		ctx = metadata.NewOutgoingContext(ctx, md)
	}
	up, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return r.end(c, err)
	}
	go r.requests(c, down, up)
	for {
		var data []byte
		if err := up.RecvMsg(&data); err != nil {
			down.SetTrailer(up.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return r.end(c, err)
		}
		r.note(c, &c.responses, data, false)
		if err := down.SendMsg(&data); err != nil {
			return err
		}
	}
}

func (r *recorder) requests(c *call, down grpc.ServerStream, up grpc.ClientStream) {
	for {
		var data []byte
		if err := down.RecvMsg(&data); err != nil {
			up.CloseSend()
			return
		}
		r.note(c, &c.requests, data, true)
		if up.SendMsg(&data) != nil {
			return
		}
	}
}

func (r *recorder) end(c *call, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.err = err
	return err
}

// note writes a message down.
func (r *recorder) note(c *call, to *[]proto.Message, data []byte, request bool) {
	if c.desc == nil {
		return
	}
	desc := c.desc.Output()
	if request {
		desc = c.desc.Input()
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(desc.FullName())
	if err != nil {
		return
	}
	m := kind.New().Interface()
	if proto.Unmarshal(data, m) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	*to = append(*to, m)
}

// methodOf describes a method by its name, /package.Service/Method; nil if it is not known.
func methodOf(name string) protoreflect.MethodDescriptor {
	service, method, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil
	}
	s, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}
	return s.Methods().ByName(protoreflect.Name(method))
}

// text is a call in words: one line a message.
func (c *call) text(m *masks) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", c.method[strings.LastIndexByte(c.method[:strings.LastIndexByte(c.method, '/')], '.')+1:])
	for _, req := range c.requests {
		fmt.Fprintf(&b, " > %s", m.render(req))
	}
	for _, resp := range c.responses {
		fmt.Fprintf(&b, " < %s", m.render(resp))
	}
	if c.err != nil {
		fmt.Fprintf(&b, " ! %s", errorText(c.err))
	}
	return b.String()
}

// errorText is the code and the text of an error that a server has sent.
func errorText(err error) string {
	s, ok := status.FromError(err)
	if !ok || s.Code() == codes.OK {
		return fmt.Sprintf("%v", err)
	}
	return fmt.Sprintf("%s: %s", s.Code(), s.Message())
}
