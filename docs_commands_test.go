package balsa_test

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	testCommand = regexp.MustCompile("(?:cd (\\S+) && )?go test ([^`\n#]*)")
	runCommand  = regexp.MustCompile("(?:cd (\\S+) && )?go run (\\.\\S*) ([^`\n#]*)")
	runFlag     = regexp.MustCompile(`(?:^| )--?([a-z][a-z-]*)`)
	inner       = regexp.MustCompile(`\$\(.*\)`) // a command within a command
	testName    = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Example|Fuzz)\w*)\(`)
)

// TestCommandsNameTestsThatExist: what a page says to run by -run or -bench names tests of its packages, each of its alternatives. One
// that matches nothing passes, and proves nothing.
func TestCommandsNameTestsThatExist(t *testing.T) {
	tests := map[string][]string{} // by folder
	for name, text := range files(t, "_test.go") {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			tests[path.Dir(name)] = append(tests[path.Dir(name)], m[1])
		}
	}
	commands := 0
	for name, text := range files(t, ".md") {
		for _, m := range testCommand.FindAllStringSubmatch(text, -1) {
			words := strings.Fields(strings.NewReplacer(`\|`, "|", "'", "").Replace(m[2]))
			for i, word := range words {
				if word != "-run" && word != "-bench" || i+1 == len(words) {
					continue
				}
				for _, pattern := range strings.Split(words[i+1], "|") {
					if pattern == "XXX" || pattern == "-" || pattern == "." {
						continue // none, or all
					}
					commands++
					if !isNamed(tests, path.Join(".", m[1]), words, pattern) {
						t.Errorf("%s: go test %s: nothing is called %s", name, m[2], pattern)
					}
				}
			}
		}
	}
	if commands < 40 {
		t.Errorf("only %d names", commands)
	}
}

// TestNamesOfTestsExist: the tests, the known bugs and the checks against etcd that the page on reliability names are there, as are the
// tests that any other page names.
func TestNamesOfTestsExist(t *testing.T) {
	tests, bugs, checks := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for name, text := range files(t, ".go") {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			tests[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`\{name: "([^"]+)"`).FindAllStringSubmatch(text, -1) {
			switch path.Dir(name) {
			case "internal/check/sim/cmd":
				bugs[m[1]] = true
			case "compat":
				checks[m[1]] = true
			}
		}
	}
	var named [3]int
	want := func(page, what string, exists map[string]bool) {
		if !exists[what] {
			t.Errorf("%s: there is no %s", page, what)
		}
	}
	for name, text := range files(t, ".md") {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`").FindAllStringSubmatch(text, -1) {
			named[0]++
			want(name, m[1], tests)
		}
		if name != "docs/reliability.md" {
			continue
		}
		for _, m := range regexp.MustCompile(`\*([a-z0-9]+(?:-[a-z0-9]+)+)\*`).FindAllStringSubmatch(text, -1) {
			named[1]++
			want(name, m[1], bugs)
		}
		for _, m := range regexp.MustCompile("`((?:auth|faults|kube|kv|lease|maintenance|recipe|txn|watch)/[a-z-]+)`").FindAllStringSubmatch(text, -1) {
			named[2]++
			want(name, m[1], checks)
		}
	}
	if named[0] < 150 || named[1] < 50 || named[2] < 15 {
		t.Errorf("only %d tests, bugs and checks", named)
	}
}

// isNamed tells whether a test of the packages that a command names, from a folder on, matches a pattern.
func isNamed(tests map[string][]string, from string, words []string, pattern string) bool {
	pattern, _, _ = strings.Cut(pattern, "/")
	wanted := regexp.MustCompile(pattern)
	for _, word := range words {
		if !strings.HasPrefix(word, ".") {
			continue
		}
		at, below := strings.CutSuffix(path.Join(from, word), "/...")
		if word == "./..." {
			at, below = from, true
		}
		for folder, names := range tests {
			if folder != at && !(below && (at == "." || strings.HasPrefix(folder, at+"/"))) {
				continue
			}
			for _, name := range names {
				if wanted.MatchString(name) {
					return true
				}
			}
		}
	}
	return false
}

// TestCommandsNameFlagsThatExist: what a page says to run with go run has each flag that it is given.
func TestCommandsNameFlagsThatExist(t *testing.T) {
	sources := map[string]string{} // by folder
	for name, text := range files(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") {
			sources[path.Dir(name)] += text
		}
	}
	flags := 0
	for name, text := range files(t, ".md") {
		for _, m := range runCommand.FindAllStringSubmatch(text, -1) {
			folder := path.Join(".", m[1], m[2])
			source := sources[folder]
			if folder == "." { // the line stands below one that goes to the folder
				source = sources["bench"] + sources["compat"]
			}
			for _, flag := range runFlag.FindAllStringSubmatch(inner.ReplaceAllString(m[3], ""), -1) {
				flags++
				if !strings.Contains(source, `"`+flag[1]+`"`) {
					t.Errorf("%s: go run %s %s: %s has no flag -%s", name, m[2], m[3], folder, flag[1])
				}
			}
		}
	}
	if flags < 20 {
		t.Errorf("only %d flags", flags)
	}
}
