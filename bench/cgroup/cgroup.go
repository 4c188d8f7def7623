// Package cgroup makes control groups that limit the memory of processes, of Linux's version 1 or 2, whichever this
// machine has for memory.
package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Group is a control group of this package's making.
type Group struct {
	dir string
	version
}

// version says how the files of a version are called.
type version struct {
	limit, now, most    string
	anonymous, file     string // in memory.stat
	killedIn, killedKey string
}

var (
	v1 = version{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes", "total_rss", "total_cache", "memory.oom_control", "oom_kill"}
	v2 = version{"memory.max", "memory.current", "memory.peak", "anon", "file", "memory.events", "oom_kill"}
)

// root is where control groups are mounted.
const root = "/sys/fs/cgroup"

// ErrUnavailable is the error of New where memory cannot be limited.
var ErrUnavailable = errors.New("no control group can be made that limits memory")

// New makes a group whose processes may use so many bytes of memory together, the cached pages of files that they read or write
// included. No group may have the name. The error is ErrUnavailable, and says why, if this process may not do
// that.
func New(name string, bytes int64) (*Group, error) {
	g, err := find(root, name)
	if err == nil {
		err = g.make(bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w. It takes root, and the memory controller of cgroup version 1 or 2 in %s", ErrUnavailable, err, root)
	}
	return g, nil
}

// find says where a group has its place, and what version it is of.
func find(root, name string) (*Group, error) {
	old := filepath.Join(root, "memory")
	if _, err := os.Stat(filepath.Join(old, "cgroup.procs")); err == nil {
		return &Group{filepath.Join(old, name), v1}, nil
	}
	has, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	switch {
	case err != nil:
		return nil, err
	case !strings.Contains(" "+strings.TrimSpace(string(has))+" ", " memory "):
		return nil, fmt.Errorf("%s has no memory controller", root)
	}
	if err := write(root, "cgroup.subtree_control", "+memory"); err != nil {
		return nil, err
	}
	return &Group{filepath.Join(root, name), v2}, nil
}

func (g *Group) make(bytes int64) error {
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return err
	}
	err := write(g.dir, g.limit, strconv.FormatInt(bytes, 10))
	if err != nil {
		err = errors.Join(err, os.Remove(g.dir))
	}
	return err
}

// write writes to a file that the kernel has made.
func write(dir, name, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Procs is the file to which a process writes its number in order to enter.
func (g *Group) Procs() string { return filepath.Join(g.dir, "cgroup.procs") }

// Usage is the memory of a group, in bytes.
type Usage struct {
	Now, Most       int64 // of all of it; Most is 0 where the kernel does not say
	Anonymous, File int64 // now: of processes, and cached pages of files
	Killed          int64 // processes that the kernel has ended for want of memory
}

// Usage reads what the processes of the group use.
func (g *Group) Usage() (u Usage, err error) {
	var errs [3]error
	u.Now, errs[0] = g.number(g.now)
	u.Most, _ = g.number(g.most) // before Linux 5.19 version 2 has no such file
	stat, err := os.ReadFile(filepath.Join(g.dir, "memory.stat"))
	u.Anonymous, u.File, errs[1] = field(stat, g.anonymous), field(stat, g.file), err
	killed, err := os.ReadFile(filepath.Join(g.dir, g.killedIn))
	u.Killed, errs[2] = field(killed, g.killedKey), err
	return u, errors.Join(errs[:]...)
}

func (g *Group) number(name string) (int64, error) {
	b, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
}

// field returns a number of a file of lines "name number"; 0 if it is not there.
func field(b []byte, name string) int64 {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, _ := strconv.ParseInt(text, 10, 64)
			return n
		}
	}
	return 0
}

// removeTimeout is how long the kernel may take for processes that have ended.
const removeTimeout = 5 * time.Second

// Remove removes the group, all of whose processes have ended.
func (g *Group) Remove() error {
	for deadline := time.Now().Add(removeTimeout); ; time.Sleep(10 * time.Millisecond) {
		err := os.Remove(g.dir)
		if err == nil || !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}
