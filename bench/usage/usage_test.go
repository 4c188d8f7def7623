package usage

import (
	"os"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	d, err := parse([]byte("42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 120 34 0 0 20 0\n"))
	if err != nil || d != 1540*time.Millisecond {
		t.Errorf("%v, %v", d, err)
	}
	for _, bad := range []string{"", "42 (a) S 1", "42 (a) S 1 2 3 4 5 6 7 8 9 10 x 34 0"} {
		if d, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, d)
		}
	}
}

// TestBothWaysAgree burns time and looks at it in both ways.
func TestBothWaysAgree(t *testing.T) {
	var before, after time.Duration
	var err error
	if before, err = Self(); err != nil {
		t.Fatal(err)
	}
	for after < before+100*time.Millisecond {
		if after, err = Self(); err != nil {
			t.Fatal(err)
		}
	}
	other, err := Of(os.Getpid())
	if err != nil || other < after-3*tick || other > after+time.Second {
		t.Errorf("getrusage says %v, /proc %v (%v)", after, other, err)
	}
}

func TestMemory(t *testing.T) {
	now, peak, err := parseMemory("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t     3 kB\n")
	if err != nil || now != 3<<10 || peak != 2<<20 {
		t.Errorf("%d, %d, %v", now, peak, err)
	}
	for _, bad := range []string{"", "VmRSS:\t3 kB\n", "VmHWM:\tx kB\nVmRSS:\t3 kB\n"} {
		if _, _, err := parseMemory(bad); err == nil {
			t.Errorf("%q is understood", bad)
		}
	}
	if now, peak, err := Memory(os.Getpid()); err != nil || now < 1<<20 || peak < now {
		t.Errorf("of this process: %d, %d, %v", now, peak, err)
	}
}
