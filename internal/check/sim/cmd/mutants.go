package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A mutant is a known bug that is put into the code: a piece of text in a file is replaced. It is
// built with go build -overlay, so that no file of the checkout changes.
type mutant struct {
	name string
	edit
	// also are further edits: a bug may have several places, or another guard against its
	// effect.
	also []edit
	// args restrict the runs, if the bug needs something that few seeds have.
	args []string
	// tests are the tests that must find a bug in code that the simulator replaces: a package,
	// and a pattern for -run.
	tests [2]string
}

type edit struct {
	file string
	old  string // occurs once in the file
	new  string
}

func (m *mutant) edits() []edit { return append([]edit{m.edit}, m.also...) }

// apply returns the texts of the files with the bug in them, by name.
func (m *mutant) apply(root string) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range m.edits() {
		text, ok := texts[e.file]
		if !ok {
			data, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			text = string(data)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("mutant %s: %s has %d times what it replaces, not once", m.name, e.file, n)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return texts, nil
}

// overlay writes the files with the bug in them to dir, and returns the name of a list of
// them for the flag -overlay.
func (m *mutant) overlay(root, dir string) (list string, err error) {
	texts, err := m.apply(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range texts {
		source := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = source
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list = filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, overlay, 0o600)
}

// build makes the simulator with the bug in it, in dir.
func (m *mutant) build(ctx context.Context, root, dir string) (binary string, err error) {
	list, err := m.overlay(root, dir)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, m.name)
	cmd := exec.CommandContext(ctx, "go", "build", "-p", "1", "-overlay", list, "-o", binary, "./internal/check/sim/cmd")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build mutant %s: %w\n%s", m.name, err, out)
	}
	return binary, nil
}

// find is the result of a mutant.
type find struct {
	seeds     uint64 // needed; 0: it survives all
	invariant string
	took      time.Duration
	err       error
}

var failedSeed = regexp.MustCompile(`(?m)^seed (\d+): (.*) at [0-9.]+ s: `)

// timeLimit is for a mutant that hangs the simulator. Tests that hang have failed.
const (
	timeLimit = 10 * time.Minute
	testLimit = "2m"
)

