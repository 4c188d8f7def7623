package clients

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const (
	// callOverhead is what a call counts for beyond its request, in bytes: about what it costs in
	// memory.
	callOverhead = 1 << 10
	// roomWait is how long a call waits at most until there is room for it, roomPoll how often it
	// looks.
	roomWait = 5 * time.Second
	roomPoll = 5 * time.Millisecond
)

// Bounds are for the unary calls of a service.
type Bounds struct {
	// MessageBytes bounds a message from a client, also on streams. It is at most Limits.MessageBytes.
	MessageBytes int
	// Expect is what the response to a request will about take, in bytes. A call counts for that
	// from the beginning, so that a client does not have more of them in progress than it may have
	// responses. nil: nothing is expected.
	Expect func(req proto.Message) int64
	// TooMany refuses a call for which there was no room in time.
	TooMany error
}

// Within returns where services are registered whose unary calls are within bounds. A call counts
// in its client's Requests. While there is no room, it waits: the callers of one connection are
// often many, and only they know each other.
func (p *Port) Within(b Bounds) grpc.ServiceRegistrar { return &within{p, b} }

type within struct {
	port   *Port
	bounds Bounds
}

// RegisterService implements grpc.ServiceRegistrar.
func (w *within) RegisterService(desc *grpc.ServiceDesc, service any) {
	w.port.register(desc, service, w.bounds.MessageBytes, &w.bounds)
}

// Begin counts a call with its request of size bytes, as Client.Begin does, and returns what Client.End gets.
func (b *Bounds) Begin(ctx context.Context, cl *Client, req proto.Message, size int) (sum int64, ok bool) {
	expected := int64(0)
	if b.Expect != nil {
		expected = b.Expect(req)
	}
	return int64(size) + expected, cl.Begin(ctx, int64(size), expected)
}

// Begin counts a call in progress until End, which gets the sum of the bytes: of the request, which is in
// memory, and expected of the response. It waits for room, but not for ever: then, or when ctx ends, or if
// too many wait already, it returns false.
func (cl *Client) Begin(ctx context.Context, request, expected int64) bool {
	bytes := request + expected + callOverhead
	if cl.Requests.try(1, bytes) == Allowed {
		return true
	}
	if !cl.wait(request + callOverhead) {
		cl.Requests.Refused()
		return false
	}
	defer cl.wait(-request - callOverhead)
	late := time.NewTimer(roomWait)
	defer late.Stop()
	select {
	case cl.turn <- struct{}{}: // one call of the connection looks for room, and the others wait for it
		defer func() { <-cl.turn }()
	case <-late.C:
		cl.Requests.Refused()
		return false
	case <-ctx.Done():
		return false
	}
	for cl.Requests.try(1, bytes) != Allowed {
		select {
		case <-time.After(roomPoll):
		case <-late.C:
			cl.Requests.Refused()
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// wait counts bytes of calls that wait for room, and are in memory already. It returns false if there are too
// many: of all, or a quarter of that of one client.
func (cl *Client) wait(bytes int64) bool {
	most := cl.port.limits.UnfinishedBytes
	own, all := cl.waiting.Add(bytes), cl.port.waiting.Add(bytes)
	if bytes <= 0 || own <= most/4 && all <= most {
		return true
	}
	cl.wait(-bytes)
	return false
}

// End notes that a call is in progress no more.
func (cl *Client) End(bytes int64) { cl.Requests.Leave(bytes + callOverhead) }

// Hold counts bytes that are kept for the client, whatever the bounds are, until release is called.
func (cl *Client) Hold(bytes int64) (release func()) {
	cl.Requests.add(bytes)
	return func() { cl.Requests.Leave(bytes) }
}
