package grpcserver

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/metadata"
)

// without is fields but for those of a name.
func without(fields []hpack.HeaderField, name string) []hpack.HeaderField {
	return slices.DeleteFunc(fields, func(f hpack.HeaderField) bool { return f.Name == name })
}

// A request that is none of HTTP/2 ends its stream, and only that (RFC 9113, 8.1.1).
func TestMalformedRequestsAreRefused(t *testing.T) {
	requests := map[string][]hpack.HeaderField{
		"two paths":                     append([]hpack.HeaderField{{Name: ":path", Value: call}}, fields(call)...),
		"an empty field name":           fields(call, "", "v"),
		"an upper-case name":            fields(call, "X-Upper", "v"),
		"a name with a space":           fields(call, "a b", "v"),
		"a name with a colon":           fields(call, "a:b", "v"),
		"a name of control characters":  fields(call, "a\x01", "v"),
		"a value with NUL":              fields(call, "a", "v\x00"),
		"a value with a line feed":      fields(call, "a", "v\nb: c"),
		"a value with a return":         fields(call, "a", "v\rb"),
		"a path with NUL":               fields(call + "\x00"),
		"an authority with a line feed": fields(call, ":authority", "a\nb"),
		"no method":                     without(fields(call), ":method"),
		"no scheme":                     without(fields(call), ":scheme"),
		"no path":                       without(fields(call), ":path"),
		"an empty path":                 fields(""),
		"a pseudo-header of responses":  append([]hpack.HeaderField{{Name: ":status", Value: "200"}}, fields(call)...),
		"an unknown pseudo-header":      append([]hpack.HeaderField{{Name: ":protocol", Value: "x"}}, fields(call)...),
		"a pseudo-header that is late":  append(without(fields(call), ":path"), hpack.HeaderField{Name: ":path", Value: call}),
		"one that comes after the time": append([]hpack.HeaderField{{Name: "grpc-timeout", Value: "1S"}}, fields(call)...),
		"connection":                    fields(call, "connection", "close"),
		"proxy-connection":              fields(call, "proxy-connection", "x"),
		"keep-alive":                    fields(call, "keep-alive", "1"),
		"transfer-encoding":             fields(call, "transfer-encoding", "chunked"),
		"upgrade":                       fields(call, "upgrade", "h2c"),
		"te that is not trailers":       fields(call, "te", "gzip"),
		"content-length of no number":   fields(call, "content-length", "x"),
		"content-length with a sign":    fields(call, "content-length", "+0"),
		"content-length below zero":     fields(call, "content-length", "-1"),
		"content-length too large":      fields(call, "content-length", "9223372036854775808"),
		"two content-lengths":           fields(call, "content-length", "0", "content-length", "1"),
		"content-length without data":   fields(call, "content-length", "7"),
	}
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}).dial(t)
		for name, fields := range requests {
			id := c.beginWith(fields, true)
			if a := c.heard(id); !slices.Equal(a.resets, []http2.ErrCode{http2.ErrCodeProtocol}) || len(a.blocks) > 0 {
				t.Errorf("%s: resets %v; %v", name, a.resets, a.blocks)
			}
		}
		c.want(c.call([]byte("x"), "content-length", "6", "content-length", "6"), []byte("x"))
		c.wantOpen()
	})
}

// What content-length says, comes (RFC 9113, 8.1.1).
func TestContentLengthIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}).dial(t)
		c.wantReset(c.call([]byte("x"), "content-length", "5"), http2.ErrCodeProtocol)
		c.wantReset(c.call([]byte("x"), "content-length", "7"), http2.ErrCodeProtocol)
		id := c.begin(talk, false, "content-length", "7")
		c.send(id, prefixed([]byte("x")), false)
		c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(nil), EndHeaders: true, EndStream: true})
		c.wantReset(id, http2.ErrCodeProtocol)
		c.wantOpen()
	})
}

func TestTrailersEndAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}).dial(t)
		trailers := func(c *client, id uint32, ended bool, name string) {
			block := c.encode([]hpack.HeaderField{{Name: name, Value: "v"}})
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: ended})
		}
		id := c.begin(talk, false)
		c.send(id, prefixed([]byte("x")), false)
		trailers(c, id, true, "x-trailer")
		c.want(id, []byte("x"))
		unary := c.begin(call, false)
		c.send(unary, prefixed([]byte("x")), false)
		trailers(c, unary, true, "x-trailer")
		c.want(unary, []byte("x"))
		for _, wrong := range []struct {
			ended bool
			name  string
		}{{false, "x"}, {true, ":path"}} {
			id := c.begin(talk, false)
			trailers(c, id, wrong.ended, wrong.name)
			c.wantReset(id, http2.ErrCodeProtocol)
		}
		c = serve(t, &service{talk: hang}).dial(t) // whose streams last
		trailers(c, c.begin(talk, true), true, "x")
		c.wantEnd(http2.ErrCodeStreamClosed)
	})
}

