package native

import (
	"context"
	"io"

	"google.golang.org/grpc"

	"balsa.example/api"
)

// Call implements api.KVServer.
func (s *Server) Call(ctx context.Context, req *api.Request) (*api.Reply, error) {
	one := &oneRequest{ctx: ctx, req: req}
	if err := s.Exchange(one); err != nil {
		return nil, err
	}
	return one.reply, nil
}

// oneRequest is an Exchange of one request: there is one way of a request through the server, with one
// set of bounds.
type oneRequest struct {
	grpc.ServerStream // nil: Exchange uses what is below
	ctx               context.Context
	req               *api.Request // of Recv: nil once it was received
	reply             *api.Reply   // of Send
}

// Context implements grpc.ServerStream.
func (o *oneRequest) Context() context.Context { return o.ctx }

// Recv implements api.KV_ExchangeServer.
func (o *oneRequest) Recv() (*api.RequestBatch, error) {
	if o.req == nil {
		return nil, io.EOF
	}
	batch := &api.RequestBatch{Requests: []*api.Request{o.req}}
	o.req = nil
	return batch, nil
}

// Send implements api.KV_ExchangeServer. Batches without a reply are for streams. A range becomes a message,
// since gRPC does not encode this reply by api.Codec.
func (o *oneRequest) Send(batch *api.ReplyBatch) (err error) {
	for _, reply := range batch.Replies {
		o.reply, err = reply.Whole()
	}
	return err
}
