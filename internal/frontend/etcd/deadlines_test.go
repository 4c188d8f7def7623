package etcd

import (
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/internal/wake"
)

// A request waits as long as it may, and one step longer at most. Requests of one step share a channel.
func TestRequestsShareDeadlines(t *testing.T) {
	const wait, step = deadlineSteps * time.Second, time.Second
	synctest.Test(t, func(t *testing.T) {
		var d deadlines
		all := map[<-chan struct{}]bool{}
		for i := range 1000 {
			began, late := time.Now(), d.after(wait)
			all[late] = true
			if i%100 == 7 {
				go func() {
					<-late
					if waited := time.Since(began); waited < wait || waited > wait+step {
						t.Errorf("it was late after %s", waited)
					}
				}()
			}
			time.Sleep(step / 10)
		}
		if n := len(all); n != 100 {
			t.Errorf("%d channels for the requests of 100 steps", n)
		}
		time.Sleep(2 * wait)
		if wake.Closed(d.after(wait)) {
			t.Error("a request was late when it began")
		}
	})
}
