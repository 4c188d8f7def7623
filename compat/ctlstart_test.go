package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// startShell runs a script in place of etcdctl.
func startShell(t *testing.T, script string) *running {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcdctl")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	of := &T{ctx: t.Context(), cluster: &cluster{}, programs: programs{etcdctl: path}}
	return of.ctlStart("step")
}

// A check cannot compare lines that are there by chance: it names the last one, and who names another is told so.
func TestLinesThatNobodyAwaitsAreAFlaw(t *testing.T) {
	const goesOn = "printf 'one\\ntwo\\nthe last\\n'; exec sleep 100"
	for name, test := range map[string]struct {
		script, last string
		want         []string
		flaws, says  string
	}{
		"all that come":      {goesOn, "last", []string{"one", "two", "the last"}, "", ""},
		"fewer than come":    {goesOn, "two", []string{"one", "two"}, "step: a line came that nobody awaits: the last", ""},
		"it ends before":     {"echo one", "two", nil, "", "step: it has ended; until then: one"},
		"nothing, and ended": {"exit 1", "two", nil, "", "step: it has ended; until then:"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startShell(t, test.script)
			var got []string
			func() {
				defer func() {
					if e := recover(); e != nil && e != errStop {
						panic(e)
					}
				}()
				got = r.until(test.last)
			}()
			r.stop()
			if flaws := strings.Join(r.t.flaws, "; "); !slices.Equal(got, test.want) || flaws != test.flaws || strings.TrimSpace(strings.Join(r.t.lines, "; ")) != test.says {
				t.Errorf("got %q, flaws %q, says %q", got, flaws, r.t.lines)
			}
		})
	}
}
