package server

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
)

// defaultMaxIndexBytes is half of the memory that the process may use. All replicas have the same
// index: if it outgrew the memory, all of them would be killed, and again at each start.
func defaultMaxIndexBytes() int64 { return memoryLimit("/") / 2 }

// memoryLimit returns the lowest limit on this process's memory that can be found, in bytes:
// GOMEMLIMIT, that of its control group, or what the machine has. It is math.MaxInt64 if there is
// none. root is the directory that /proc and /sys are in.
func memoryLimit(root string) int64 {
	limit := debug.SetMemoryLimit(-1) // which only reads it
	for _, file := range []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(filepath.Join(root, file))
		if n, parseErr := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err == nil && parseErr == nil && n > 0 {
			limit = min(limit, n)
		}
	}
	b, _ := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != "MemTotal:" {
			continue
		}
		if n, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil && n > 0 && n < math.MaxInt64/1024 {
			limit = min(limit, n*1024)
		}
	}
	return limit
}
