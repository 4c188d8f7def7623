package sink

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is what lines go to: it takes what it is given while it is well.
type reader struct {
	mu      sync.Mutex
	text    strings.Builder
	broken  error         // what a write fails with, after half of it
	stalled chan struct{} // if not nil, a write waits until it is closed
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	stalled := r.stalled
	r.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		p = p[:len(p)/2]
	}
	r.text.Write(p)
	return len(p), r.broken
}

func (r *reader) become(broken error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = broken
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func missing(lines uint64) []byte { return fmt.Appendf(nil, "%d missing\n", lines) }

func TestLinesArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		w := New(r, missing)
		var want strings.Builder
		for i := range 1000 {
			fmt.Fprintln(io.MultiWriter(w, &want), i)
		}
		w.Close(time.Second)
		if r.String() != want.String() {
			t.Errorf("got %d bytes, want %d", len(r.String()), want.Len())
		}
	})
}

func TestAStalledReaderStopsNobodyAndLearnsWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{stalled: make(chan struct{})}
		w := New(r, missing)
		defer w.Close(time.Second)
		io.WriteString(w, "first\n")
		synctest.Wait() // it is being written
		line := strings.Repeat("x", 1<<10-1) + "\n"
		const lines = 3 << 10 // three times what there is room for
		for range lines {
			if n, err := io.WriteString(w, line); n != len(line) || err != nil {
				t.Fatal(n, err)
			}
		}
		io.WriteString(w, "small\n") // has no room either: it would be on the wrong side of the note
		const dropped = lines - 1<<10 + 1
		if d, waiting := w.Stats(); d != dropped || waiting != 1<<10+1 {
			t.Errorf("%d lines are dropped and %d wait, want %d and %d", d, waiting, dropped, 1<<10+1)
		}
		close(r.stalled)
		synctest.Wait()
		io.WriteString(w, "last\n")
		synctest.Wait()
		want := "first\n" + strings.Repeat(line, 1<<10) + fmt.Sprintf("%d missing\n", dropped) + "last\n"
		if got := r.String(); got != want {
			t.Errorf("got %d bytes with the end %q, want %d", len(got), got[max(0, len(got)-40):], len(want))
		}
		if d, waiting := w.Stats(); d != dropped || waiting != 0 {
			t.Errorf("in the end %d lines are dropped and %d wait", d, waiting)
		}
	})
}

func TestAReaderThatComesBackGetsWhatWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{broken: errors.New("no space left on device")}
		w := New(r, missing)
		defer w.Close(time.Second)
		io.WriteString(w, "one\ntwo\n")
		time.Sleep(time.Minute)
		io.WriteString(w, "three\n")
		r.become(nil)
		time.Sleep(maxRetry)
		synctest.Wait()
		if got := r.String(); got != "one\ntwo\nthree\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestALineLargerThanTheQueueIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		w := New(r, nil)
		w.SetNote(missing)
		w.Write(make([]byte, MaxQueue+1))
		w.Close(time.Second)
		if r.String() != "1 missing\n" {
			t.Errorf("got %d bytes", len(r.String()))
		}
	})
}

func TestCloseWaitsAsLongAsItSays(t *testing.T) {
	for _, stalls := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := &reader{broken: errors.New("broken pipe")}
			if stalls {
				r.stalled = make(chan struct{})
			}
			w := New(r, missing)
			io.WriteString(w, "line\n")
			synctest.Wait()
			began := time.Now()
			w.Close(time.Second)
			w.Close(time.Second) // does no harm
			took, want := time.Since(began), time.Duration(0)
			if stalls {
				want = 2 * time.Second
				close(r.stalled)
			}
			if took != want {
				t.Errorf("stalled %t: took %s, want %s", stalls, took, want)
			}
			if n, err := io.WriteString(w, "late\n"); n != 5 || err != nil {
				t.Errorf("stalled %t: after Close: %d, %v", stalls, n, err)
			}
		})
	}
}
