package clerk_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/inproc"
)

// fakeServer is one server of a fake cluster, on its own in-memory listener.
type fakeServer struct {
	api.UnimplementedKVServer
	hello      *api.Hello
	handle     func(*api.Request) *api.Reply // nil: no reply
	watch      func(api.KV_WatchServer) error
	members    []*api.Member
	changed    error     // what a change of users or members ends with
	senders    []*sender // of the streams so far
	listen     net.Listener
	dial       func(ctx context.Context, address string) (net.Conn, error)
	grpc       *grpc.Server
	helloDelay time.Duration
	service    api.KVServer // nil: the server itself
	mu         sync.Mutex
	batches    []int // sizes of the request batches
	streams    int
	cut        context.CancelFunc // ends the streams
	options    []grpc.ServerOption
	cutting    context.Context
}

func (f *fakeServer) start(t testing.TB) {
	if f.listen == nil {
		l := inproc.Listen()
		f.listen, f.dial = l, l.Dial
	}
	f.cutting, f.cut = context.WithCancel(context.Background())
	f.grpc = grpc.NewServer(f.options...)
	if f.service == nil {
		f.service = f
	}
	api.RegisterKVServer(f.grpc, f.service)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = f.grpc.Serve(f.listen)
	}()
	t.Cleanup(func() {
		f.cut()
		f.grpc.Stop()
		<-served
	})
}

// cutStreams ends all present streams.
func (f *fakeServer) cutStreams() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut()
	f.cutting, f.cut = context.WithCancel(context.Background())
}

// sender lets several goroutines send on a stream.
type sender struct {
	mu     sync.Mutex
	stream api.KV_ExchangeServer
}

func (s *sender) Send(b *api.ReplyBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(b)
}

// greet says a Hello on all streams, and on those that are opened later.
func (f *fakeServer) greet(hello *api.Hello) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hello = hello
	for _, s := range f.senders {
		_ = s.Send(&api.ReplyBatch{Hello: hello}) // an error if the stream has ended
	}
}

func (f *fakeServer) greeting() *api.Hello {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hello
}

func (f *fakeServer) Exchange(stream api.KV_ExchangeServer) error {
	f.mu.Lock()
	f.streams++
	cutting := f.cutting
	f.mu.Unlock()
	time.Sleep(f.helloDelay)
	out := &sender{stream: stream}
	if err := out.Send(&api.ReplyBatch{Hello: f.greeting()}); err != nil {
		return err
	}
	f.mu.Lock()
	f.senders = append(f.senders, out)
	f.mu.Unlock()
	ended := make(chan error, 1)
	go func() { ended <- f.serve(stream, out) }()
	select {
	case err := <-ended:
		return err
	case <-cutting.Done():
		return context.Canceled
	}
}

func (f *fakeServer) serve(stream api.KV_ExchangeServer, out *sender) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.batches = append(f.batches, len(batch.Requests))
		f.mu.Unlock()
		var replies api.ReplyBatch
		for _, req := range batch.Requests {
			if r := f.handle(req); r != nil {
				r.Id = req.Id
				replies.Replies = append(replies.Replies, r)
			}
		}
		if err := out.Send(&replies); err != nil {
			return err
		}
	}
}

// Watch ends with cutStreams, too.
func (f *fakeServer) Watch(stream api.KV_WatchServer) error {
	f.mu.Lock()
	cutting := f.cutting
	f.mu.Unlock()
	if err := stream.Send(&api.WatchReply{Hello: f.greeting()}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- f.watch(stream) }()
	select {
	case err := <-ended:
		return err
	case <-cutting.Done():
		return context.Canceled
	}
}

func (f *fakeServer) Status(context.Context, *api.StatusRequest) (*api.StatusReply, error) {
	return &api.StatusReply{Name: f.hello.Name, NodeId: f.hello.NodeId, ClusterId: f.hello.ClusterId}, nil
}

// dialer connects addresses to fake servers; others refuse.
func dialer(servers map[string]*fakeServer) clerk.Option {
	return clerk.WithDialer(func(ctx context.Context, address string) (net.Conn, error) {
		if f := servers[address]; f != nil {
			return f.dial(ctx, address)
		}
		return nil, &net.OpError{Op: "dial", Net: "mem", Err: context.DeadlineExceeded}
	})
}
