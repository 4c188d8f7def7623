package clients

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// Body is the body of a request of HTTP. What is read of it counts as an unfinished message, until
// Whole says that the message has come: so a client must not stall, and all together do not take
// too much. One goroutine may read while another one answers, and also when the request has been answered:
// then nothing counts.
type Body struct {
	io.ReadCloser
	client *Client

	mu    sync.Mutex
	size  int64 // what counts
	ended bool  // no more is read
	over  bool  // the request has been answered
}

// newBody counts a body from the beginning: its client may send nothing of it.
func newBody(r io.ReadCloser, cl *Client) *Body {
	b := &Body{ReadCloser: r, client: cl}
	b.grow(callOverhead)
	return b
}

func (b *Body) grow(bytes int64) {
	b.mu.Lock()
	if b.over {
		b.mu.Unlock()
		return
	}
	b.size += bytes
	b.client.addUnfinished(bytes)
	b.mu.Unlock()
	b.client.port.limitUnfinished()
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.grow(int64(n))
	}
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ended = true
		b.uncount()
	}
	return n, err
}

// Whole notes that a message has become whole. What is read from now on is the next one.
func (b *Body) Whole() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uncount()
}

// uncount lets what was read count no more. Caller holds mu.
func (b *Body) uncount() {
	b.client.addUnfinished(-b.size)
	b.size = 0
}

// end lets nothing count any more. What is left of the body has little time to come: net/http reads
// it for the sake of the next request.
func (b *Body) end(control *http.ResponseController) {
	b.mu.Lock()
	b.over = true
	b.uncount()
	ended := b.ended
	b.mu.Unlock()
	if !ended {
		_ = control.SetReadDeadline(time.Now().Add(connectTimeout))
	}
}
