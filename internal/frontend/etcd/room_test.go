package etcd

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestRoomIsBoundedAndEverybodyGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		used, most := 0, 0
		lock := make(chan struct{}, 1)
		change := func(n int) {
			lock <- struct{}{}
			used += n
			most = max(most, used)
			<-lock
		}
		for i := range 30 {
			go func() {
				n := int64(1 + i%10)
				if err := r.acquire(t.Context(), n); err != nil {
					t.Error(err)
				}
				change(int(n))
				time.Sleep(time.Second)
				change(-int(n))
				r.release(n)
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if used != 0 || most == 0 || most > 10 || len(r.units) != 0 {
			t.Errorf("%d of 10 units were in use, %d are left over", most, len(r.units))
		}
	})
}

func TestWhoGivesUpLeavesNoUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10)
		if err := r.acquire(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, n := range []int64{7, 8} { // one has a part, one waits for the other
			go func() {
				if err := r.acquire(ctx, n); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(r.units) != 4 || len(r.turn) != 0 {
			t.Errorf("%d units are taken", len(r.units))
		}
	})
}

func TestReadingTakesMoreUntilItIsEnough(t *testing.T) {
	f := New(Config{})
	var bounds []int64
	err := f.reading(t.Context(), func(maxBytes int64) (bool, error) {
		bounds = append(bounds, maxBytes)
		return false, nil
	})
	if err != errResponseTooLarge || !slices.Equal(bounds, responseSteps) || len(f.room.units) != 0 {
		t.Errorf("bounds %d, %v, %d units are left over", bounds, err, len(f.room.units))
	}
}
