package machine

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A program that starts anew is the same process afterwards. What whoever started it has chosen stays.
func TestStartAnew(t *testing.T) {
	const asChild = "BALSA_TEST_START_ANEW"
	if os.Getenv(asChild) != "" {
		StartAnew()
		fmt.Println(os.Getpid(), slack(), runtime.GOMAXPROCS(0), os.Getenv("GODEBUG"))
		os.Exit(0)
	}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name             string
		given, has       time.Duration
		processors, uses int
		env, debug       string
	}{
		{"the kernel's slack", kernelSlack, serverSlack, 2, 2, "", "madvdontneed=0"},
		{"one processor", kernelSlack, serverSlack, 1, 2, "", "madvdontneed=0"},
		{"one processor that was chosen", kernelSlack, serverSlack, 1, 1, "GOMAXPROCS=1", "madvdontneed=0"},
		{"a slack that was chosen", 51 * time.Microsecond, 51 * time.Microsecond, 1, 1, "", "madvdontneed=0"},
		{"a slack that is right", serverSlack, serverSlack, 1, 2, "", "madvdontneed=0"},
		{"another debug setting", kernelSlack, serverSlack, 1, 2, "GODEBUG=gctrace=0", "gctrace=0,madvdontneed=0"},
		{"memory that was chosen", kernelSlack, serverSlack, 1, 2, "GODEBUG=madvdontneed=1", "madvdontneed=1"},
		{"all that was chosen", 51 * time.Microsecond, 51 * time.Microsecond, 1, 1, "GODEBUG=madvdontneed=1", "madvdontneed=1"},
	} {
		if all.Count() < c.processors {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestStartAnew$")
			inherited := slices.DeleteFunc(os.Environ(), func(v string) bool {
				return strings.HasPrefix(v, "GOMAXPROCS=") || strings.HasPrefix(v, "GODEBUG=")
			})
			cmd.Env = append(inherited, asChild+"=yes", c.env)
			begin(t, cmd, c.given, first(all, c.processors))
			out, err := cmd.Stdout.(*os.File), cmd.Wait()
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(out.Name())
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintln(cmd.Process.Pid, c.has, c.uses, c.debug); string(got) != want {
				t.Errorf("process, slack, processors and GODEBUG are %swant %s", got, want)
			}
		})
	}
}

// begin starts cmd with a timer slack and on some processors. Its output goes to a file.
func begin(t *testing.T, cmd *exec.Cmd, slack time.Duration, on unix.CPUSet) {
	t.Helper()
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	cmd.Stdout = out
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is changed, and ends with this goroutine
		err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
		if err == nil {
			err = unix.SchedSetaffinity(0, &on)
		}
		if err == nil {
			err = cmd.Start()
		}
		begun <- err
	}()
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
}

// first is the first n processors of a set.
func first(all unix.CPUSet, n int) (some unix.CPUSet) {
	for i := 0; some.Count() < n; i++ {
		if all.IsSet(i) {
			some.Set(i)
		}
	}
	return some
}
