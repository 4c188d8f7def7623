package clerk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

// The shell of the Clerk (its operations, links and streams) runs here as it ships, in
// virtual time, against servers whose store knows how often each write was executed. The
// simulator replaces this shell by its own, so that it cannot find bugs in this one.

// world is three servers that lead in turns, and handle requests in random ways.
type world struct {
	t       *testing.T
	store   *clerktest.Service
	servers []*fakeServer
	mu      sync.Mutex // guards all below
	random  *rand.Rand
	leader  int
	deletes int // executed
	// outcomes are the ways in which the leader may handle a request.
	outcomes []outcome
	late     sync.WaitGroup
}

func (w *world) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

// upTo draws a duration up to d.
func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.intN(int(d))) }

// execute executes a request, and counts the deletes.
func (w *world) execute(r *api.Request) *api.Reply {
	reply := w.store.Execute(r)
	if r.Kind == api.Request_DELETE && reply.Code == api.Reply_OK {
		w.mu.Lock()
		w.deletes++
		w.mu.Unlock()
	}
	return reply
}

// lead returns how server number self handles a request.
func (w *world) lead(self int) func(*api.Request) *api.Reply {
	return func(r *api.Request) *api.Reply {
		w.mu.Lock()
		leader := w.leader
		handle := w.outcomes[w.random.IntN(len(w.outcomes))]
		w.mu.Unlock()
		if leader != self {
			return refuse(leader + 1)(r)
		}
		return handle(w, r)
	}
}

// outcome is a way to handle a request; it returns nil if no reply is sent.
type outcome func(*world, *api.Request) *api.Reply

func answered(w *world, r *api.Request) *api.Reply { return w.execute(r) }

func busy(*world, *api.Request) *api.Reply { return &api.Reply{Code: api.Reply_BUSY} }

func requestLost(*world, *api.Request) *api.Reply { return nil }

func replyLost(w *world, r *api.Request) *api.Reply {
	w.execute(r)
	return nil
}

func unknown(w *world, r *api.Request) *api.Reply {
	w.execute(r)
	return &api.Reply{Code: api.Reply_UNKNOWN}
}

// slow takes a time, which may be longer than the client waits.
func slow(w *world, r *api.Request) *api.Reply {
	time.Sleep(w.upTo(2 * impatience))
	return w.execute(r)
}

// delayed executes the request after its client has asked again, and sends no reply.
func delayed(w *world, r *api.Request) *api.Reply {
	r = r.Copy()
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	w.late.Go(func() {
		time.Sleep(w.upTo(10 * impatience))
		w.execute(r)
	})
	return nil
}

// impatience is how long the Clerks here wait for an answer.
const impatience = 200 * time.Millisecond

// inWorld runs a test in a world that follows from seed.
func inWorld(t *testing.T, seed uint64, outcomes []outcome, test func(t *testing.T, w *world, dial clerk.Option)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: clerktest.New(seed), random: rand.New(rand.NewPCG(seed, 1)), outcomes: outcomes}
		defer w.store.Close()
		byAddress := map[string]*fakeServer{}
		for i := range 3 {
			address := fmt.Sprintf("s%d:1", i+1)
			f := &fakeServer{hello: &api.Hello{ClusterId: 7, NodeId: uint64(i + 1), Name: address}, handle: w.lead(i)}
			f.start(t)
			byAddress[address] = f
			w.servers = append(w.servers, f)
		}
		test(t, w, dialer(byAddress))
		w.settle()
	})
}

// settle waits until servers have handled all requests, when all Clerks are closed.
func (w *world) settle() {
	time.Sleep(time.Minute)
	w.late.Wait()
}

func (w *world) clerk(dial clerk.Option) *clerk.Clerk {
	ck, err := clerk.New([]string{"s1:1", "s2:1", "s3:1"}, dial, clerk.WithAttemptTimeout(impatience))
	if err != nil {
		w.t.Fatal(err)
	}
	return ck
}

// tally is the outcomes of the writes of one test, as the Clerks reported them.
type tally struct {
	mu    sync.Mutex
	puts  map[string]error // by value
	done  int              // deletes
	maybe int              // deletes
}

