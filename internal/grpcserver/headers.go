package grpcserver

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// request is what the headers of a request say, besides its time. It may be that of many streams.
type request struct {
	method   *method         // nil if it cannot be called
	failure  trailers        // why not
	values   context.Context // of the connection, with the metadata
	encoding string          // of messages
	length   int64           // content-length; -1: none
}

// headerReader decodes the headers of the requests of a connection.
type headerReader struct {
	conn    *conn
	decoder *hpack.Decoder
	known   map[string]*request // by all fields, but for the time
	bytes   int                 // which known takes, as RFC 9113, 6.5.2 counts

	// Of the block that is being decoded.
	fields  []hpack.HeaderField
	key     []byte
	size    int // as RFC 9113, 6.5.2 counts
	timed   bool
	timeout string // if timed
}

const (
	// maxKnown and maxKnownBytes bound the requests that a connection remembers.
	maxKnown      = 64
	maxKnownBytes = 32 << 10
	// keptKey is the largest key whose memory is used again, in bytes.
	keptKey = 4 << 10
	// maxContinuations bounds the frames of one block of headers.
	maxContinuations = 32
)

// errMalformed refuses a request that is none of HTTP/2 (RFC 9113, 8.1.1).
var errMalformed = reset{http2.ErrCodeProtocol, "malformed request"}

// errLargeHeaders refuses a request whose headers are too large.
var errLargeHeaders = reset{http2.ErrCodeEnhanceYourCalm, "the headers are too large"}

func newHeaderReader(c *conn) *headerReader {
	h := &headerReader{conn: c, known: make(map[string]*request)}
	h.decoder = hpack.NewDecoder(minTable, h.add)
	h.decoder.SetMaxStringLength(c.server.cfg.MaxHeaderBytes)
	return h
}

// add takes the next field.
func (h *headerReader) add(f hpack.HeaderField) {
	if h.size += int(f.Size()); h.size > h.conn.server.cfg.MaxHeaderBytes {
		return
	}
	if f.Name == "grpc-timeout" {
		if !h.timed {
			h.timed, h.timeout = true, f.Value
		}
		f.Value = "" // nearly all calls have another one
	}
	f.Sensitive = false
	h.fields = append(h.fields, f)
	for _, s := range []string{f.Name, f.Value} {
		h.key = append(binary.AppendUvarint(h.key, uint64(len(s))), s...)
	}
}

// decode decodes a block of fields. An error other than reset is one of the connection.
func (h *headerReader) decode(block []byte) error {
	if cap(h.key) > keptKey {
		h.fields, h.key = nil, nil
	}
	h.fields, h.key, h.size, h.timeout = h.fields[:0], h.key[:0], 0, ""
	h.timed = false
	_, err := h.decoder.Write(block)
	if err == nil {
		err = h.decoder.Close()
	}
	switch {
	case errors.Is(err, hpack.ErrStringLength):
		return goAway{http2.ErrCodeEnhanceYourCalm, "a header is too large"}
	case err != nil:
		return goAway{http2.ErrCodeCompression, err.Error()}
	case h.size > h.conn.server.cfg.MaxHeaderBytes:
		return errLargeHeaders
	}
	return nil
}

// pseudo tells whether there are pseudo-headers among the fields, which trailers must not have.
func (h *headerReader) pseudo() bool {
	return slices.ContainsFunc(h.fields, func(f hpack.HeaderField) bool { return strings.HasPrefix(f.Name, ":") })
}

// request returns what was decoded.
func (h *headerReader) request() (*request, error) {
	if r := h.known[string(h.key)]; r != nil {
		return r, nil
	}
	r, err := h.parse()
	if err != nil {
		return nil, err
	}
	if h.size <= maxKnownBytes/2 {
		if h.bytes += h.size; len(h.known) >= maxKnown || h.bytes > maxKnownBytes {
			clear(h.known)
			h.bytes = h.size
		}
		h.known[string(h.key)] = r
	}
	return r, nil
}

