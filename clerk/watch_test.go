package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/check/memtcp"
)

// watchedServer is a fake server of watchers. Each revision from 2 on is a put of one key, the
// number of the revision.
type watchedServer struct {
	*fakeServer

	mu        sync.Mutex
	applied   uint64
	compacted uint64
	creates   []*api.WatchCreate
	cancels   int
	streams   int
	unsent    bool // send nothing
	changed   chan struct{}
	valueSize int
}

func newWatchedServer(node uint64) *watchedServer {
	s := &watchedServer{applied: 1, changed: make(chan struct{})}
	s.fakeServer = &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: node}, watch: s.serve}
	s.handle = func(r *api.Request) *api.Reply {
		s.mu.Lock()
		defer s.mu.Unlock()
		return &api.Reply{Revision: s.applied}
	}
	return s
}

// set changes the server's state.
func (s *watchedServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *watchedServer) apply(to uint64) { s.set(func() { s.applied = to }) }

// state returns what the server has counted.
func (s *watchedServer) state() (creates []*api.WatchCreate, cancels, streams int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.creates, s.cancels, s.streams
}

func (s *watchedServer) serve(stream api.KV_WatchServer) error {
	requests := make(chan *api.WatchRequest)
	go func() {
		defer close(requests)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- r:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	next := map[uint64]uint64{}
	s.set(func() { s.streams++ })
	for {
		s.mu.Lock()
		var updates []*api.WatchUpdate
		changed := s.changed
		for id, from := range next {
			if s.unsent || from > s.applied {
				continue
			}
			u := &api.WatchUpdate{Ids: []uint64{id}}
			if next[id] = from + 1; from < s.compacted {
				u.Kind, u.Code, u.Compacted = api.WatchUpdate_CANCELED, api.Reply_COMPACTED, s.compacted
				delete(next, id)
			} else {
				e := &api.Entry{Key: fmt.Append(nil, from), Value: make([]byte, s.valueSize), Version: 1, CreateRevision: from, ModRevision: from}
				u.Batches = []*api.EventBatch{{Revision: from, Events: []*api.Event{{Entry: e}}}}
			}
			updates = append(updates, u)
		}
		s.mu.Unlock()
		if updates != nil {
			if err := stream.Send(&api.WatchReply{Updates: updates}); err != nil {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case r, ok := <-requests:
			if !ok {
				return nil
			}
			if err := s.request(stream, r, next); err != nil {
				return err
			}
		}
	}
}

func (s *watchedServer) request(stream api.KV_WatchServer, r *api.WatchRequest, next map[uint64]uint64) error {
	s.mu.Lock()
	var reply api.WatchReply
	for _, c := range r.Create {
		if next[c.Id] = c.Revision; c.Revision == 0 {
			next[c.Id] = s.applied + 1
		}
		reply.Updates = append(reply.Updates, &api.WatchUpdate{Kind: api.WatchUpdate_CREATED, Ids: []uint64{c.Id}, Revision: s.applied})
	}
	for _, id := range r.Cancel {
		delete(next, id)
	}
	s.creates = append(s.creates, r.Create...)
	s.cancels += len(r.Cancel)
	s.mu.Unlock()
	return stream.Send(&reply)
}

// watchCluster starts servers with a Clerk, in virtual time.
func watchCluster(t *testing.T, servers int, test func(t *testing.T, ck *clerk.Clerk, s []*watchedServer)) {
	synctest.Test(t, func(t *testing.T) {
		byAddress := map[string]*fakeServer{}
		var all []*watchedServer
		var endpoints []string
		for i := range servers {
			s := newWatchedServer(uint64(i + 1))
			s.start(t)
			address := fmt.Sprintf("s%d:1", i)
			all, endpoints, byAddress[address] = append(all, s), append(endpoints, address), s.fakeServer
		}
		ck, err := clerk.New(endpoints, dialer(byAddress))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		test(t, ck, all)
	})
}

// reading is a watch that a test reads from.
type reading struct {
	t    *testing.T
	next func() (clerk.Changes, error, bool)
	stop func()
}

func watchAll(t *testing.T, ck *clerk.Clerk, opts ...clerk.WatchOption) *reading {
	r := &reading{t: t}
	r.next, r.stop = iter.Pull2(ck.Watch(t.Context(), clerk.Span{}, opts...))
	t.Cleanup(r.stop)
	return r
}

// expect demands that the next changes are those of a revision.
func (r *reading) expect(revision uint64) {
	r.t.Helper()
	c, err, ok := r.next()
	if err != nil || !ok || c.Revision != revision || len(c.Events) != 1 || c.Events[0].Key != fmt.Sprint(revision) {
		r.t.Fatalf("%+v, %v, want revision %d", c, err, revision)
	}
}

// begin takes the mark at the beginning of a watch from now on.
func (r *reading) begin(revision uint64) {
	r.t.Helper()
	if c, err, _ := r.next(); err != nil || c.Revision != revision || len(c.Events) != 0 {
		r.t.Fatalf("%+v, %v, want a mark of %d", c, err, revision)
	}
}

func TestWatchGoesOnAtAnotherServer(t *testing.T) {
	watchCluster(t, 3, func(t *testing.T, ck *clerk.Clerk, s []*watchedServer) {
		s[0].apply(5)
		r := watchAll(t, ck, clerk.Progress())
		r.begin(5)
		s[0].apply(7)
		r.expect(6)
		r.expect(7)
		s[1].apply(3) // it lags behind
		s[0].cutStreams()
		go func() {
			time.Sleep(time.Second)
			s[1].apply(9)
		}()
		r.expect(8)
		r.expect(9)
		if creates, _, _ := s[1].state(); len(creates) != 1 || creates[0].Revision != 8 {
			t.Errorf("server 1 was asked for %v", creates)
		}
		if creates, _, _ := s[2].state(); len(creates) != 0 {
			t.Errorf("server 2 was asked for %v", creates)
		}
	})
}

func TestWatchOutlivesAllServers(t *testing.T) {
	watchCluster(t, 2, func(t *testing.T, ck *clerk.Clerk, s []*watchedServer) {
		s[0].apply(3)
		s[1].apply(3)
		r := watchAll(t, ck, clerk.Since(2))
		r.expect(2)
		r.expect(3)
		for n := range uint64(20) {
			s[n%2].cutStreams()
			s[1-n%2].cutStreams()
			s[0].apply(4 + n)
			s[1].apply(4 + n)
			r.expect(4 + n)
		}
	})
}

// A server that lags behind must not begin a watch from now on in the past.
func TestWatchFromNowOnDoesNotBeginInThePast(t *testing.T) {
	watchCluster(t, 2, func(t *testing.T, ck *clerk.Clerk, s []*watchedServer) {
		s[0].apply(9)
		s[1].apply(4)
		s[0].fakeServer.watch = func(api.KV_WatchServer) error { return errors.New("not now") }
		r := watchAll(t, ck, clerk.Progress())
		r.begin(9)
		s[1].apply(10)
		r.expect(10)
	})
}

func TestWatchTellsWhatIsCompacted(t *testing.T) {
	watchCluster(t, 1, func(t *testing.T, ck *clerk.Clerk, s []*watchedServer) {
		s[0].set(func() { s[0].applied, s[0].compacted = 9, 7 })
		r := watchAll(t, ck, clerk.Since(3))
		_, err, _ := r.next()
		var compacted *clerk.CompactedError
		if !errors.As(err, &compacted) || compacted.Revision != 7 || !errors.Is(err, clerk.ErrCompacted) {
			t.Fatal(err)
		}
		if _, _, ok := r.next(); ok {
			t.Error("the watch goes on")
		}
		watchAll(t, ck, clerk.Since(7)).expect(7)
	})
}

// A loop that stops reading costs the others nothing, and misses nothing.
func TestSlowLoopLeavesEventsAtTheServer(t *testing.T) {
	watchCluster(t, 1, func(t *testing.T, ck *clerk.Clerk, s []*watchedServer) {
		s[0].set(func() { s[0].valueSize = 100 << 10 })
		slow, quick := watchAll(t, ck, clerk.Since(2)), watchAll(t, ck, clerk.Since(2))
		s[0].apply(2)
		slow.expect(2)
		for r := uint64(2); r < 100; r++ {
			s[0].apply(r)
			quick.expect(r)
		}
		if _, cancels, streams := s[0].state(); cancels != 1 || streams != 1 {
			t.Errorf("%d watchers were canceled on %d streams", cancels, streams)
		}
		for r := uint64(3); r < 100; r++ {
			slow.expect(r)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	watchCluster(t, 1, func(t *testing.T, ck *clerk.Clerk, s []*watchedServer) {
		ctx, cancel := context.WithCancel(t.Context())
		for _, end := range []struct {
			name string
			end  func()
			want error
		}{{"by its context", cancel, context.Canceled}, {"by Close", func() { ck.Close() }, clerk.ErrClosed}} {
			time.AfterFunc(time.Second, end.end)
			for _, err := range ck.Watch(ctx, clerk.Span{}) {
				if !errors.Is(err, end.want) {
					t.Errorf("%s: %v", end.name, err)
				}
			}
			ctx = t.Context()
		}
	})
}

// A watch that ends, however it does, is ended at the server.
func TestWatchThatEndsIsCanceled(t *testing.T) {
	watchCluster(t, 1, func(t *testing.T, ck *clerk.Clerk, s []*watchedServer) {
		s[0].apply(4)
		for range ck.Watch(t.Context(), clerk.Span{}, clerk.Since(2)) {
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, err := range ck.Watch(ctx, clerk.Span{}) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		synctest.Wait()
		if _, cancels, _ := s[0].state(); cancels != 2 {
			t.Errorf("%d watchers were canceled", cancels)
		}
	})
}

// A server that takes requests, and answers none, is left for another one.
func TestWatchLeavesASilentServer(t *testing.T) {
	watchCluster(t, 2, func(t *testing.T, ck *clerk.Clerk, s []*watchedServer) {
		s[0].fakeServer.watch = func(stream api.KV_WatchServer) error {
			<-stream.Context().Done()
			return nil
		}
		s[1].apply(2)
		watchAll(t, ck, clerk.Since(2)).expect(2)
	})
}

// Nothing tells that a server has vanished while nothing happens to the keys, but that it does
// not answer any more.
func TestWatchNoticesThatItsServerHasVanished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memtcp.New()
		defer net.Close()
		client := net.Host("client")
		servers := map[string]*watchedServer{}
		for i, name := range []string{"a", "b"} {
			s := newWatchedServer(uint64(i + 1))
			s.listen = net.Host(name).Listen("1")
			net.Name(name, name)
			s.start(t)
			servers[name] = s
		}
		ck, err := clerk.New([]string{"a:1", "b:1"}, clerk.WithDialer(client.Dial))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		r := watchAll(t, ck, clerk.Since(2))
		servers["a"].apply(2)
		r.expect(2)
		net.Cut("client", "a")
		net.Cut("a", "client")
		servers["b"].apply(3)
		before := time.Now()
		r.expect(3)
		if took := time.Since(before); took > 6*time.Second {
			t.Errorf("noticed after %s", took)
		}
	})
}
