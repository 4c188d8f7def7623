package grpcserver

import (
	"encoding/binary"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// read takes frames until the connection ends. It returns goAway if the client did something wrong.
func (c *conn) read() error {
	reads := c.in.reads
	for {
		f, err := c.in.next()
		if err != nil {
			return err
		}
		if c.in.reads != reads {
			reads = c.in.reads
			c.heard.Store(int64(time.Since(c.begun)))
		}
		if err := c.take(f); err != nil {
			wrong, ok := err.(reset)
			if !ok {
				return err
			}
			c.resetStream(f.stream, wrong.code)
		}
	}
}

// take takes one frame.
func (c *conn) take(f frame) error {
	switch f.kind {
	case http2.FrameHeaders:
		return c.takeHeaders(f)
	case http2.FrameData:
		return c.takeData(f)
	case http2.FrameRSTStream:
		return c.takeReset(f)
	case http2.FrameSettings:
		return c.settings(f)
	case http2.FramePing:
		return c.ping(f)
	case http2.FrameWindowUpdate:
		return c.windowUpdate(f)
	case http2.FramePriority:
		switch {
		case f.stream == 0:
			return goAway{http2.ErrCodeProtocol, "PRIORITY without a stream"}
		case len(f.payload) != 5:
			return reset{http2.ErrCodeFrameSize, "PRIORITY of another size"}
		}
		return checkPriority(f.stream, f.payload)
	case http2.FrameContinuation:
		return goAway{http2.ErrCodeProtocol, "CONTINUATION without HEADERS"}
	case http2.FramePushPromise:
		return goAway{http2.ErrCodeProtocol, "clients promise nothing"}
	case http2.FrameGoAway:
		switch {
		case f.stream != 0:
			return goAway{http2.ErrCodeProtocol, "GOAWAY on a stream"}
		case len(f.payload) < 8:
			return goAway{http2.ErrCodeFrameSize, "GOAWAY is too short"}
		}
	}
	return nil
}

// checkPriority refuses a stream that depends on itself. There are no priorities besides.
func checkPriority(stream uint32, payload []byte) error {
	if binary.BigEndian.Uint32(payload)&^(1<<31) == stream {
		return reset{http2.ErrCodeProtocol, "a stream depends on itself"}
	}
	return nil
}

// find returns a stream, nil if it has ended. idle tells that the client has not begun it.
func (c *conn) find(id uint32) (st *stream, idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id], id > c.last || id%2 == 0
}

func (c *conn) takeHeaders(f frame) error {
	if f.stream%2 == 0 {
		return goAway{http2.ErrCodeProtocol, "HEADERS on a stream that no client may begin"}
	}
	block, depends, err := c.block(f)
	if err != nil {
		return err
	}
	err = c.headers.decode(block) // whatever the stream is: the table must stay the client's
	if _, ok := err.(goAway); ok {
		return err
	}
	ended := f.flags.Has(http2.FlagHeadersEndStream)
	if f.stream <= c.last { // the reader alone changes it
		return c.takeTrailers(f.stream, ended)
	}
	c.mu.Lock()
	c.last = f.stream
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if depends != nil {
		return depends
	}
	return c.begin(f.stream, ended)
}

// block returns the fields of a frame of HEADERS, and of those that continue it.
func (c *conn) block(f frame) (block []byte, depends, err error) {
	block, _, err = unpad(f)
	if err != nil {
		return nil, nil, err
	}
	if f.flags.Has(http2.FlagHeadersPriority) {
		if len(block) < 5 {
			return nil, nil, goAway{http2.ErrCodeFrameSize, "HEADERS are too short"}
		}
		depends = checkPriority(f.stream, block)
		block = block[5:]
	}
	if f.flags.Has(http2.FlagHeadersEndHeaders) {
		return block, depends, nil
	}
	block = append(make([]byte, 0, 2*len(block)), block...)
	for range maxContinuations {
		next, err := c.in.next()
		switch {
		case err != nil:
			return nil, nil, err
		case next.kind != http2.FrameContinuation || next.stream != f.stream:
			return nil, nil, goAway{http2.ErrCodeProtocol, "HEADERS are not continued"}
		}
		block = append(block, next.payload...)
		switch {
		case len(block) > c.server.cfg.MaxHeaderBytes:
			return nil, nil, goAway{http2.ErrCodeEnhanceYourCalm, "the headers are too large"}
		case next.flags.Has(http2.FlagContinuationEndHeaders):
			return block, depends, nil
		}
	}
	return nil, nil, goAway{http2.ErrCodeEnhanceYourCalm, "too many frames of headers"}
}

