package rsmtest

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestEachRuleOfATransportNamesItsChecks: the rules in the comment of rsm.Transport and the
// checks here are the same.
func TestEachRuleOfATransportNamesItsChecks(t *testing.T) {
	text, err := os.ReadFile("../transport.go")
	if err != nil {
		t.Fatal(err)
	}
	var rules, checks []string
	for _, match := range regexp.MustCompile(`\(([A-Z][a-z]*[A-Z]\w+)\)`).FindAllSubmatch(text, -1) {
		rules = append(rules, string(match[1]))
	}
	for _, c := range transportChecks {
		checks = append(checks, c.name)
	}
	slices.Sort(rules)
	slices.Sort(checks)
	if !slices.Equal(rules, checks) {
		t.Errorf("the comment of rsm.Transport names the checks\n%q, want\n%q", rules, checks)
	}
}
