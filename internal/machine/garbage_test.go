package machine

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestGarbageMayBeAsMuchAsIsInUseOrMore(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		live uint64
		want int
	}{
		{0, 1600}, {1, 1600}, {4 * mib, 1600}, {8 * mib, 800}, {32 * mib, 200}, {64 * mib, 100}, {65 * mib, 100}, {1 << 40, 100}, {1<<64 - 1, 100},
	} {
		if got := percentOf(tt.live); got != tt.want {
			t.Errorf("%d bytes in use: %d %%, want %d", tt.live, got, tt.want)
		}
	}
}

func TestGarbageIsCollectedSeldomWhereThereIsRoom(t *testing.T) {
	for _, tt := range []struct {
		name, limit string
		set, seldom bool
	}{
		{"no limit", "max\n", false, true},
		{"a container of 2 GiB", "2147483648\n", false, true},
		{"a container of 1 GiB", "1073741824\n", false, false},
		{"GOGC is set", "max\n", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer debug.SetGCPercent(debug.SetGCPercent(50))
			defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 62))
			root := t.TempDir()
			write := func(file, content string) {
				file = filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("sys/fs/cgroup/memory.max", tt.limit)
			write("proc/meminfo", "MemTotal: 4194304 kB\n")
			runtime.GC() // so that little is in use
			stop := CollectSeldom(root, tt.set)
			if got := percent(); (got > 100) != tt.seldom || !tt.seldom && got != 50 {
				t.Errorf("the rule is %d %%, and it is %v that garbage is to be collected seldom", got, tt.seldom)
			}
			if stop(); percent() != 50 {
				t.Errorf("the rule is %d %% afterwards, want 50", percent())
			}
		})
	}
}

// The rule follows what is in use: a server that fills its memory must not have a multiple of it as garbage.
func TestTheRuleOfGarbageFollowsWhatIsInUse(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	root := t.TempDir() // nothing is known of the machine
	runtime.GC()
	stop := CollectSeldom(root, false)
	defer stop()
	if few := percent(); few <= 100 {
		t.Fatalf("the rule is %d %% while little is in use", few)
	}
	much := make([]byte, 2*minGarbage)
	follows := func(is func(percent uint64) bool) {
		for runtime.GC(); !is(percent()); runtime.Gosched() { // the cleanup runs in a goroutine of its own
		}
	}
	follows(func(p uint64) bool { return p == 100 })
	runtime.KeepAlive(much)
	follows(func(p uint64) bool { return p > 100 })
}

// percent is the rule that Go goes by.
func percent() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
