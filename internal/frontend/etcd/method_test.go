package etcd

import (
	"context"
	"errors"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// A Method hands its messages on as what they are.
func TestMethods(t *testing.T) {
	refused := errors.New("refused")
	f := &Face{}
	put := unary("/etcdserverpb.KV/Put", Anyone, func(_ *Face, _ context.Context, c *Caller, req *pb.PutRequest) (*pb.PutResponse, error) {
		if string(req.Key) != "a" {
			return nil, refused
		}
		return &pb.PutResponse{Header: &pb.ResponseHeader{Revision: 7}}, nil
	})
	req := put.NewRequest()
	if _, err := put.Call(f, t.Context(), &Caller{}, req); !errors.Is(err, refused) {
		t.Errorf("an empty request gets %v", err)
	}
	req.(*pb.PutRequest).Key = []byte("a")
	resp, err := put.Call(f, t.Context(), &Caller{}, req)
	if err != nil || resp.(*pb.PutResponse).Header.Revision != 7 {
		t.Errorf("the method returns %v, %v", resp, err)
	}
	watch := stream[pb.WatchRequest]("/etcdserverpb.Watch/Watch", Anyone, true, func(*Face, *Caller, Stream) error { return refused })
	if _, ok := watch.NewRequest().(*pb.WatchRequest); !ok || watch.Call != nil || !watch.ClientStreams || watch.Serve(f, &Caller{}, noStream{}) != refused {
		t.Errorf("the stream is %+v", watch)
	}
}

type noStream struct{ Stream }

func (noStream) Context() context.Context  { return context.Background() }
func (noStream) Stopping() <-chan struct{} { return nil }