// parse reads the fields.
func (h *headerReader) parse() (*request, error) {
	r := &request{length: -1}
	pseudo := make(map[string]string, 4)
	md := make(metadata.MD, len(h.fields))
	regular := false
	for _, f := range h.fields {
		if strings.HasPrefix(f.Name, ":") {
			_, twice := pseudo[f.Name]
			if twice || regular || !slices.Contains(pseudoHeaders, f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
				return nil, errMalformed
			}
			pseudo[f.Name] = f.Value
			continue
		}
		regular = true
		if err := r.field(f, md); err != nil {
			return nil, err
		}
	}
	for _, name := range pseudoHeaders[:3] {
		if pseudo[name] == "" {
			return nil, errMalformed
		}
	}
	if authority, ok := pseudo[":authority"]; ok {
		md[":authority"] = []string{authority}
	}
	r.values = metadata.NewIncomingContext(h.conn.values, md)
	if f := h.conn.server.cfg.Values; f != nil {
		r.values = f(r.values)
	}
	if r.failure.status == nil {
		r.find(h.conn.server, pseudo[":method"], pseudo[":path"], md)
	}
	return r, nil
}

// pseudoHeaders are those of a request, of which the first three are required (RFC 9113, 8.3.1).
var pseudoHeaders = []string{":method", ":scheme", ":path", ":authority"}

// connectionFields are about a connection of HTTP/1, and have no place here (RFC 9113, 8.2.2).
var connectionFields = []string{"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"}

// field reads one field that is none of the request line.
func (r *request) field(f hpack.HeaderField, md metadata.MD) error {
	if !httpguts.ValidHeaderFieldName(f.Name) || f.Name != strings.ToLower(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) ||
		slices.Contains(connectionFields, f.Name) || f.Name == "te" && f.Value != "trailers" {
		return errMalformed
	}
	switch f.Name {
	case "te":
		return nil
	case "grpc-encoding":
		r.encoding = f.Value
		return nil
	case "content-length":
		n, err := strconv.ParseUint(f.Value, 10, 63)
		if err != nil || r.length >= 0 && int64(n) != r.length {
			return errMalformed
		}
		r.length = int64(n)
		return nil
	case "content-type", "user-agent":
	default:
		if isReserved(f.Name) {
			return nil
		}
	}
	if !strings.HasSuffix(f.Name, binarySuffix) {
		md[f.Name] = append(md[f.Name], f.Value)
		return nil
	}
	for value := range strings.SplitSeq(f.Value, ",") { // several may come as one
		decoded, err := decodeBinary(strings.TrimSpace(value))
		if err != nil {
			r.failure.status = status.Newf(codes.Internal, "malformed binary metadata %q in header %q: %v", f.Value, f.Name, err)
			return nil
		}
		md[f.Name] = append(md[f.Name], decoded)
	}
	return nil
}

// decodeBinary decodes metadata of bytes. Clients may leave the padding out.
func decodeBinary(value string) (string, error) {
	encoding := base64.RawStdEncoding
	if len(value)%4 == 0 {
		encoding = base64.StdEncoding
	}
	b, err := encoding.DecodeString(value)
	return string(b), err
}

// find finds the method, or says why there is none.
func (r *request) find(s *Server, verb, path string, md metadata.MD) {
	contentType := ""
	if values := md["content-type"]; len(values) > 0 {
		contentType = values[0]
	}
	switch {
	case verb != "POST":
		r.failure = trailers{http: 405, status: status.Newf(codes.Internal, "the request's :method is %q, and should be POST", verb)}
	case !isGRPC(contentType):
		r.failure = trailers{http: 415, status: status.Newf(codes.Internal, "invalid gRPC request content-type %q", contentType)}
	default:
		if r.method = s.methods[path]; r.method == nil {
			r.failure.status = s.unknown(path)
		}
	}
}

// isGRPC tells whether a content type is one of gRPC, which may name an encoding. There is one codec for all.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(contentType), typeGRPC)
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// unknown says what of a path is unknown.
func (s *Server) unknown(path string) *status.Status {
	slash := strings.LastIndexByte(path, '/')
	if !strings.HasPrefix(path, "/") || slash <= 0 {
		return status.Newf(codes.Unimplemented, "malformed method name: %q", path)
	}
	service, name := path[1:slash], path[slash+1:]
	if _, ok := s.services[service]; !ok {
		return status.Newf(codes.Unimplemented, "unknown service %v", service)
	}
	return status.Newf(codes.Unimplemented, "unknown method %v for service %v", name, service)
}

// parseTimeout reads a time as gRPC writes it: up to 8 digits, and a unit.
func parseTimeout(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'n': 1, 'u': time.Microsecond, 'm': time.Millisecond, 'S': time.Second, 'M': time.Minute, 'H': time.Hour}
	if len(s) < 2 || len(s) > 9 {
		return 0, fmt.Errorf("%q is no time", s)
	}
	unit, ok := units[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is no time", s)
	}
	if n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, nil
	}
	return time.Duration(n) * unit, nil
}
