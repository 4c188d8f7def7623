package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/watching"
	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// watchedStore is a history with one put of a value at each revision, from 2 on.
type watchedStore struct {
	hub       *watch.Hub
	published wake.Signal

	mu     sync.Mutex
	events [][]kv.Event

	scan  func() // called by Scan
	scans int
}

// newWatchedStore starts a matcher, which ends with the test.
func newWatchedStore(t testing.TB) *watchedStore {
	s := &watchedStore{published: wake.New()}
	s.hub = watch.New(s, 1, 0, watch.Limits{RingBytes: 100_000}, s.published.Set)
	go func() {
		for {
			select {
			case <-s.published.C():
				s.hub.Match()
			case <-t.Context().Done():
				return
			}
		}
	}()
	return s
}

// Scan implements watch.History.
func (s *watchedStore) Scan(from uint64, yield func(uint64, []kv.Event) bool) error {
	s.mu.Lock()
	events := s.events
	s.mu.Unlock()
	s.scans++
	if s.scan != nil {
		s.scan()
	}
	for r := from; r < uint64(len(events))+2 && yield(r, events[r-2]); r++ {
	}
	return nil
}

// Previous implements watch.History.
func (s *watchedStore) Previous(string, uint64) (*kv.Entry, error) { return nil, nil }

// put makes a revision with a put of each key.
func (s *watchedStore) put(value []byte, keys ...string) {
	s.mu.Lock()
	r := uint64(len(s.events)) + 2
	var events []kv.Event
	for _, key := range keys {
		events = append(events, kv.Event{Entry: kv.Entry{Key: key, Value: value, ModRevision: r}})
	}
	s.events = append(s.events, events)
	s.mu.Unlock()
	s.hub.Publish(r, events)
}

// watchClient is the client of a watchStream.
type watchClient struct {
	stream     *watchStream
	as         *clients.Client
	requests   chan *api.WatchRequest
	replies    chan *api.WatchReply // unbuffered: a client that does not read blocks the sender
	sizes      []int
	draining   chan struct{}
	leaderless chan struct{}
	cancel     context.CancelFunc
	ended      chan error
	received   chan error
}

