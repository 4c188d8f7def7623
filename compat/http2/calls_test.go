package http2

import (
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	h2 "golang.org/x/net/http2"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// The rules of gRPC: its protocol over HTTP/2, its codes of status, and its compression.
const (
	protocolRule    = "gRPC PROTOCOL-HTTP2.md"
	codesRule       = "gRPC statuscodes.md"
	compressionRule = "gRPC compression.md"
)

// reply sends a call to the service probe, and returns what its handler returned; if that is nothing, what has come.
func (c *conn) reply(m method, more ...hpack.HeaderField) string {
	c.t.Helper()
	c.call(m, more...)
	return c.text()
}

// text returns the text that answers the last stream.
func (c *conn) text() string {
	c.t.Helper()
	c.flush()
	var body []byte
	for {
		frame, err := c.read()
		if err != nil {
			return err.Error()
		}
		if data, is := frame.(*h2.DataFrame); is && data.StreamID == c.stream {
			body = append(body, data.Data()...)
		}
		end := c.end(frame, c.stream)
		if end == "" {
			continue
		}
		text := new(wrapperspb.StringValue)
		if end != "grpc-status 0" || len(body) < prefixBytes || proto.Unmarshal(body[prefixBytes:], text) != nil {
			return end
		}
		return text.Value
	}
}

// timeout is a call with a timeout, and tells whether its handler has as much time left as this, or somewhat less.
func timeout(value string, within time.Duration) func(*conn) string {
	return func(c *conn) string {
		text := c.reply(ask("Left", ""), field("grpc-timeout", value))
		left, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return text
		case left > within:
			return "more"
		case left < within-patience:
			return "less"
		}
		return "right"
	}
}

// overNow is what may come for a call whose time is over before its handler has replied.
var overNow = want("grpc-status 4", "RST_STREAM CANCEL")

// malformedCall is what may come for a call with headers of gRPC that have a wrong form.
var malformedCall = want("HTTP 400", "grpc-status 13", "grpc-status 3", "RST_STREAM PROTOCOL_ERROR")

// statused is a call that is answered with a message of status, and returns that as it was sent.
func statused(message string) func(*conn) string {
	return func(c *conn) string {
		request := &testpb.SimpleRequest{ResponseStatus: &testpb.EchoStatus{Code: 2, Message: message}}
		c.call(method{"/grpc.testing.TestService/UnaryCall", marshal(request)})
		c.flush()
		return c.answered(c.stream) + " " + c.answer["grpc-message"]
	}
}

var callCases = []testCase{
	{"content-type with a codec", protocolRule, request(instead("content-type", "application/grpc+proto")), ok, ""},
	{"no content-type", protocolRule, request(without("content-type")), want("HTTP 415"), ""},
	{"content-type of another protocol", protocolRule, request(instead("content-type", "application/json")), want("HTTP 415"), ""},
	{"content-type that begins as that of gRPC", protocolRule, request(instead("content-type", "application/grpcx")), want("HTTP 415"), ""},
	{"no te", protocolRule, request(without("te")), ok, ""},
	{"GET", protocolRule, request(instead(":method", "GET")), want("HTTP 405"), ""},

	{"an unknown service", codesRule, request(instead(":path", "/none.Service/Method")), want("grpc-status 12"), ""},
	{"an unknown method", codesRule, request(instead(":path", "/grpc.testing.TestService/None")), want("grpc-status 12"), ""},
	{"a path without a method", codesRule, request(instead(":path", "/grpc.testing.TestService")), want("grpc-status 12"), ""},
	{"a path without a slash", codesRule, request(instead(":path", "none")), want("grpc-status 12"), ""},
	{"an unknown method of a client that has not ended its side", codesRule, send(func(c *conn) {
		c.begin(false, method{path: "/none.Service/Method"}.fields())
		c.expected = true
	}), want("grpc-status 12"), ""},

	{"no timeout", protocolRule, func(c *conn) string { return c.reply(ask("Left", "")) }, want("for ever"), ""},
	{"a timeout in hours", protocolRule, timeout("2H", 2*time.Hour), want("right"), ""},
	{"a timeout in minutes", protocolRule, timeout("3M", 3*time.Minute), want("right"), ""},
	{"a timeout in seconds", protocolRule, timeout("100S", 100*time.Second), want("right"), ""},
	{"a timeout in milliseconds", protocolRule, timeout("99999999m", 99_999_999*time.Millisecond), want("right"), ""},
	{"a timeout in microseconds", protocolRule, timeout("99999999u", 99_999_999*time.Microsecond), want("right"), ""},
	{"a timeout in nanoseconds", protocolRule, timeout("99999999n", 99_999_999), append(want("right"), overNow...), ""},
	{"the longest timeout", protocolRule, timeout("99999999H", 1<<63-1), want("right"), ""},
	{"a timeout of 0", protocolRule, func(c *conn) string { return c.reply(ask("Hold", "timeout"), field("grpc-timeout", "0n")) }, overNow, ""},
	{"a timeout that is over at once", protocolRule, func(c *conn) string { return c.reply(ask("Hold", "timeout"), field("grpc-timeout", "1n")) }, overNow, ""},
	{"a timeout that is over while the handler runs", protocolRule, func(c *conn) string { return c.reply(ask("Hold", "timeout"), field("grpc-timeout", "50m")) }, overNow, ""},
	{"an empty timeout", protocolRule, timeout("", 0), malformedCall, ""},
	{"a timeout without a unit", protocolRule, timeout("10", 0), malformedCall, ""},
	{"a timeout without a number", protocolRule, timeout("S", 0), malformedCall, ""},
	{"a timeout of an unknown unit", protocolRule, timeout("10x", 0), malformedCall, ""},
	{"a timeout of 9 digits", protocolRule, timeout("100000000S", 0), malformedCall, ""},
	{"a negative timeout", protocolRule, timeout("-1S", 0), malformedCall, ""},
	{"a timeout with a sign", protocolRule, timeout("+1S", 0), malformedCall, ""},

	{"a plain message of status", protocolRule, statused("plain text"), want("grpc-status 2 plain text"), ""},
	{"a message of status with %", protocolRule, statused("50% of %25"), want("grpc-status 2 50%25 of %2525"), ""},
	{"a message of status in UTF-8", protocolRule, statused("é☺😈"), want("grpc-status 2 %C3%A9%E2%98%BA%F0%9F%98%88"), ""},
	{"a message of status with control characters", protocolRule, statused("a\r\n\tb\x7f"), want("grpc-status 2 a%0D%0A%09b%7F"), ""},
	{"a long message of status", protocolRule, statused(strings.Repeat("m", 5000)), want("grpc-status 2 " + strings.Repeat("m", 5000)), ""},
}