// unpad returns a payload without its padding, and the bytes of that.
func unpad(f frame) (payload []byte, padding int, err error) {
	if !f.flags.Has(http2.FlagDataPadded) { // which is that of HEADERS, too
		return f.payload, 0, nil
	}
	if len(f.payload) == 0 {
		return nil, 0, goAway{http2.ErrCodeFrameSize, "there is no length of the padding"}
	}
	padding = 1 + int(f.payload[0])
	if padding > len(f.payload) {
		return nil, 0, goAway{http2.ErrCodeProtocol, "more padding than payload"}
	}
	return f.payload[1 : len(f.payload)-padding+1], padding, nil
}

// takeTrailers takes the headers of a stream that has begun. What they say does not matter, if they are
// trailers.
func (c *conn) takeTrailers(id uint32, ended bool) error {
	st, _ := c.find(id)
	switch {
	case st == nil && c.headers.pseudo():
		return goAway{http2.ErrCodeProtocol, "a stream begins that is lower than others"}
	case st == nil && ended: // it has ended meanwhile
		return nil
	case st == nil || st.in.over():
		return goAway{http2.ErrCodeStreamClosed, "HEADERS of a stream that has ended"}
	case !ended:
		return reset{http2.ErrCodeProtocol, "trailers do not end the stream"}
	case c.headers.pseudo():
		return errMalformed
	}
	return c.deliver(st, nil, 0, true)
}

func (c *conn) takeData(f frame) error {
	if c.receiveWindow -= len(f.payload); c.receiveWindow < 0 {
		return goAway{http2.ErrCodeFlowControl, "more data than the window of the connection allows"}
	}
	if c.receiveOwed += len(f.payload); c.receiveOwed >= c.server.cfg.ConnWindow/2 {
		c.mu.Lock()
		c.tell(appendWindowUpdate(c.control, 0, c.receiveOwed))
		c.mu.Unlock()
		c.receiveWindow += c.receiveOwed
		c.receiveOwed = 0
	}
	payload, padding, err := unpad(f)
	if err != nil {
		return err
	}
	st, idle := c.find(f.stream)
	switch {
	case idle:
		return goAway{http2.ErrCodeProtocol, "DATA of a stream that has not begun"}
	case st == nil: // it has ended meanwhile
		return nil
	case st.in.over():
		return reset{http2.ErrCodeStreamClosed, "DATA behind the end of a stream"}
	}
	return c.deliver(st, payload, padding, f.flags.Has(http2.FlagDataEndStream))
}

// deliver puts into the inbox of a stream what has come, and calls a unary method when its request has.
func (c *conn) deliver(st *stream, payload []byte, padding int, ended bool) error {
	if st.request.length >= 0 {
		if st.received += int64(len(payload)); st.received > st.request.length || ended && st.received < st.request.length {
			return errMalformed
		}
	}
	c.follow(st, payload, ended)
	d, ok := st.in.put(payload, padding, ended, &c.server.cfg)
	if !ok {
		return reset{http2.ErrCodeFlowControl, "more data than the window of the stream allows"}
	}
	c.carryOut(st, d)
	if st.waits.Load() && st.in.answerable(st.request.encoding) && st.waits.CompareAndSwap(true, false) {
		return c.dispatch(st)
	}
	return nil
}

func (c *conn) takeReset(f frame) error {
	switch {
	case f.stream == 0:
		return goAway{http2.ErrCodeProtocol, "RST_STREAM without a stream"}
	case len(f.payload) != 4:
		return goAway{http2.ErrCodeFrameSize, "RST_STREAM of another size"}
	}
	st, idle := c.find(f.stream)
	if idle {
		return goAway{http2.ErrCodeProtocol, "RST_STREAM of a stream that has not begun"}
	}
	if st != nil {
		c.mu.Lock()
		c.remove(st)
		c.mu.Unlock()
	}
	return nil
}

// begin begins a stream with the headers that were decoded last.
func (c *conn) begin(id uint32, ended bool) error {
	req, err := c.headers.request()
	if err != nil {
		return err
	}
	if ended && req.length > 0 {
		return errMalformed
	}
	st := newStream(c, id, req)
	st.in.ended = ended
	if !c.add(st) {
		return reset{http2.ErrCodeRefusedStream, "too many streams, or the server is stopping"}
	}
	st.waits.Store(req.method != nil && req.method.stream == nil && !ended)
	if c.headers.timed {
		timeout, err := parseTimeout(c.headers.timeout)
		if err != nil {
			st.waits.Store(false)
			st.finish(nil, trailers{status: status.Newf(codes.Internal, "malformed grpc-timeout: %v", err)})
			return nil
		}
		st.expireAfter(timeout)
	}
	switch {
	case req.method == nil:
		st.finish(nil, req.failure)
	case req.method.stream != nil || ended:
		return c.dispatch(st)
	}
	return nil
}

