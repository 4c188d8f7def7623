package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A mutant is a known bug, put back: one piece of text in one file, replaced. It is
// built with go build -overlay, so that no file of the checkout changes.
type mutant struct {
	name string
	file string
	old  string // occurs once in the file
	new  string
	// args restrict the runs where the bug needs something that few seeds have.
	args []string
}

// apply returns the file's text with the bug in it.
func (m mutant) apply(root string) (string, error) {
	data, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(data), m.old); n != 1 {
		return "", fmt.Errorf("mutant %s: %s has %d times what it replaces, not once", m.name, m.file, n)
	}
	return strings.Replace(string(data), m.old, m.new, 1), nil
}

// build makes the simulator with the bug in it.
func (m mutant) build(root, dir string) (binary string, err error) {
	text, err := m.apply(root)
	if err != nil {
		return "", err
	}
	source := filepath.Join(dir, m.name+".go")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, m.file): source}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, m.name+".json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, m.name)
	cmd := exec.Command("go", "build", "-overlay", list, "-o", binary, "./internal/sim/cmd")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build mutant %s: %w\n%s", m.name, err, out)
	}
	return binary, nil
}

var (
	failedSeed = regexp.MustCompile(`(?m)^seed (\d+): (.*) at [0-9.]+ s: `)
)

// hunt runs the mutant's simulator until a seed fails.
func (m mutant) hunt(binary string, first, seeds uint64) (needed uint64, invariant string, err error) {
	args := append([]string{"--first", fmt.Sprint(first), "--seeds", fmt.Sprint(seeds)}, m.args...)
	out, err := exec.Command(binary, args...).Output()
	if err == nil {
		return 0, "", nil
	}
	match := failedSeed.FindSubmatch(out)
	if match == nil {
		return 0, "", fmt.Errorf("run mutant %s: %w\n%s", m.name, err, out)
	}
	seed, err := strconv.ParseUint(string(match[1]), 10, 64)
	return seed - first + 1, string(match[2]), err
}

// runMutants tells for each mutant whose name matches how many seeds it takes to
// find it. It returns the exit code: 0 if all were found.
func runMutants(pattern string, first, seeds uint64) int {
	match, err := regexp.Compile(pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	root, err := moduleRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer os.RemoveAll(dir)
	survivors := 0
	for _, m := range mutants {
		if !match.MatchString(m.name) {
			continue
		}
		begin := time.Now()
		binary, err := m.build(root, dir)
		if err != nil {
			fmt.Println(err)
			survivors++
			continue
		}
		needed, invariant, err := m.hunt(binary, first, seeds)
		os.Remove(binary)
		switch {
		case err != nil:
			fmt.Println(err)
			survivors++
		case needed == 0:
			survivors++
			fmt.Printf("%-36s SURVIVES %d seeds (%.0fs)\n", m.name, seeds, time.Since(begin).Seconds())
		default:
			fmt.Printf("%-36s %5d seeds   %s\n", m.name, needed, invariant)
		}
	}
	fmt.Printf("%d survive\n", survivors)
	if survivors > 0 {
		return 1
	}
	return 0
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
