package etcd

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/frontend/etcd/v3lockpb"
)

var lockMethods = []Method{
	byClient(unary("/v3lockpb.Lock/Lock", ByKeys, (*Face).Lock)),
	byClient(unary("/v3lockpb.Lock/Unlock", ByKeys, (*Face).Unlock)),
}

// byClient gives errors of a unary method the code Unknown. In etcd these services are clients themselves, and hand on what the
// others tell them without its code. One that may be tried again keeps it.
func byClient(m Method) Method {
	call := m.Call
	m.Call = func(f *Face, ctx context.Context, c *Caller, req proto.Message) (proto.Message, error) {
		resp, err := call(f, ctx, c, req)
		return resp, uncoded(err)
	}
	return m
}

func uncoded(err error) error {
	var known *translate.Error
	if !errors.As(err, &known) {
		return err
	}
	switch known.Code {
	case translate.Unavailable, translate.Canceled, translate.DeadlineExceeded:
		return err
	}
	return &translate.Error{Code: translate.Unknown, Text: known.Text}
}

// errSessionExpired says that the lease of a lock ended before the lock was taken.
var errSessionExpired = &translate.Error{Code: translate.Unknown, Text: "mutex: session is expired"}

// Lock waits until the caller holds a lock. The revision that created its key is a fence: it is
// above that of all who held the lock before.
func (f *Face) Lock(ctx context.Context, c *Caller, r *v3lockpb.LockRequest) (*v3lockpb.LockResponse, error) {
	p, _, err := f.enqueue(ctx, c, r.Name, r.Lease, nil)
	if err != nil {
		return nil, err
	}
	h, err := f.awaitTurn(ctx, c, &p)
	if errors.Is(err, errPlaceLost) {
		return nil, errSessionExpired
	}
	if err != nil {
		return nil, err
	}
	return &v3lockpb.LockResponse{Header: h, Key: []byte(p.key)}, nil
}

// Unlock gives a lock back.
func (f *Face) Unlock(ctx context.Context, c *Caller, r *v3lockpb.UnlockRequest) (*v3lockpb.UnlockResponse, error) {
	resp, err := f.DeleteRange(ctx, c, &pb.DeleteRangeRequest{Key: r.Key})
	if err != nil {
		return nil, err
	}
	return &v3lockpb.UnlockResponse{Header: resp.Header}, nil
}
