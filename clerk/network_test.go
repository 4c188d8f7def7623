package clerk_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// bubble runs a test in virtual time, with n fake servers at s1:1, s2:1, ... which all serve
// the same store.
func bubble(t *testing.T, n int, test func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk)) {
	synctest.Test(t, func(t *testing.T) {
		st := clerktest.New(1)
		defer st.Close()
		byAddress := make(map[string]*fakeServer)
		var servers []*fakeServer
		var endpoints []string
		for i := range n {
			address := fmt.Sprintf("s%d:1", i+1)
			f := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: uint64(i + 1), Name: address}, handle: st.Execute}
			f.start(t)
			byAddress[address] = f
			servers = append(servers, f)
			endpoints = append(endpoints, address)
		}
		ck, err := clerk.New(endpoints, dialer(byAddress))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		test(t, st, servers, ck)
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestOperationsGoThrough(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *clerktest.Service, _ []*fakeServer, ck *clerk.Clerk) {
		ctx := within(t, time.Second)
		kv, err := ck.Put(ctx, "k", []byte("a"), 0)
		if err != nil || kv.Version != 1 || kv.CreateRevision == 0 || kv.ModRevision != kv.CreateRevision {
			t.Fatalf("put: %+v, %v", kv, err)
		}
		kv, err = ck.Get(ctx, "k")
		if err != nil || !bytes.Equal(kv.Value, []byte("a")) || kv.Version != 1 {
			t.Fatalf("get: %+v, %v", kv, err)
		}
		_, err = ck.Put(ctx, "k", []byte("b"), 7)
		var ve *clerk.VersionError
		if !errors.Is(err, clerk.ErrVersion) || !errors.As(err, &ve) || ve.Expected != 7 || ve.Current != 1 {
			t.Fatalf("put at a wrong version: %v", err)
		}
		if _, err = ck.Put(ctx, "other", nil, 7); !errors.Is(err, clerk.ErrNoKey) {
			t.Fatalf("put to an absent key: %v", err)
		}
		if kv, err = ck.Set(ctx, "k", []byte("c")); err != nil || kv.Version != 2 {
			t.Fatalf("set: %+v, %v", kv, err)
		}
		if err = ck.Delete(ctx, "k", 1); !errors.Is(err, clerk.ErrVersion) {
			t.Fatalf("delete at a wrong version: %v", err)
		}
		if err = ck.Delete(ctx, "k", 2); err != nil {
			t.Fatalf("delete: %v", err)
		}
		if err = ck.Remove(ctx, "k"); !errors.Is(err, clerk.ErrNoKey) {
			t.Fatalf("remove an absent key: %v", err)
		}
		if _, err = ck.Get(ctx, "k", clerk.ByLease()); !errors.Is(err, clerk.ErrNoKey) {
			t.Fatalf("get of an absent key: %v", err)
		}
	})
}

func TestConcurrentCallsShareBatches(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		const calls = clerk.MaxQueueCalls + 1000 // the last ones must wait for room
		servers[0].helloDelay = 100 * time.Millisecond
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				if _, err := ck.Put(within(t, 10*time.Second), fmt.Sprint("key", i), make([]byte, 100), 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		total := 0
		for _, n := range servers[0].batches {
			total += n
		}
		if total != calls {
			t.Errorf("%d requests came", total)
		}
		const callBytes = clerk.CallOverhead + len("key1000") + 100 // at most
		full := clerk.MaxBatchBytes / callBytes
		for i := range clerk.MaxQueueCalls / full / 2 {
			if n := servers[0].batches[i]; n < full || n > full*11/10 {
				t.Errorf("batch %d has %d requests, for %d there is room", i, n, full)
			}
		}
		if servers[0].streams != 1 {
			t.Errorf("%d streams", servers[0].streams)
		}
	})
}

