package clients

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// idleTimeout is how long a connection of HTTP is kept for the next request.
	idleTimeout = 2 * time.Minute
	// http2Streams bounds the requests in progress on one connection of HTTP/2 without gRPC,
	// http2Bytes what is received of them ahead of their handlers.
	http2Streams = 100
	http2Bytes   = 256 << 10
)

// httpServer serves the clients that speak HTTP without gRPC.
type httpServer struct {
	port   *Port
	server *http.Server
	queue  chan net.Conn
	done   chan struct{} // closed when no more connections are taken
	cancel context.CancelFunc

	starting, ending sync.Once
	// serving is the goroutine that takes connections, connections are those that answer.
	serving, connections sync.WaitGroup
}

func newHTTPServer(p *Port, handler http.Handler, log *slog.Logger) *httpServer {
	ctx, cancel := context.WithCancel(context.Background())
	h := &httpServer{port: p, queue: make(chan net.Conn), done: make(chan struct{}), cancel: cancel}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // the handshake of TLS is over when it gets a connection
	h.server = &http.Server{
		Handler:           h.counted(handler),
		Protocols:         &protocols,
		ReadHeaderTimeout: connectTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: http2Streams, MaxReceiveBufferPerConnection: http2Bytes, MaxReceiveBufferPerStream: StreamWindow,
			SendPingTimeout: p.alive.Idle, PingTimeout: p.alive.Timeout,
		},
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, clientKey{}, c.(*httpConn).client)
		},
		ConnState: h.connState,
	}
	return h
}

// start takes connections. It may be called more than once.
func (h *httpServer) start() {
	h.starting.Do(func() {
		h.serving.Go(func() { _ = h.server.Serve((*queueListener)(h)) })
	})
}

// httpConn is a connection that an httpServer serves.
type httpConn struct {
	net.Conn
	client *Client
}

// clientKey is the key of the Client in the context of a request.
type clientKey struct{}

// give hands a connection over.
func (h *httpServer) give(conn net.Conn, cl *Client) {
	select {
	case h.queue <- &httpConn{conn, cl}:
	case <-h.done:
		conn.Close()
		cl.Close()
	}
}

// queueListener is an httpServer as the net.Listener of its http.Server.
type queueListener httpServer

// Accept implements net.Listener.
func (l *queueListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *queueListener) Close() error {
	l.ending.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *queueListener) Addr() net.Addr { return &net.TCPAddr{} }

func (h *httpServer) connState(conn net.Conn, state http.ConnState) {
	cl := conn.(*httpConn).client
	if cl.slot != nil {
		cl.slot.Used()
	}
	switch state {
	case http.StateNew:
		h.connections.Add(1)
	case http.StateClosed:
		cl.Close() // it closes once what is below
		h.connections.Done()
	}
}

// shutdown takes no new requests, and returns when those in progress have ended, or ctx.
func (h *httpServer) shutdown(ctx context.Context) { _ = h.server.Shutdown(ctx) }

// close ends all requests, and returns when no goroutine of one is left.
func (h *httpServer) close() {
	h.cancel()
	h.server.Close()
	h.serving.Wait()
	h.server.Close() // what was accepted meanwhile
	h.connections.Wait()
}

// counted counts requests as streams, and the bytes of their bodies as unfinished messages.
func (h *httpServer) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cl, done := h.port.ClientOf(r.Context())
		defer done()
		if cl.streams.take(1, StreamWindow) != Allowed {
			http.Error(w, "this server has too many requests in progress", http.StatusServiceUnavailable)
			return
		}
		defer cl.streams.give(1, StreamWindow)
		writer := &httpWriter{ResponseWriter: w, control: http.NewResponseController(w), stall: h.port.limits.Stall}
		defer writer.limit() // net/http sends the rest, and lifts it
		if r.ContentLength != 0 {
			body := newBody(r.Body, cl)
			defer body.end(writer.control)
			r.Body = body
		}
		next.ServeHTTP(writer, r)
	})
}

// httpWriter gives a client a time to take each part of a response. The time runs only while a part is
// handed over: HTTP/2 ends a stream when it is up, also one on which nothing waits to be sent.
type httpWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

// Unwrap is for http.ResponseController.
func (w *httpWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter.
func (w *httpWriter) Write(b []byte) (n int, err error) {
	defer w.unlimit()
	for {
		w.limit()
		var wrote int
		wrote, err = w.ResponseWriter.Write(b[n:min(n+httpPart, len(b))])
		if n += wrote; err != nil || n == len(b) {
			return n, err
		}
	}
}

// httpPart is how much of a response is handed over at once.
const httpPart = 64 << 10

// FlushError is for http.ResponseController.
func (w *httpWriter) FlushError() error {
	w.limit()
	defer w.unlimit()
	return w.control.Flush()
}

func (w *httpWriter) limit()   { _ = w.control.SetWriteDeadline(time.Now().Add(w.stall)) }
func (w *httpWriter) unlimit() { _ = w.control.SetWriteDeadline(time.Time{}) }
