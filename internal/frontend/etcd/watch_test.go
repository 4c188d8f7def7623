package etcd_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/kv"
	"balsa.example/kv/watch"
)

// What clients of etcd rely on, and what others got wrong. Each test names it.

func key(s string) []byte { return []byte(s) }

func TestCreatedComesFirstWithTheRevisionOfTheStore(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		w.put("1", "a")
		c.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 2})
		c.create(&pb.WatchCreateRequest{Key: key("a")})
		c.expect("0@2 created", "0@2 a=1", "1@2 created")
		w.put("2", "a")
		c.expect("0@3 a=2", "1@3 a=2")
	})
}

func TestIDsAreOfTheStream(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.all()
		c.create(&pb.WatchCreateRequest{Key: key("a"), WatchId: 7})
		c.create(&pb.WatchCreateRequest{Key: key("a"), WatchId: 1})
		c.all()
		c.expect("0@1 created", "7@1 created", "1@1 created", "2@1 created")
		other := w.open(etcd.Caller{})
		other.all()
		other.expect("0@1 created")
		other.cancel()
	})
}

func TestRefusalNamesNoLiveWatcher(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.all()
		c.create(&pb.WatchCreateRequest{Key: key("a"), WatchId: 7})
		c.expect("0@1 created", "7@1 created")
		c.create(&pb.WatchCreateRequest{Key: key("b"), WatchId: 7})
		c.create(&pb.WatchCreateRequest{Key: key("b"), RangeEnd: key("a")})
		c.create(&pb.WatchCreateRequest{Key: key("b"), StartRevision: -1})
		c.create(&pb.WatchCreateRequest{Key: key("b"), WatchId: -1})
		c.expect("-1@1 created canceled: mvcc: duplicate watch ID provided on the WatchStream",
			"-1@1 created canceled: mvcc: watcher range is empty",
			"-1@1 created canceled: etcdserver: mvcc: required revision has been compacted",
			"-1@1 created canceled: etcdserver: watch id -1 is reserved")
		w.put("1", "a")
		c.expect("0@2 a=1", "7@2 a=1")
	})
}

func TestCancelAndCreateWithTheSameID(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.create(&pb.WatchCreateRequest{Key: key("a"), WatchId: 3})
		c.expect("3@1 created")
		w.put("1", "a", "b")
		c.expect("3@2 a=1")
		c.cancelWatcher(3)
		c.create(&pb.WatchCreateRequest{Key: key("b"), WatchId: 3, Fragment: true})
		c.expect("3@2 canceled", "3@2 created")
		w.put("2", "a", "b")
		c.cancelWatcher(9) // there is none
		c.expect("3@3 b=2")
		c.cancelWatcher(3)
		c.cancelWatcher(3)
		c.expect("3@3 canceled")
	})
}

func TestFirstRevisionOfAWatcher(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		for _, value := range []string{"2", "3", "4"} {
			w.put(value, "a")
		}
		c.all()
		c.expect("0@4 created")
		c.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 1})
		c.expect("1@4 created", "1@4 a=2 a=3 a=4")
		c.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 4})
		c.expect("2@4 created", "2@4 a=4")
		for id := range int64(3) {
			c.cancelWatcher(id)
		}
		c.told()
		c.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 7}) // to come
		c.expect("3@4 created")
		w.put("5", "a")
		c.progress()
		c.expect() // neither an event nor a progress
		w.put("6", "a")
		c.expect("-1@6")
		w.put("7", "a")
		c.expect("3@7 a=7")
	})
}

func TestCompactedWatcherIsToldOnce(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		for _, value := range []string{"2", "3", "4", "5"} {
			w.put(value, "a")
		}
		w.compact(4)
		c.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 3})
		c.expect("0@5 created", "0@5 canceled compacted 4")
		c.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 4, PrevKv: true}) // that is legal
		c.expect("1@5 created", "1@5 a=4[3@3] a=5[4@4]")
		w.put("6", "a")
		c.cancelWatcher(0)
		c.expect("1@6 a=6[5@5]")
	})
}

