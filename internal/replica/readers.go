package replica

import (
	"sync"
	"time"
)

// maxReaders is how many reads run at once in the background. A read may wait for the disk.
const maxReaders = 16

// readers run reads that take long, in the order in which they come. What waits is bounded by
// the requests that a server takes.
type readers struct {
	mu      sync.Mutex
	waiting []func()
	running int
	work    sync.WaitGroup
}

// run lets a read run soon, in another goroutine.
func (r *readers) run(read func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, read)
	if r.running < maxReaders {
		r.running++
		r.work.Go(r.serve)
	}
}

// wait returns when no read waits or runs. None must come any more.
func (r *readers) wait() { r.work.Wait() }

// serve runs reads until none waits.
func (r *readers) serve() {
	for {
		r.mu.Lock()
		if len(r.waiting) == 0 {
			r.running--
			r.mu.Unlock()
			return
		}
		read := r.waiting[0]
		r.waiting[0] = nil
		r.waiting = r.waiting[1:]
		r.mu.Unlock()
		read()
	}
}

// monotonic returns a clock that does not go back, in nanoseconds.
func monotonic() func() int64 {
	began := time.Now()
	return func() int64 { return int64(time.Since(began)) }
}
