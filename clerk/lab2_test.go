package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
	"balsa.example/internal/check/history"
)

// The scenarios of the single server in Lab 2, under its names.

func service(t *testing.T, seed uint64, reliable bool, test func(t *testing.T, s *clerktest.Service)) {
	synctest.Test(t, func(t *testing.T) {
		s := clerktest.New(seed)
		defer s.Close()
		s.Reliable(reliable)
		start := time.Now()
		test(t, s)
		t.Logf("... Passed -- %.1fs 1 %d", time.Since(start).Seconds(), s.Requests())
	})
}

func TestReliablePut(t *testing.T) {
	service(t, 1, true, func(t *testing.T, s *clerktest.Service) {
		ck, ctx := s.Clerk("a"), t.Context()
		if kv, err := ck.Put(ctx, "k", []byte("v"), 0); err != nil || kv.Version != 1 {
			t.Fatalf("create: %+v, %v", kv, err)
		}
		if kv, err := ck.Get(ctx, "k"); err != nil || string(kv.Value) != "v" || kv.Version != 1 {
			t.Fatalf("get: %+v, %v", kv, err)
		}
		if _, err := ck.Put(ctx, "k", []byte("w"), 0); !errors.Is(err, clerk.ErrVersion) {
			t.Fatalf("create again: %v", err)
		}
		if _, err := ck.Put(ctx, "y", []byte("w"), 1); !errors.Is(err, clerk.ErrNoKey) {
			t.Fatalf("put to an absent key: %v", err)
		}
		if _, err := ck.Get(ctx, "y"); !errors.Is(err, clerk.ErrNoKey) {
			t.Fatalf("get of an absent key: %v", err)
		}
	})
}

// contend lets clients put to one key for a time, each at the version that it saw last,
// and returns how many Puts succeeded.
func contend(t *testing.T, s *clerktest.Service, h *history.History, clients int, d time.Duration) (succeeded uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			ck := s.Clerk(fmt.Sprint(c))
			var version uint64
			for i := 0; ctx.Err() == nil; i++ {
				value := fmt.Sprint(c, "-", i)
				_, err := h.Put(ctx, c, ck, "k", value, version)
				if err == nil {
					mu.Lock()
					succeeded++
					mu.Unlock()
				}
				if n := s.Puts(value); err == nil && n != 1 || !errors.Is(err, clerk.ErrMaybe) && err != nil && n != 0 || n > 1 {
					t.Errorf("put of %s was executed %d times: %v", value, n, err)
				}
				if kv, err := h.Get(ctx, c, ck, "k"); err == nil {
					version = kv.Version
				}
			}
		})
	}
	wg.Wait()
	return succeeded
}

func TestPutConcurrentReliable(t *testing.T) {
	service(t, 2, true, func(t *testing.T, s *clerktest.Service) {
		h := history.New()
		succeeded := contend(t, s, h, 10, time.Second)
		kv, err := s.Clerk("end").Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if unknown := uint64(h.Maybes()); kv.Version < succeeded || kv.Version > succeeded+unknown {
			t.Errorf("version %d after %d puts and %d maybes", kv.Version, succeeded, unknown)
		}
		h.Check(t, 1000)
	})
}

// TestMemPutManyClientsReliable bounds the memory that a Clerk keeps between operations.
func TestMemPutManyClientsReliable(t *testing.T) {
	const clients, valueBytes, maxBytesEach = 5_000, 1_000, 1_000
	service(t, 3, true, func(t *testing.T, s *clerktest.Service) {
		value := make([]byte, valueBytes)
		clerks := make([]*clerk.Clerk, clients)
		before := heap()
		var wg sync.WaitGroup
		const workers = 50 // few, because a goroutine leaves memory behind
		for w := range workers {
			wg.Go(func() {
				for i := w; i < clients; i += workers {
					clerks[i] = s.Clerk(fmt.Sprint(i))
					for range 3 {
						if _, err := clerks[i].Set(t.Context(), "k", value); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wg.Wait()
		s.Clear()
		each := (heap() - before) / clients
		t.Logf("%d bytes each", each)
		if each > maxBytesEach {
			t.Errorf("%d bytes of memory for each client", each)
		}
		runtime.KeepAlive(clerks)
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // frees what the first one moved out of pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestUnreliableNet(t *testing.T) {
	service(t, 4, false, func(t *testing.T, s *clerktest.Service) {
		const puts = 300
		ck, ctx := s.Clerk("a"), t.Context()
		h := history.New()
		for version := range uint64(puts) {
			value := fmt.Sprint("v", version)
			if _, err := h.Put(ctx, 0, ck, "k", value, version); err != nil && !errors.Is(err, clerk.ErrMaybe) {
				t.Fatal(err)
			}
			// Nobody else writes, so that even a Put of unknown outcome was executed.
			kv, err := h.Get(ctx, 0, ck, "k")
			if err != nil || kv.Version != version+1 || string(kv.Value) != value || s.Puts(value) != 1 {
				t.Fatalf("after put at version %d: %+v, %v, executed %d times", version, kv, err, s.Puts(value))
			}
		}
		if h.Maybes() < puts/50 || h.Maybes() > puts/5 {
			t.Errorf("%d of %d puts ended in ErrMaybe; the network loses a tenth of the replies", h.Maybes(), puts)
		}
		h.Check(t, 2*puts)
	})
}

// TestPutConcurrentUnreliable is TestUnreliableNet with concurrent clients, so that a Put
// which ends in ErrMaybe may or may not have been executed.
func TestPutConcurrentUnreliable(t *testing.T) {
	service(t, 5, false, func(t *testing.T, s *clerktest.Service) {
		h := history.New()
		contend(t, s, h, 5, 20*time.Second)
		if h.Maybes() == 0 {
			t.Error("no ErrMaybe")
		}
		h.Check(t, 500)
	})
}
