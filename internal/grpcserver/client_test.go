package grpcserver

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// client is one that writes frame by frame. What the server says is noted, and checked: nothing may come
// that the windows of the client do not allow.
type client struct {
	t    *testing.T
	conn net.Conn
	*http2.Framer
	answering *http2.Framer // to pings, beside the test that writes by the other one
	encoder   *hpack.Encoder
	block     bytes.Buffer
	next      uint32

	mu      sync.Mutex
	streams map[uint32]*answers
	window  int   // of the connection
	initial int   // of new streams
	shrinks []int // what SETTINGS take from the windows as soon as the server acknowledges them; 0: nothing

	credit   int // of the connection
	settings map[http2.SettingID]uint32
	acks     int // of SETTINGS
	pongs    int
	pings    [][8]byte
	goAways  []goAway
	lasts    []uint32 // of goAways
	closed   bool
	order    []uint32    // the streams of DATA
	silent   atomic.Bool // it answers no pings
}

// answers is what the server said on one stream.
type answers struct {
	window int // what it may send
	blocks [][]hpack.HeaderField
	data   []byte
	ended  bool
	resets []http2.ErrCode
	credit int
}

// dial begins HTTP/2, and notes what the server says.
func (s *testServer) dial(t *testing.T, settings ...http2.Setting) *client {
	c := s.dialDeaf(t, settings...)
	go c.listen()
	synctest.Wait()
	return c
}

// dialDeaf is dial of a client that does not read until listen.
func (s *testServer) dialDeaf(t *testing.T, settings ...http2.Setting) *client {
	t.Helper()
	nc, err := s.listener.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &client{t: t, conn: nc, Framer: http2.NewFramer(nc, nc), answering: http2.NewFramer(nc, nil), next: 1, streams: make(map[uint32]*answers), window: initialWindow, initial: initialWindow}
	c.SetMaxReadFrameSize(maxFrame)
	c.AllowIllegalWrites = true
	c.encoder = hpack.NewEncoder(&c.block)
	nc.Write([]byte(http2.ClientPreface))
	c.set(settings...)
	return c
}

// listen notes what comes until the connection ends.
func (c *client) listen() {
	decoder := hpack.NewDecoder(4096, nil)
	decoder.SetMaxDynamicTableSize(4096)
	for in := c.Framer; ; {
		f, err := in.ReadFrame()
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.closed = true
			return
		}
		c.note(f, decoder)
		if p, ok := f.(*http2.PingFrame); ok && !p.IsAck() && !c.silent.Load() {
			c.answering.WritePing(true, p.Data)
		}
	}
}

func (c *client) note(f http2.Frame, decoder *hpack.Decoder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answers(f.Header().StreamID)
	switch f := f.(type) {
	case *http2.HeadersFrame:
		fields, err := decoder.DecodeFull(f.HeaderBlockFragment())
		if err != nil || !f.HeadersEnded() || a.ended {
			c.t.Errorf("HEADERS of stream %d: %v, %v", f.StreamID, f, err)
		}
		a.blocks, a.ended = append(a.blocks, fields), f.StreamEnded()
	case *http2.DataFrame:
		if len(a.blocks) == 0 || a.ended {
			c.t.Errorf("DATA outside of the response of stream %d", f.StreamID)
		}
		a.data = append(a.data, f.Data()...)
		c.order = append(c.order, f.StreamID)
		a.window -= int(f.Length)
		if c.window -= int(f.Length); c.window < 0 || a.window < 0 && f.Length > 0 {
			c.t.Errorf("%d bytes of stream %d leave windows of %d and %d", f.Length, f.StreamID, c.window, a.window)
		}
		a.ended = f.StreamEnded()
	case *http2.RSTStreamFrame:
		a.resets = append(a.resets, f.ErrCode)
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.credit += int(f.Increment)
		}
		a.credit += int(f.Increment)
	case *http2.SettingsFrame:
		if f.IsAck() {
			c.acks++
			for _, st := range c.streams {
				st.window -= c.shrinks[0]
			}
			c.initial -= c.shrinks[0]
			c.shrinks = c.shrinks[1:]
			return
		}
		c.settings = make(map[http2.SettingID]uint32)
		f.ForeachSetting(func(s http2.Setting) error { c.settings[s.ID] = s.Val; return nil })
	case *http2.PingFrame:
		if f.IsAck() {
			c.pongs++
		} else {
			c.pings = append(c.pings, f.Data)
		}
	case *http2.GoAwayFrame:
		c.goAways = append(c.goAways, goAway{f.ErrCode, string(f.DebugData())})
		c.lasts = append(c.lasts, f.LastStreamID)
	}
}

// answers returns what is known of a stream. Caller holds mu.
func (c *client) answers(id uint32) *answers {
	a := c.streams[id]
	if a == nil {
		a = &answers{window: c.initial}
		c.streams[id] = a
	}
	return a
}

// heard waits until nothing moves, and returns what was said on a stream.
func (c *client) heard(id uint32) answers {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	a := *c.answers(id)
	a.data, a.blocks, a.resets = slices.Clone(a.data), slices.Clone(a.blocks), slices.Clone(a.resets)
	return a
}

