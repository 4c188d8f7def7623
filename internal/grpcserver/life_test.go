package grpcserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{})
		c := s.dial(t)
		unary := c.call([]byte("hello"))
		stream := c.begin(talk, false)
		c.send(stream, prefixed([]byte("x"), nil, []byte("y")), true)
		empty := c.call(nil)
		c.want(unary, []byte("hello"))
		c.want(stream, []byte("x"), nil, []byte("y"))
		c.want(empty, nil)
		s.conn(t).wantQuiet(t)
	})
}

// waits are what a handler of a stream may wait in.
var waits = map[string]func(grpc.ServerStream) error{
	"its context": hang,
	"RecvMsg":     func(st grpc.ServerStream) error { return st.RecvMsg(new([]byte)) },
	"SendMsg": func(st grpc.ServerStream) error {
		for {
			if err := st.SendMsg(make([]byte, 10_000)); err != nil {
				return err
			}
		}
	},
}

// A handler hears that its stream is over wherever it waits, and nothing of the stream is left.
func TestTheEndOfAStreamEndsItsHandler(t *testing.T) {
	ends := map[string]struct {
		act  func(s *testServer, c *client, id uint32)
		code codes.Code
	}{
		"RST_STREAM":             {func(_ *testServer, c *client, id uint32) { c.WriteRSTStream(id, http2.ErrCodeCancel) }, codes.Canceled},
		"what is malformed":      {func(_ *testServer, c *client, id uint32) { c.WriteWindowUpdate(id, 0) }, codes.Canceled},
		"the connection":         {func(_ *testServer, c *client, _ uint32) { c.conn.Close() }, codes.Canceled},
		"an error of that":       {func(_ *testServer, c *client, _ uint32) { c.WriteWindowUpdate(0, 0) }, codes.Canceled},
		"the deadline":           {func(*testServer, *client, uint32) { time.Sleep(time.Minute) }, codes.DeadlineExceeded},
		"Stop":                   {func(s *testServer, _ *client, _ uint32) { s.Stop() }, codes.Canceled},
		"GracefulStop, deadline": {func(s *testServer, _ *client, _ uint32) { s.GracefulStop() }, codes.DeadlineExceeded},
	}
	for place, handler := range waits {
		for reason, end := range ends {
			if place == "SendMsg" && reason == "GracefulStop, deadline" {
				continue // which waits for the client to take what was sent
			}
			t.Run(place+", "+reason, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var handled, ended error
					s := serve(t, &service{talk: func(st grpc.ServerStream) error {
						handled = handler(st)
						<-st.Context().Done()
						ended = st.Context().Err()
						return handled
					}})
					c := s.dial(t, initialWindowOf(0))
					id := c.begin(talk, false, "grpc-timeout", "1M")
					synctest.Wait()
					sc := s.conn(t)
					end.act(s, c, id)
					if synctest.Wait(); ended == nil {
						t.Error("the handler waits")
					}
					if end.code == codes.DeadlineExceeded {
						c.widen(id, 1<<20) // what was sent before comes first
						c.widen(0, 1<<20)
						if a := c.heard(id); a.status() != "4" {
							t.Errorf("%v", a.blocks)
						}
					}
					sc.wantQuiet(t)
					if got := status.FromContextError(ended).Code(); got != end.code {
						t.Errorf("the context ends with %v", ended)
					}
					if got := status.Code(handled); got != end.code && status.FromContextError(handled).Code() != end.code {
						t.Errorf("the handler gets %v", handled)
					}
					if n := s.pool.lent.Load(); n != 0 {
						t.Errorf("%d buffers are in use", n)
					}
				})
			})
		}
	}
}

func TestDeadlineOfAUnaryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{call: func(ctx context.Context, in []byte) ([]byte, error) {
			<-ctx.Done()
			return in, ctx.Err()
		}})
		c := s.dial(t)
		begun := time.Now()
		running := c.call(nil, "grpc-timeout", "2S")
		waiting := c.begin(call, false, "grpc-timeout", "2S")
		c.send(waiting, []byte{0, 0}, false)
		other := c.begin(call, false, "grpc-timeout", "3S")
		past := []uint32{c.call(nil, "grpc-timeout", "0n"), c.begin(call, false, "grpc-timeout", "0n")}
		for _, id := range past {
			if a := c.heard(id); a.status() != "4" {
				t.Errorf("a deadline that is past: %v", a.blocks)
			}
		}
		time.Sleep(2*time.Second - 1)
		for _, id := range []uint32{running, waiting} {
			if a := c.heard(id); a.ended {
				t.Errorf("ended after %v: %v", time.Since(begun), a.blocks)
			}
		}
		time.Sleep(time.Nanosecond)
		for _, id := range []uint32{running, waiting} {
			if a := c.heard(id); a.status() != "4" || (id == waiting) != slices.Equal(a.resets, []http2.ErrCode{http2.ErrCodeNo}) {
				t.Errorf("%v, %v", a.blocks, a.resets)
			}
		}
		c.WriteRSTStream(other, http2.ErrCodeCancel)
		time.Sleep(2 * time.Second)
		if a := c.heard(other); len(a.blocks) > 0 {
			t.Errorf("a stream that was reset is answered: %v", a.blocks)
		}
		s.conn(t).wantQuiet(t)
	})
}

