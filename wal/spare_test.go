package wal

import (
	"sync"
	"testing"
	"time"

	"balsa.example/internal/check/crashfs"
)

// While the writer moves on to a segment, no spare is made behind it: after a crash two
// segments without a frame would count as damage.
func TestNoSpareBehindASegmentWithoutAFrame(t *testing.T) {
	l := mustCreate(t, testOptions(crashfs.NewMem(), 1))
	defer mustClose(t, l)
	full := l.live.last()
	full.used, full.size = l.opts.SegmentSize, l.opts.SegmentSize
	next, err := l.spare.take()
	if err != nil {
		t.Fatal(err)
	}
	defer next.file.Close()
	for range 10 {
		l.live.set([]segmentInfo{full}, 0)
		// The background work waits for the list, and behind it the writer, who appends to the
		// list as soon as the background work has read it: a mutex that was snatched away from
		// one that had waited for a millisecond goes to all in the order in which they came.
		l.live.mu.Lock()
		var both sync.WaitGroup
		both.Go(func() {
			if done, err := l.spare.prepareStep(); !done || err != nil {
				t.Errorf("a spare segment was made: done %v, %v", done, err)
			}
		})
		time.Sleep(2 * time.Millisecond)
		both.Go(func() { l.live.append(segmentInfo{seq: next.seq, begin: next.begin, used: next.used, size: next.size}) })
		time.Sleep(2 * time.Millisecond)
		l.live.mu.Unlock()
		l.live.mu.Lock()
		time.Sleep(2 * time.Millisecond)
		l.live.mu.Unlock()
		both.Wait()
	}
}
