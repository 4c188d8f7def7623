package http2

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// body is a unary call with this body, and these headers.
func body(b []byte, edits ...edit) func(*conn) string {
	return send(func(c *conn) {
		fields := ask("Metadata", "").fields()
		for _, edit := range edits {
			fields = edit(fields)
		}
		c.begin(false, fields)
		c.data(true, b)
	})
}

// announced is a message of which only the prefix is sent.
func announced(size uint32) func(*conn) string {
	return send(func(c *conn) {
		c.begin(false, ask("Metadata", "").fields())
		c.data(false, binary.BigEndian.AppendUint32([]byte{0}, size))
		c.expected = true
	})
}

// flagged is an empty message with this flag.
func flagged(flag byte) []byte { return []byte{flag, 0, 0, 0, 0} }

var empty = flagged(0)

// gzippedNothing is what gzip makes of an empty message.
var gzippedNothing = []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00")

// cardinality is what may come for a wrong number of messages: the table of gRPC says 12, grpc-go and grpc-java say 13.
var cardinality = want("grpc-status 12", "grpc-status 13")

var messageCases = []testCase{
	{"a message in many DATA frames", protocolRule, send(func(c *conn) {
		c.begin(false, ask("Metadata", "").fields())
		for _, b := range empty {
			c.data(false, []byte{b})
		}
		c.data(true, nil)
	}), ok, ""},
	{"many messages in a DATA frame", protocolRule, send(func(c *conn) {
		m := duplex()
		c.begin(false, m.fields())
		c.data(true, bytes.Repeat(m.message, 100))
	}), ok, ""},
	{"a stream without a message", protocolRule, send(func(c *conn) {
		c.begin(true, duplex().fields())
	}), ok, ""},
	{"each message of a stream is answered at once", protocolRule, func(c *conn) string {
		m := duplex(10)
		c.begin(false, m.fields())
		received := []int{}
		for i := range 3 {
			c.data(false, m.message)
			c.flush()
			for c.received[c.stream] < (i+1)*19 {
				if _, err := c.read(); err != nil {
					return err.Error()
				}
			}
			received = append(received, c.received[c.stream])
		}
		c.data(true, nil)
		return fmt.Sprint(received, " ", c.outcome())
	}, want("[19 38 57] grpc-status 0"), ""},

	{"no message on a unary call", codesRule, body(nil), cardinality, ""},
	{"no DATA on a unary call", codesRule, send(func(c *conn) { c.begin(true, ask("Metadata", "").fields()) }), cardinality, ""},
	{"two messages on a unary call", codesRule, body(append(empty, empty...)), cardinality, ""},
	{"half a prefix", codesRule, body(empty[:3]), want("grpc-status 13"), ""},
	{"half a message", codesRule, body([]byte{0, 0, 0, 0, 9, 1, 2}), want("grpc-status 13"), ""},
	{"a message that cannot be decoded", codesRule, body(prefixed([]byte{0xff, 0xff, 0xff})), want("grpc-status 13"), ""},

	{"a message of the largest size", protocolRule, largest, ok, ""},
	{"a message larger than allowed", codesRule, announced(maxMessage + 1), want("grpc-status 8"), ""},
	{"a message of 4 GiB", codesRule, announced(1<<32 - 1), want("grpc-status 8"), ""},

	{"a compressed message without an encoding", compressionRule, body(flagged(1)), want("grpc-status 13"), ""},
	{"a compressed message with encoding identity", compressionRule, body(flagged(1), with("grpc-encoding", "identity")), want("grpc-status 13"), ""},
	{"a plain message with encoding identity", compressionRule, body(empty, with("grpc-encoding", "identity")), ok, ""},
	{"a compressed message with an unknown encoding", compressionRule, body(flagged(1), with("grpc-encoding", "snail")), want("grpc-status 12"), ""},
	{"a message compressed by gzip", compressionRule, body(append([]byte{1, 0, 0, 0, byte(len(gzippedNothing))}, gzippedNothing...), with("grpc-encoding", "gzip")), ok, ""},
	{"a plain message with encoding gzip", compressionRule, body(empty, with("grpc-encoding", "gzip")), ok, ""},
	{"a message that is not compressed by gzip as it says", compressionRule, body(flagged(1), with("grpc-encoding", "gzip")), want("grpc-status 13"), ""},
	{"a plain message with an unknown encoding", compressionRule, body(empty, with("grpc-encoding", "snail")), want("grpc-status 0", "grpc-status 12"), ""},
	{"a prefix with an unknown flag", protocolRule, body(flagged(2)), want("grpc-status 13"), ""},
	{"a client that accepts encodings that the server does not have", compressionRule, body(empty, with("grpc-accept-encoding", "snail,identity")), ok, ""},
}

// largest is a call with a message of the largest size.
func largest(c *conn) string {
	m := ask("Metadata", "")
	c.begin(false, m.fields())
	c.flush()
	return c.upload(m.grown(prefixBytes + maxMessage).message)
}
