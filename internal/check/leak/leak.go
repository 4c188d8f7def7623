// Package leak lets tests demand that what was started has ended: no goroutine, file or
// listener stays.
package leak

import (
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"balsa.example/internal/check/ports"
)

// patience is how long Settle waits for what must end.
const patience = time.Minute

// Baseline is how many goroutines and open files a process has at a moment.
type Baseline struct{ goroutines, files int }

// Now takes the baseline, with what the runtime needs for sockets in it.
func Now(t *testing.T) Baseline {
	t.Helper()
	Listen(t).Close()
	return Baseline{runtime.NumGoroutine(), descriptors()}
}

// Settle waits until neither goroutines nor open files are more than at the baseline.
func (b Baseline) Settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > b.goroutines || descriptors() > b.files; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d files where %d and %d were:\n%s",
				runtime.NumGoroutine(), descriptors(), b.goroutines, b.files, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// descriptors is how many files and sockets this process has open, but for what holds ports until
// a test ends; 0 where nothing tells.
func descriptors() int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(files) - ports.Held()
}

// Listen listens on a port of the loopback network.
func Listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// WantClosed checks that a listener was closed. To count files is not enough: the garbage
// collector closes those that nothing refers to.
func WantClosed(t *testing.T, l net.Listener) {
	t.Helper()
	if err := l.(*net.TCPListener).SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener on %s is open", l.Addr())
		l.Close()
	}
}
