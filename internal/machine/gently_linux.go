package machine

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// gentle is the nice value of work that can wait: where processors are short it gets a tenth of what a thread of the
// usual value gets. With the highest one a thread might not run for so long that the collector of garbage, which
// waits for each, held up all others.
const gentle = 10

// Gently calls f, and returns when it has ended. Meanwhile f has a thread of its own, to which the kernel gives processors
// when others do not want them: it is for work that lasts, and that nobody waits for. It must not hold what others
// wait for: a lock that it has while it gets no processor is held for as long.
func Gently(f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and no more: a thread cannot take its priority back, so it ends with this goroutine
		if unix.Gettid() == unix.Getpid() {
			Gently(f) // on another thread, since the first one of a process cannot end
			runtime.UnlockOSThread()
			return
		}
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, gentle) // of this thread; if it fails, f is as quick as others
		f()
	}()
	<-ended
}
