package http2

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// probe is a service that shows what a server does with calls. All its methods are unary, and take and return a text.
type probe struct {
	mu    sync.Mutex
	calls map[string]*heldCalls // by the text of their request
}

// heldCalls are calls of Hold and Cling with the same text.
type heldCalls struct {
	began chan struct{}
	let   chan struct{} // closed by release
	once  sync.Once
	ended chan string // why the context of a call has ended

	mu            sync.Mutex
	running, peak int
}

// manyCalls is more than there are of any text.
const manyCalls = 1000

func (p *probe) held(text string) *heldCalls {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.calls[text]
	if h == nil {
		h = &heldCalls{began: make(chan struct{}, manyCalls), let: make(chan struct{}), ended: make(chan string, manyCalls)}
		p.calls[text] = h
	}
	return h
}

// release lets the calls end.
func (h *heldCalls) release() { h.once.Do(func() { close(h.let) }) }

// releaseAll lets all calls end.
func (p *probe) releaseAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.calls {
		h.release()
	}
}

func (h *heldCalls) add(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running += n
	h.peak = max(h.peak, h.running)
}

// hold returns when it is released, or the context ends.
func (p *probe) hold(ctx context.Context, text string) (string, error) {
	h := p.held(text)
	h.began <- struct{}{}
	select {
	case <-h.let:
		return "released", nil
	case <-ctx.Done():
		h.ended <- ctx.Err().Error()
		return "", ctx.Err()
	}
}

// cling returns when it is released, whatever happens to the call.
func (p *probe) cling(_ context.Context, text string) (string, error) {
	h := p.held(text)
	h.add(1)
	defer h.add(-1)
	h.began <- struct{}{}
	<-h.let
	return "released", nil
}

// metadata returns what has come with the call.
func (p *probe) metadata(ctx context.Context, _ string) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	var s strings.Builder
	for _, name := range slices.Sorted(maps.Keys(md)) {
		fmt.Fprintf(&s, "%s=%q\n", name, md[name])
	}
	return s.String(), nil
}

// left returns how much time the call has left.
func (p *probe) left(ctx context.Context, _ string) (string, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return "for ever", nil
	}
	return time.Until(deadline).String(), nil
}

// probeName is the name of the service.
const probeName = "conformance.Probe"

// ask is a method of probe, and a request.
func ask(name, text string) method {
	return method{"/" + probeName + "/" + name, marshal(wrapperspb.String(text))}
}

func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return prefixed(b)
}

// register registers what is served.
func register(s grpc.ServiceRegistrar) *probe {
	p := &probe{calls: map[string]*heldCalls{}}
	desc := &grpc.ServiceDesc{ServiceName: probeName, HandlerType: (*any)(nil)}
	for name, serve := range map[string]func(context.Context, string) (string, error){
		"Hold": p.hold, "Cling": p.cling, "Metadata": p.metadata, "Left": p.left,
	} {
		handler := func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.StringValue)
			if err := decode(in); err != nil {
				return nil, err
			}
			call := func(ctx context.Context, in any) (any, error) {
				out, err := serve(ctx, in.(*wrapperspb.StringValue).Value)
				return wrapperspb.String(out), err
			}
			if intercept == nil {
				return call(ctx, in)
			}
			return intercept(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/" + probeName + "/" + name}, call)
		}
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: name, Handler: handler})
	}
	s.RegisterService(desc, p)
	testpb.RegisterTestServiceServer(s, interop.NewTestServer())
	return p
}