// hunt builds the mutant and runs its simulator until a seed fails.
func (m *mutant) hunt(root string, first, seeds uint64) (f find) {
	begin := time.Now()
	defer func() { f.took = time.Since(begin) }()
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return find{err: err}
	}
	defer os.RemoveAll(dir)
	if m.tests[0] != "" {
		return m.test(ctx, root, dir)
	}
	binary, err := m.build(ctx, root, dir)
	if err != nil {
		return find{err: err}
	}
	args := append([]string{"--workers", "1", "--first", fmt.Sprint(first), "--seeds", fmt.Sprint(seeds)}, m.args...)
	out, err := exec.CommandContext(ctx, binary, args...).Output()
	if err == nil {
		return find{}
	}
	match := failedSeed.FindSubmatch(out)
	if match == nil {
		return find{err: fmt.Errorf("run mutant %s: %w\n%s", m.name, errors.Join(err, ctx.Err()), tail(out))}
	}
	seed, err := strconv.ParseUint(string(match[1]), 10, 64)
	return find{seeds: seed - first + 1, invariant: string(match[2]), err: err}
}

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)|^(panic: .*)$`)

// test runs the tests that must find the bug.
func (m *mutant) test(ctx context.Context, root, dir string) find {
	list, err := m.overlay(root, dir)
	if err != nil {
		return find{err: err}
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-p", "1", "-timeout", testLimit, "-overlay", list, "-run", m.tests[1], m.tests[0])
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil {
		return find{}
	}
	match := failedTest.FindSubmatch(out)
	if match == nil {
		return find{err: fmt.Errorf("test mutant %s: %w\n%s", m.name, errors.Join(err, ctx.Err()), tail(out))}
	}
	return find{seeds: 1, invariant: string(match[1]) + string(match[2])}
}

func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }

// hunters go through the mutants, some at a time. Each mutant is hunted by one of them, so that the
// number of seeds that it takes is always the same.
type hunters struct {
	root         string
	first, seeds uint64
	mutants      []mutant
	begin        time.Time

	mu      sync.Mutex
	next    int
	running []string
	finds   []find // of those that are done, in any order
}

// runMutants prints for each mutant whose name matches how many seeds it takes to find it. It
// returns the exit code: 0 if all were found.
func runMutants(pattern string, of part, first, seeds uint64, workers int) int {
	match, err := regexp.Compile(pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	h := hunters{first: first, seeds: seeds, begin: time.Now()}
	if h.root, err = moduleRoot(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	h.mutants = slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool { return !match.MatchString(m.name) })
	h.mutants = of.take(h.mutants)
	if len(h.mutants) == 0 {
		fmt.Fprintf(os.Stderr, "no mutant of this part matches %q\n", pattern)
		return 2
	}
	fmt.Printf("%-40s %6s %6s  %s\n", "mutant", "seeds", "time", "found by")
	var all sync.WaitGroup
	for range workers {
		all.Go(h.work)
	}
	all.Wait()
	return h.summary()
}

// part is one of so many parts of the mutants, counted from 1. Neighbours in a list, which are alike, are in different parts.
type part struct{ number, of int }

// Set implements flag.Value.
func (p *part) Set(text string) error {
	var read part
	_, err := fmt.Sscanf(text, "%d/%d", &read.number, &read.of)
	if err != nil || read.String() != text || read.number < 1 || read.number > read.of {
		return errors.New("want K/N, as 3/20")
	}
	*p = read
	return nil
}

// String implements flag.Value.
func (p *part) String() string { return fmt.Sprintf("%d/%d", p.number, p.of) }

func (p *part) take(all []mutant) (taken []mutant) {
	for i := p.number - 1; i < len(all); i += p.of {
		taken = append(taken, all[i])
	}
	return taken
}

func (h *hunters) work() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.next < len(h.mutants) {
		m := &h.mutants[h.next]
		h.next++
		h.running = append(h.running, m.name)
		h.progress()
		h.mu.Unlock()
		f := m.hunt(h.root, h.first, h.seeds)
		h.mu.Lock()
		h.running = slices.DeleteFunc(h.running, func(name string) bool { return name == m.name })
		h.finds = append(h.finds, f)
		h.row(m, f)
		h.progress()
	}
}

// clearLine is for terminals.
const clearLine = "\r\x1b[K"

func (h *hunters) row(m *mutant, f find) {
	fmt.Fprint(os.Stderr, clearLine)
	seconds := fmt.Sprintf("%.0fs", f.took.Seconds())
	switch {
	case f.err != nil:
		fmt.Printf("%-40s %6s %6s  %v\n", m.name, "?", seconds, f.err)
	case f.seeds == 0:
		fmt.Printf("%-40s %6s %6s  SURVIVES %d seeds\n", m.name, "-", seconds, h.seeds)
	default:
		fmt.Printf("%-40s %6d %6s  %s\n", m.name, f.seeds, seconds, f.invariant)
	}
}

// progress is a line that is written over and over.
func (h *hunters) progress() {
	fmt.Fprintf(os.Stderr, "%s%d of %d in %v: %s", clearLine, len(h.finds), len(h.mutants),
		time.Since(h.begin).Round(time.Second), strings.Join(h.running, ", "))
}

func (h *hunters) summary() int {
	fmt.Fprint(os.Stderr, clearLine)
	var needed []uint64
	for _, f := range h.finds {
		if f.err == nil && f.seeds > 0 {
			needed = append(needed, f.seeds)
		}
	}
	slices.Sort(needed)
	lost := len(h.finds) - len(needed)
	fmt.Printf("%d mutants in %v", len(h.finds), time.Since(h.begin).Round(time.Second))
	if n := len(needed); n > 0 {
		fmt.Printf(": median %d seeds, at most %d", needed[n/2], needed[n-1])
	}
	fmt.Printf("; %d not found\n", lost)
	if lost > 0 {
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
