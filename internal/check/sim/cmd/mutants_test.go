package main

import "testing"

// TestMutantsStillApply: a bug that cannot be put back any more finds nothing.
func TestMutantsStillApply(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutants {
		if names[m.name] {
			t.Errorf("two mutants are called %s", m.name)
		}
		names[m.name] = true
		if _, err := m.apply(root); err != nil {
			t.Error(err)
		}
		if m.old == m.new || m.old == "" {
			t.Errorf("mutant %s changes nothing", m.name)
		}
	}
}

// TestPartsAreAllMutants, each of them once.
func TestPartsAreAllMutants(t *testing.T) {
	taken := map[string]int{}
	const parts = 20
	for k := range parts {
		of := part{k + 1, parts}
		for _, m := range of.take(mutants) {
			taken[m.name]++
		}
	}
	for _, m := range mutants {
		if taken[m.name] != 1 {
			t.Errorf("mutant %s is in %d parts", m.name, taken[m.name])
		}
	}
	for text, good := range map[string]bool{"1/1": true, "20/20": true, "0/3": false, "4/3": false, "-1/3": false, "1/0": false, "2": false, "": false, "1/2/3": false, "1/2 ": false, "a/b": false} {
		of := part{1, 1}
		if err := of.Set(text); (err == nil) != good || !good && of != (part{1, 1}) {
			t.Errorf("%q: %v, and the part is %s", text, err, &of)
		}
	}
}
