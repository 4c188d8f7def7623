package dialing

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// slowNames answers after a time, and counts the look-ups.
func slowNames(takes time.Duration, count *int, answer ...string) *names {
	return &names{present: make(map[string]*lookup), lookup: func(ctx context.Context, _ string) ([]string, error) {
		*count++
		select {
		case <-time.After(takes):
			return answer, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

// size is how many look-ups there are, when nothing more happens by itself.
func (n *names) size() int {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.present)
}

// attempt looks a name up within a second, and returns how much of that is left.
func attempt(n *names) (left time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	start := time.Now()
	_, err = n.of(ctx, "n1.example")
	return time.Second - time.Since(start), err
}

// A first name server that is down costs 5 s before the second is asked, and attempts to
// connect are shorter than that.
func TestASlowLookupOutlivesAttempts(t *testing.T) {
	for _, takes := range []time.Duration{5 * time.Second, 5400 * time.Millisecond, 6199 * time.Millisecond, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			count, start := 0, time.Now()
			n := slowNames(takes, &count, "10.0.0.1")
			left, err := attempt(n)
			for err != nil || left < time.Second/2 {
				if err != nil && !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Minute {
					t.Fatalf("look-ups that take %v: %v after %v", takes, err, time.Since(start))
				}
				time.Sleep(200 * time.Millisecond)
				left, err = attempt(n)
			}
			if late := time.Since(start) - takes; late > time.Second || count != 1 {
				t.Errorf("look-ups that take %v: %d of them, and an attempt can connect %v later", takes, count, late)
			}
			time.Sleep(lookupKept)
			if n.size() != 0 {
				t.Error("a look-up is kept for ever")
			}
		})
	}
}

func TestEachAttemptLooksTheNameUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := 0
		n := slowNames(100*time.Millisecond, &count, "10.0.0.1")
		for i := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			if i == 1 { // given up because there is news, not for lack of time
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			n.of(ctx, "n1.example")
			cancel()
			time.Sleep(time.Second / 2)
		}
		if kept := n.size(); count != 3 || kept != 0 {
			t.Errorf("%d look-ups of 3, %d kept", count, kept)
		}
	})
}

func TestALookupEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := 0
		n := slowNames(time.Hour, &count)
		attempt(n)
		time.Sleep(lookupTimeout)
		if n.size() != 0 {
			t.Error("it is still there")
		}
	})
}
