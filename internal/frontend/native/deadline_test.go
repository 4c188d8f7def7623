package native

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/raft"
)

// deadlineSlack is how much later than its context an operation may return. In virtual
// time computing takes none.
const deadlineSlack = time.Millisecond

// stuckClose is how long gRPC waits to close a connection on which it cannot write.
const stuckClose = 5*time.Second + deadlineSlack

// Whatever the network does, an operation of a Clerk ends with its context, and nothing
// of it is left when the Clerk is closed.
func TestOperationsEndWithTheirContextOnAnyNetwork(t *testing.T) {
	for _, test := range []struct {
		name      string
		linkState conditions
		alone     bool // the servers do not reach each other
		fails     bool // no operation can complete
		large     bool // the values are, more than the buffers on the way hold
	}{
		{name: "fine"},
		{name: "nobody answers", linkState: conditions{hangs: true, stallsThere: true, stallsReturn: true}, fails: true},
		{name: "connections are refused and streams stall", linkState: conditions{refuses: true, stallsThere: true}, fails: true},
		{name: "requests stall", linkState: conditions{stallsThere: true}, fails: true},
		{name: "large requests stall", linkState: conditions{stallsThere: true}, large: true, fails: true},
		{name: "replies stall", linkState: conditions{stallsReturn: true}, fails: true},
		{name: "all takes ten seconds", linkState: conditions{delay: 10 * time.Second}, fails: true},
		{name: "all takes a tenth of a second", linkState: conditions{delay: 100 * time.Millisecond}},
		{name: "nobody leads", alone: true, fails: true},
	} {
		for _, before := range []bool{true, false} { // it began before there was a connection
			t.Run(fmt.Sprintf("%s, from the start %t", test.name, before), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := newNetwork(t)
					defer c.close()
					c.leader()
					ck := c.clerk()
					if !before {
						c.connect(ck)
					}
					c.linkState.set(test.linkState)
					if test.alone {
						c.net.Partition([]raft.NodeID{1}, []raft.NodeID{2}, []raft.NodeID{3})
					}
					size, closing := 10, deadlineSlack
					if test.large {
						size, closing = 300<<10, stuckClose
					}
					c.operateWithDeadlines(ck, size, test.fails)
					began := time.Now()
					if err := ck.Close(); err != nil {
						t.Error(err)
					}
					if d := time.Since(began); d > closing {
						t.Errorf("to close the Clerk took %v", d)
					}
				})
			})
		}
	}
}

// connect lets a Clerk have a stream to each server.
func (c *network) connect(ck *clerk.Clerk) {
	c.t.Helper()
	for i := range 6 {
		if _, err := ck.Set(c.t.Context(), fmt.Sprint("early", i), nil); err != nil {
			c.t.Fatal(err)
		}
		_, _ = ck.Get(c.t.Context(), "early", clerk.Local())
	}
}

// impatient lets many clients of a Clerk do one operation each, with deadlines of up to
// three seconds, or until they change their minds.
func (c *network) operateWithDeadlines(ck *clerk.Clerk, size int, fails bool) {
	var clients sync.WaitGroup
	var completed atomic.Int64
	const n = 90
	for i := range n {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 0))
			time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
			patience := time.Duration(random.Int64N(int64(3 * time.Second)))
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			want := context.DeadlineExceeded
			if i%3 == 0 {
				ctx, cancel = context.WithCancel(context.Background())
				timer := time.AfterFunc(patience, cancel)
				defer timer.Stop()
				want = context.Canceled
			}
			began := time.Now()
			err := operate(ctx, ck, i, make([]byte, size))
			if d := time.Since(began); d > patience+deadlineSlack {
				c.t.Errorf("operation %d took %v, its context %v: %v", i, d, patience, err)
			}
			switch {
			case err == nil || errors.Is(err, clerk.ErrNoKey):
				completed.Add(1)
			case !errors.Is(err, want) && !errors.Is(err, clerk.ErrMaybe):
				c.t.Errorf("operation %d ended after %v of %v with %v", i, time.Since(began), patience, err)
			}
		})
	}
	clients.Wait()
	if got := completed.Load(); fails && got > 0 || !fails && got < n/4 {
		c.t.Errorf("%d operations of %d completed", got, n)
	}
}

func operate(ctx context.Context, ck *clerk.Clerk, i int, value []byte) (err error) {
	key := fmt.Sprint(i)
	switch i / 3 % 5 {
	case 0:
		_, err = ck.Get(ctx, key)
	case 1:
		_, err = ck.Put(ctx, key, value, 0)
	case 2:
		err = ck.Remove(ctx, key)
	case 3:
		_, err = ck.Get(ctx, key, clerk.ByLease())
	default:
		_, err = ck.Set(ctx, key, value)
	}
	return err
}

// A request whose caller has gone is answered once all the same. A second answer would
// hold up the goroutine that gives it.
func TestAnswersThatNobodyWaitsForHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNetwork(t)
		defer c.close()
		leader := c.leader().Replica()
		c.net.Disconnect(raft.NodeID(leader.Node.Status().ID))
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				patience := time.Duration(1+i) * 4 * time.Millisecond
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				req := &api.Request{Kind: api.Request_PUT, Unconditional: true, Key: []byte("k")}
				if i%2 == 0 {
					req.Kind = api.Request_GET
				}
				began := time.Now()
				r, err := leader.Do(ctx, req)
				if d := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || d != patience {
					t.Errorf("%s returned %v, %v after %v of %v", req.Kind, r, err, d, patience)
				}
			})
		}
		callers.Wait()
		c.net.Heal()
		time.Sleep(3 * time.Second)
		for i, r := range c.replicas {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if reply, err := r.Do(ctx, &api.Request{Kind: api.Request_GET, Key: []byte("other")}); err != nil || reply.Code != api.Reply_NO_KEY {
				t.Errorf("server %d answers %v, %v", i+1, reply, err)
			}
			cancel()
			if n := r.Node.Status().Pending; n != 0 {
				t.Errorf("server %d has %d writes pending", i+1, n)
			}
		}
	})
}
