package grpcserver

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// responseReader is a client that reads headers, of which the table has a size.
type responseReader struct {
	*hpack.Decoder
	shrunk int // -1: no more than it was
}

// read reads one frame of headers.
func (r *responseReader) read(t *rapid.T, b []byte, ends bool) []hpack.HeaderField {
	in := newFrameReader(strings.NewReader(string(b)))
	f, err := in.next()
	if err != nil || in.begin != in.end || f.kind != http2.FrameHeaders || f.stream != 7 ||
		!f.flags.Has(http2.FlagHeadersEndHeaders) || f.flags.Has(http2.FlagHeadersEndStream) != ends {
		t.Fatalf("%v of stream %d, flags %x, %d bytes; %v", f.kind, f.stream, f.flags, len(f.payload), err)
	}
	if r.shrunk >= 0 { // RFC 7541, 4.2
		if f.payload[0]&0xe0 != resize {
			t.Fatalf("a block does not begin with the size of the table: %x", f.payload[0])
		}
		r.shrunk = -1
	}
	fields, err := r.DecodeFull(f.payload)
	if err != nil {
		t.Fatalf("%v: %x", err, f.payload)
	}
	return fields
}

// wantStatus checks the fields that say how a call has ended.
func wantStatus(t *rapid.T, fields []hpack.HeaderField, s *status.Status) {
	if got := value(fields, "grpc-status"); got != fmt.Sprint(int(s.Code())) {
		t.Fatalf("grpc-status is %q, want %v", got, s.Code())
	}
	if s.Code() == codes.OK {
		return
	}
	wantText(t, value(fields, "grpc-message"), s.Message())
	details := value(fields, "grpc-status-details-bin")
	want, err := proto.Marshal(s.Proto())
	if err != nil || len(s.Proto().Details) == 0 || base64.RawStdEncoding.EncodedLen(len(want)) > maxDetails {
		want = nil
	}
	if got, err := base64.RawStdEncoding.DecodeString(details); err != nil || string(got) != string(want) {
		t.Fatalf("details are %d bytes, want %d; %v", len(got), len(want), err)
	}
}

// wantText checks that an encoded text is another one, or the beginning of it if that is long.
func wantText(t *rapid.T, encoded, text string) {
	got, err := url.PathUnescape(encoded)
	if err != nil || len(encoded) > maxStatusText || strings.ContainsFunc(encoded, func(c rune) bool { return c < ' ' || c > '~' }) {
		t.Fatalf("%q: %v, %d bytes", encoded, err, len(encoded))
	}
	valid := string([]rune(text))
	if !strings.HasPrefix(valid, got) || got != valid && len(encoded) <= maxStatusText-len("%f4%8f%bf%bf") {
		t.Fatalf("%q is %q", valid, got)
	}
}

