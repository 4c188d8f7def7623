package machine

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StartAnew starts the program anew as the same process, for what only the start of a process can choose: how late its
// threads are woken, and how it gives memory back. It returns where that is done already, cannot be done, or whoever
// started the process has chosen both. Call it before anything else: what the program has begun is lost.
func StartAnew() {
	runtime.LockOSThread() // each thread has a timer slack of its own
	defer runtime.UnlockOSThread()
	relaxed := relaxTimers()
	environ, lends := lendMemory(os.Environ())
	if relaxed || lends {
		if program, err := calledAs(); err == nil {
			_ = syscall.Exec(program, os.Args, environ) // if it fails, all stays as it is
		}
	}
	if relaxed {
		setSlack(kernelSlack)
	}
	if slack() == serverSlack {
		secondProcessor()
	}
}

const (
	// kernelSlack is the timer slack that Linux gives a process, and serverSlack the one of a server.
	kernelSlack = 50 * time.Microsecond
	serverSlack = time.Millisecond
)

// relaxTimers gives this thread a timer slack of a millisecond: that is by how much the kernel may wake a sleeping thread
// late. It tells whether it did, and leaves another slack than the kernel's as it is (systemd's TimerSlackNSec).
//
// It is for a thread of Go's runtime, sysmon, which looks for threads in system calls each 20 µs for as long as there
// are any, be it to do nothing. A server waits for its disk most of the time, and to wake that thread takes a third of
// its processor time. Only a thread can set its own slack, and sysmon inherits that of the first one. So
// that one must have it before the runtime begins.
func relaxTimers() bool { return slack() == kernelSlack && setSlack(serverSlack) }

// slack is the timer slack of this thread, 0 if it is not known.
func slack() time.Duration {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return time.Duration(ns)
}

func setSlack(d time.Duration) bool {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0) == nil
}

// secondProcessor lets Go use two threads where it would use one: a thread that waits for the disk keeps its
// place until sysmon takes it away, which is late now.
func secondProcessor() {
	if _, chosen := os.LookupEnv("GOMAXPROCS"); !chosen && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}

// lendMemory adds to an environment that memory which Go does not use is the process's until the kernel needs it
// (MADV_FREE). It tells whether it did: whoever started the process may have chosen one or the other.
//
// Otherwise such memory is gone at once, and what comes back is cleared page by page. Where a hypervisor, too, takes and
// gives such pages, that takes 3 ms for each MiB. A server under load gives back what a collection of garbage has left,
// and wants 100 MiB of it again a second later: for so long it had half a processor less for everything else.
func lendMemory(environ []string) ([]string, bool) {
	const variable, setting = "GODEBUG=", "madvdontneed="
	value := ""
	for _, v := range environ {
		if after, ok := strings.CutPrefix(v, variable); ok {
			value = after
			break // the first is what Go goes by
		}
	}
	if strings.Contains(value, setting) {
		return environ, false
	}
	others := slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, variable) })
	return append(others, variable+strings.TrimPrefix(value+","+setting+"0", ",")), true
}

// calledAs is a path of this program: the one by which it was called, since lists of processes show its last part.
func calledAs() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	is, err := os.Stat(program)
	if err != nil {
		return "", err
	}
	if called, err := exec.LookPath(os.Args[0]); err == nil {
		if info, err := os.Stat(called); err == nil && os.SameFile(info, is) {
			return called, nil
		}
	}
	return program, nil
}
