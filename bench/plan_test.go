package main

import (
	"slices"
	"testing"
	"time"

	"balsa.example/bench/result"
	"balsa.example/internal/loadgen"
)

func TestLoadsOfOperations(t *testing.T) {
	p := plan{keys: 10_000, valueSize: 256, duration: time.Second}
	base := loadgen.Load{
		Callers: 7, Keys: 10_000, KeySize: keySize, ValueSize: 256,
		Distribution: loadgen.Uniform, Seed: 3, Duration: time.Second,
	}
	for operation, change := range map[string]func(*loadgen.Load){
		"put":         func(*loadgen.Load) {},
		"get":         func(l *loadgen.Load) { l.Reads = 1 },
		"txn":         func(l *loadgen.Load) { l.Operation = loadgen.Txn },
		"update":      func(l *loadgen.Load) { l.Operation = loadgen.Update },
		"range-10000": func(l *loadgen.Load) { l.Operation, l.RangeKeys = loadgen.Range, 10_000 },
		"watch-1000":  func(l *loadgen.Load) { l.Watchers, l.Rate = 1000, 20 },
		"lease-50":    func(l *loadgen.Load) { l.Operation, l.Keys = loadgen.KeepAlive, 50 },
	} {
		want := base
		change(&want)
		if l, err := p.load(result.Case{Operation: operation, Callers: 7}, 3); err != nil || l != want {
			t.Errorf("%s is %+v, %v", operation, l, err)
		}
	}
}

func TestLibrariesOnlyPutAndGet(t *testing.T) {
	p := plan{operations: []string{"txn", "get", "put"}, callers: []int{5}}
	if cases := p.cases("library"); !slices.Equal(cases, []result.Case{{Comparison: "library", Operation: "get", Callers: 5}, {Comparison: "library", Operation: "put", Callers: 5}}) {
		t.Errorf("cases of libraries are %v", cases)
	}
	if cases := p.cases("service"); len(cases) != 3 {
		t.Errorf("cases of services are %v", cases)
	}
}
