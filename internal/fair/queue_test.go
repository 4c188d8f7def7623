package fair

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// visitors enter a Queue, and stay for a second each.
type visitors struct {
	*Queue
	wg sync.WaitGroup

	mu      sync.Mutex
	in      []string // in the order in which they were let in
	refused []string
}

// come lets somebody from a source enter, and returns when that is decided, or has to wait.
func (v *visitors) come(ctx context.Context, source string) {
	v.wg.Go(func() {
		err := v.Enter(ctx, source)
		v.mu.Lock()
		if err != nil {
			v.refused = append(v.refused, source)
		} else {
			v.in = append(v.in, source)
		}
		v.mu.Unlock()
		if err == nil {
			time.Sleep(time.Second)
			v.Leave()
		}
	})
	synctest.Wait()
}

// check looks at a Queue that lets in some at a time, and in which most wait.
func (q *Queue) check(some, most int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := 0
	for _, l := range q.lines {
		if waiting += len(l.all); len(l.all) == 0 {
			return errors.New("an empty line")
		}
	}
	if waiting != q.waiting || waiting > most || waiting > 0 && q.free > 0 || q.free < 0 || q.free > some {
		return fmt.Errorf("%d wait, counted as %d; %d are free", waiting, q.waiting, q.free)
	}
	return nil
}

func TestSourcesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &visitors{Queue: NewQueue(1, 6)}
		for _, source := range strings.Split("aaaaa", "") {
			v.come(t.Context(), source)
		}
		for _, source := range strings.Split("bbc", "") {
			v.come(t.Context(), source) // c takes the place of the last a
		}
		v.wg.Wait()
		if in, refused := strings.Join(v.in, ""), strings.Join(v.refused, ""); in != "aabcaba" || refused != "a" {
			t.Errorf("let in %s, refused %s", in, refused)
		}
	})
}

func TestWhoGivesUpLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &visitors{Queue: NewQueue(1, 4)}
		v.come(t.Context(), "a")
		ctx, cancel := context.WithCancel(t.Context())
		v.come(ctx, "b")
		v.come(ctx, "c")
		v.come(t.Context(), "b")
		cancel()
		v.wg.Wait()
		if in := strings.Join(v.in, ""); in != "ab" || v.waiting != 0 || v.free != 1 || len(v.lines) != 0 {
			t.Errorf("let in %s; %d wait, %d are free", in, v.waiting, v.free)
		}
	})
}

// TestQueueKeepsItsBounds draws who comes, gives up and leaves.
func TestQueueKeepsItsBounds(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			some, most := 1+random.IntN(3), 1+random.IntN(6)
			v := &visitors{Queue: NewQueue(some, most)}
			var cancels []context.CancelFunc
			for range 40 {
				switch step := random.IntN(4); {
				case step < 2:
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					cancels = append(cancels, cancel)
					v.come(ctx, fmt.Sprint(random.IntN(4)))
				case step == 2 && len(cancels) > 0:
					cancels[random.IntN(len(cancels))]()
				case step == 3:
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if err := v.check(some, most); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			if v.wg.Wait(); v.free != some || v.waiting != 0 {
				t.Fatalf("seed %d: in the end %d wait, and %d are free", seed, v.waiting, v.free)
			}
		})
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	q := NewQueue(1, 0)
	if err := q.Enter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := q.Enter(t.Context(), "b"); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
}
