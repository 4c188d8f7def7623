package http2

import (
	"slices"
	"strconv"
	"strings"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// edit changes the fields of a request.
type edit func([]hpack.HeaderField) []hpack.HeaderField

// with adds a field at the end.
func with(name, value string) edit {
	return func(fields []hpack.HeaderField) []hpack.HeaderField { return append(fields, field(name, value)) }
}

// before adds a field at the beginning.
func before(name, value string) edit {
	return func(fields []hpack.HeaderField) []hpack.HeaderField {
		return slices.Insert(fields, 0, field(name, value))
	}
}

func without(name string) edit {
	return func(fields []hpack.HeaderField) []hpack.HeaderField {
		return slices.DeleteFunc(fields, func(f hpack.HeaderField) bool { return f.Name == name })
	}
}

func instead(name, value string) edit {
	return func(fields []hpack.HeaderField) []hpack.HeaderField {
		for i := range fields {
			if fields[i].Name == name {
				fields[i].Value = value
			}
		}
		return fields
	}
}

// request is a unary call whose fields were edited.
func request(edits ...edit) func(*conn) string {
	return send(func(c *conn) {
		fields := c.to.unary.fields()
		for _, edit := range edits {
			fields = edit(fields)
		}
		c.begin(false, fields)
		c.data(true, c.to.unary.message)
	})
}

// length is a unary call in two DATA frames that says that its body is longer by more bytes than it is.
func length(more int) func(*conn) string {
	return send(func(c *conn) {
		m := c.to.unary
		c.begin(false, append(m.fields(), field("content-length", strconv.Itoa(len(m.message)+more))))
		c.data(false, m.message[:2])
		c.data(true, m.message[2:])
	})
}

var headerCases = []testCase{
	{"a field with an upper-case name", "8.2.1", request(with("X-Upper", "v")), malformed, ""},
	{"a field with a blank in its name", "8.2.1", request(with("x y", "v")), malformed, ""},
	{"a field with a colon in its name", "8.2.1", request(with("x:y", "v")), malformed, ""},
	{"a field with no name", "8.2.1", request(with("", "v")), malformed, ""},
	{"a field with a byte above 0x7f in its name", "8.2.1", request(with("x\xff", "v")), malformed, ""},
	{"a field with NUL in its value", "8.2.1", request(with("x", "a\x00b")), malformed, ""},
	{"a field with CR and LF in its value", "8.2.1", request(with("x", "a\r\nb: c")), malformed, ""},
	{"a field whose value begins with a blank", "8.2.1", request(with("x", " v")), blank, ""},
	{"a field whose value ends with a tab", "8.2.1", request(with("x", "v\t")), blank, ""},
	{"a field with an empty value", "8.2.1", request(with("x", "")), ok, ""},

	{"connection", "8.2.2", request(with("connection", "close")), malformed, ""},
	{"keep-alive", "8.2.2", request(with("keep-alive", "timeout=5")), malformed, "grpc-status 0"},
	{"proxy-connection", "8.2.2", request(with("proxy-connection", "close")), malformed, "grpc-status 0"},
	{"transfer-encoding", "8.2.2", request(with("transfer-encoding", "chunked")), malformed, "grpc-status 0"},
	{"upgrade", "8.2.2", request(with("upgrade", "h2c")), malformed, "grpc-status 0"},
	{"te other than trailers", "8.2.2", request(instead("te", "gzip")), malformed, "grpc-status 0"},

	{"an unknown pseudo-header", "8.3", request(before(":unknown", "v")), malformed, ""},
	{"a pseudo-header of responses", "8.3", request(before(":status", "200")), malformed, ""},
	{"a pseudo-header after a field", "8.3", request(without(":path"), with(":path", "/")), malformed, ""},
	{":method twice", "8.3.1", request(before(":method", "POST")), malformed, ""},
	{":scheme twice", "8.3.1", request(before(":scheme", "http")), malformed, ""},
	{":path twice", "8.3.1", request(before(":path", "/")), malformed, ""},
	{":authority twice", "8.3.1", request(before(":authority", "localhost")), malformed, ""},
	{"no :method", "8.3.1", request(without(":method")), malformed, "HTTP 405"},
	{"no :scheme", "8.3.1", request(without(":scheme")), malformed, "grpc-status 0"},
	{"no :path", "8.3.1", request(without(":path")), malformed, "grpc-status 12"},
	{"an empty :path", "8.3.1", request(instead(":path", "")), malformed, "grpc-status 12"},
	{"host in place of :authority", "8.3.1", request(without(":authority"), with("host", "localhost")), ok, ""},
	{"https as the scheme", "8.3.1", request(instead(":scheme", "https")), ok, ""},
	{"cookies in more than one field", "8.2.3", request(with("cookie", "a=b"), with("cookie", "c=d")), ok, ""},

	{"content-length of the body", "8.1.1", length(0), ok, ""},
	{"content-length of a byte more", "8.1.1", length(1), malformed, "grpc-status 0"},
	{"content-length of a byte less", "8.1.1", length(-1), malformed, "grpc-status 0"},
	{"content-length of a request without DATA", "8.1.1", send(func(c *conn) {
		c.begin(true, append(c.to.stream.fields(), field("content-length", "1")))
	}), malformed, "grpc-status 0"},
	{"content-length that is no number", "8.1.1", request(with("content-length", "x")), malformed, "grpc-status 0"},

	{"trailers", "8.1", send(func(c *conn) { c.trailed(true, field("x-trailer", "v")) }), ok, "GOAWAY PROTOCOL_ERROR"},
	{"trailers that do not end the stream", "8.1", send(func(c *conn) { c.trailed(false, field("x-trailer", "v")) }), malformed, "GOAWAY PROTOCOL_ERROR"},
	{"trailers with a pseudo-header", "8.1", send(func(c *conn) { c.trailed(true, field(":path", "/")) }), malformed, "GOAWAY PROTOCOL_ERROR"},
	{"more headers than SETTINGS allow", "10.5.1", func(c *conn) string {
		c.begin(false, append(c.to.stream.fields(), field("x", strings.Repeat("a", 2*maxHeader))))
		c.expected = true
		got := c.outcome()
		if strings.HasPrefix(got, "GOAWAY") || got == "closed" {
			return got
		}
		c.closed() // the connection is as good as before
		return got
	}, tooLarge, ""},
	{"more headers than SETTINGS allow, which are small", "10.5.1", send(func(c *conn) {
		fields := c.to.stream.fields()
		for range maxHeader / 32 {
			fields = append(fields, field("a", "b"))
		}
		c.begin(false, fields)
		c.expected = true
	}), tooLarge, ""},
	{"as many headers as SETTINGS allow", "10.5.1", func(c *conn) string {
		room := maxHeader - 1000
		c.call(c.to.unary, field("x", strings.Repeat("a", room)))
		return c.outcome()
	}, ok, ""},
}

// blank is what may come for blanks around a value: the RFC takes them for an error, gRPC lets servers strip them, and clients of gRPC
// send them.
var blank = append(want("grpc-status 0"), malformed...)

// tooLarge is what may come for headers that are too large: the RFC leaves it to the server.
var tooLarge = want("HTTP 431", "RST_STREAM ENHANCE_YOUR_CALM", "RST_STREAM PROTOCOL_ERROR", "RST_STREAM REFUSED_STREAM", "RST_STREAM FRAME_SIZE_ERROR",
	"GOAWAY ENHANCE_YOUR_CALM", "GOAWAY COMPRESSION_ERROR", "GOAWAY PROTOCOL_ERROR")

// trailed adds a unary call with trailers.
func (c *conn) trailed(end bool, fields ...hpack.HeaderField) {
	c.begin(false, c.to.unary.fields())
	c.data(false, c.to.unary.message)
	c.fr.WriteHeaders(h2.HeadersFrameParam{StreamID: c.stream, EndStream: end, EndHeaders: true, BlockFragment: c.encode(fields)})
	c.expected = true
}

// coded is a request whose header block ends with what a case wants.
func coded(tail ...byte) func(*conn) string {
	return send(func(c *conn) {
		c.stream = c.next()
		c.raw(h2.FrameHeaders, h2.FlagHeadersEndHeaders, c.stream, append(c.encode(c.to.unary.fields()), tail...)...)
		c.data(true, c.to.unary.message)
	})
}

var hpackCases = []testCase{
	{"a literal without indexing", "RFC 7541 6.2.2", coded(0x00, 1, 'x', 1, 'v'), ok, ""},
	{"a literal that is never indexed", "RFC 7541 6.2.3", coded(0x10, 1, 'x', 1, 'v'), ok, ""},
	{"a literal in Huffman's code", "RFC 7541 5.2", coded(0x00, 1, 'x', 0x83, 0xee, 0x3a, 0x2d), ok, ""},
	{"an index of 0", "RFC 7541 6.1", coded(0x80), hpackError, ""},
	{"an index beyond the tables", "RFC 7541 2.3.3", coded(0xff, 0xff, 0x7f), hpackError, ""},
	{"a name with an index beyond the tables", "RFC 7541 2.3.3", coded(0x7f, 0xff, 0x7f, 1, 'v'), hpackError, ""},
	{"an integer that overflows", "RFC 7541 5.1", coded(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), hpackError, ""},
	{"a string longer than its block", "RFC 7541 5.2", coded(0x00, 1, 'x', 100, 'v'), hpackError, ""},
	{"a string without an end", "RFC 7541 5.2", coded(0x00, 1), hpackError, ""},
	{"padding of Huffman's code that is not ones", "RFC 7541 5.2", coded(0x00, 1, 'x', 0x81, 0x00), hpackError, ""},
	{"padding of Huffman's code that is longer than 7 bits", "RFC 7541 5.2", coded(0x00, 1, 'x', 0x82, 0x1f, 0xff), hpackError, ""},
	{"EOS in Huffman's code", "RFC 7541 5.2", coded(0x00, 1, 'x', 0x84, 0xff, 0xff, 0xff, 0xff), hpackError, ""},
	{"a table size at the end of a block", "RFC 7541 4.2", coded(0x20), hpackError, ""},
	{"a table size at the beginning of a block", "RFC 7541 4.2", send(func(c *conn) {
		c.enc.SetMaxDynamicTableSize(0)
		c.enc.SetMaxDynamicTableSize(2048)
		c.call(c.to.unary)
	}), ok, ""},
	{"a table size beyond the one that the server allows", "RFC 7541 6.3", send(func(c *conn) {
		c.stream = c.next()
		c.raw(h2.FrameHeaders, h2.FlagHeadersEndHeaders, c.stream, append([]byte{0x3f, 0xff, 0xff, 0x7f}, c.encode(c.to.unary.fields())...)...)
		c.data(true, c.to.unary.message)
	}), hpackError, ""},
	{"a block that is broken on a stream that is over", "4.3", send(func(c *conn) {
		c.reset()
		c.raw(h2.FrameHeaders, h2.FlagHeadersEndHeaders, c.stream, 0x80)
	}), want("GOAWAY PROTOCOL_ERROR", "GOAWAY STREAM_CLOSED", "GOAWAY COMPRESSION_ERROR"), ""},
	{"the table is kept up to date by requests that are refused", "4.3", func(c *conn) string {
		c.fill()
		last := c.stream
		c.begin(false, append(c.to.stream.fields(), field("x-new", "refused")))
		c.expected = true
		if got := c.outcome(); !strings.HasPrefix(got, "RST_STREAM ") {
			return got
		}
		refused := c.stream
		c.stream = last
		c.leaveOne()
		c.stream = refused
		c.call(c.to.unary, field("x-new", "refused"))
		return c.outcome()
	}, ok, ""},
}
