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