// writes lets clients put and delete two keys, which go through the same versions again and
// again, until ctx ends. The deadlines of operations are random.
func (w *world) writes(ctx context.Context, clerks []*clerk.Clerk, clients int) *tally {
	all := &tally{puts: map[string]error{}}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			ck := clerks[c%len(clerks)]
			for i := 0; ctx.Err() == nil; i++ {
				key, value := fmt.Sprint("key", w.intN(2)), fmt.Sprint(c, "-", i)
				mine, cancel := context.WithTimeout(context.Background(), impatience/2+w.upTo(8*impatience))
				version := uint64(w.intN(2))
				if kv, err := ck.Get(mine, key); err == nil && w.intN(10) > 0 {
					version = kv.Version
				}
				if w.intN(3) > 0 {
					_, err := ck.Put(mine, key, []byte(value), version)
					all.put(value, err)
				} else {
					all.deleted(ck.Delete(mine, key, version))
				}
				cancel()
				time.Sleep(w.upTo(10 * time.Millisecond))
			}
		})
	}
	wg.Wait()
	return all
}

func (a *tally) put(value string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.puts[value] = err
}

func (a *tally) deleted(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		a.done++
	case errors.Is(err, clerk.ErrMaybe):
		a.maybe++
	}
}

// judge compares what the Clerks reported with what the store executed. It returns how many
// writes succeeded, and how many ended in ErrMaybe.
func (w *world) judge(all *tally) (succeeded, maybes int) {
	w.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	for value, err := range all.puts {
		n, maybe := w.store.Puts(value), errors.Is(err, clerk.ErrMaybe)
		if n > 1 || err == nil && n != 1 || err != nil && !maybe && n != 0 {
			w.t.Errorf("put of %s was executed %d times: %v", value, n, err)
		}
		if err == nil {
			succeeded++
		}
		if maybe {
			maybes++
		}
	}
	if w.deletes < all.done || w.deletes > all.done+all.maybe {
		w.t.Errorf("%d deletes were executed; %d succeeded, %d may have", w.deletes, all.done, all.maybe)
	}
	return succeeded + all.done, maybes + all.maybe
}

// TestShellTellsTheTruth: leaders change, streams break, and requests and replies are lost,
// slow and late.
func TestShellTellsTheTruth(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			inWorld(t, seed, []outcome{
				answered, answered, answered, answered, answered, answered, answered, answered, answered, answered,
				busy, requestLost, replyLost, unknown, slow, slow, delayed,
			}, func(t *testing.T, w *world, dial clerk.Option) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				var faults sync.WaitGroup
				faults.Go(func() {
					for ctx.Err() == nil {
						time.Sleep(w.upTo(100 * time.Millisecond))
						w.servers[w.intN(3)].cutStreams()
						next := w.intN(6)
						w.mu.Lock()
						if next < 3 {
							w.leader = next
						}
						w.mu.Unlock()
					}
				})
				clerks := []*clerk.Clerk{w.clerk(dial), w.clerk(dial)}
				all := w.writes(ctx, clerks, 8)
				faults.Wait()
				for _, ck := range clerks {
					ck.Close()
				}
				succeeded, maybes := w.judge(all)
				t.Logf("%d writes succeeded, %d maybes", succeeded, maybes)
				if succeeded < 100 || maybes < 10 {
					t.Errorf("%d writes succeeded, %d maybes: too calm", succeeded, maybes)
				}
			})
		})
	}
}

// TestShellSaysMaybeOnlyIfLost: leaders change, servers are busy, slow to send their Hello,
// slow to answer, or cannot be reached. But each request that is sent is answered before
// its operation is given up, so no write may end in ErrMaybe.
func TestShellSaysMaybeOnlyIfLost(t *testing.T) {
	inWorld(t, 1, []outcome{answered, answered, answered, busy, slow},
		func(t *testing.T, w *world, dial clerk.Option) {
			for _, f := range w.servers {
				f.helloDelay = impatience * 3 / 2 // calls that wait for the Hello are never sent
			}
			for round := range 30 {
				w.mu.Lock()
				w.leader = round % 3
				w.mu.Unlock()
				ck := w.clerk(dial)
				var wg sync.WaitGroup
				for c := range 4 {
					wg.Go(func() {
						ctx := within(t, time.Minute)
						key := fmt.Sprint("key", round, "-", c)
						for version := range uint64(4) {
							if _, err := ck.Put(ctx, key, nil, version); err != nil {
								t.Errorf("put at version %d: %v", version, err)
							}
						}
						if err := ck.Delete(ctx, key, 4); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				ck.Close()
			}
		})
}