func TestEventsHaveWhatTheirFiltersAsk(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		w.put("1", "a", "b")
		c.create(&pb.WatchCreateRequest{Key: key("a"), RangeEnd: key("c"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}, PrevKv: true})
		c.create(&pb.WatchCreateRequest{Key: key("a"), RangeEnd: key("c"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}})
		c.create(&pb.WatchCreateRequest{Key: key("a"), PrevKv: true})
		c.create(&pb.WatchCreateRequest{Key: key("a"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE, pb.WatchCreateRequest_NOPUT}})
		c.told()
		w.put("2", "a", "-b", "c")
		c.expect("0@3 -b[1@2]", "1@3 a=2", "2@3 a=2[1@2]")
		w.put("", "-a")
		c.expect("0@4 -a[2@3]", "2@4 -a[2@3]")
		w.put("5", "a")
		c.expect("1@5 a=5", "2@5 a=5") // it was absent
	})
}

func TestDeleteEventHasTheKeyItsRevisionAndWhatItHeld(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		w.put("1", "a")
		c.create(&pb.WatchCreateRequest{Key: key("a"), PrevKv: true})
		c.told()
		w.put("", "-a")
		e := (<-c.responses).Events[0]
		if string(e.Kv.Key) != "a" || e.Kv.ModRevision != 3 || e.Kv.CreateRevision != 0 || e.Kv.Version != 0 || e.Kv.Value != nil {
			t.Errorf("%v", e)
		}
		if p := e.PrevKv; string(p.GetKey()) != "a" || string(p.Value) != "1" || p.ModRevision != 2 || p.CreateRevision != 2 || p.Version != 1 {
			t.Errorf("%v", p)
		}
	})
}

// The header says who answers. Clients go on from its revision.
func TestHeadersOfWatchResponses(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.create(&pb.WatchCreateRequest{Key: key("a")})
		w.put("1", "a")
		w.put("1", "b")
		<-c.responses
		h := (<-c.responses).Header
		if h.ClusterId != 7 || h.MemberId != 8 || h.RaftTerm != 9 || h.Revision != 2 {
			t.Errorf("%v", h) // of the last event, not of the store
		}
	})
}

func TestProgressNotifyIsOfOneWatcherAndSparesBusyOnes(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.create(&pb.WatchCreateRequest{Key: key("quiet"), ProgressNotify: true})
		c.create(&pb.WatchCreateRequest{Key: key("busy"), ProgressNotify: true})
		c.create(&pb.WatchCreateRequest{Key: key("quiet")})
		c.told()
		w.put("1", "busy")
		c.expect("1@2 busy=1")
		const interval = watchInterval + watchInterval/10 // with all of the jitter
		time.Sleep(interval)
		c.expect("0@2")
		time.Sleep(interval)
		c.expect("0@2", "1@2") // also if nothing has happened: clients see that the stream lives
		w.put("2", "other")
		time.Sleep(interval)
		c.expect("0@3", "1@3")
		c.cancelWatcher(0)
		c.told()
		time.Sleep(interval)
		c.expect("1@3")
	})
}

func TestIntervalOfProgressIsEtcds(t *testing.T) {
	for set, want := range map[time.Duration]time.Duration{0: 10 * time.Minute, time.Millisecond: 100 * time.Millisecond, time.Second: time.Second} {
		for range 100 {
			if d := etcd.ProgressInterval(set); d < want || d > want+want/10 {
				t.Errorf("%v for %v", d, set)
			}
		}
	}
}

// A progress request is answered for all watchers of the stream, when each of them has everything.
func TestProgressRequestIsAnsweredWhenAllAreSynced(t *testing.T) {
	watching(t, watch.Limits{RingBytes: 1, PieceBytes: 1}, func(w *watched, c *watchClient) {
		c.progress()
		c.expect() // there is nobody
		for range 5 {
			w.put("1", "a", "b")
		}
		c.create(&pb.WatchCreateRequest{Key: key("quiet")})
		c.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 2})
		c.progress()
		if got := c.told(); !slices.Equal(got, []string{"0@6 created", "1@6 created", "1@2 a=1", "1@3 a=1", "1@4 a=1", "1@5 a=1", "1@6 a=1", "-1@6"}) {
			t.Errorf("%q", got)
		}
		w.put("2", "a")
		c.progress()
		if got := c.told(); !slices.Equal(got, []string{"1@7 a=2", "-1@7"}) {
			t.Errorf("%q", got)
		}
	})
}

// While a watcher reads the history the hub says how far. Only clients that have asked are told.
func TestWatchersThatReadTheHistoryAreNotMarked(t *testing.T) {
	watching(t, watch.Limits{PieceBytes: 1}, func(w *watched, c *watchClient) {
		for range 5 {
			w.put("1", "a")
		}
		c.create(&pb.WatchCreateRequest{Key: key("quiet"), StartRevision: 2, ProgressNotify: true})
		c.expect("0@6 created")
	})
}

