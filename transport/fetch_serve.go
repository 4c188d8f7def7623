package transport

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"
)

// serveFetch sends the file that the peer asks for over c.
func (p *peer) serveFetch(c *connection) {
	c.frames.maxPayload = fetchFrameMax
	req, err := readFetch(c)
	if err == nil {
		select {
		case p.serving <- struct{}{}:
			defer func() { <-p.serving }()
		default:
			err = fmt.Errorf("%d fetches are served already", maxServedFetches)
		}
	}
	if err != nil {
		p.refuseFetch(c, err)
		linger(c.conn)
		return
	}
	// The peer sends only keepalive frames from now on, and hangs up when it has read all.
	// This node must not close before: that could reset the connection, and lose what the peer
	// has not read yet.
	ended := make(chan struct{})
	p.t.work.Go(func() {
		defer close(ended)
		c.read()
		c.hangUp()
	})
	p.t.cfg.Gently(func() { err = p.sendFile(c, req) })
	if err != nil {
		p.refuseFetch(c, err)
	}
	<-ended
}

// readFetch reads what the peer asks for.
func readFetch(c *connection) (req fetchRequest, err error) {
	kind, payload, err := c.read()
	if err != nil {
		return req, fmt.Errorf("read fetch: %w", err)
	}
	if kind != frameFetch {
		return req, fmt.Errorf("%w: frame of kind %d on a connection for a fetch", ErrCorrupt, kind)
	}
	from := coder{buf: payload}
	from.fetchRequest(&req)
	switch err := from.end(); {
	case err != nil:
		return req, fmt.Errorf("%w: fetch: %w", ErrCorrupt, err)
	case len(req.name) > fetchNameMax || req.offset > math.MaxInt64:
		return req, fmt.Errorf("%w: fetch from offset %d of a name of %d bytes", ErrCorrupt, req.offset, len(req.name))
	}
	return req, nil
}

// sendFile opens the file, and sends it.
func (p *peer) sendFile(c *connection, req fetchRequest) error {
	r := p.t.receiver.Load()
	switch {
	case r == nil:
		return errors.New("not started yet")
	case r.openFile == nil:
		return errors.New("this node has no files to fetch")
	}
	var file io.ReadCloser
	var err error
	hangUpAfter(diskReadMax, c, func() { file, err = r.openFile(req.name, int64(req.offset)) })
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Refusal{Code: CodeNoSuchFile, Reason: err.Error()}
	case err != nil:
		return err
	}
	defer file.Close()
	if err := p.writeStream(c, appendFrame(nil, frameOpened, nil)); err != nil {
		return err
	}
	return p.writeChunks(c, req.offset, timedReader{c, file})
}

// refuseFetch tells the peer why this node does not send a file, or the rest of it.
func (p *peer) refuseFetch(c *connection, why error) {
	if c.ctx.Err() != nil || c.write(appendFailed(nil, why)) != nil {
		return // the peer needs no more, or is gone
	}
	if !errors.Is(why, fs.ErrNotExist) { // the peer asks others then
		warn(p.inbound, "file not sent to peer", why)
	}
}

// timedReader hangs up when a Read takes longer than diskReadMax.
type timedReader struct {
	conn *connection
	data io.Reader
}

func (t timedReader) Read(b []byte) (n int, err error) {
	hangUpAfter(diskReadMax, t.conn, func() { n, err = t.data.Read(b) })
	return n, err
}

// hangUpAfter calls f, and hangs up if it takes longer than d.
func hangUpAfter(d time.Duration, c *connection, f func()) {
	timer := time.AfterFunc(d, c.hangUp)
	defer timer.Stop()
	f()
}
