package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"balsa.example/bench/result"
)

// modules are the modules of the systems whose versions are reported.
var modules = map[string]string{
	"etcd":       "go.etcd.io/etcd/server/v3",
	"dragonboat": "github.com/lni/dragonboat/v4",
	"hashicorp":  "github.com/hashicorp/raft",
}

// describeMachine describes the machine, on which results depend, and the disk of dir.
func describeMachine(dir string) (m result.Machine, err error) {
	m = result.Machine{CPU: "unknown", CPUs: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if model, ok := fileField("/proc/cpuinfo", "model name"); ok {
		m.CPU = model
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS += " " + strings.TrimSpace(string(release))
	}
	m.Load[0] = loadAverage()
	m.Sync, err = syncTime(dir)
	return m, err
}

// versions returns the versions of the modules with which this program was built, which it also
// builds. A module that is only a tool is not in the program; go list tells its version.
func versions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	for name, path := range modules {
		for _, d := range info.Deps {
			if d.Path == path {
				found[name] = d.Version
			}
		}
		if found[name] == "" {
			if out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path).Output(); err == nil {
				found[name] = strings.TrimSpace(string(out))
			}
		}
	}
	return found
}

// fileField returns the value after a name and a colon in a file of /proc.
func fileField(path, name string) (string, bool) {
	f, err := os.Open(path)
	if err != nil {
		return "", false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// loadAverage returns the load average of the last minute; 0: not known.
func loadAverage() (one float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, _ = fmt.Sscan(string(text), &one)
	}
	return one
}

// tmpfs is the file system type of files in memory.
const tmpfs = 0x01021994

// checkDisk refuses a directory in memory, where a sync costs nothing.
func checkDisk(dir string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	if s.Type == tmpfs {
		return fmt.Errorf("%s is in memory, so that durability would cost nothing; choose a directory on a disk with -dir", dir)
	}
	return nil
}

// syncTime measures the median time to append 512 bytes to a file and sync it.
func syncTime(dir string) (_ time.Duration, err error) {
	const times = 100
	path := filepath.Join(dir, "sync")
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	var took []time.Duration
	for range times {
		begin := time.Now()
		if _, err := f.Write(make([]byte, 512)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[times/2], nil
}
