package etcd

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/metrics"
)

// Right is what a caller needs for a method while authentication is on.
type Right uint8

const (
	// Admin is for users with the role root. It is the zero value: what nobody thought of is
	// refused.
	Admin Right = iota
	// Anyone is for callers without a user as well.
	Anyone
	// User is for every user.
	User
	// ByKeys is for users whose roles cover the keys. The method checks that itself.
	ByKeys
	// Unnamed is for callers without a user as well, but not for a token that is not valid.
	Unnamed
)

// Method is one method of the API.
type Method struct {
	Name       string // as gRPC says it: /package.Service/Method
	Right      Right
	NewRequest func() proto.Message
	// Call answers a unary method; nil for a stream.
	Call func(*Face, context.Context, *Caller, proto.Message) (proto.Message, error)
	// Serve answers a stream; nil for a unary method. ClientStreams tells whether the client
	// sends more than one request.
	Serve         func(*Face, *Caller, Stream) error
	ClientStreams bool
}

// Stream is the stream of one call. One goroutine at a time may send, and one may receive.
type Stream interface {
	// Context ends with the stream, and when the transport is to end. Its cause tells clients why, if it
	// is one of translate's errors. It is made when it is asked for first, and that costs.
	Context() context.Context
	// Stopping is closed when the transport is to end. It may be nil if Receive returns an error by then.
	Stopping() <-chan struct{}
	// Receive reads the next request into m. It returns io.EOF when the client sends no more, and
	// another error when the stream has ended.
	Receive(m proto.Message) error
	// Send sends a response, which may be used again when it returns.
	Send(m proto.Message) error
}

// message is a pointer to T that is a message.
type message[T any] interface {
	*T
	proto.Message
}

// unary makes a Method of one of Face's.
func unary[Req, Resp any, PReq message[Req], PResp message[Resp]](
	name string, right Right, call func(*Face, context.Context, *Caller, PReq) (PResp, error),
) Method {
	waiting, kind := waits[name], metrics.EtcdRequestType(name)
	return Method{
		Name: name, Right: right,
		NewRequest: func() proto.Message { return PReq(new(Req)) },
		Call: func(f *Face, ctx context.Context, c *Caller, req proto.Message) (proto.Message, error) {
			c.Requests.Unary()
			if waiting || !f.cfg.Recorder.On() && f.cfg.Requests == nil {
				return answered(f, ctx, c, req.(PReq), right, call)
			}
			c.way = f.begin(c)
			resp, err := answered(f, ctx, c, req.(PReq), right, call)
			now := time.Now()
			if c.way.wrote || !isInvalid(err) { // which etcd refuses before it looks at the clock
				ok := err == nil || c.way.wrote && !c.way.failed // as in etcd: a command that is refused has been executed
				f.cfg.Requests.Took(kind, c.way.wrote, ok, now.Sub(c.way.began))
			}
			f.ended(ctx, name, c, req, err, now)
			return resp, err
		},
	}
}

// isInvalid tells whether a request makes no sense.
func isInvalid(err error) bool {
	var known *translate.Error
	return errors.As(err, &known) && known.Code == translate.InvalidArgument
}

// answered calls a unary method for a caller who may.
func answered[PReq, PResp proto.Message](
	f *Face, ctx context.Context, c *Caller, req PReq, right Right, call func(*Face, context.Context, *Caller, PReq) (PResp, error),
) (proto.Message, error) {
	if t, ok := any(req).(*pb.TxnRequest); ok && asksForNothing(t) {
		right = Unnamed
	}
	if err := f.admit(ctx, c, right); err != nil {
		return nil, err
	}
	return call(f, ctx, c, req)
}

// stream makes a Method of one of Face's that answers a stream.
func stream[Req any, PReq message[Req]](name string, right Right, clientStreams bool, serve func(*Face, *Caller, Stream) error) Method {
	return Method{
		Name: name, Right: right, ClientStreams: clientStreams,
		NewRequest: func() proto.Message { return PReq(new(Req)) },
		Serve: func(f *Face, c *Caller, s Stream) error {
			c.Requests.Stream()
			prove, err := f.admits(c, right)
			if prove && err == nil {
				err = f.prove(s.Context(), c, right)
			}
			if err != nil {
				return err
			}
			return serve(f, c, s)
		},
	}
}