// DATA after RST_STREAM is of no call any more.
func TestAStreamThatWasResetIsNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, decoded int
		s := serve(t, &service{call: func(_ context.Context, in []byte) ([]byte, error) { decoded++; return in, nil }}, func(cfg *Config) {})
		s.methods[call].unary = func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
			calls++
			return []byte(nil), nil
		}
		c := s.dial(t)
		id := c.begin(call, false)
		c.WriteRSTStream(id, http2.ErrCodeCancel)
		c.send(id, prefixed([]byte("x")), true)
		id = c.begin(call, false)
		c.WriteWindowUpdate(id, 0)
		c.send(id, prefixed([]byte("x")), true)
		s.conn(t).wantQuiet(t)
		if calls != 0 || decoded != 0 {
			t.Errorf("%d calls", calls)
		}
	})
}

func TestStopWaitsForHandlers(t *testing.T) {
	for name, stop := range map[string]func(*testServer){"Stop": (*testServer).stop, "GracefulStop": (*testServer).gracefulStop} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				s := serve(t, &service{talk: func(grpc.ServerStream) error { <-release; return nil }})
				c := s.dial(t)
				c.begin(talk, false)
				c.begin(talk, true)
				synctest.Wait()
				stopped := false
				go func() { stop(s); stopped = true }()
				time.Sleep(time.Hour)
				synctest.Wait()
				if stopped {
					t.Error("handlers run, and the server has stopped")
				}
				if _, err := s.listener.dial(); err == nil {
					t.Error("the server takes new connections")
				}
				close(release)
				synctest.Wait()
				if !stopped || s.conn(t) != nil {
					t.Error("the server has not stopped")
				}
				if err := s.Serve(newPipeListener()); !errors.Is(err, grpc.ErrServerStopped) {
					t.Errorf("Serve: %v", err)
				}
			})
		})
	}
}

func (s *testServer) stop()         { s.Stop() }
func (s *testServer) gracefulStop() { s.GracefulStop() }

// wantGoAways checks the last streams of the GOAWAY frames that have come.
func (c *client) wantGoAways(last ...uint32) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.lasts, last) {
		c.t.Errorf("GOAWAY with %v, want %v", c.lasts, last)
	}
	for _, g := range c.goAways {
		if g.code != http2.ErrCodeNo {
			c.t.Errorf("GOAWAY: %v", g)
		}
	}
}

// A graceful stop lets streams end, also those that a client begins before it hears of it, and refuses
// others.
func TestGracefulStop(t *testing.T) {
	const all = 1<<31 - 1
	for name, acks := range map[string]bool{"the client answers": true, "the client does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &service{})
				c := s.dial(t)
				c.silent.Store(true)
				first := c.begin(talk, false)
				synctest.Wait()
				stopped := false
				go func() { s.GracefulStop(); stopped = true }()
				c.wantGoAways(all)
				between := c.begin(talk, false)
				c.want(c.call([]byte("between")), []byte("between"))
				if acks {
					c.WritePing(true, c.pings[0])
				} else {
					time.Sleep(drainWait)
				}
				c.wantGoAways(all, c.next-2)
				c.wantReset(c.begin(talk, false), http2.ErrCodeRefusedStream)
				time.Sleep(time.Minute)
				c.send(first, prefixed([]byte("a")), true)
				c.want(first, []byte("a"))
				if c.closed || stopped {
					t.Error("a stream runs, and its connection is closed")
				}
				c.send(between, prefixed([]byte("b")), true)
				c.want(between, []byte("b"))
				if !c.closed || !stopped {
					t.Error("the streams have ended, and the connection is open")
				}
			})
		})
	}
}

