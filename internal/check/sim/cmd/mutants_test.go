package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

// TestReliabilityCountsTheMutants: the page says how many known bugs there are.
func TestReliabilityCountsTheMutants(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	others := len(mutants) - len(client)
	own := others - len(fixed) - len(shell)
	for _, want := range []string{
		fmt.Sprintf("| %d known bugs put back: %d in `mutantlist.go`, %d in `fixedlist.go`, %d in `shelllist.go`", others, own, len(fixed), len(shell)),
		fmt.Sprintf("| %d more bugs of what a Clerk does", len(client)),
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/reliability.md does not say %q", want)
		}
	}
}
