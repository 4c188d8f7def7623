package grpcserver

import (
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// trailers end a response.
type trailers struct {
	status *status.Status // nil: OK
	http   int            // the status of HTTP, where it is no call of gRPC; else 0
	extra  []byte         // fields
}

// response encodes the headers of responses (RFC 7541). Nearly all of them are the same: two fields,
// which enter the table of the connection once, and are one byte each from then on.
type response struct {
	plain       bool // the client keeps too little a table: nothing enters it
	resized     bool // it was told so
	contentType bool // the field is in the table
	ok          bool // grpc-status: 0 is
}

const (
	// minTable is the size in bytes of the client's table from which on it is used. A smaller one would
	// have to be managed, and all clients have the one that RFC 9113 begins with.
	minTable = 4096

	indexed     = 0x80
	incremental = 0x40 // a literal that enters the table
	literal     = 0x00 // one that does not
	resize      = 0x20
	// Indexes of the static table, and the first of the other.
	status200    = 8
	contentType  = 31
	firstDynamic = 62

	typeGRPC = "application/grpc"
)

// appendHeaders appends the headers of a response, which end it if there are trailers.
func (r *response) appendHeaders(b []byte, stream uint32, extra []byte, t *trailers) []byte {
	flags := http2.FlagHeadersEndHeaders
	if t != nil {
		flags |= http2.FlagHeadersEndStream
	}
	at := len(b)
	b = r.begin(appendFrame(b, http2.FrameHeaders, flags, stream, 0))
	if t == nil || t.http == 0 {
		b = append(b, indexed|status200)
	} else {
		b = appendText(append(b, literal|status200), strconv.Itoa(t.http))
	}
	switch {
	case r.contentType && r.ok:
		b = append(b, indexed|(firstDynamic+1))
	case r.contentType:
		b = append(b, indexed|firstDynamic)
	case r.plain:
		b = appendText(append(b, literal|0x0f, contentType-0x0f), typeGRPC)
	default:
		b = appendText(append(b, incremental|contentType), typeGRPC)
		r.contentType = true
	}
	b = append(b, extra...)
	if t != nil {
		b = r.appendStatus(b, t)
	}
	return sized(b, at)
}

// appendTrailers appends the trailers of a response.
func (r *response) appendTrailers(b []byte, stream uint32, t *trailers) []byte {
	at := len(b)
	b = r.begin(appendFrame(b, http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, stream, 0))
	return sized(r.appendStatus(b, t), at)
}

// begin begins a block of fields.
func (r *response) begin(b []byte) []byte {
	if r.plain && !r.resized {
		r.resized, r.contentType, r.ok = true, false, false
		b = append(b, resize) // to nothing
	}
	return b
}

// sized sets the size of the frame that begins at a place.
func sized(b []byte, at int) []byte {
	n := len(b) - at - frameHeader
	b[at], b[at+1], b[at+2] = byte(n>>16), byte(n>>8), byte(n)
	return b
}

func (r *response) appendStatus(b []byte, t *trailers) []byte {
	switch {
	case t.status.Code() != codes.OK:
		b = appendFailure(b, t.status)
	case r.ok:
		b = append(b, indexed|firstDynamic)
	case r.plain:
		b = appendField(b, "grpc-status", "0")
	default:
		b = appendText(appendText(append(b, incremental), "grpc-status"), "0")
		r.ok = true
	}
	return append(b, t.extra...)
}

// maxStatusText and maxDetails bound what a client is told of an error, in bytes of its fields. With
// maxMetadata they fit into one frame.
const (
	maxStatusText = 4 << 10
	maxDetails    = 3 << 10
)

func appendFailure(b []byte, s *status.Status) []byte {
	b = appendField(b, "grpc-status", strconv.Itoa(int(s.Code())))
	b = appendField(b, "grpc-message", encodeMessage(s.Message()))
	if p := s.Proto(); len(p.GetDetails()) > 0 {
		if details, err := proto.Marshal(p); err == nil && base64.RawStdEncoding.EncodedLen(len(details)) <= maxDetails {
			b = appendField(b, "grpc-status-details-bin", base64.RawStdEncoding.EncodeToString(details))
		}
	}
	return b
}

// encodeMessage is percent encoding, as gRPC says. Of a long text it returns the beginning.
func encodeMessage(text string) string {
	plain := func(c byte) bool { return c >= ' ' && c <= '~' && c != '%' }
	i := 0
	for i < min(len(text), maxStatusText) && plain(text[i]) {
		i++
	}
	if i == min(len(text), maxStatusText) {
		return text[:i]
	}
	b := []byte(text[:i])
	const hex = "0123456789ABCDEF"
	for _, r := range text[i:] { // what is no UTF-8 becomes U+FFFD
		whole := len(b)
		for _, c := range []byte(string(r)) {
			if plain(c) {
				b = append(b, c)
			} else {
				b = append(b, '%', hex[c>>4], hex[c&15])
			}
		}
		if len(b) > maxStatusText {
			return string(b[:whole])
		}
	}
	return string(b)
}

// appendField appends a field that does not enter the table.
func appendField(b []byte, name, value string) []byte {
	return appendText(appendText(append(b, literal), name), value)
}

// appendText appends a string, without Huffman's code.
func appendText(b []byte, s string) []byte {
	if n := len(s); n < 0x7f {
		b = append(b, byte(n))
	} else {
		b = append(b, 0x7f)
		for n -= 0x7f; n >= 0x80; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		b = append(b, byte(n))
	}
	return append(b, s...)
}

// encodeMetadata returns fields with the metadata that a handler has set. Names that gRPC has reserved are left
// out. What no header of HTTP can hold is refused, with the texts of grpc-go: it could end the connection, or
// look like another field to a proxy.
func encodeMetadata(md metadata.MD) (b []byte, err error) {
	for name, values := range md {
		name = strings.ToLower(name)
		if isReserved(name) {
			continue
		}
		if name == "" || strings.ContainsFunc(name, isNoName) {
			return nil, status.Errorf(codes.Internal, "header key %q contains illegal characters not in [0-9a-z-_.]", name)
		}
		for _, v := range values {
			if strings.HasSuffix(name, binarySuffix) {
				v = base64.RawStdEncoding.EncodeToString([]byte(v))
			} else if strings.ContainsFunc(v, isNoText) {
				return nil, status.Errorf(codes.Internal, "header key %q contains value with non-printable ASCII characters", name)
			}
			b = appendField(b, name, v)
		}
	}
	if len(b) > maxMetadata {
		return nil, errLargeMetadata
	}
	return b, nil
}

func isNoName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

func isNoText(r rune) bool { return r < ' ' || r > '~' }

const binarySuffix = "-bin"

// isReserved tells whether a name of metadata belongs to HTTP/2, or has a meaning in gRPC.
func isReserved(name string) bool {
	switch name {
	case "content-type", "te", "connection", "user-agent", "grpc-message-type", "grpc-encoding", "grpc-message", "grpc-status",
		"grpc-timeout", "grpc-status-details-bin":
		return true
	}
	return strings.HasPrefix(name, ":")
}
