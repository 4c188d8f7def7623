package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/metrics"
)

// Config says what to serve. All are required but Calls, Requests and Origins.
type Config struct {
	Methods []etcd.Method
	// Entrance leads to what answers.
	Entrance *etcd.Entrance
	// Client returns who sends a request, and what to call in the end.
	Client func(ctx context.Context) (*clients.Client, func())
	// Bounds are those of the same methods over gRPC. TooMany is not used.
	Bounds clients.Bounds
	// Calls counts the calls, as those over gRPC; may be nil.
	Calls *metrics.Calls
	// Requests counts the requests, as those over gRPC; may be nil.
	Requests *metrics.EtcdRequests
	// Origins are those of web pages that may use the API. nil: all.
	Origins []string
	// Named tells whether a request names this cluster by a name of its own, or came by TLS: a page whose name
	// was made to point here (DNS rebinding) would be of our origin. nil: all do.
	Named func(*http.Request) bool
}

// Gateway is an http.Handler.
type Gateway struct {
	cfg   Config
	paths map[string]etcd.Method
}

// New returns a Gateway.
func New(cfg Config) *Gateway {
	if slices.Contains(cfg.Origins, "*") {
		cfg.Origins = nil
	}
	return &Gateway{cfg, pathsOf(cfg.Methods)}
}

// The paths of the API, and of an older version of it that is the same.
const (
	prefix    = "/v3/"
	oldPrefix = "/v3beta/"
)

// errMethod and errPath have the codes that etcd answers with.
var (
	errMethod = &translate.Error{Code: translate.Unimplemented, Text: "Method Not Allowed"}
	errPath   = &translate.Error{Code: translate.NotFound, Text: "Not Found"}
	errOrigin = &translate.Error{Code: translate.PermissionDenied, Text: "a web page of this origin may not use the API (--cors)"}
)

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.allowOrigin(w, r)
	if r.Method == http.MethodOptions {
		return
	}
	path := r.URL.Path
	if path+"/" == prefix { // as the multiplexer of etcd does, which does not know the older version
		to := url.URL{Path: prefix, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
		return
	}
	if rest, ok := strings.CutPrefix(path, oldPrefix); ok {
		path = prefix + rest
	}
	if !strings.HasPrefix(path, prefix) {
		http.NotFound(w, r)
		return
	}
	m, ok := g.paths[path]
	switch {
	case !ok:
		_ = writeError(w, errPath)
	case r.Method != http.MethodPost:
		_ = writeError(w, errMethod)
	case !g.admits(r):
		_ = writeError(w, errOrigin)
	default:
		g.serve(w, r, m)
	}
}

// admits refuses what a browser sends for a page that may not use the API. Without the headers of allowOrigin
// it would only keep the answer from the page, when the request was executed.
func (g *Gateway) admits(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if g.cfg.Origins == nil || slices.Contains(g.cfg.Origins, origin) {
		return true
	}
	var browsers http.CrossOriginProtection
	return browsers.Check(r) == nil && (origin == "" || g.cfg.Named == nil || g.cfg.Named(r))
}

// allowOrigin lets web pages use the API, as browsers ask for it.
func (g *Gateway) allowOrigin(w http.ResponseWriter, r *http.Request) {
	allowed := "*"
	if g.cfg.Origins != nil {
		if allowed = r.Header.Get("Origin"); !slices.Contains(g.cfg.Origins, allowed) {
			return
		}
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
	h.Set("Access-Control-Allow-Origin", allowed)
	h.Set("Access-Control-Allow-Headers", "accept, content-type, authorization")
}

// serve answers a request for a method, and counts it.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, m etcd.Method) {
	call, began := g.cfg.Calls.Begin(m.Name), time.Now()
	err := g.answer(w, r, m, call)
	e := known(err)
	call.End(began, codes.Code(e.Code), e.Text)
}