// texts are what errors may say.
var texts = rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,40}`),
	rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }),
	rapid.Custom(func(t *rapid.T) string {
		part := rapid.SampledFrom([]string{"a", "a\xff", "Ж", "%", "\U0010ffff", "\xed\xa0\x80"}).Draw(t, "part")
		return strings.Repeat(part, rapid.IntRange(0, 6000).Draw(t, "times"))
	}))

func drawTrailers(t *rapid.T) (r trailers, extra metadata.MD) {
	if code := rapid.Uint32Range(0, 16).Draw(t, "code"); code > 0 || rapid.Bool().Draw(t, "explicit") {
		r.status = status.New(codes.Code(code), texts.Draw(t, "text"))
		if n := rapid.SampledFrom([]int{0, 0, 10, 2000, 5000}).Draw(t, "details"); n > 0 && code > 0 {
			r.status, _ = r.status.WithDetails(wrapperspb.Bytes(make([]byte, n)))
		}
	}
	extra = drawMetadata(t, "trailers")
	r.extra = encoded(t, extra)
	return r, extra
}

func encoded(t *rapid.T, md metadata.MD) []byte {
	b, err := encodeMetadata(md)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func drawMetadata(t *rapid.T, label string) metadata.MD {
	md := metadata.MD{}
	if rapid.Bool().Draw(t, label) {
		name := rapid.SampledFrom([]string{"x", "X-Upper", "x-bin", "grpc-status", ":status", "te"}).Draw(t, "name")
		size := rapid.SampledFrom([]int{0, 5, 126, 127, 128, 300, 2900}).Draw(t, "size")
		md[name] = []string{strings.Repeat("v", size), "second"}
	}
	return md
}

func wantMetadata(t *rapid.T, fields []hpack.HeaderField, md metadata.MD) {
	for name, values := range md {
		switch name = strings.ToLower(name); {
		case isReserved(name):
			if slices.Contains(strings.Split(value(fields, name), ","), "second") {
				t.Fatalf("%q is written", name)
			}
		case name == "x-bin":
			first, second, _ := strings.Cut(value(fields, name), ",")
			a, _ := decodeBinary(first)
			b, _ := decodeBinary(second)
			if a != values[0] || b != values[1] {
				t.Fatalf("%q is %q, %q", name, a, b)
			}
		default:
			if got := value(fields, name); got != strings.Join(values, ",") {
				t.Fatalf("%q is %q", name, got)
			}
		}
	}
}

// Whatever was answered before on a connection, each response says what was meant, in one frame. A
// client may make its table smaller at any time.
func TestResponsesSayWhatWasMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r response
		client := &responseReader{hpack.NewDecoder(4096, nil), -1}
		t.Repeat(map[string]func(*rapid.T){
			"headers": func(t *rapid.T) {
				md := drawMetadata(t, "headers")
				fields := client.read(t, r.appendHeaders(nil, 7, encoded(t, md), nil), false)
				if value(fields, ":status") != "200" || value(fields, "content-type") != typeGRPC {
					t.Fatalf("%v", fields)
				}
				wantMetadata(t, fields, md)
			},
			"trailers": func(t *rapid.T) {
				if !r.contentType && !r.plain {
					t.Skip("headers come before trailers")
				}
				tr, md := drawTrailers(t)
				fields := client.read(t, r.appendTrailers(nil, 7, &tr), true)
				wantStatus(t, fields, tr.status)
				wantMetadata(t, fields, md)
			},
			"trailers alone": func(t *rapid.T) {
				tr, md := drawTrailers(t)
				tr.http = rapid.SampledFrom([]int{0, 405, 415}).Draw(t, "http")
				fields := client.read(t, r.appendHeaders(nil, 7, nil, &tr), true)
				if want := fmt.Sprint(max(tr.http, 200)); value(fields, ":status") != want || value(fields, "content-type") != typeGRPC {
					t.Fatalf("%v", fields)
				}
				wantStatus(t, fields, tr.status)
				wantMetadata(t, fields, md)
			},
			"smaller table": func(t *rapid.T) {
				if r.plain {
					t.Skip("once is enough")
				}
				c := &conn{response: r}
				size := rapid.SampledFrom([]uint32{0, 100, 4095, 4096, 1 << 20}).Draw(t, "size")
				if err := c.set(http2.SettingHeaderTableSize, size); err != nil {
					t.Fatal(err)
				}
				if r = c.response; size < minTable {
					client.SetAllowedMaxDynamicTableSize(size)
					client.SetMaxDynamicTableSize(size)
					client.shrunk = int(size)
				}
			},
		})
	})
}

// The largest response still is one frame.
func TestLargestHeadersAreOneFrame(t *testing.T) {
	s, err := status.New(codes.Internal, strings.Repeat("Ж", maxStatusText/6)).WithDetails(wrapperspb.Bytes(make([]byte, 850)))
	if err != nil {
		t.Fatal(err)
	}
	most := make([]byte, maxMetadata)
	var r response
	b := r.appendHeaders(nil, 1, nil, &trailers{status: s, extra: most})
	if n := len(b) - frameHeader; n > maxFrame || n < maxFrame*9/10 {
		t.Errorf("%d bytes", n)
	}
}

func TestTextsAreEncodedAsGRPCSays(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"plain ~ text":                       "plain ~ text",
		"100%":                               "100%25",
		"a\nb":                               "a%0Ab",
		"\x7f":                               "%7F",
		"é":                                  "%C3%A9",
		"a\xffb":                             "a%EF%BF%BDb",
		strings.Repeat("x", maxStatusText+1): strings.Repeat("x", maxStatusText),
		strings.Repeat("é", maxStatusText):   strings.Repeat("%C3%A9", maxStatusText/6),
	} {
		if got := encodeMessage(text); got != want {
			t.Errorf("%.20q: %.20q of %d bytes, want %.20q of %d", text, got, len(got), want, len(want))
		}
	}
}

func TestTextsOfAllLengthsAreRead(t *testing.T) {
	decoder := hpack.NewDecoder(4096, nil)
	for n := range 20_000 {
		text := strings.Repeat("x", n)
		fields, err := decoder.DecodeFull(appendField(nil, "a", text))
		if err != nil || len(fields) != 1 || fields[0].Value != text {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}
