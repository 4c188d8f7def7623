package machine

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestGarbageIsCollectedBelowTheLimitOfTheGroup(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	const gib = 1 << 30
	for _, tt := range []struct {
		name, limit string
		set         bool
		want        int64
	}{
		{"a container", "1073741824\n", false, gib / 10 * 9},
		{"no limit", "max\n", false, math.MaxInt64},
		{"no limit of version 1", "9223372036854771712\n", false, math.MaxInt64},
		{"GOMEMLIMIT is set", "1073741824\n", true, math.MaxInt64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			debug.SetMemoryLimit(math.MaxInt64)
			root := t.TempDir()
			dir := filepath.Join(root, "sys/fs/cgroup")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "memory.max"), []byte(tt.limit), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(root, "proc"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "proc/meminfo"), []byte("MemTotal: 4194304 kB\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			KeepBelowGroupLimit(root, tt.set)
			if got := debug.SetMemoryLimit(-1); got != tt.want {
				t.Errorf("%d bytes, want %d", got, tt.want)
			}
		})
	}
}

func TestMemoryLimitIsTheLowest(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is known", nil, 1<<63 - 1},
		{"the machine", map[string]string{"proc/meminfo": "MemFree: 1 kB\nMemTotal:  2048 kB\n"}, 2 << 20},
		{"a group of version 2", map[string]string{"proc/meminfo": "MemTotal: 2048 kB\n", "sys/fs/cgroup/memory.max": "1048576\n"}, 1 << 20},
		{"a group without a limit", map[string]string{"proc/meminfo": "MemTotal: 2048 kB\n", "sys/fs/cgroup/memory.max": "max\n"}, 2 << 20},
		{"a group of version 1", map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n"}, 4096},
		{"the group of the process", map[string]string{
			"proc/self/cgroup": "0::/system.slice/balsa.service\n", "sys/fs/cgroup/system.slice/balsa.service/memory.max": "8192\n"}, 8192},
		{"a group around it", map[string]string{
			"proc/self/cgroup":                                    "0::/system.slice/balsa.service\n",
			"sys/fs/cgroup/system.slice/memory.max":               "4096\n",
			"sys/fs/cgroup/system.slice/balsa.service/memory.max": "max\n"}, 4096},
		{"its group of version 1", map[string]string{
			"proc/self/cgroup": "4:memory:/balsa\n3:cpu:/\n", "sys/fs/cgroup/memory/balsa/memory.limit_in_bytes": "8192\n"}, 8192},
		{"nonsense", map[string]string{"proc/meminfo": "MemTotal: x kB\n", "sys/fs/cgroup/memory.max": "-1"}, 1<<63 - 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range tt.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := MemoryLimit(root); got != tt.want {
				t.Errorf("%d bytes, want %d", got, tt.want)
			}
		})
	}
}