// set sends SETTINGS.
func (c *client) set(settings ...http2.Setting) {
	c.mu.Lock()
	shrink := 0
	for _, s := range settings {
		if s.ID != http2.SettingInitialWindowSize {
			continue
		}
		settled := c.initial
		for _, n := range c.shrinks {
			settled -= n
		}
		more := int(s.Val) - settled + shrink
		if more < 0 {
			shrink -= more
			continue
		}
		c.initial += more
		for _, st := range c.streams {
			st.window += more
		}
	}
	c.shrinks = append(c.shrinks, shrink)
	c.mu.Unlock()
	c.WriteSettings(settings...)
}

// widen sends WINDOW_UPDATE, of the connection if id is 0.
func (c *client) widen(id uint32, n int) {
	c.mu.Lock()
	if id == 0 {
		c.window += n
	} else {
		c.answers(id).window += n
	}
	c.mu.Unlock()
	c.WriteWindowUpdate(id, uint32(n))
}

// fields are those of a request, with more in pairs. A pair with a name of the first ones takes its place.
func fields(path string, more ...string) (all []hpack.HeaderField) {
	pairs := []string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "test", "content-type", "application/grpc", "te", "trailers"}
	for i := 0; i < len(more); i += 2 {
		if at := slices.Index(pairs[:12], more[i]); at >= 0 {
			pairs[at+1] = more[i+1]
		} else {
			pairs = append(pairs, more[i], more[i+1])
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return all
}

// encode encodes fields as the next block.
func (c *client) encode(fields []hpack.HeaderField) []byte {
	c.block.Reset()
	for _, f := range fields {
		c.encoder.WriteField(f)
	}
	return slices.Clone(c.block.Bytes())
}

// begin begins a stream.
func (c *client) begin(path string, ended bool, more ...string) (id uint32) {
	return c.beginWith(fields(path, more...), ended)
}

func (c *client) beginWith(fields []hpack.HeaderField, ended bool) (id uint32) {
	id = c.next
	c.next += 2
	c.mu.Lock()
	c.answers(id)
	c.mu.Unlock()
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(fields), EndHeaders: true, EndStream: ended})
	return id
}

// call begins a unary call, with its message.
func (c *client) call(message []byte, more ...string) (id uint32) {
	id = c.begin(call, false, more...)
	c.send(id, prefixed(message), true)
	return id
}

// send sends bytes on a stream, in frames as large as may be.
func (c *client) send(id uint32, b []byte, ended bool) {
	for ; len(b) > maxFrame; b = b[maxFrame:] {
		c.WriteData(id, false, b[:maxFrame])
	}
	c.WriteData(id, ended, b)
}

// prefixed is messages as gRPC puts them into DATA.
func prefixed(messages ...[]byte) (b []byte) {
	for _, m := range messages {
		b = append(binary.BigEndian.AppendUint32(append(b, 0), uint32(len(m))), m...)
	}
	return b
}

// value is that of a field of a block, "" if there is none.
func value(block []hpack.HeaderField, name string) string {
	var all []string
	for _, f := range block {
		if f.Name == name {
			all = append(all, f.Value)
		}
	}
	return strings.Join(all, ",")
}

// status is the grpc-status, "" before the end.
func (a *answers) status() string {
	if !a.ended {
		return ""
	}
	return value(a.blocks[len(a.blocks)-1], "grpc-status")
}

// text is the grpc-message.
func (a *answers) text() string { return value(a.blocks[len(a.blocks)-1], "grpc-message") }

// want checks that a stream has been answered with OK, and messages.
func (c *client) want(id uint32, messages ...[]byte) {
	c.t.Helper()
	a := c.heard(id)
	if a.status() != "0" || len(a.blocks) != min(2, 1+len(messages)) || !bytes.Equal(a.data, prefixed(messages...)) {
		c.t.Errorf("stream %d: %d bytes, want %d; %v", id, len(a.data), len(prefixed(messages...)), a.blocks)
	}
}

// wantReset checks that a stream was reset.
func (c *client) wantReset(id uint32, code http2.ErrCode) {
	c.t.Helper()
	if a := c.heard(id); len(a.resets) == 0 || a.resets[0] != code {
		c.t.Errorf("stream %d: resets %v, want %v; %v", id, a.resets, code, a.blocks)
	}
}

// wantEnd checks that the server has ended the connection with an error.
func (c *client) wantEnd(code http2.ErrCode) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.goAways); !c.closed || n == 0 || c.goAways[n-1].code != code {
		c.t.Errorf("closed: %v, %v; want %v", c.closed, c.goAways, code)
	}
}

// wantOpen checks that the connection lasts.
func (c *client) wantOpen() {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.goAways) > 0 {
		c.t.Errorf("closed: %v, %v", c.closed, c.goAways)
	}
}

func (q *queue) size() (n int) {
	for st := q.first; st != nil; st = st.place.next {
		n++
	}
	return n
}
