package loadgen

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func validLoad() Load {
	return Load{Callers: 1, Keys: 10, KeySize: 16, ValueSize: 8, Distribution: Uniform, Ops: 1}
}

func TestValidateNamesTheField(t *testing.T) {
	if err := validLoad().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		says   string
		change func(*Load)
	}{
		{"callers", func(l *Load) { l.Callers = 0 }},
		{"read ratio", func(l *Load) { l.Reads = 1.5 }},
		{"read ratio", func(l *Load) { l.Reads = -0.1 }},
		{"keys", func(l *Load) { l.Keys = 0 }},
		{"key size is 8 bytes; 1001 keys take at least 10", func(l *Load) { l.KeySize, l.Keys = 8, 1001 }},
		{"value size", func(l *Load) { l.ValueSize = -1 }},
		{"operation", func(l *Load) { l.Operation = "dance" }},
		{"range are 0", func(l *Load) { l.Operation = Range }},
		{"range are 11", func(l *Load) { l.Operation, l.RangeKeys = Range, 11 }},
		{"watchers", func(l *Load) { l.Watchers = -1 }},
		{"with watchers it must be at least 16", func(l *Load) { l.Watchers = 1 }},
		{"distribution", func(l *Load) { l.Distribution = "normal" }},
		{"rate", func(l *Load) { l.Rate = -1 }},
		{"negative", func(l *Load) { l.Timeout = -time.Second }},
		{"neither", func(l *Load) { l.Ops = 0 }},
	} {
		l := validLoad()
		test.change(&l)
		if err := l.Validate(); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("error is %v, want one with %q", err, test.says)
		}
	}
}

func TestKeysAreDistinctAndOfTheirSize(t *testing.T) {
	const keys = 1001
	size := minKeySize(keys)
	seen := map[string]bool{}
	for i := range keys {
		k := Key(i, size)
		if len(k) != size || !strings.HasPrefix(k, "bench/") || seen[k] {
			t.Fatalf("key %d is %q", i, k)
		}
		seen[k] = true
	}
	if k := Key(42, 12); k != "bench/000042" {
		t.Errorf("key 42 is %q", k)
	}
}

// drawn counts how often each key comes in n draws.
func drawn(d Distribution, keys, n int) map[string]int {
	l := validLoad()
	l.Distribution, l.Keys = d, keys
	c := newChooser(&l, 3, new(atomic.Int64))
	counts := map[string]int{}
	for range n {
		counts[Key(c.key(), 16)]++
	}
	return counts
}

func TestDistributions(t *testing.T) {
	const keys, n = 100, 100_000
	for k, count := range drawn(Sequential, keys, n) {
		if count != n/keys {
			t.Errorf("sequential: %s comes %d times", k, count)
		}
	}
	uniform := drawn(Uniform, keys, n)
	for k, count := range uniform {
		if count < n/keys*8/10 || count > n/keys*12/10 {
			t.Errorf("uniform: %s comes %d times", k, count)
		}
	}
	zipf := drawn(Zipf, keys, n)
	first, second := zipf[Key(0, 16)], zipf[Key(1, 16)]
	if len(uniform) != keys || first < 2*second || first > 23*second/10 || first < n/5 {
		t.Errorf("%d keys are drawn; zipf's first come %d and %d times", len(uniform), first, second)
	}
}

func TestReadRatio(t *testing.T) {
	l := validLoad()
	for _, ratio := range []float64{0, 0.25, 1} {
		l.Reads = ratio
		c := newChooser(&l, 0, nil)
		gets := 0
		for range 10_000 {
			if c.kind() == get {
				gets++
			}
		}
		if got := float64(gets) / 10_000; got < ratio-0.03 || got > ratio+0.03 || (ratio == 0 && gets > 0) || (ratio == 1 && got < 1) {
			t.Errorf("%v of the operations are gets, want %v", got, ratio)
		}
	}
}
