package clerk_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa.example/clerk"
	"balsa.example/clerk/clerktest"
)

func number(kv clerk.KV) uint64 {
	if len(kv.Value) == 0 {
		return 0
	}
	return binary.BigEndian.Uint64(kv.Value)
}

// add adds to the number at a key.
func add(tx *clerk.Tx, key string, n uint64) error {
	kv, err := tx.Get(key)
	if err != nil && !errors.Is(err, clerk.ErrNoKey) {
		return err
	}
	tx.Put(key, binary.BigEndian.AppendUint64(nil, number(kv)+n))
	return nil
}

// TestUpdatesAreSerializable lets clients move amounts between accounts, and count in one place
// how often they did. The sum must be right in every read, and the count what succeeded.
func TestUpdatesAreSerializable(t *testing.T) {
	for name, opts := range map[string][]clerk.Option{
		"without a session": nil, "in a session": {clerk.WithSession(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			service(t, 1, false, func(t *testing.T, s *clerktest.Service) {
				const clients, accounts = 4, 3
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var mu sync.Mutex
				var done, maybes, runs int
				var wg sync.WaitGroup
				for c := range clients {
					ck := s.Clerk(fmt.Sprint(c), opts...)
					wg.Go(func() {
						for i := 0; ctx.Err() == nil; i++ {
							n := 0
							err := ck.Update(ctx, func(tx *clerk.Tx) error {
								n++
								if sum := total(tx); sum != 0 {
									return fmt.Errorf("the accounts have %d", int64(sum))
								}
								if sum := totalOneByOne(tx, accounts); sum != 0 {
									return fmt.Errorf("one by one the accounts have %d", int64(sum))
								}
								from, to := fmt.Sprint("account/", i%accounts), fmt.Sprint("account/", (i+1+c%2)%accounts)
								if err := add(tx, from, ^uint64(0)); err != nil {
									return err
								}
								if err := add(tx, to, 1); err != nil {
									return err
								}
								return add(tx, "count", 1)
							})
							mu.Lock()
							runs += n
							switch {
							case err == nil:
								done++
							case errors.Is(err, clerk.ErrMaybe):
								maybes++
							case ctx.Err() == nil:
								t.Error(err)
							}
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Minute) // for what is late
				kv, err := s.Clerk("last").Get(t.Context(), "count")
				for err != nil {
					kv, err = s.Clerk("last").Get(t.Context(), "count")
				}
				count := int(number(kv))
				t.Logf("%d done, %d maybes, %d runs, counted %d", done, maybes, runs, count)
				if count < done || count > done+maybes || done < 50 || runs < done+20 {
					t.Errorf("%d were done and %d perhaps; %d were counted, in %d runs", done, maybes, count, runs)
				}
				if opts != nil && maybes > clients { // those whose context has ended
					t.Errorf("%d maybes in sessions", maybes)
				}
			})
		})
	}
}

// total is what all accounts have, by a Range, in which every transfer is seen as a whole.
func total(tx *clerk.Tx) (sum uint64) {
	for kv, err := range tx.Range(clerk.Prefix("account/")) {
		if err != nil {
			return 0 // Update returns it
		}
		sum += number(kv)
	}
	return sum
}

func totalOneByOne(tx *clerk.Tx, accounts int) (sum uint64) {
	for i := range accounts {
		kv, err := tx.Get(fmt.Sprint("account/", i))
		if err != nil && !errors.Is(err, clerk.ErrNoKey) {
			return 0 // Update returns it
		}
		sum += number(kv)
	}
	return sum
}

// TestNoPhantoms: of those that find a span without something, one adds it.
func TestNoPhantoms(t *testing.T) {
	service(t, 2, true, func(t *testing.T, s *clerktest.Service) {
		var wg sync.WaitGroup
		for c := range 8 {
			ck := s.Clerk(fmt.Sprint(c))
			wg.Go(func() {
				for round := range 20 {
					span := fmt.Sprintf("round/%02d/", round)
					err := ck.Update(t.Context(), func(tx *clerk.Tx) error {
						for _, err := range tx.Range(clerk.Prefix(span)) {
							return err // somebody is there, or the read has failed
						}
						tx.Put(fmt.Sprint(span, c), nil)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n, err := s.Clerk("last").Count(t.Context(), clerk.Prefix("round/")); n != 20 || err != nil {
			t.Errorf("%d in 20 rounds, %v", n, err)
		}
	})
}

// TestWhatARangeHasSeenMustNotChange changes something while an Update runs for the first time.
func TestWhatARangeHasSeenMustNotChange(t *testing.T) {
	service(t, 3, true, func(t *testing.T, s *clerktest.Service) {
		ck, other := s.Clerk("a"), s.Clerk("b")
		remove := func(key string) {
			if err := other.Remove(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		for name, tc := range map[string]struct {
			change func()
			runs   int
		}{
			"nothing":                        {func() {}, 1},
			"a key that was seen":            {func() { set(t, other, "k/2", "x") }, 2},
			"a key that was seen is removed": {func() { remove("k/2") }, 2},
			"and created again":              {func() { remove("k/2"); set(t, other, "k/2", "v") }, 2},
			"a key between":                  {func() { set(t, other, "k/11", "x") }, 2},
			"a key behind":                   {func() { set(t, other, "k/4", "x") }, 1},
			"a key behind is removed":        {func() { remove("k/5") }, 1},
			"elsewhere":                      {func() { set(t, other, "m", "x") }, 1},
			"a key that was absent":          {func() { set(t, other, "absent", "x") }, 2},
		} {
			if _, err := ck.DeleteRange(t.Context(), clerk.Span{}); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"k/1", "k/2", "k/3", "k/5"} {
				set(t, other, key, "v")
			}
			runs := 0
			err := ck.Update(t.Context(), func(tx *clerk.Tx) error {
				if _, err := tx.Get("absent"); err != nil && !errors.Is(err, clerk.ErrNoKey) {
					return err
				}
				for kv, err := range tx.Range(clerk.Prefix("k/")) {
					if err != nil {
						return err
					}
					if kv.Key == "k/3" {
						break
					}
				}
				if runs++; runs == 1 {
					tc.change()
				}
				tx.Put("result", nil)
				return nil
			})
			if err != nil || runs != tc.runs {
				t.Errorf("%s changes: %d runs, want %d: %v", name, runs, tc.runs, err)
			}
		}
	})
}

// TestTxSeesItsWrites: Get and Range show what the Tx has written, in its place.
func TestTxSeesItsWrites(t *testing.T) {
	service(t, 4, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		for _, key := range []string{"b", "d", "f", "x"} {
			set(t, ck, key, "old")
		}
		err := ck.Update(t.Context(), func(tx *clerk.Tx) error {
			for _, key := range []string{"a", "d", "g", "z"} {
				tx.Put(key, []byte("new"))
			}
			tx.Delete("f")
			tx.Put("c", nil)
			tx.Delete("c")
			var got []string
			for kv, err := range tx.Range(clerk.Span{To: "y"}) {
				if err != nil {
					return err
				}
				got = append(got, kv.Key+"="+string(kv.Value))
			}
			if want := "a=new b=old d=new g=new x=old"; strings.Join(got, " ") != want {
				t.Errorf("range: %q, want %s", got, want)
			}
			if kv, err := tx.Get("d"); err != nil || string(kv.Value) != "new" {
				t.Errorf("get: %+v, %v", kv, err)
			}
			for _, key := range []string{"f", "c"} {
				if _, err := tx.Get(key); !errors.Is(err, clerk.ErrNoKey) {
					t.Errorf("get of a deleted key: %v", err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := keysOf(t, ck, clerk.Span{}); !slices.Equal(got, []string{"a", "b", "d", "g", "x", "z"}) {
			t.Errorf("in the end: %q", got)
		}
		if kv, err := ck.Get(t.Context(), "a"); err != nil || kv.ModRevision != kv.Revision || kv.Revision != 6 {
			t.Errorf("all in one revision: %+v, %v", kv, err)
		}
	})
}

// TestFailedUpdates: an error of the function or of a read ends the Update, and nothing is
// written, whatever the function makes of it.
func TestFailedUpdates(t *testing.T) {
	service(t, 5, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		mine := errors.New("mine")
		if err := ck.Update(t.Context(), func(tx *clerk.Tx) error { tx.Put("k", nil); return mine }); err != mine {
			t.Error(err)
		}
		s.Connected("a", false)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := ck.Update(ctx, func(tx *clerk.Tx) error {
			_, _ = tx.Get("k")
			tx.Put("k", nil)
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, clerk.ErrMaybe) {
			t.Error(err)
		}
		s.Connected("a", true)
		if exists(t, ck, "k") {
			t.Error("something was written")
		}

		// Always in conflict, until the context ends.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		runs := 0
		err = ck.Update(ctx, func(tx *clerk.Tx) error {
			runs++
			err := add(tx, "n", 1)
			set(t, ck, "n", "")
			return err
		})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, clerk.ErrMaybe) || runs < 10 || runs > 60 {
			t.Errorf("%d runs: %v", runs, err)
		}
	})
}

func TestTxIsBounded(t *testing.T) {
	service(t, 6, true, func(t *testing.T, s *clerktest.Service) {
		ck := s.Clerk("a")
		for name, fn := range map[string]func(tx *clerk.Tx, i int){
			"reads":  func(tx *clerk.Tx, i int) { _, _ = tx.Get(fmt.Sprint(i)) },
			"spans":  func(tx *clerk.Tx, i int) { keysIn(tx, clerk.Prefix(fmt.Sprint(i))) },
			"writes": func(tx *clerk.Tx, i int) { tx.Put(fmt.Sprint(i), nil) },
		} {
			err := ck.Update(t.Context(), func(tx *clerk.Tx) error {
				for i := range 10_001 {
					fn(tx, i)
				}
				return nil
			})
			if !errors.Is(err, clerk.ErrTooManyOps) || !strings.Contains(err.Error(), "10000") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n, err := ck.Count(t.Context(), clerk.Span{}); n != 0 || err != nil {
			t.Errorf("%d keys, %v", n, err)
		}
	})
}

func keysIn(tx *clerk.Tx, span clerk.Span) (n int) {
	for range tx.Range(span) {
		n++
	}
	return n
}
