package watch_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"balsa.example/internal/wake"
	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// TestStreamsOfManyGoroutines lets a publisher, a matcher and readers go on at the same time.
// The end is that every watcher has what the history has.
func TestStreamsOfManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers, revisions = 6, 300
		published := wake.New()
		s := &store{}
		s.hub = watch.New(s, 1, 0, watch.Limits{PendingBytes: 4000, RingBytes: 3000, PieceBytes: 1000}, published.Set)
		done := make(chan struct{})
		var matcher, group sync.WaitGroup
		matcher.Go(func() {
			for {
				select {
				case <-published.C():
					s.hub.Match()
				case <-done:
					return
				}
			}
		})
		stop := make(chan struct{})
		var clients []*client
		for i := range uint64(readers) {
			c := newClient(t, s)
			awake := wake.New()
			c.stream = s.hub.NewStream(watch.NativeFace, awake.Set)
			clients = append(clients, c)
			group.Go(func() { read(c, awake, rand.New(rand.NewPCG(1, i)), stop) })
		}
		for i := range revisions {
			s.change([]string{"a", "b", "a ab", "-a b"}[i%4])
			if i%7 == 0 {
				synctest.Wait()
			}
		}
		close(stop)
		group.Wait()
		close(done)
		matcher.Wait() // settle matches too, and only one goroutine at a time may do that
		for _, c := range clients {
			c.settle()
		}
	})
}

// read makes and cancels watchers of a client, and takes what they are due.
func read(c *client, awake wake.Signal, random *rand.Rand, stop chan struct{}) {
	spans := []kv.Span{{}, kv.Prefix("a"), kv.Single("b"), kv.Single("a")}
	id := int64(0)
	for {
		select {
		case <-awake.C():
		case <-stop:
			return
		default:
		}
		for range random.IntN(4) {
			id++
			r := watch.Request{ID: id, Span: spans[random.IntN(len(spans))], Revision: uint64(random.IntN(3)) * 20}
			r.Prev = random.IntN(4) == 0
			if id < 60 {
				c.watch(r)
			}
			if random.IntN(3) == 0 {
				_ = c.stream.Cancel(random.Int64N(id+1), watch.ErrCanceled)
			}
		}
		for range random.IntN(8) {
			if !c.take(1 + random.IntN(2000)) {
				break
			}
		}
		if random.IntN(5) == 0 {
			c.stream.Mark()
		}
		if id > 60 {
			select {
			case <-awake.C():
			case <-stop:
				return
			}
			for c.take(5000) {
			}
		}
	}
}