// Requests that differ share nothing, whatever is in their fields.
func TestRequestsThatDifferAreNotTakenForEachOther(t *testing.T) {
	var fields []hpack.HeaderField
	parts := []string{"", "a", "\x00", "\x00\x00", "a\x00", "\x00a", "\x01", "\x01a"}
	for _, name := range parts {
		for _, value := range parts {
			fields = append(fields, hpack.HeaderField{Name: name, Value: value})
		}
	}
	lists := [][]hpack.HeaderField{nil}
	for _, a := range fields {
		lists = append(lists, []hpack.HeaderField{a})
		for _, b := range fields {
			lists = append(lists, []hpack.HeaderField{a, b})
		}
	}
	known := make(map[string][]hpack.HeaderField)
	c := &conn{server: New(Config{MaxHeaderBytes: 1 << 20})}
	for _, list := range lists {
		h := newHeaderReader(c)
		for _, f := range list {
			h.add(f)
		}
		if other, ok := known[string(h.key)]; ok {
			t.Fatalf("%q and %q have the key %q", list, other, h.key)
		}
		known[string(h.key)] = list
	}
}

// Two requests that differ in one field are different for the handler, also when the second comes on a
// connection that knows the first.
func TestAHandlerSeesTheMetadataOfItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{call: func(ctx context.Context, _ []byte) ([]byte, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			return []byte(fmt.Sprint(md)), nil
		}}
		c := serve(t, svc).dial(t)
		base := metadata.MD{":authority": {"test"}, "content-type": {"application/grpc"}}
		for _, test := range []struct {
			more []string
			want metadata.MD
		}{
			{nil, nil},
			{[]string{"a", "1"}, metadata.MD{"a": {"1"}}},
			{[]string{"a", "2"}, metadata.MD{"a": {"2"}}},
			{[]string{"a", "1", "a", "2"}, metadata.MD{"a": {"1", "2"}}},
			{[]string{"a", "2", "a", "1"}, metadata.MD{"a": {"2", "1"}}},
			{[]string{"b", "1"}, metadata.MD{"b": {"1"}}},
			{[]string{"b", ""}, metadata.MD{"b": {""}}},
			{[]string{"user-agent", "me"}, metadata.MD{"user-agent": {"me"}}},
			{[]string{":authority", "other"}, metadata.MD{":authority": {"other"}}},
			{[]string{"content-type", "application/grpc+proto"}, metadata.MD{"content-type": {"application/grpc+proto"}}},
			{[]string{"grpc-timeout", "1H", "grpc-message", "x"}, nil},
			{[]string{"grpc-trace-bin", "AAE"}, metadata.MD{"grpc-trace-bin": {"\x00\x01"}}},
			{[]string{"a-bin", "AAE,AAH/"}, metadata.MD{"a-bin": {"\x00\x01", "\x00\x01\xff"}}},
			{[]string{"a-bin", "AAH/"}, metadata.MD{"a-bin": {"\x00\x01\xff"}}},
			{[]string{"a-bin", "AAE"}, metadata.MD{"a-bin": {"\x00\x01"}}},
			{[]string{"a-bin", "AAE="}, metadata.MD{"a-bin": {"\x00\x01"}}},
		} {
			want := base.Copy()
			for name, values := range test.want {
				want[name] = values
			}
			for range 2 {
				c.want(c.call(nil, test.more...), []byte(fmt.Sprint(want)))
			}
		}
	})
}

func TestRequestsThatCannotBeCalledAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{})
		c := s.dial(t)
		for _, test := range []struct {
			path               string
			more               []string
			http, status, text string
		}{
			{"/test.Test/None", nil, "200", "12", "unknown method None for service test.Test"},
			{"/none.None/Call", nil, "200", "12", "unknown service none.None"},
			{"none", nil, "200", "12", `malformed method name: "none"`},
			{"/none", nil, "200", "12", `malformed method name: "/none"`},
			{call, []string{":method", "GET"}, "405", "13", `the request's :method is "GET", and should be POST`},
			{call, []string{"content-type", "text/html"}, "415", "13", `invalid gRPC request content-type "text/html"`},
			{call, []string{"content-type", "application/grpcx"}, "415", "13", `invalid gRPC request content-type "application/grpcx"`},
			{call, []string{"x-bin", "!"}, "200", "13", `malformed binary metadata "!" in header "x-bin": illegal base64 data at input byte 0`},
			{call, []string{"grpc-timeout", "x"}, "200", "13", `malformed grpc-timeout: "x" is no time`},
		} {
			for _, ended := range []bool{true, false, false} {
				id := c.begin(test.path, ended, test.more...)
				a := c.heard(id)
				if a.status() != test.status || a.text() != test.text || value(a.blocks[0], ":status") != test.http || len(a.blocks) != 1 {
					t.Errorf("%s %v: %v", test.path, test.more, a.blocks)
				}
				if want := []http2.ErrCode{http2.ErrCodeNo}; !ended && !slices.Equal(a.resets, want) {
					t.Errorf("%s %v: the client is told to send more: %v", test.path, test.more, a.resets)
				}
			}
		}
		for _, contentType := range []string{"application/grpc", "application/grpc+x", "application/grpc;a=b", "Application/GRPC"} {
			c.want(c.call([]byte("x"), "content-type", contentType), []byte("x"))
		}
		s.conn(t).wantQuiet(t)
	})
}

// What a connection remembers of requests is bounded, in number and bytes.
func TestKnownRequestsAreBounded(t *testing.T) {
	for _, size := range []int{1, 600, 4 << 10, 7 << 10} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, &service{})
			c := s.dial(t)
			h := s.conn(t).headers
			for i := range 3 * maxKnown {
				c.heard(c.call(nil, "x", fmt.Sprint(i, strings.Repeat("x", size))))
				bytes := 0
				for key := range h.known {
					bytes += len(key)
				}
				if bytes > h.bytes || h.bytes > maxKnownBytes || len(h.known) > maxKnown || len(h.known) == 0 {
					t.Fatalf("%d requests of %d bytes, %d are counted", len(h.known), bytes, h.bytes)
				}
			}
		})
	}
}

// A field takes memory beside its bytes.
func TestKnownRequestsCountForTheirFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{})
		c := s.dial(t)
		h := s.conn(t).headers
		const fields = 100
		for i := range maxKnown {
			more := []string{"n", fmt.Sprint(i)}
			for j := range fields {
				more = append(more, fmt.Sprintf("f%d", j), "")
			}
			c.heard(c.call(nil, more...))
			if len(h.known)*fields*32 > maxKnownBytes {
				t.Fatalf("%d requests of %d fields are known", len(h.known), fields)
			}
		}
	})
}

// The time of a call does not count: calls differ in it, and are one request.
func TestRequestsThatDifferInTimeAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc := &service{call: func(ctx context.Context, _ []byte) ([]byte, error) {
			deadline, ok := ctx.Deadline()
			return []byte(fmt.Sprint(ok, time.Until(deadline))), nil
		}}
		s := serve(t, svc)
		c := s.dial(t)
		c.want(c.call(nil, "grpc-timeout", "5S"), []byte("true 5s"))
		c.want(c.call(nil, "grpc-timeout", "20m"), []byte("true 20ms"))
		if n := len(s.conn(t).headers.known); n != 1 {
			t.Errorf("%d requests are known", n)
		}
		if got := c.heard(c.call(nil)); !strings.HasPrefix(string(got.data[prefixSize:]), "false") {
			t.Errorf("%q", got.data)
		}
	})
}

func TestTimeouts(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0n": 0, "1n": 1, "99999999n": 99999999, "2u": 2 * time.Microsecond, "3m": 3 * time.Millisecond, "4S": 4 * time.Second,
		"5M": 5 * time.Minute, "6H": 6 * time.Hour, "2562047H": 2562047 * time.Hour, "2562048H": math.MaxInt64, "99999999H": math.MaxInt64,
		"00000001S": time.Second,
	} {
		if got, err := parseTimeout(text); got != want || err != nil {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "S", "1s", "1x", "-1S", "+1S", " 1S", "1 S", "1.5S", "1_0S", "123456789S", "0x1S", "1SS"} {
		if got, err := parseTimeout(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
