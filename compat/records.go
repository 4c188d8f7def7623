package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// record is what one check has said, and the calls that it has made.
type record struct {
	name  string
	lines []string
}

// records are those of all checks.
type records []*record

func (r records) answers() (n int) {
	for _, one := range r {
		n += len(one.lines)
	}
	return n
}

func (r records) find(name string) *record {
	for _, one := range r {
		if one.name == name {
			return one
		}
	}
	return nil
}

// over returns the records of checks: these, and where there are none, those from before.
func (r records) over(before records, checks []check) (all records) {
	for _, c := range checks {
		one := r.find(c.name)
		if one == nil {
			one = before.find(c.name)
		}
		if one != nil {
			all = append(all, one)
		}
	}
	return all
}

// write writes records to a file: a line "# name" before those of each check.
func (r records) write(path string) error {
	var b strings.Builder
	for _, one := range r {
		fmt.Fprintf(&b, "# %s\n", one.name)
		for _, line := range one.lines {
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func readRecords(path string) (records, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all records
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		name, isName := strings.CutPrefix(lines.Text(), "# ")
		switch {
		case isName:
			all = append(all, &record{name: name})
		case lines.Text() != "" && len(all) > 0:
			last := all[len(all)-1]
			last.lines = append(last.lines, lines.Text())
		}
	}
	return all, lines.Err()
}
