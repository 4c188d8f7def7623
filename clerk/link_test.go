package clerk

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
)

// If the first of two batches cannot be sent, the second was certainly not sent either, so
// that its call may safely be made again at another server.
func TestWhatIsQueuedBehindAFailedBatchIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(nil, nil, nil)
		l := newLink(n)
		ends := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := l.call(t.Context(), &api.Request{Value: make([]byte, maxBatchBytes)}, time.Hour)
				ends <- err
			}()
		}
		synctest.Wait()
		broken := errors.New("broken")
		batches := 0
		err := l.sendQueued(func(*api.RequestBatch) error {
			batches++
			return broken
		})
		if batches != 1 || err != broken {
			t.Errorf("%d batches, error %v", batches, err)
		}
		l.fail(err)
		unsent := 0
		for range 2 {
			if err := <-ends; errors.Is(err, ErrNotSent) {
				unsent++
			} else if !errors.Is(err, broken) {
				t.Error(err)
			}
		}
		if unsent != 1 {
			t.Errorf("%d calls were not sent, want 1", unsent)
		}
	})
}