// add adds a stream, unless there are too many.
func (c *conn) add(st *stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.draining == refusing || len(c.streams) >= c.server.cfg.MaxStreams {
		return false
	}
	st.out.window = c.initialSend
	c.streams[st.id] = st
	c.most = max(c.most, len(c.streams))
	c.began(st, st.in.ended)
	return true
}

// settings takes SETTINGS of the client.
func (c *conn) settings(f frame) error {
	ack := f.flags.Has(http2.FlagSettingsAck)
	switch {
	case f.stream != 0:
		return goAway{http2.ErrCodeProtocol, "SETTINGS on a stream"}
	case len(f.payload)%6 != 0 || ack && len(f.payload) > 0:
		return goAway{http2.ErrCodeFrameSize, "SETTINGS of another size"}
	case ack:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.initialSend
	for b := f.payload; len(b) > 0; b = b[6:] {
		if err := c.set(http2.SettingID(binary.BigEndian.Uint16(b)), binary.BigEndian.Uint32(b[2:])); err != nil {
			return err
		}
	}
	if err := c.shift(c.initialSend - before); err != nil {
		return err
	}
	c.tell(appendFrame(c.control, http2.FrameSettings, http2.FlagSettingsAck, 0, 0))
	return nil
}

// set takes one setting. Caller holds mu.
func (c *conn) set(id http2.SettingID, v uint32) error {
	if err := (http2.Setting{ID: id, Val: v}).Valid(); err != nil {
		code := http2.ErrCodeProtocol
		if id == http2.SettingInitialWindowSize {
			code = http2.ErrCodeFlowControl
		}
		return goAway{code, "SETTINGS are not valid"}
	}
	switch id {
	case http2.SettingHeaderTableSize:
		c.response.plain = c.response.plain || v < minTable
	case http2.SettingInitialWindowSize:
		c.initialSend = int64(v)
	}
	return nil
}

// shift shifts the windows of all streams. Caller holds mu.
func (c *conn) shift(by int64) error {
	if by == 0 {
		return nil
	}
	if now := time.Now(); now.Sub(c.shifts.since) >= time.Second {
		c.shifts = shifts{since: now}
	}
	if c.shifts.streams += len(c.streams); c.shifts.streams > max(maxShifts, len(c.streams)) {
		return goAway{http2.ErrCodeEnhanceYourCalm, "SETTINGS change the initial window too often"}
	}
	for _, st := range c.streams {
		if st.out.window += by; st.out.window > maxWindow {
			return goAway{http2.ErrCodeFlowControl, "a window is too large"}
		}
		c.schedule(st)
	}
	return nil
}

// shifts are how many windows of streams SETTINGS have shifted in the present second.
type shifts struct {
	since   time.Time
	streams int
}

// maxShifts bounds them: the client sends a few bytes, and all of its streams are looked at. Clients that
// measure their networks change the window some times a minute.
const maxShifts = 1 << 18

// maxWindow is the largest window (RFC 9113, 6.9.1).
const maxWindow = 1<<31 - 1

func (c *conn) windowUpdate(f frame) error {
	if len(f.payload) != 4 {
		return goAway{http2.ErrCodeFrameSize, "WINDOW_UPDATE of another size"}
	}
	more := int64(binary.BigEndian.Uint32(f.payload) &^ (1 << 31))
	if f.stream == 0 {
		return c.widen(more)
	}
	st, idle := c.find(f.stream)
	switch {
	case idle:
		return goAway{http2.ErrCodeProtocol, "WINDOW_UPDATE of a stream that has not begun"}
	case more == 0:
		return reset{http2.ErrCodeProtocol, "WINDOW_UPDATE of nothing"}
	case st == nil:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.out.window+more > maxWindow {
		return reset{http2.ErrCodeFlowControl, "the window of a stream is too large"}
	}
	st.out.window += more
	c.schedule(st)
	return nil
}

// widen widens the window of the connection.
func (c *conn) widen(more int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case more == 0:
		return goAway{http2.ErrCodeProtocol, "WINDOW_UPDATE of nothing"}
	case c.sendWindow+more > maxWindow:
		return goAway{http2.ErrCodeFlowControl, "the window of the connection is too large"}
	}
	c.sendWindow += more
	if c.sendWindow > 0 && !c.starved.empty() {
		c.wakeWriter()
	}
	return nil
}
