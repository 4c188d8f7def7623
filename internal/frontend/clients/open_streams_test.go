package clients

import (
	"testing"

	"golang.org/x/net/http2"
)

// eagerConn is a connection whose other side acts on the end of a stream as soon as it has it.
type eagerConn struct {
	chunkedConn
	act func()
}

func (c *eagerConn) Write(b []byte) (int, error) { c.act(); return len(b), nil }

// A client with as many streams as it may have begins another when one has ended.
func TestAStreamHasEndedWhenTheClientKnows(t *testing.T) {
	p := quietPort(Limits{})
	conn := &eagerConn{}
	cl := p.add(conn, nil, "a")
	in := newTrackedConn(conn, cl)
	cl.open.setOpen(p.limits.Streams)
	for range p.limits.Streams {
		cl.open.enter()
	}
	for s := range p.limits.Streams {
		in.streams[uint32(2*s+1)] = new(message)
	}
	conn.act = func() {
		if !cl.open.enter() {
			t.Error("the stream in its place was refused")
		}
	}
	cl.open.leave()
	http2.NewFramer(in, nil).WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(), EndHeaders: true, EndStream: true})
}
