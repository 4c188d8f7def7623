package clerk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"google.golang.org/grpc"

	"balsa.example/api"
	"balsa.example/internal/wake"
)

// awaitWork waits until ready says that there may be something to send. It returns false when ctx
// or the stream has ended.
func awaitWork(ctx context.Context, ready wake.Signal, broken <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-broken:
		return false
	case <-ready.C():
		return true
	}
}

// runStream opens a stream and sends the calls that are queued, until the stream breaks. It
// returns why it broke.
func (l *link) runStream(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	stream, err := l.open(ctx, cancel)
	if err != nil {
		return err
	}
	defer l.net.streaming()()
	broken := make(chan struct{})
	var cause error // set before broken is closed
	go func() {
		defer close(broken)
		cause = l.receive(stream)
	}()
	for sending := true; sending; {
		runtime.Gosched()                // let all callers that are ready queue their calls: they share a batch
		err := l.sendQueued(stream.Send) // if it fails, the receiver gets the cause
		sending = err == nil && awaitWork(ctx, l.wake, broken)
	}
	cancel()
	<-broken
	return fmt.Errorf("stream broke: %w", cause)
}

// sendQueued sends the calls of the queue. Calls that are still in the queue after an error
// were never sent.
func (l *link) sendQueued(send func(*api.RequestBatch) error) error {
	for batch := l.drain(); batch != nil; batch = l.drain() {
		l.watchdog.begin()
		if err := send(batch); err != nil {
			return err
		}
	}
	return nil
}

// open opens a stream and waits for the server's Hello. No request is sent before, so that
// none reaches another cluster.
func (l *link) open(ctx context.Context, cancel context.CancelFunc) (api.KV_ExchangeClient, error) {
	stream, first, err := greeted(ctx, l, cancel, api.NewKVClient(l.conn).Exchange)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.streams, l.noCluster, l.stale = true, first.Hello.ClusterId == 0, false
	l.mostBytes = int(cmp.Or(first.Hello.MaxMessageBytes, defaultMessageBytes))
	l.mu.Unlock()
	l.node.Store(first.Hello.NodeId)
	l.deliver(first.Replies)
	return stream, nil
}

// greeted opens a stream of any kind, and waits for its first message, which has the Hello of a
// server that may be asked.
func greeted[S interface{ Recv() (M, error) }, M interface{ GetHello() *api.Hello }](
	ctx context.Context, l *link, cancel context.CancelFunc, open func(context.Context, ...grpc.CallOption) (S, error),
) (stream S, first M, err error) {
	defer l.awaitUnary()()
	ctx, token, err := l.net.login.authenticated(ctx, l.conn, true)
	timer := time.AfterFunc(connectTimeout, cancel)
	defer timer.Stop()
	if err == nil {
		stream, err = open(ctx)
	}
	if err == nil {
		first, err = stream.Recv()
	}
	if err != nil {
		return stream, first, fmt.Errorf("connect: %w", l.handshake.explain(l.net.login.refused(token, err)))
	}
	l.setToken(token)
	if first.GetHello() == nil {
		return stream, first, errors.New("connect: server said no Hello")
	}
	return stream, first, l.net.admit(first.GetHello())
}

func (l *link) receive(stream api.KV_ExchangeClient) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		l.net.hear(batch.Hello)
		l.deliver(batch.Replies)
		if l.spent() {
			return errStale
		}
	}
}

func (l *link) setToken(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token = token
}

func (l *link) lastToken() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token
}

// spent tells whether the stream is stale, and all that was sent on it is answered.
func (l *link) spent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stale {
		l.net.login.forget(l.token)
	}
	return l.stale && len(l.sent) == 0
}
