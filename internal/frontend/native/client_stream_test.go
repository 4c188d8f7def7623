package native

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/kv"
)

// streamClient is the client of a clientStream.
type streamClient struct {
	stream   *clientStream
	requests chan *api.RequestBatch
	replies  chan *api.ReplyBatch // unbuffered: a client that does not read blocks the sender
	draining chan struct{}
	cancel   context.CancelFunc
	ended    chan error
}

func openStream(t *testing.T, h handler) *streamClient {
	return openStreamOf(t, h, quietPort(t).Alone(""))
}

// openStreamOf opens one of several streams of a client.
func openStreamOf(t *testing.T, h handler, as *clients.Client) *streamClient {
	c := &streamClient{
		requests: make(chan *api.RequestBatch, 1),
		replies:  make(chan *api.ReplyBatch),
		draining: make(chan struct{}),
		ended:    make(chan error, 1),
	}
	c.stream = newClientStream(h, &as.Requests)
	ctx, cancel := context.WithCancel(t.Context())
	c.cancel = cancel
	go c.stream.receive(ctx, func() (*api.RequestBatch, error) {
		select {
		case b, ok := <-c.requests:
			if !ok {
				return nil, io.EOF
			}
			return b, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	go func() {
		defer cancel() // as gRPC does when a handler returns
		c.ended <- c.stream.send(ctx, c.draining, heralds{}, func(b *api.ReplyBatch) error {
			select {
			case c.replies <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return c
}

// quietPort has the default bounds, and logs nothing.
func quietPort(t testing.TB) *clients.Port { return portWith(t, clients.Limits{}) }

// portWith has other bounds.
func portWith(t testing.TB, l clients.Limits) *clients.Port {
	p := clients.New(clients.Config{Limits: l, Codec: api.Codec(), Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(p.Stop)
	return p
}

func (c *streamClient) ask(ids ...uint64) {
	c.requests <- batchOf(ids)
}

func (c *streamClient) read(n int) (ids []uint64) {
	for len(ids) < n {
		for _, r := range (<-c.replies).Replies {
			ids = append(ids, r.Id)
		}
	}
	slices.Sort(ids)
	return ids
}

// end says that no more requests come, and returns how the stream ends. All replies were read before.
func (c *streamClient) end(t *testing.T) error {
	t.Helper()
	close(c.requests)
	for {
		select {
		case b := <-c.replies:
			t.Errorf("there are %d replies more than were awaited", len(b.Replies))
		case err := <-c.ended:
			return err
		}
	}
}

// idle fails the test if anything is still counted as in progress.
func (c *streamClient) idle(t *testing.T) {
	t.Helper()
	synctest.Wait()
	for name, f := range map[string]*clients.Limiter{"server": c.stream.account.Server, "source": c.stream.account.Source, "client": c.stream.account.Client} {
		if n := f.Count(); n != (clients.Bound{}) {
			t.Errorf("the %s still counts %d requests, %d bytes", name, n.Items, n.Bytes)
		}
	}
}

func TestClientStreamAnswersAllBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Hold = true
		c := openStream(t, &h)
		c.ask(1, 2)
		c.ask(3)
		close(c.requests)
		synctest.Wait()
		select {
		case err := <-c.ended:
			t.Fatalf("the stream ended with %v before its replies", err)
		default:
		}
		go node.Release()
		if ids := c.read(3); !slices.Equal(ids, []uint64{1, 2, 3}) {
			t.Errorf("replies %v", ids)
		}
		if err := <-c.ended; err != nil {
			t.Errorf("the stream ended with %v", err)
		}
		c.idle(t)
	})
}

func TestClientStreamLetsGoWhenTheClientVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Hold = true
		c := openStream(t, &h)
		c.ask(1, 2, 3)
		synctest.Wait()
		c.cancel()
		if err := <-c.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the stream ended with %v", err)
		}
		node.Release() // replies to a client that has gone
		c.idle(t)
	})
}

func TestClientStreamRefusesTooMuchAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Hold = true
		c := openStream(t, &h)
		c.stream.account.Client.Max.Items = 2
		c.ask(1, 2, 3)
		busy := (<-c.replies).Replies
		if len(busy) != 1 || busy[0].Id != 3 || busy[0].Code != api.Reply_BUSY || !strings.Contains(busy[0].Message, "client") {
			t.Errorf("got %v, want BUSY for request 3", busy)
		}
		c.stream.account.Server.Max.Bytes = 1
		c.stream.account.Client.Max.Items = 3
		c.ask(4)
		if busy := (<-c.replies).Replies; len(busy) != 1 || busy[0].Id != 4 || !strings.Contains(busy[0].Message, "server") {
			t.Errorf("got %v, want BUSY for request 4", busy)
		}
		if node.Submitted != 2 {
			t.Errorf("%d requests reached the replica, want 2", node.Submitted)
		}
		go node.Release()
		c.read(2)
		c.idle(t)
		_ = c.end(t)
	})
}

func TestClientStreamStopsReadingFromAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		c := openStream(t, &h)
		sent := 0
		for range 1000 {
			select {
			case c.requests <- batchOf(make([]uint64, 100)):
				sent++
			default:
			}
			synctest.Wait()
		}
		if most := maxUnsentReplies/100 + 20; sent > most || sent < 2 {
			t.Errorf("%d batches were read, want at most %d", sent, most)
		}
		if len(c.read(sent*100)) != sent*100 || node.Submitted != sent*100 {
			t.Errorf("%d requests executed of %d", node.Submitted, sent*100)
		}
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}

func batchOf(ids []uint64) *api.RequestBatch {
	batch := &api.RequestBatch{}
	for _, id := range ids {
		batch.Requests = append(batch.Requests, &api.Request{Id: id, Kind: api.Request_PUT, Unconditional: true, Key: []byte("k")})
	}
	return batch
}

func TestClientStreamDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Hold = true
		c := openStream(t, &h)
		c.ask(1)
		synctest.Wait()
		close(c.draining)
		synctest.Wait()
		go node.Release()
		if ids := c.read(1); ids[0] != 1 {
			t.Errorf("replies %v", ids)
		}
		if err := <-c.ended; status.Code(err) != codes.Unavailable {
			t.Errorf("the stream ended with %v", err)
		}
		c.idle(t)
	})
}

// What a client sends before it has heard that the server stops is answered, too: else the client would not
// know what became of that. The stream ends when nothing comes any more.
func TestClientStreamDrainsWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := nodetest.New()
		c := openStream(t, &h)
		c.ask(1)
		c.read(1)
		close(c.draining)
		for id := uint64(2); id < 5; id++ {
			time.Sleep(drainQuiet - time.Millisecond)
			c.ask(id)
			if ids := c.read(1); ids[0] != id {
				t.Errorf("replies %v", ids)
			}
		}
		began := time.Now()
		if err := <-c.ended; status.Code(err) != codes.Unavailable || time.Since(began) != drainQuiet {
			t.Errorf("after %v the stream ended with %v", time.Since(began), err)
		}
		c.idle(t)
	})
}

func TestClientStreamKeepsBatchesSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		value := make([]byte, maxBatchBytes/2)
		node.Do(kv.Op{Kind: kv.Put, Key: "k", Value: value, Unconditional: true})
		c := openStream(t, &h)
		batch := &api.RequestBatch{}
		for id := range uint64(10) {
			batch.Requests = append(batch.Requests, &api.Request{Id: id, Kind: api.Request_GET, Key: []byte("k")})
		}
		c.requests <- batch
		close(c.requests)
		for n := 0; n < 10; {
			replies := (<-c.replies).Replies
			n += len(replies)
			if len(replies) > 1 {
				t.Errorf("%d replies of %d bytes in one batch", len(replies), len(value))
			}
		}
		if err := <-c.ended; err != nil {
			t.Error(err)
		}
	})
}