func TestLargeValuesGetBatchesOfTheirOwn(t *testing.T) {
	bubble(t, 1, func(t *testing.T, _ *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		var wg sync.WaitGroup
		for i := range 6 { // 9 MiB: the queue has room for 4
			wg.Go(func() {
				if _, err := ck.Put(within(t, time.Minute), fmt.Sprint("key", i), make([]byte, clerk.DefaultMaxBytes), 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(servers[0].batches) != 6 {
			t.Errorf("batches of %v", servers[0].batches)
		}
	})
}

// A request that would end the stream of all others is not sent. How large it may be the server says.
func TestARequestThatIsTooLargeForAServerIsNotSent(t *testing.T) {
	for _, says := range []uint64{0, 2 << 20} {
		bubble(t, 1, func(t *testing.T, _ *clerktest.Service, servers []*fakeServer, _ *clerk.Clerk) {
			most := int(cmp.Or(says, 4<<20))
			servers[0].handle = func(*api.Request) *api.Reply { return &api.Reply{Version: 1} }
			servers[0].greet(&api.Hello{ClusterId: 7, NodeId: 1, MaxMessageBytes: says})
			ck, err := clerk.New([]string{"s1:1"}, dialer(map[string]*fakeServer{"s1:1": servers[0]}), clerk.WithMaxBytes(8<<20))
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			ctx := within(t, time.Second)
			if _, err := ck.Put(ctx, "large", make([]byte, most-1<<10), 0); err != nil {
				t.Error(err)
			}
			if _, err := ck.Put(ctx, "larger", make([]byte, most), 0); !errors.Is(err, clerk.ErrTooLarge) || errors.Is(err, clerk.ErrMaybe) {
				t.Error(err)
			}
			_, err = ck.Txn(ctx).Then(clerk.OpPut("a", make([]byte, most/2)), clerk.OpPut("b", make([]byte, most/2))).Commit()
			if !errors.Is(err, clerk.ErrTooLarge) || errors.Is(err, clerk.ErrMaybe) {
				t.Error(err)
			}
			if len(servers[0].batches) != 1 || servers[0].streams != 1 {
				t.Errorf("%d batches on %d streams", len(servers[0].batches), servers[0].streams)
			}
		})
	}
}

// refuse answers as a follower does.
func refuse(leader int) func(*api.Request) *api.Reply {
	return func(*api.Request) *api.Reply {
		return &api.Reply{Code: api.Reply_WRONG_LEADER, Leader: &api.Leader{
			NodeId: uint64(leader), ClientUrls: []string{fmt.Sprintf("http://s%d:1", leader)},
		}}
	}
}

func TestClerkFollowsTheLeader(t *testing.T) {
	bubble(t, 3, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		servers[0].handle, servers[1].handle = refuse(3), refuse(3)
		start := time.Now()
		for i := range 10 {
			if _, err := ck.Set(within(t, time.Second), "k", []byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(servers[0].batches); n != 1 {
			t.Errorf("the follower was asked %d times", n)
		}
		servers[2].handle, servers[1].handle = refuse(2), st.Execute
		if _, err := ck.Get(within(t, time.Second), "k"); err != nil {
			t.Fatal(err)
		}
		if len(servers[0].batches) != 1 || len(servers[1].batches) != 1 {
			t.Error("the hint was not followed")
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("waited %v on the way", took)
		}
	})
}

func TestHintedServerNeedNotBeAnEndpoint(t *testing.T) {
	bubble(t, 3, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		servers[0].handle = refuse(3)
		only, err := clerk.New([]string{"http://s1:1"}, dialer(map[string]*fakeServer{"s1:1": servers[0], "s3:1": servers[2]}))
		if err != nil {
			t.Fatal(err)
		}
		defer only.Close()
		if _, err := only.Set(within(t, time.Second), "k", nil); err != nil {
			t.Fatal(err)
		}
		if len(servers[2].batches) != 1 {
			t.Error("the hint was not followed")
		}
	})
}

func TestBrokenStreamLosesCallsAndIsReplaced(t *testing.T) {
	bubble(t, 1, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		ctx := within(t, 10*time.Second)
		if _, err := ck.Set(ctx, "k", []byte("0")); err != nil {
			t.Fatal(err)
		}
		silent := true
		servers[0].handle = func(r *api.Request) *api.Reply {
			reply := st.Execute(r)
			if silent {
				return nil
			}
			return reply
		}
		result := make(chan error, 3)
		go func() { _, err := ck.Set(ctx, "set", []byte("1")); result <- err }()
		go func() { _, err := ck.Put(ctx, "put", []byte("2"), 0); result <- err }()
		go func() { _, err := ck.Get(ctx, "k"); result <- err }()
		synctest.Wait()
		silent = false
		servers[0].cutStreams()
		got := map[string]int{}
		for range 3 {
			err := <-result
			switch {
			case err == nil:
				got["ok"]++
			case errors.Is(err, clerk.ErrMaybe) && !errors.Is(err, clerk.ErrVersion):
				got["maybe"]++
			default:
				t.Error(err)
			}
		}
		if got["ok"] != 1 || got["maybe"] != 2 {
			t.Errorf("got %v", got)
		}
		if servers[0].streams != 2 {
			t.Errorf("%d streams", servers[0].streams)
		}
	})
}

func TestIdleClerkSurvivesABrokenStream(t *testing.T) {
	bubble(t, 1, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		ctx := within(t, 10*time.Second)
		for range 5 {
			if _, err := ck.Set(ctx, "k", nil); err != nil {
				t.Fatal(err)
			}
			servers[0].cutStreams()
			synctest.Wait()
		}
	})
}

func TestContextEndsAnOperation(t *testing.T) {
	bubble(t, 2, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		for _, f := range servers {
			f.handle = func(*api.Request) *api.Reply { return nil }
		}
		start := time.Now()
		_, err := ck.Put(within(t, 5500*time.Millisecond), "k", nil, 0)
		if !errors.Is(err, clerk.ErrMaybe) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("put: %v", err)
		}
		_, err = ck.Set(within(t, 3*time.Second), "k", nil)
		if !errors.Is(err, clerk.ErrMaybe) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("set: %v", err)
		}
		_, err = ck.Get(within(t, 5500*time.Millisecond), "k")
		if errors.Is(err, clerk.ErrMaybe) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, clerk.ErrUnavailable) {
			t.Errorf("get: %v", err)
		}
		for _, f := range servers {
			f.handle = func(*api.Request) *api.Reply { return &api.Reply{Code: api.Reply_BUSY, Message: "disk full"} }
		}
		_, err = ck.Set(within(t, 5*time.Second), "k", nil)
		if errors.Is(err, clerk.ErrMaybe) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, clerk.ErrBusy) {
			t.Errorf("set to a busy server: %v", err)
		}
		if took := time.Since(start); took != 19*time.Second {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err = ck.Put(ctx, "k", nil, 0); errors.Is(err, clerk.ErrMaybe) || !errors.Is(err, context.Canceled) {
			t.Errorf("put with an ended context: %v", err)
		}
	})
}