func TestStreamOfACallerThatRequiresALeader(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		strict := w.open(etcd.Caller{RequireLeader: true})
		strict.all()
		c.all()
		strict.expect("0@1 created")
		c.expect("0@1 created")
		close(w.leaderless)
		strict.expect()
		if strict.over("etcdserver: no leader"); len(c.told()) != 0 {
			t.Error("the other stream is told something")
		}
		w.put("1", "a")
		c.expect("0@2 a=1")
	})
}

// A watcher that is canceled ends for its client. The end of a stream lets it go on at another member.
func TestStoppingMemberEndsStreamsAndCancelsNoWatcher(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.all()
		c.expect("0@1 created")
		close(w.stopping)
		c.expect()
		c.over("etcdserver: server stopped")
	})
}

// The gateway, and clients on the command line, send all their requests and then read.
func TestHalfClosedStreamGoesOnWhileItHasWatchers(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 2})
		close(c.requests)
		c.expect("0@1 created")
		w.put("1", "a")
		c.expect("0@2 a=1")
		idle := w.open(etcd.Caller{})
		close(idle.requests)
		idle.over("")
		w.put("2", "b")
		w.compact(3)
		late := w.open(etcd.Caller{})
		late.create(&pb.WatchCreateRequest{Key: key("a"), StartRevision: 2})
		close(late.requests)
		late.expect("0@3 created", "0@3 canceled compacted 3")
		late.over("")
		c.cancel()
		c.over("etcdserver: watch canceled")
	})
}

func TestAbruptlyClosedStreamLeavesNothing(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.all()
		w.put("1", "a") // both wait to be read
		c.cancel()
		c.over("etcdserver: watch canceled")
		if w.hub.Active() {
			t.Error("somebody watches")
		}
	})
}

func TestWatcherEndsWhenItsRightIsTakenAway(t *testing.T) {
	denied, invalid := errors.New("etcdserver: permission denied"), errors.New("etcdserver: invalid auth token")
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.create(&pb.WatchCreateRequest{Key: key("a")})
		c.create(&pb.WatchCreateRequest{Key: key("b"), Fragment: true})
		c.create(&pb.WatchCreateRequest{Key: key("c"), ProgressNotify: true})
		c.expect("0@1 created", "1@1 created", "2@1 created")
		w.put("2", "a") // the stream waits until that is read
		synctest.Wait()
		w.rights.deny(kv.Single("b"), denied)
		w.put("3", "a", "b", "c")
		c.expect("0@2 a=2", "1@3 canceled: etcdserver: permission denied", "0@3 a=3", "2@3 c=3")
		w.rights.deny(kv.Single("a"), invalid) // it waits for something to do
		c.expect("0@3 canceled: etcdserver: invalid auth token")
		c.create(&pb.WatchCreateRequest{Key: key("b")})
		c.create(&pb.WatchCreateRequest{Key: key("a")})
		c.expect("-1@3 created canceled: etcdserver: permission denied", "-1@3 created canceled: etcdserver: invalid auth token")
		w.put("4", "a", "b", "c")
		c.expect("2@4 c=4")
	})
}

// The right is taken away after it was found to be there, and before the client hears of the watcher.
func TestWatcherThatIsBeingMadeLosesItsRight(t *testing.T) {
	denied := errors.New("etcdserver: permission denied")
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		c.all() // the stream waits until the answer is read
		c.create(&pb.WatchCreateRequest{Key: key("b")})
		synctest.Wait()
		w.rights.deny(kv.Single("b"), denied)
		w.put("2", "b")
		c.expect("0@1 created", "0@2 b=2", "1@1 created", "1@2 canceled: etcdserver: permission denied")
	})
}

// The right is taken away when it was found to be there, and there is no watcher yet.
func TestRightThatChangesWhileItIsLookedAt(t *testing.T) {
	watching(t, watch.Limits{}, func(w *watched, c *watchClient) {
		w.rights.after = func() {
			w.rights.after = nil
			w.rights.deny(kv.Single("b"), errors.New("etcdserver: permission denied"))
			time.Sleep(time.Millisecond) // the stream has nothing more to do
		}
		c.create(&pb.WatchCreateRequest{Key: key("b")})
		time.Sleep(time.Second)
		c.expect("-1@1 created canceled: etcdserver: permission denied")
	})
}