func TestGracefulStopOfIdleConnections(t *testing.T) {
	for name, test := range map[string]struct {
		acks bool
		most time.Duration
	}{"the client answers": {true, 0}, "the client does not": {false, drainWait}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &service{})
				c := s.dial(t)
				c.silent.Store(!test.acks)
				begun := time.Now()
				s.GracefulStop()
				if took := time.Since(begun); took != test.most {
					t.Errorf("it took %v", took)
				}
				c.wantGoAways(1<<31-1, 0)
			})
		})
	}
}

func TestStopEndsAGracefulStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang})
		c := s.dial(t)
		c.begin(talk, false)
		synctest.Wait()
		var stopped atomic.Int64
		for range 2 {
			go func() { s.GracefulStop(); stopped.Add(1) }()
		}
		time.Sleep(time.Hour)
		if stopped.Load() > 0 {
			t.Error("a stream runs, and the server has stopped")
		}
		s.Stop()
		synctest.Wait()
		if stopped.Load() != 2 {
			t.Error("GracefulStop has not returned")
		}
	})
}

// Connections end that are not ready when the server stops, or in time.
func TestHandshakes(t *testing.T) {
	const patience = 5 * time.Second
	for name, test := range map[string]struct {
		stop func(*testServer)
		says string
		took time.Duration
	}{
		"Stop, in the handshake":         {(*testServer).stop, "", 0},
		"Stop, before the preface":       {(*testServer).stop, "x", 0},
		"Stop, before SETTINGS":          {(*testServer).stop, "x" + http2.ClientPreface, 0},
		"GracefulStop, in the handshake": {(*testServer).gracefulStop, "", patience},
		"GracefulStop, before SETTINGS":  {(*testServer).gracefulStop, "x" + http2.ClientPreface, patience},
		"neither, in the handshake":      {nil, "", patience},
		"neither, before the preface":    {nil, "x", patience},
		"neither, before SETTINGS":       {nil, "x" + http2.ClientPreface, patience},
		"another protocol":               {nil, "x" + "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0},
		"another frame":                  {nil, "x" + http2.ClientPreface + string(appendPing(nil, 0, make([]byte, 8))), 0},
		"an acknowledgement":             {nil, "x" + http2.ClientPreface + string(appendFrame(nil, http2.FrameSettings, 1, 0, 0)), 0},
		"no TLS":                         {nil, "y", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, &service{}, func(cfg *Config) {
					cfg.Handshake = func(nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
						b := make([]byte, 1)
						if _, err := nc.Read(b); err != nil || b[0] != 'x' {
							return nil, nil, errors.Join(err, errors.New("a bad handshake"))
						}
						return nc, nil, nil
					}
				})
				nc, err := s.listener.dial()
				if err != nil {
					t.Fatal(err)
				}
				begun, closed := time.Now(), make(chan time.Duration)
				go func() {
					_, _ = io.Copy(io.Discard, nc)
					closed <- time.Since(begun)
				}()
				if test.says != "" {
					_, _ = nc.Write([]byte(test.says))
				}
				if synctest.Wait(); test.stop != nil {
					test.stop(s)
				}
				if took := <-closed; took != test.took {
					t.Errorf("closed after %v, want %v", took, test.took)
				}
				if synctest.Wait(); len(s.conns)+len(s.raw) != 0 {
					t.Errorf("%d connections are left", len(s.conns)+len(s.raw))
				}
			})
		})
	}
}

// A connection of which somebody else takes care stays open.
func TestAConnectionMayBeSomebodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{}, func(cfg *Config) {
			cfg.Handshake = func(nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
				go func() { _ = nc.SetDeadline(time.Time{}); _, _ = io.Copy(nc, nc); nc.Close() }()
				return nil, nil, credentials.ErrConnDispatched
			}
		})
		nc, err := s.listener.dial()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // else the server may stop before it has taken the connection, and close it
		s.GracefulStop()
		if _, err := nc.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		nc.Close()
	})
}

