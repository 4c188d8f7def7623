package machine

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// What is done gently has a thread of another priority, which nothing else gets afterwards.
func TestGently(t *testing.T) {
	usual := niceness(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if before := niceness(t); before != usual {
				t.Errorf("nice value %d before, want %d", before, usual)
			}
			during := 0
			Gently(func() { during = niceness(t) })
			if during != max(usual, gentle) {
				t.Errorf("nice value %d meanwhile, want %d", during, gentle)
			}
			if after := niceness(t); after != usual {
				t.Errorf("nice value %d behind it, want %d", after, usual)
			}
		})
	}
	all.Wait()
	for gone := false; !gone; { // a thread ends a moment after its goroutine
		gone = true
		threads, err := filepath.Glob("/proc/self/task/*/stat")
		if err != nil || len(threads) == 0 {
			t.Fatal(threads, err)
		}
		for _, name := range threads {
			b, err := os.ReadFile(name)
			if err != nil {
				continue // it has ended
			}
			_, fields, _ := strings.Cut(string(b), ") ")
			gone = gone && strings.Fields(fields)[16] != "10"
		}
	}
}

// niceness is the nice value of this thread.
func niceness(t *testing.T) int {
	t.Helper()
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Error(err)
	}
	return 20 - raw // as the kernel returns it
}
