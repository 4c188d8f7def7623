package native

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/raft"
)

// Streams come and go by the thousand, and their clients leave in every way, while the
// server can answer nothing, and while it can: what it counts stays within its bounds, and
// is nothing in the end.
func TestStreamsThatAreAbandonedLeaveNothing(t *testing.T) {
	for _, stuck := range []bool{true, false} {
		t.Run(fmt.Sprintf("nothing can be answered %t", stuck), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { abandonStreams(t, stuck) })
		})
	}
}

func abandonStreams(t *testing.T, stuck bool) {
	const (
		streams     = 2000
		maxRequests = 3000 // of the server; fewer than are asked
		share       = maxRequests * 3 / 4
	)
	c := newNetworkWith(t, clients.Limits{Requests: maxRequests})
	defer c.close()
	f := c.leader()
	if stuck {
		c.net.Partition([]raft.NodeID{1}, []raft.NodeID{2}, []raft.NodeID{3})
	}
	var visitors sync.WaitGroup
	var mu sync.Mutex
	codes := map[api.Reply_Code]int{}
	for i := range uint64(streams) {
		visitors.Go(func() {
			random := rand.New(rand.NewPCG(i, 0))
			time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
			seen := visit(f, random)
			mu.Lock()
			defer mu.Unlock()
			for code, n := range seen {
				codes[code] += n
			}
		})
	}
	most := int64(0)
	for range 50 {
		time.Sleep(10 * time.Millisecond)
		synctest.Wait() // a request that is refused counts for a moment: wait until it does not
		most = max(most, f.figures().Requests)
	}
	if most > maxRequests || stuck && most < share-10 {
		t.Errorf("%d requests were in progress, the bound is %d, of which one address gets %d", most, maxRequests, share)
	}
	visitors.Wait()
	if stuck && codes[api.Reply_BUSY] == 0 || !stuck && codes[api.Reply_OK] == 0 {
		t.Errorf("the replies that were read are %v", codes)
	}
	c.net.Heal()
	time.Sleep(3 * time.Second) // whatever waited is answered
	synctest.Wait()
	c.idle()
}

// visit opens a stream, asks for a few things, reads for a while or not at all, and leaves:
// with or without a word, in the midst of requests or of replies.
func visit(f *Server, random *rand.Rand) (seen map[api.Reply_Code]int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &fakeStream{ctx: ctx, requests: make(chan *api.RequestBatch), replies: make(chan *api.ReplyBatch)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel() // as gRPC does when a handler returns
		_ = f.Exchange(s)
	}()
	seen = map[api.Reply_Code]int{}
	reads := random.IntN(4) > 0
	var left <-chan time.Time // when it vanishes
	if random.IntN(2) == 0 {
		left = time.After(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
	} else {
		left = time.After(time.Second)
	}
	requests, batches := s.requests, random.IntN(10)
	for {
		replies := s.replies
		if !reads {
			replies = nil
		}
		var batch *api.RequestBatch
		if batches > 0 {
			batch = batchOf([]uint64{1, 2, 3})
			batch.Requests[1].Kind = api.Request_GET
		} else if requests != nil {
			requests = nil
			if random.IntN(2) == 0 {
				close(s.requests) // it says that there is no more
			}
		}
		select {
		case requests <- batch:
			batches--
		case b := <-replies:
			for _, r := range b.Replies {
				seen[r.Code]++
			}
		case <-left:
			cancel()
			<-ended
			return seen
		case <-ended:
			return seen
		}
	}
}

// Clients read values of a megabyte, and then read no more. What is kept for them is
// bounded, others are served as ever, and when they are gone nothing is left.
func TestClientsThatStopReadingHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idlers, asked = 4, 100
		c := newNetwork(t)
		defer c.close()
		f := c.leader()
		ck := c.clerk()
		defer ck.Close()
		put := func(key string, size int) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := ck.Set(ctx, key, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		put("large", 1<<20)
		var leave []func()
		for range idlers {
			conn, err := grpc.NewClient("passthrough:///"+addressOf(int(f.cfg.Hello.NodeId)), grpc.WithContextDialer(c.dial),
				grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(api.Codec())))
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, func() { conn.Close() })
			stream, err := api.NewKVClient(conn).Exchange(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			batch := &api.RequestBatch{}
			for id := range uint64(asked) {
				batch.Requests = append(batch.Requests, &api.Request{Id: id, Kind: api.Request_GET, Key: []byte("large")})
			}
			if err := stream.Send(batch); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if b := f.figures().RequestBytes; b > idlers*clients.MaxClientBytes || b < idlers*clients.MaxClientBytes/2 {
			t.Errorf("%d bytes are kept for %d clients that do not read", b, idlers)
		}
		for range 100 {
			began := time.Now()
			put("small", 10)
			if d := time.Since(began); d > 10*time.Millisecond {
				t.Fatalf("a write took %v", d)
			}
		}
		// They answer pings, but that does not save them.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.cfg.Port.WatchClients(ctx)
		time.Sleep(defaults.Stall + 2*time.Second)
		for _, s := range f.figures().Surplus {
			if s.Of == "stalled" && s.Count != idlers {
				t.Errorf("%d of %d clients that do not read were sent away", s.Count, idlers)
			}
		}
		c.idle()
		for _, f := range leave {
			f()
		}
	})
}