// answer answers a request for a method. An error that it returns has been sent.
func (g *Gateway) answer(w http.ResponseWriter, r *http.Request, m etcd.Method, call *metrics.Call) error {
	ctx, cancel, err := withTimeout(r)
	if err != nil {
		return writeError(w, err)
	}
	defer cancel()
	f, err := g.cfg.Entrance.Face(ctx)
	if err != nil {
		return writeError(w, err)
	}
	if m.Serve != nil {
		return g.stream(ctx, w, r, f, m, call)
	}
	req := m.NewRequest()
	in := g.newReader(r)
	if err := in.read(req); err != nil && !errors.Is(err, io.EOF) {
		return writeError(w, err)
	}
	in.discard()
	if err := g.call(ctx, w, f, m, req, g.callerOf(r)); err != nil {
		return writeError(w, late(ctx, err))
	}
	return nil
}

// call answers a unary method, unless it returns an error.
func (g *Gateway) call(ctx context.Context, w http.ResponseWriter, f *etcd.Face, m etcd.Method, req proto.Message, c *etcd.Caller) error {
	cl, done := g.cfg.Client(ctx)
	defer done()
	if err := ctx.Err(); err != nil {
		return err
	}
	sum, ok := g.cfg.Bounds.Begin(ctx, cl, req, proto.Size(req))
	if !ok {
		return translate.ErrTooManyRequests
	}
	defer cl.End(sum)
	resp, err := m.Call(f, ctx, c, req)
	if err != nil {
		return err
	}
	data, err := marshal.Marshal(resp)
	if err != nil {
		return &translate.Error{Code: translate.Internal, Text: err.Error()}
	}
	release := cl.Hold(int64(len(data)))
	defer release()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Grpc-Metadata-Content-Type", "application/grpc")
	_, _ = w.Write(data)
	return nil
}

// The forms of requests and responses. Fields that are not known are left out of account, as etcd
// does it.
var (
	marshal   = protojson.MarshalOptions{UseProtoNames: true}
	unmarshal = protojson.UnmarshalOptions{DiscardUnknown: true}
)

// callerOf is what the request tells of its sender.
func (g *Gateway) callerOf(r *http.Request) *etcd.Caller {
	c := &etcd.Caller{Requests: g.cfg.Requests.Client(""), Token: r.Header.Get("Grpc-Metadata-Token"), RequireLeader: r.Header.Get("Grpc-Metadata-Hasleader") == "true", Traceparent: r.Header.Get("Traceparent")}
	if c.Token == "" {
		c.Token = r.Header.Get("Authorization")
	}
	return c
}

// reader reads the messages of a request.
type reader struct {
	body    *limitedBody
	decoder *json.Decoder
	most    int // bytes of a message in protobuf
}

// limitedBody is the body of a request, of whose present message at most left bytes may come.
type limitedBody struct {
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// errLong is returned for a message of which not even the size is found out.
var errLong = &translate.Error{Code: translate.ResourceExhausted, Text: "grpc: received message larger than max"}

func (g *Gateway) newReader(r *http.Request) *reader {
	body := &limitedBody{r: r.Body}
	return &reader{body, json.NewDecoder(body), g.cfg.Bounds.MessageBytes}
}

// read reads the next message. Its JSON may be twice as long as it is in protobuf: base64 makes four
// bytes of three.
func (in *reader) read(m proto.Message) error {
	in.body.left = 2*int64(in.most) + 4<<10
	var raw json.RawMessage
	if err := in.decoder.Decode(&raw); err != nil {
		var long *translate.Error
		if errors.Is(err, io.EOF) || errors.As(err, &long) {
			return err
		}
		return invalid(err)
	}
	if err := unmarshal.Unmarshal(raw, m); err != nil {
		return invalid(err)
	}
	if size := proto.Size(m); size > in.most {
		return &translate.Error{Code: translate.ResourceExhausted, Text: fmt.Sprintf("grpc: received message larger than max (%d vs. %d)", size, in.most)}
	}
	if b, ok := in.body.r.(*clients.Body); ok {
		b.Whole()
	}
	return nil
}

// discard reads what is left, within the bound.
func (in *reader) discard() { _, _ = io.Copy(io.Discard, in.body) }

func invalid(err error) error {
	// Package protobuf changes a space of its errors from build to build, so that nobody depends on
	// their texts.
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return &translate.Error{Code: translate.InvalidArgument, Text: text}
}
