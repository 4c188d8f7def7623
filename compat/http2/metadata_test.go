package http2

import (
	"slices"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// seen is a call with fields, and returns what its handler sees of some names, one a line.
func seen(names string, fields ...hpack.HeaderField) func(*conn) string {
	return func(c *conn) string {
		text := c.reply(ask("Metadata", ""), fields...)
		if !strings.Contains(text, "\n") {
			return text
		}
		lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
			name, _, _ := strings.Cut(line, "=")
			return !slices.Contains(strings.Fields(names), name)
		})
		return strings.Join(lines, " ")
	}
}

var metadataCases = []testCase{
	{"metadata", protocolRule, seen("x", field("x", "v")), want(`x=["v"]`), ""},
	{"metadata with more than one value", protocolRule, seen("x y", field("x", "1"), field("y", "a,b"), field("x", "2")), want(`x=["1" "2"] y=["a,b"]`), ""},
	{"empty metadata", protocolRule, seen("x", field("x", "")), want(`x=[""]`), ""},
	{"binary metadata with padding", protocolRule, seen("x-bin", field("x-bin", "AAEC/w==")), want(`x-bin=["\x00\x01\x02\xff"]`), ""},
	{"binary metadata without padding", protocolRule, seen("x-bin", field("x-bin", "AAEC/w")), want(`x-bin=["\x00\x01\x02\xff"]`), ""},
	{"binary metadata that is empty", protocolRule, seen("x-bin", field("x-bin", "")), want(`x-bin=[""]`), ""},
	{"binary metadata with two values in a field", protocolRule, seen("x-bin", field("x-bin", "AA==,AQ==")), want(`x-bin=["\x00" "\x01"]`), "HTTP 400"},
	{"binary metadata that is no base64", protocolRule, seen("x-bin", field("x-bin", "!")), malformedCall, ""},
	{"the host of the call", protocolRule, seen(":authority host"), want(`:authority=["localhost"]`), ""},
	{"the user agent", protocolRule, seen("user-agent", field("user-agent", "tester/1")), want(`user-agent=["tester/1"]`), ""},
	{"names that gRPC reserves", protocolRule, seen("grpc-timeout grpc-status grpc-message grpc-encoding te x",
		field("grpc-timeout", "100S"), field("grpc-status", "3"), field("grpc-message", "m"), field("x", "v")), want(`x=["v"]`), ""},
	{"names of pseudo-headers", protocolRule, seen(":path :method :scheme x", field("x", "v")), want(`x=["v"]`), ""},
}