func TestUnreachableServersAreNotAmbiguous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ck, err := clerk.New([]string{"nowhere:1", "nobody:2"}, dialer(nil))
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		_, err = ck.Set(within(t, 10*time.Second), "k", nil)
		if errors.Is(err, clerk.ErrMaybe) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, clerk.ErrUnavailable) {
			t.Error(err)
		}
	})
}

func TestAnotherClusterIsNotAsked(t *testing.T) {
	bubble(t, 2, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		servers[0].handle = refuse(2)
		servers[1].hello.ClusterId = 8
		_, err := ck.Set(within(t, 3*time.Second), "k", nil)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, clerk.ErrMaybe) {
			t.Error(err)
		}
		if len(servers[1].batches) != 0 {
			t.Error("the other cluster got requests")
		}
	})
}

// A Clerk stays with the first cluster that it has connected to, even if servers of another
// cluster have taken over all addresses. Its error says which server is of which cluster.
func TestAClerkDoesNotMoveToAnotherCluster(t *testing.T) {
	bubble(t, 1, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		if _, err := ck.Set(within(t, time.Second), "k", nil); err != nil {
			t.Fatal(err)
		}
		s := servers[0]
		before := len(s.batches)
		s.hello = &api.Hello{ClusterId: 8, NodeId: 1, Name: "s1:1"}
		s.cutStreams()
		synctest.Wait()
		for range 2 {
			_, err := ck.Set(within(t, 10*time.Second), "k", nil)
			if !errors.Is(err, clerk.ErrOtherCluster) || !errors.Is(err, clerk.ErrUnavailable) || errors.Is(err, clerk.ErrMaybe) ||
				!strings.Contains(err.Error(), "s1:1: ") || !strings.Contains(err.Error(), "server s1:1 is of cluster 0000000000000008") {
				t.Error(err)
			}
		}
		if _, err := ck.TransferLeadership(within(t, time.Second), "s1:1", 0); !errors.Is(err, clerk.ErrOtherCluster) {
			t.Error("a member of the other cluster was told to hand over")
		}
		if len(s.batches) != before {
			t.Error("the other cluster got requests")
		}
	})
}

