package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever uses the context of a call sees no difference to that of context.WithCancel, or WithTimeout.
func TestTheContextOfACallIsOneLikeOthers(t *testing.T) {
	type key struct{}
	values := context.WithValue(context.Background(), key{}, "value")
	const timeout = time.Minute
	isClosed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	// Each says what it sees, in words.
	sights := map[string]func(ctx context.Context, end func(), see func(...any)){
		"Done before": func(ctx context.Context, end func(), see func(...any)) {
			done := ctx.Done()
			see(isClosed(done), ctx.Err(), done == ctx.Done())
			end()
			see(isClosed(done), isClosed(ctx.Done()), ctx.Err(), context.Cause(ctx))
		},
		"Done after": func(ctx context.Context, end func(), see func(...any)) {
			end()
			done := ctx.Done()
			see(isClosed(done), ctx.Err(), done == ctx.Done())
		},
		"a waiter": func(ctx context.Context, end func(), see func(...any)) {
			ended := false
			go func() { <-ctx.Done(); ended = true }()
			synctest.Wait()
			see(ended)
			end()
			synctest.Wait()
			see(ended)
		},
		"end twice": func(ctx context.Context, end func(), see func(...any)) {
			end()
			err := ctx.Err()
			end()
			time.Sleep(2 * timeout)
			see(ctx.Err() == err)
		},
		"values": func(ctx context.Context, end func(), see func(...any)) {
			see(ctx.Value(key{}), ctx.Value("none"))
			end()
			see(ctx.Value(key{}))
		},
		"the deadline": func(ctx context.Context, _ func(), see func(...any)) {
			deadline, ok := ctx.Deadline()
			see(ok)
			if ok {
				see(time.Until(deadline))
				time.Sleep(timeout - 1)
				see(ctx.Err())
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				see(ctx.Err(), isClosed(ctx.Done()))
			}
		},
		"AfterFunc": func(ctx context.Context, end func(), see func(...any)) {
			var runs [4]int
			stops := make([]func() bool, 4)
			for i := range 3 {
				stops[i] = context.AfterFunc(ctx, func() { runs[i]++ })
			}
			see(stops[1](), stops[1]())
			synctest.Wait()
			see(runs)
			end()
			synctest.Wait()
			see(runs, stops[0](), stops[1](), stops[2]())
			stops[3] = context.AfterFunc(ctx, func() { runs[3]++ })
			synctest.Wait()
			see(runs, stops[3]())
		},
		"AfterFunc that waits for others": func(ctx context.Context, end func(), see func(...any)) {
			c := make(chan int)
			context.AfterFunc(ctx, func() { c <- 1 })
			context.AfterFunc(ctx, func() { <-c })
			end()
			synctest.Wait()
			see("both have run")
		},
		"children": func(ctx context.Context, end func(), see func(...any)) {
			child, cancel := context.WithCancel(ctx)
			grandchild, cancel2 := context.WithTimeout(context.WithValue(child, key{}, "other"), time.Hour)
			apart, cancel3 := context.WithCancelCause(ctx)
			short, cancel4 := context.WithTimeout(ctx, time.Second)
			defer cancel()
			defer cancel2()
			defer cancel4()
			cancel3(errors.New("cause"))
			synctest.Wait()
			see(ctx.Err(), child.Err(), grandchild.Err(), apart.Err(), context.Cause(apart), short.Err())
			time.Sleep(time.Second)
			synctest.Wait()
			see(ctx.Err(), child.Err(), short.Err())
			end()
			synctest.Wait()
			see(child.Err(), grandchild.Err(), context.Cause(grandchild), grandchild.Value(key{}), apart.Err())
			late, cancel5 := context.WithCancel(ctx)
			defer cancel5()
			synctest.Wait()
			see(late.Err(), context.WithoutCancel(ctx).Err())
		},
	}
	for name, sight := range sights {
		for _, limited := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", with a deadline: ", limited), func(t *testing.T) {
				look := func(ctx context.Context, end func()) (all string) {
					sight(ctx, end, func(v ...any) { all += fmt.Sprintln(v...) })
					return all
				}
				var got, want string
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(values)
					if limited {
						ctx, cancel = context.WithTimeout(values, timeout)
					}
					defer cancel()
					want = look(ctx, cancel)
				})
				synctest.Test(t, func(t *testing.T) {
					st := newStream(newConn(New(Config{}), &memoryConn{}, nil), 1, &request{values: values})
					if limited {
						st.expireAfter(timeout)
						defer st.timer.Stop()
					}
					end := func() { st.ctx.end(context.Canceled) }
					defer end()
					got = look(&st.ctx, end)
					synctest.Wait()
					if n := len(st.ctx.after); n > 0 {
						t.Errorf("%d functions are kept", n)
					}
				})
				if got != want {
					t.Errorf("it is seen:\n%sand should be:\n%s", got, want)
				}
			})
		}
	}
}

// Contexts that a handler derives cost no goroutines, and are forgotten with their own end.
func TestDerivedContextsCostNoGoroutines(t *testing.T) {
	var c callContext
	c.Context = context.Background()
	before := runtime.NumGoroutine()
	var cancels []context.CancelFunc
	for range 100 {
		_, cancel := context.WithCancel(&c)
		_, cancel2 := context.WithTimeout(&c, time.Hour)
		cancels = append(cancels, cancel, cancel2)
	}
	if n := runtime.NumGoroutine() - before; n > 10 {
		t.Errorf("%d goroutines", n)
	}
	if len(c.after) != 200 {
		t.Errorf("%d functions wait", len(c.after))
	}
	for _, cancel := range cancels {
		cancel()
	}
	if len(c.after) != 0 {
		t.Errorf("%d functions are kept", len(c.after))
	}
}

// All of it may happen at once. The race detector looks on.
func TestTheContextOfACallIsForManyGoroutines(t *testing.T) {
	for range 50 {
		c := &callContext{Context: context.Background()}
		var ran, stopped atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 20 {
					stop := context.AfterFunc(c, func() { ran.Add(1) })
					child, cancel := context.WithCancel(c)
					switch i % 4 {
					case 0:
						if stop() {
							stopped.Add(1)
						}
					case 1:
						<-child.Done()
					case 2:
						_, _ = c.Err(), c.Value("x")
					}
					cancel()
				}
			})
		}
		all.Go(func() { runtime.Gosched(); c.end(context.Canceled) })
		all.Wait()
		for ran.Load()+stopped.Load() < 8*20 {
			runtime.Gosched()
		}
	}
}

// What package context does before it calls AfterFunc, others need not do.
func TestAfterFuncOfAContext(t *testing.T) {
	c := &callContext{Context: context.Background()}
	turn := make(chan int)
	c.AfterFunc(func() { turn <- 1 })
	c.AfterFunc(func() { turn <- 2 })
	c.end(context.Canceled) // which waits for neither
	first, second := <-turn, <-turn
	if first+second != 3 {
		t.Errorf("%d and %d have run", first, second)
	}
	if stop := c.AfterFunc(func() { turn <- 3 }); stop() {
		t.Error("it was stopped, and had begun")
	}
	<-turn
}
