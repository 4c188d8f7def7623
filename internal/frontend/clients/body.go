package clients

import (
	"io"
	"net/http"
	"time"
)

// Body is the body of a request of HTTP. What is read of it counts as an unfinished message, until
// Whole says that the message has come: so a client must not stall, and all together do not take
// too much.
type Body struct {
	io.ReadCloser
	client *Client
	size   int64 // what counts
	ended  bool  // no more is read
}

// newBody counts a body from the beginning: its client may send nothing of it.
func newBody(r io.ReadCloser, cl *Client) *Body {
	b := &Body{ReadCloser: r, client: cl}
	b.grow(callOverhead)
	return b
}

func (b *Body) grow(bytes int64) {
	b.size += bytes
	b.client.addUnfinished(bytes)
	b.client.port.limitUnfinished()
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.grow(int64(n))
	}
	if err != nil {
		b.ended = true
		b.Whole()
	}
	return n, err
}

// Whole notes that a message has become whole. What is read from now on is the next one.
func (b *Body) Whole() {
	b.client.addUnfinished(-b.size)
	b.size = 0
}

// end lets nothing count any more. What is left of the body has little time to come: net/http reads
// it for the sake of the next request.
func (b *Body) end(control *http.ResponseController) {
	b.Whole()
	if !b.ended {
		_ = control.SetReadDeadline(time.Now().Add(connectTimeout))
	}
}
