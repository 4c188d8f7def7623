package grpcserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// What handlers set arrives, in order, with or without messages.
func TestMetadataOfAResponse(t *testing.T) {
	for _, message := range []bool{false, true} {
		for _, send := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c := serve(t, &service{talk: func(st grpc.ServerStream) error {
					set := st.SetHeader
					err := errors.Join(set(metadata.Pairs("a", "1", "grpc-status", "9")), set(metadata.Pairs("a", "2")))
					if send {
						err = errors.Join(err, st.SendHeader(metadata.Pairs("b-bin", "\x00\xff")))
					}
					if message {
						err = errors.Join(err, st.SendMsg([]byte("x")))
					}
					if late := set(metadata.Pairs("c", "3")); (late != nil) != (message || send) {
						t.Errorf("headers that come late: %v", late)
					}
					st.SetTrailer(metadata.Pairs("t", "1"))
					st.SetTrailer(metadata.Pairs("t", "2"))
					return err
				}}).dial(t)
				a := c.heard(c.begin(talk, true))
				first, last := a.blocks[0], a.blocks[len(a.blocks)-1]
				if value(first, "a") != "1,2" || value(last, "t") != "1,2" || a.status() != "0" || (value(first, "b-bin") == "AP8") != send {
					t.Errorf("%v", a.blocks)
				}
				if len(a.blocks) != 2 {
					t.Errorf("%d blocks: clients would take headers for trailers", len(a.blocks))
				}
			})
		}
	}
}

// Handlers of unary calls, and all who have no more than a context, set metadata by way of it.
func TestMetadataByContext(t *testing.T) {
	for _, send := range []bool{false, true} {
		for _, failure := range []error{nil, status.Error(codes.NotFound, "x")} {
			synctest.Test(t, func(t *testing.T) {
				handle := func(ctx context.Context) error {
					ctx = context.WithValue(ctx, &send, "derived")
					err := errors.Join(grpc.SetHeader(ctx, metadata.Pairs("a", "1")), grpc.SetTrailer(ctx, metadata.Pairs("t", "2")))
					if send {
						err = errors.Join(err, grpc.SendHeader(ctx, metadata.Pairs("b", "3")))
						if grpc.SetHeader(ctx, metadata.Pairs("c", "4")) == nil {
							t.Error("headers are set that come late")
						}
					}
					if err != nil {
						t.Error(err)
					}
					return failure
				}
				s := serve(t, &service{
					call: func(ctx context.Context, in []byte) ([]byte, error) {
						if name, _ := grpc.Method(ctx); name != call {
							t.Errorf("the method is %q", name)
						}
						return in, handle(ctx)
					},
					talk: func(st grpc.ServerStream) error { return handle(st.Context()) },
				})
				c := s.dial(t)
				for _, id := range []uint32{c.call([]byte("x")), c.begin(talk, true)} {
					a := c.heard(id)
					first, last := a.blocks[0], a.blocks[len(a.blocks)-1]
					if len(a.blocks) != 2 || value(first, "a") != "1" || (value(first, "b") == "3") != send || value(last, "t") != "2" || (a.status() == "0") != (failure == nil) {
						t.Errorf("sent %v, %v: %v", send, failure, a.blocks)
					}
				}
				s.conn(t).wantQuiet(t)
			})
		}
	}
}

// What no header of HTTP/2 can hold is refused where it is set, or ends the call, and leaves what was set before.
func TestMetadataOfAResponseIsChecked(t *testing.T) {
	for _, bad := range []metadata.MD{
		{"a": {"1\r\nb: 2"}}, {"a": {"é"}}, {"a": {"\x00"}}, {"a": {"\x7f"}}, {"a": {"good", "\t"}},
		{"a b": {"1"}}, {"a:": {"1"}}, {"é": {"1"}}, {"": {"1"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			trailer := false
			c := serve(t, &service{talk: func(st grpc.ServerStream) error {
				if trailer {
					st.SetTrailer(bad)
					return nil
				}
				for _, set := range []func(metadata.MD) error{st.SetHeader, st.SendHeader} {
					if err := set(bad); status.Code(err) != codes.Internal {
						t.Errorf("%q: %v", bad, err)
					}
				}
				return st.SendHeader(metadata.MD{"Good": {" ~"}, "x-bin": {"\r\n"}, ":pseudo": {"\n"}})
			}}).dial(t)
			if a := c.heard(c.begin(talk, true)); a.status() != "0" || value(a.blocks[0], "good") != " ~" || value(a.blocks[0], "x-bin") != "DQo" {
				t.Errorf("%q: %v", bad, a.blocks)
			}
			trailer = true
			if a := c.heard(c.begin(talk, true)); a.status() != "13" || !strings.Contains(a.text(), "header key") {
				t.Errorf("%q as trailer: %v", bad, a.blocks)
			}
			c.want(c.call([]byte("x")), []byte("x"))
		})
	}
}

// Headers and trailers that are too large for one frame are refused, and cost their call alone.
func TestMetadataOfAResponseIsBounded(t *testing.T) {
	large := metadata.Pairs("x", strings.Repeat("x", maxMetadata))
	for name, handler := range map[string]func(grpc.ServerStream) error{
		"SetHeader":  func(st grpc.ServerStream) error { return st.SetHeader(large) },
		"SendHeader": func(st grpc.ServerStream) error { return st.SendHeader(large) },
		"SetHeader, bit by bit": func(st grpc.ServerStream) error {
			for {
				if err := st.SetHeader(metadata.Pairs("x", strings.Repeat("x", 500))); err != nil {
					return err
				}
			}
		},
		"SetTrailer": func(st grpc.ServerStream) error { st.SetTrailer(large); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serve(t, &service{talk: handler}).dial(t)
				a := c.heard(c.begin(talk, true))
				if a.status() != "13" || !strings.Contains(a.text(), "metadata of a response") {
					t.Errorf("%v", a.blocks)
				}
				c.want(c.call([]byte("x")), []byte("x"))
			})
		})
	}
}

// The error of a handler is what the client gets; contexts have codes of their own.
func TestErrorsOfHandlers(t *testing.T) {
	for _, test := range []struct {
		err          error
		status, text string
	}{
		{status.Error(codes.NotFound, "é 100%"), "5", "%C3%A9 100%25"},
		{fmt.Errorf("b: %w", status.Error(codes.NotFound, "a")), "5", "b: rpc error: code = NotFound desc = a"},
		{errors.New("plain"), "2", "plain"},
		{context.Canceled, "1", "context canceled"},
		{context.DeadlineExceeded, "4", "context deadline exceeded"},
		{status.Error(codes.Internal, strings.Repeat("a\xff", 20_000)), "13", strings.Repeat("a%EF%BF%BD", maxStatusText/10-1) + "a"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, &service{
				call: func(context.Context, []byte) ([]byte, error) { return nil, test.err },
				talk: func(st grpc.ServerStream) error { return cmp.Or(st.SendMsg([]byte("x")), test.err) },
			})
			c := s.dial(t)
			for _, id := range []uint32{c.call(nil), c.begin(talk, true)} {
				if a := c.heard(id); a.status() != test.status || !strings.HasPrefix(a.text(), test.text) {
					t.Errorf("%.100v: %.1000v", test.err, a.blocks)
				}
			}
			s.conn(t).wantQuiet(t)
		})
	}
}