func openWatchStream(t *testing.T, s *watchedStore, as *clients.Client) *watchClient {
	c := &watchClient{
		as: as, requests: make(chan *api.WatchRequest), replies: make(chan *api.WatchReply),
		draining: make(chan struct{}), leaderless: make(chan struct{}), ended: make(chan error, 1), received: make(chan error, 1),
	}
	c.stream = newWatchStream(s.hub, as, new(rights))
	ctx, cancel := context.WithCancel(t.Context())
	c.cancel = cancel
	go func() {
		c.received <- c.stream.receive(ctx, func() (*api.WatchRequest, error) {
			select {
			case r, ok := <-c.requests:
				if !ok {
					return nil, io.EOF
				}
				return r, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
	}()
	around := surroundings{draining: c.draining, leaderless: func() <-chan struct{} { return c.leaderless }}
	go func() {
		defer cancel() // as gRPC does when a handler returns
		c.ended <- c.stream.send(ctx, around, func(m *api.WatchMessage) error { return c.receive(ctx, m) })
	}()
	return c
}

// receive decodes a message and waits until the client reads it.
func (c *watchClient) receive(ctx context.Context, m *api.WatchMessage) error {
	data, err := api.Codec().Marshal(m)
	if err != nil {
		return err
	}
	reply := new(api.WatchReply)
	if err := api.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(data.Materialize())}, reply); err != nil {
		return err
	}
	c.sizes = append(c.sizes, data.Len())
	select {
	case c.replies <- reply:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// create asks for watchers of a span.
func (c *watchClient) create(span *api.Span, ids ...uint64) {
	req := &api.WatchRequest{}
	for _, id := range ids {
		req.Create = append(req.Create, &api.WatchCreate{Id: id, Span: span})
	}
	c.requests <- req
}

var allKeys = &api.Span{Open: true}

// told takes the updates that have come, as text.
func (c *watchClient) told() (all []string) {
	for {
		synctest.Wait()
		select {
		case reply := <-c.replies:
			for _, u := range reply.Updates {
				all = append(all, describe(u))
			}
		default:
			return all
		}
	}
}

func describe(u *api.WatchUpdate) string {
	text := fmt.Sprintf("%s%v", u.Kind, u.Ids)
	if u.Revision != 0 {
		text += fmt.Sprintf(" at %d", u.Revision)
	}
	if u.Message != "" {
		text += fmt.Sprintf(" %s", u.Code)
	}
	for _, b := range u.Batches {
		for _, e := range b.Events {
			text += fmt.Sprintf(" %d:%s=%.10s", b.Revision, e.Entry.Key, e.Entry.Value)
		}
		if b.More {
			text += " more"
		}
	}
	return text
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// idle fails the test if watchers, or what is sent to them, still count.
func (c *watchClient) idle(t *testing.T) {
	t.Helper()
	synctest.Wait()
	for name, a := range map[string]*clients.Account{"requests": &c.as.Requests, "watchers": &c.as.Watchers} {
		for _, l := range []*clients.Limiter{a.Client, a.Source, a.Server} {
			if n := l.Count(); n != (clients.Bound{}) {
				t.Errorf("%s: still %d, %d bytes", name, n.Items, n.Bytes)
			}
		}
	}
}

func TestWatchStreamTellsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		c := openWatchStream(t, s, quietPort(t).Alone(""))
		s.put([]byte("old"), "a")
		c.create(allKeys, 1, 2)
		c.create(&api.Span{From: []byte("b"), To: []byte("c")}, 3)
		expect(t, c.told(), "CREATED[1] at 2", "CREATED[2] at 2", "CREATED[3] at 2")
		s.put([]byte("v"), "a", "b")
		expect(t, c.told(), "EVENTS[1 2] 3:a=v 3:b=v", "EVENTS[3] 3:b=v")
		c.requests <- &api.WatchRequest{Cancel: []uint64{2}, Progress: true}
		expect(t, c.told(), "CANCELED[2] OK", "PROGRESS[] at 3")
		c.requests <- &api.WatchRequest{Create: []*api.WatchCreate{
			{Id: 1, Span: allKeys}, {Id: 4}, {Id: 5, Span: &api.Span{From: []byte("a")}},
			{Id: 6, Span: &api.Span{From: []byte("b"), To: []byte("a")}}, {Id: 7, Span: allKeys, Revision: 2},
		}}
		expect(t, c.told(), "REFUSED[1] INVALID", "REFUSED[4] INVALID", "REFUSED[5] INVALID", "REFUSED[6] INVALID",
			"CREATED[7] at 3", "EVENTS[7] 2:a=old 3:a=v 3:b=v")
		close(c.requests)
		if err := <-c.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		c.idle(t)
	})
}

func TestCompactedWatcherLearnsWhereToBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		s.put(nil, "a")
		s.put(nil, "a")
		s.hub.Compacted(3)
		c := openWatchStream(t, s, quietPort(t).Alone(""))
		c.requests <- &api.WatchRequest{Create: []*api.WatchCreate{{Id: 1, Span: allKeys, Revision: 2}}}
		synctest.Wait()
		u := (<-c.replies).Updates[1]
		if u.Kind != api.WatchUpdate_CANCELED || u.Code != api.Reply_COMPACTED || u.Compacted != 3 {
			t.Errorf("%v", u)
		}
	})
}

// A client that reads nothing costs what one message takes. The events that it misses are in
// the history.
func TestSlowWatcherCostsACursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		c := openWatchStream(t, s, quietPort(t).Alone(""))
		c.create(allKeys, 1)
		expect(t, c.told(), "CREATED[1] at 1")
		const events = 2000
		for range events {
			s.put(make([]byte, 1000), "a")
		}
		synctest.Wait()
		if n := c.as.Requests.Server.Count().Bytes; n != watching.MaxBytes {
			t.Errorf("%d bytes are on their way", n)
		}
		if len(c.sizes) > 3 {
			t.Errorf("%d messages for a client that does not read", len(c.sizes))
		}
		next := uint64(2)
		for next < 2+events {
			for _, u := range (<-c.replies).Updates {
				for _, b := range u.Batches {
					if b.Revision != next {
						t.Fatalf("revision %d, want %d", b.Revision, next)
					}
					next++
				}
			}
		}
		if slices.Max(c.sizes) > watching.MaxBytes+2000 {
			t.Errorf("a message of %d bytes", slices.Max(c.sizes))
		}
		c.cancel()
		c.idle(t)
	})
}

// The receiver goes on while the sender waits for the client, up to a bound.
func TestReceiverOfWatchersWaitsForNoSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		c := openWatchStream(t, s, quietPort(t).Alone(""))
		c.create(allKeys, 1)
		synctest.Wait() // CREATED waits to be read
		for n := 0; ; n++ {
			select {
			case c.requests <- &api.WatchRequest{Create: []*api.WatchCreate{{Id: 2, Span: allKeys}}, Cancel: []uint64{2}}:
				continue
			case err := <-c.received:
				if err != errAnswersUnread || n < 1000 || n > 1<<20 {
					t.Errorf("after %d requests: %v", n, err)
				}
			}
			break
		}
		c.cancel()
		if err := <-c.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		c.idle(t)
	})
}

