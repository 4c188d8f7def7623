package wake

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSetIsRememberedOnce(t *testing.T) {
	s := New()
	isSet := func() bool {
		select {
		case <-s.C():
			return true
		default:
			return false
		}
	}
	if isSet() {
		t.Error("a new Signal is set")
	}
	s.Set()
	s.Set() // does not block
	if !isSet() || isSet() {
		t.Error("a Signal that was set twice does not wake once")
	}
}

func TestSetWakesWhoSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		woken := time.Duration(0)
		start := time.Now()
		go func() {
			<-s.C()
			woken = time.Since(start)
		}()
		time.Sleep(time.Second)
		s.Set()
		synctest.Wait()
		if woken != time.Second {
			t.Errorf("woken after %v", woken)
		}
	})
}

// If the worker ever slept while there is work, synctest would report a deadlock.
func TestAWorkerMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const adders, each = 8, 1000
		s := New()
		var mu sync.Mutex
		work := 0
		for range adders {
			go func() {
				for range each {
					mu.Lock()
					work++
					mu.Unlock()
					s.Set()
				}
			}()
		}
		for done := 0; done < adders*each; {
			<-s.C()
			mu.Lock()
			done += work
			work = 0
			mu.Unlock()
		}
	})
}

func TestClosed(t *testing.T) {
	c := make(chan struct{})
	if Closed(c) || Closed(nil) {
		t.Error("an open channel is said to be closed")
	}
	if close(c); !Closed(c) {
		t.Error("a closed channel is said to be open")
	}
}

func TestTheZeroSignalWakesNobody(t *testing.T) {
	var s Signal
	s.Set() // and does not block
	select {
	case <-s.C():
		t.Error("it was set")
	default:
	}
}