// A client that is told why its connection ends has a second to read it.
func TestAClientThatDoesNotReadIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang})
		c := s.dialDeaf(t)
		c.begin(talk, false)
		synctest.Wait()
		begun := time.Now()
		c.WriteWindowUpdate(0, 0)
		for s.conn(t) != nil {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(begun); took > lastWords+time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// failingListener fails before it accepts.
type failingListener struct {
	*pipeListener
	errs []error
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		return l.pipeListener.Accept()
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

func TestServeTriesAgainAfterTemporaryErrors(t *testing.T) {
	full := temporary{errors.New("too many open files")}
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{})
		l := &failingListener{newPipeListener(), slices.Repeat([]error{full}, 12)}
		begun := time.Now()
		go s.Serve(l)
		nc, err := l.dial()
		if took := time.Since(begun); err != nil || took < maxAcceptWait || took > 6*maxAcceptWait {
			t.Errorf("after %v: %v", took, err)
		}
		nc.Close()
		broken := errors.New("broken")
		l = &failingListener{newPipeListener(), []error{broken}}
		if err := s.Serve(l); err != broken {
			t.Errorf("Serve: %v", err)
		}
		if _, err := l.dial(); err == nil {
			t.Error("the listener is open")
		}
		l = &failingListener{newPipeListener(), slices.Repeat([]error{full}, 1000)}
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		time.Sleep(time.Minute)
		s.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestServicesAreRegisteredOnceAndInTime(t *testing.T) {
	refuses := func(s *Server, desc *grpc.ServiceDesc) (refused bool) {
		defer func() { refused = recover() != nil }()
		s.RegisterService(desc, nil)
		return
	}
	desc := (&service{}).desc()
	s := New(Config{})
	if refuses(s, desc) || !refuses(s, desc) {
		t.Error("a service may be registered twice")
	}
	info := s.GetServiceInfo()["test.Test"].Methods
	if want := []grpc.MethodInfo{{Name: "Call"}, {Name: "Talk", IsClientStream: true, IsServerStream: true}, {Name: "Tell", IsServerStream: true}}; !slices.Equal(info, want) {
		t.Errorf("%v", info)
	}
	s.Stop()
	_ = s.Serve(newPipeListener())
	if !refuses(s, &grpc.ServiceDesc{ServiceName: "late"}) {
		t.Error("a service may be registered late")
	}
}

// Interceptors are called in the place of handlers.
func TestInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{}, func(cfg *Config) {
			cfg.Unary = func(ctx context.Context, in any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				out, err := handler(ctx, bytes.ToUpper(in.([]byte)))
				return append([]byte(info.FullMethod+" "), out.([]byte)...), err
			}
			cfg.Stream = func(srv any, st grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
				if !info.IsClientStream || !info.IsServerStream {
					t.Errorf("%+v", info)
				}
				return errors.Join(st.SendMsg([]byte(info.FullMethod)), handler(srv, st))
			}
		})
		c := s.dial(t)
		c.want(c.call([]byte("x")), []byte(call+" X"))
		id := c.begin(talk, false)
		c.send(id, prefixed([]byte("x")), true)
		c.want(id, []byte(talk), []byte("x"))
	})
}

// A connection whose handshake ends while the server stops is closed.
func TestAHandshakeMayEndDuringAGracefulStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{}, func(cfg *Config) {
			cfg.Handshake = func(nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
				time.Sleep(time.Second)
				return nc, nil, nil
			}
		})
		nc, err := s.listener.dial()
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.GracefulStop()
		if n, err := nc.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes", n)
		}
	})
}

// A message for a stream that has ended is freed, also if its handler does not know yet.
func TestAMessageForNobodyIsFreed(t *testing.T) {
	pool := new(countingPool)
	c := newConn(New(Config{Codec: bytesCodec{pool}}), &memoryConn{}, nil)
	st := newStream(c, 1, &request{values: c.values})
	st.out.drop()
	if err := st.SendMsg([]byte("x")); err != nil || pool.lent.Load() != 0 {
		t.Errorf("%v, %d buffers are in use", err, pool.lent.Load())
	}
	st.finish(mem.BufferSlice{mem.NewBuffer(pool.Get(1), pool)}, trailers{})
	if n := pool.lent.Load(); n != 0 {
		t.Errorf("%d buffers are in use", n)
	}
}

// The context of a call ends with its handler, for what that has left behind.
func TestTheContextOfACallEndsWithItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []context.Context
		s := serve(t, &service{
			call: func(ctx context.Context, in []byte) ([]byte, error) { all = append(all, ctx); return in, nil },
			talk: func(st grpc.ServerStream) error { all = append(all, st.Context()); return nil },
		})
		c := s.dial(t)
		c.want(c.call([]byte("x")), []byte("x"))
		c.want(c.begin(talk, true))
		if len(all) != 2 {
			t.Fatalf("%d calls", len(all))
		}
		for _, ctx := range all {
			if ctx.Err() != context.Canceled {
				t.Errorf("the context says %v", ctx.Err())
			}
		}
	})
}