func TestWatchersOfALeaderlessServerEndIfAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		c := openWatchStream(t, s, quietPort(t).Alone(""))
		c.create(allKeys, 1, 2)
		close(c.leaderless)
		expect(t, c.told(), "CREATED[1] at 1", "CREATED[2] at 1")
		c.requests <- &api.WatchRequest{RequireLeader: true, Cancel: []uint64{1}}
		expect(t, c.told(), "CANCELED[1] OK", "CANCELED[2] UNAVAILABLE")
		c.create(allKeys, 3)
		expect(t, c.told(), "CREATED[3] at 1", "CANCELED[3] UNAVAILABLE")
		c.cancel()
		c.idle(t)
	})
}

func TestWatchersEndWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		c := openWatchStream(t, s, quietPort(t).Alone(""))
		c.create(allKeys, 1)
		expect(t, c.told(), "CREATED[1] at 1")
		close(c.draining)
		expect(t, c.told(), "CANCELED[1] UNAVAILABLE")
		if err := <-c.ended; status.Code(err) != codes.Unavailable {
			t.Errorf("ended with %v", err)
		}
		c.idle(t)
	})
}

func TestWatchersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		port := portWith(t, clients.Limits{Watchers: 8, Connections: 4})
		greedy, modest := openWatchStream(t, s, port.Alone("a")), openWatchStream(t, s, port.Alone("b"))
		greedy.create(allKeys, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		refused := 0
		for _, text := range greedy.told() {
			if bytes.HasPrefix([]byte(text), []byte("REFUSED")) && bytes.HasSuffix([]byte(text), []byte("BUSY")) {
				refused++
			}
		}
		if refused == 0 {
			t.Error("no watcher is refused")
		}
		modest.create(allKeys, 1)
		expect(t, modest.told(), "CREATED[1] at 1")
		greedy.cancel()
		modest.cancel()
		greedy.idle(t)
	})
}

// A revision may be larger than a message may be. It is told in parts, of which all but the
// last say that there is more.
func TestLargeRevisionIsSentInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		c := openWatchStream(t, s, quietPort(t).Alone(""))
		c.create(allKeys, 1)
		expect(t, c.told(), "CREATED[1] at 1")
		var keys []string
		for i := range 100 {
			keys = append(keys, fmt.Sprint(i))
		}
		s.put(make([]byte, 50_000), keys...)
		s.put(nil, "last")
		var got []string
		more := 0
		for len(got) == 0 || got[len(got)-1] != "last" {
			for _, u := range (<-c.replies).Updates {
				for _, b := range u.Batches {
					for _, e := range b.Events {
						got = append(got, string(e.Entry.Key))
					}
					if b.More {
						more++
					} else if b.Revision == 2 && len(got) != len(keys) {
						t.Errorf("revision 2 ends after %d events", len(got))
					}
				}
			}
		}
		if !slices.Equal(got, append(keys, "last")) || more < 10 || slices.Max(c.sizes) > 256<<10 {
			t.Errorf("%d events, %d parts, a message of %d bytes", len(got), more+1, slices.Max(c.sizes))
		}
	})
}

// Watchers to whom nothing happens learn how far they are, so that they can go on from there at
// another server.
func TestQuietWatchersAreMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchedStore(t)
		c := openWatchStream(t, s, quietPort(t).Alone(""))
		c.create(&api.Span{From: []byte("q"), To: []byte("r")}, 1)
		expect(t, c.told(), "CREATED[1] at 1")
		s.put(nil, "a")
		expect(t, c.told())
		time.Sleep(markInterval)
		expect(t, c.told(), "PROGRESS[1] at 2")
		time.Sleep(2 * markInterval)
		expect(t, c.told())
	})
}

// A watcher that begins in the past may have to read much that is not for it, and one to whom
// much happens is never done. Their streams end all the same.
func TestBusyStreamEnds(t *testing.T) {
	for name, span := range map[string]*api.Span{"reads": {From: []byte("b"), Open: true}, "sends": allKeys} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newWatchedStore(t)
				for range 20_000 {
					s.put(make([]byte, 1000), "a")
				}
				s.scan = func() { // there is always more
					s.mu.Lock()
					s.events = append(s.events, s.events[:1000]...)
					s.mu.Unlock()
				}
				c := openWatchStream(t, s, quietPort(t).Alone(""))
				go func() {
					for range c.replies {
					}
				}()
				c.requests <- &api.WatchRequest{Create: []*api.WatchCreate{{Id: 1, Span: span, Revision: 2}}}
				close(c.draining)
				if err := <-c.ended; status.Code(err) != codes.Unavailable {
					t.Errorf("ended with %v", err)
				}
				close(c.replies)
			})
		})
	}
}
