package machine

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// kernelSlack is the timer slack that Linux gives a process, and serverSlack the one of a server.
	kernelSlack = 50 * time.Microsecond
	serverSlack = time.Millisecond
)

// RelaxTimers starts the program anew as the same process, with a timer slack of a millisecond: that is by how
// much the kernel may wake a sleeping thread late. It returns where that is done already, cannot be done, or
// whoever started the process has chosen another slack than the kernel's (systemd's TimerSlackNSec). Call it
// before anything else: what the program has begun is lost.
//
// It is for a thread of Go's runtime, sysmon, which looks for threads in system calls each 20 µs for as long as there
// are any, be it to do nothing. A server waits for its disk most of the time, and to wake that thread takes a third of
// its processor time. Only a thread can set its own slack, and sysmon inherits that of the first one. So
// that one must have it before the runtime begins.
func RelaxTimers() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	switch {
	case err != nil:
		return
	case time.Duration(slack) == serverSlack:
		secondProcessor()
		return
	case time.Duration(slack) != kernelSlack:
		return
	}
	program, err := calledAs()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(serverSlack), 0, 0, 0) != nil {
		return
	}
	_ = syscall.Exec(program, os.Args, os.Environ()) // if it fails, timers stay as they are
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(kernelSlack), 0, 0, 0)
}

// secondProcessor lets Go use two threads where it would use one: a thread that waits for the disk keeps its
// place until sysmon takes it away, which is late now.
func secondProcessor() {
	if _, chosen := os.LookupEnv("GOMAXPROCS"); !chosen && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
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
