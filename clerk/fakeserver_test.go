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
	listen     net.Listener
	dial       func(ctx context.Context, address string) (net.Conn, error)
	grpc       *grpc.Server
	helloDelay time.Duration
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
	api.RegisterKVServer(f.grpc, f)
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

func (f *fakeServer) Exchange(stream api.KV_ExchangeServer) error {
	f.mu.Lock()
	f.streams++
	cutting := f.cutting
	f.mu.Unlock()
	time.Sleep(f.helloDelay)
	if err := stream.Send(&api.ReplyBatch{Hello: f.hello}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- f.serve(stream) }()
	select {
	case err := <-ended:
		return err
	case <-cutting.Done():
		return context.Canceled
	}
}

func (f *fakeServer) serve(stream api.KV_ExchangeServer) error {
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
		if err := stream.Send(&replies); err != nil {
			return err
		}
	}
}

// Watch ends with cutStreams, too.
func (f *fakeServer) Watch(stream api.KV_WatchServer) error {
	f.mu.Lock()
	cutting := f.cutting
	f.mu.Unlock()
	if err := stream.Send(&api.WatchReply{Hello: f.hello}); err != nil {
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