// A server whose cluster has not begun names no cluster, so that the Clerk may connect to
// another one afterwards.
func TestAClerkWaitsForItsClusterToBegin(t *testing.T) {
	bubble(t, 2, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		s := servers[0]
		s.hello.ClusterId, s.handle = 0, func(req *api.Request) *api.Reply {
			return &api.Reply{Id: req.Id, Code: api.Reply_UNAVAILABLE, Message: "the cluster has not begun"}
		}
		if _, err := ck.Set(within(t, 10*time.Second), "k", nil); err != nil {
			t.Error(err) // the second server does it
		}
		servers[1].grpc.Stop()
		synctest.Wait()
		_, err := ck.Set(within(t, 10*time.Second), "k", nil)
		if !errors.Is(err, clerk.ErrUnavailable) || errors.Is(err, clerk.ErrOtherCluster) || !strings.Contains(err.Error(), "has not begun") {
			t.Error(err)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	bubble(t, 2, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		servers[0].handle = func(*api.Request) *api.Reply { return nil }
		result := make(chan error, 2)
		go func() { _, err := ck.Set(context.Background(), "k", nil); result <- err }()
		go func() { _, err := ck.Get(context.Background(), "k"); result <- err }()
		synctest.Wait()
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
		maybe := 0
		for range 2 {
			err := <-result
			if !errors.Is(err, clerk.ErrClosed) {
				t.Error(err)
			}
			if errors.Is(err, clerk.ErrMaybe) {
				maybe++
			}
		}
		if maybe != 1 {
			t.Errorf("%d of 2 operations may have been executed", maybe)
		}
		if _, err := ck.Get(context.Background(), "k"); !errors.Is(err, clerk.ErrClosed) {
			t.Error(err)
		}
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	}) // synctest fails if a goroutine is left
}

func TestStatus(t *testing.T) {
	bubble(t, 2, func(t *testing.T, st *clerktest.Service, servers []*fakeServer, ck *clerk.Clerk) {
		s, err := ck.Status(within(t, time.Second), "http://s2:1")
		if err != nil || s.NodeId != 2 {
			t.Errorf("%v, %v", s, err)
		}
		for i, s := range ck.StatusAll(within(t, time.Second)) {
			if s.Err != nil || s.Status.NodeId != uint64(i+1) {
				t.Errorf("%+v", s)
			}
		}
	})
}

// A server whose cluster has not begun executes nothing, and ends its streams when the
// cluster begins. Requests under way then were certainly not executed.
func TestWhatAServerWithoutAClusterGotIsSentAgain(t *testing.T) {
	f := &fakeServer{hello: &api.Hello{NodeId: 1}}
	f.handle = func(*api.Request) *api.Reply {
		if f.hello.ClusterId != 0 {
			return &api.Reply{Version: 1}
		}
		f.hello = &api.Hello{NodeId: 1, ClusterId: 7}
		f.cutStreams()
		return nil
	}
	f.start(t)
	ck, err := clerk.New([]string{"s:1"}, dialer(map[string]*fakeServer{"s:1": f}))
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	if _, err := ck.Set(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
}
