package clerk

import (
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"balsa.example/api"
)

func TestCopiesOfARequestAreWhole(t *testing.T) {
	req := &api.Request{Key: []byte("key"), Value: []byte("value")}
	v := reflect.ValueOf(req).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case !v.Type().Field(i).IsExported():
		case f.CanUint():
			f.SetUint(uint64(i))
		case f.CanInt():
			f.SetInt(int64(i))
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		}
		if v.Type().Field(i).IsExported() && v.Field(i).IsZero() {
			t.Errorf("field %s is of no known kind", v.Type().Field(i).Name)
		}
	}
	if got := copyOf(req); !proto.Equal(got, req) {
		t.Errorf("got %v, want %v", got, req)
	}
}

// If the first of two batches cannot be sent, the second was certainly not sent either, so
// that its call may safely be made again at another server.
func TestWhatIsQueuedBehindAFailedBatchIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(nil, nil)
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
