package machine

import (
	"bytes"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
)

// MemoryLimit returns the lowest limit on this process's memory that can be found, in bytes:
// GOMEMLIMIT, those of its control group and of the groups around it, or what the machine has. It is
// math.MaxInt64 if there is none. root is the directory that /proc and /sys are in.
func MemoryLimit(root string) int64 {
	return min(debug.SetMemoryLimit(-1), GroupLimit(root), Memory(root)) // which only reads the first
}

// KeepBelowGroupLimit has Go collect garbage in time, so that the process is not killed at the limit of its control
// group: what is above nine tenths of that is collected at once. The rest is for what Go does not count, of which its guide
// wants 5 to 10 % (go.dev/doc/gc-guide#Memory_limit). It does nothing without a limit below what the machine has, or
// if set says that GOMEMLIMIT has one already.
func KeepBelowGroupLimit(root string, set bool) {
	if limit := GroupLimit(root); !set && limit < Memory(root) {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}

// GroupLimit is the lowest limit on memory of this process's control group, and of the groups around it;
// math.MaxInt64 if there is none.
func GroupLimit(root string) int64 {
	limit := int64(math.MaxInt64)
	for _, file := range limitFiles(root) {
		b, err := os.ReadFile(file)
		if n, parseErr := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err == nil && parseErr == nil && n > 0 {
			limit = min(limit, n)
		}
	}
	return limit
}

// Memory is how much memory the machine has, in bytes; math.MaxInt64 if that is not known.
func Memory(root string) int64 {
	b, _ := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != "MemTotal:" {
			continue
		}
		if n, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil && n > 0 && n < math.MaxInt64/1024 {
			return n * 1024
		}
	}
	return math.MaxInt64
}

// limitFiles are where limits of memory may stand: of the group that this process is in, as a container
// sees it or as /proc says, and of all groups around that.
func limitFiles(root string) (files []string) {
	const v2, v1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
	add := func(tree, group string) {
		file := "memory.max"
		if tree == v1 {
			file = "memory.limit_in_bytes"
		}
		for ; ; group = path.Dir(group) {
			files = append(files, filepath.Join(root, tree, group, file))
			if group == "/" {
				return
			}
		}
	}
	b, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	for line := range bytes.Lines(b) {
		fields := bytes.SplitN(bytes.TrimSpace(line), []byte(":"), 3) // number:controllers:/group
		if len(fields) < 3 {
			continue
		}
		group := path.Clean("/" + string(fields[2]))
		switch string(fields[1]) {
		case "":
			add(v2, group)
		case "memory":
			add(v1, group)
		}
	}
	add(v2, "/")
	add(v1, "/")
	return files
}
