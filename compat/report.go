package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// report prints the differences and a table, and returns whether all is as it should be.
func report(w io.Writer, balsa, etcd records) bool {
	var rows []*row
	total := &row{group: "all"}
	for _, b := range balsa {
		group, _, _ := strings.Cut(b.name, "/")
		i := slices.IndexFunc(rows, func(r *row) bool { return r.group == group })
		if i < 0 {
			i, rows = len(rows), append(rows, &row{group: group})
		}
		one := judge(w, b, etcd.find(b.name))
		rows[i].add(one)
		total.add(one)
	}
	fmt.Fprintf(w, "\n%-12s %8s %8s %8s %10s %8s %8s\n", "group", "checks", "answers", "equal", "explained", "missing", "wrong")
	for _, r := range append(rows, total) {
		fmt.Fprintf(w, "%-12s %8d %8d %8d %10d %8d %8d\n", r.group, r.checks, r.answers, r.equal, r.explained, r.missing, r.wrong)
	}
	return total.wrong == 0
}

// row counts answers.
type row struct {
	group                                             string
	checks, answers, equal, explained, missing, wrong int
}

func (r *row) add(o row) {
	r.checks, r.answers, r.equal = r.checks+o.checks, r.answers+o.answers, r.equal+o.equal
	r.explained, r.missing, r.wrong = r.explained+o.explained, r.missing+o.missing, r.wrong+o.wrong
}

// judge compares what one check has said, and prints where it differs. Missing is a check whose
// differences are known, until there is none.
func judge(w io.Writer, balsa, etcd *record) row {
	r := row{checks: 1}
	if etcd == nil {
		fmt.Fprintf(w, "\n%s: etcd's answers are not recorded\n", balsa.name)
		r.wrong++
		return r
	}
	b, e := byStep(balsa.lines), byStep(etcd.lines)
	_, known := missing[balsa.name]
	var differing strings.Builder
	for _, step := range union(e.order, b.order) {
		r.answers++
		x, y := orNothing(e.text[step]), orNothing(b.text[step])
		switch {
		case x == y:
			r.equal++
			continue
		case isExplained(balsa.name, step):
			r.explained++
			continue
		case known:
			r.missing++
		default:
			r.wrong++
		}
		fmt.Fprintf(&differing, "  etcd   %s: %s\n  balsa  %s: %s\n", step, x, step, y)
	}
	switch {
	case r.wrong > 0:
		fmt.Fprintf(w, "\n%s\n%s", balsa.name, &differing)
	case known && r.missing == 0:
		fmt.Fprintf(w, "\n%s: nothing is missing there any more; take it from the list (differences.go)\n", balsa.name)
	case known:
		fmt.Fprintf(w, "\n%s: missing: %s\n", balsa.name, missing[balsa.name])
	}
	return r
}

func orNothing(text string) string {
	if text == "" {
		return "(nothing)"
	}
	return text
}

// union is a, and what b has besides.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(a, s) {
			all = append(all, s)
		}
	}
	return all
}

// steps are what a check has said, by step.
type steps struct {
	order []string
	text  map[string]string
}

// byStep splits lines of the form "step: text". A step that comes again gets a number.
func byStep(lines []string) steps {
	s := steps{text: map[string]string{}}
	for _, line := range lines {
		name, text, _ := strings.Cut(line, ": ")
		step := name
		for n := 2; slices.Contains(s.order, step); n++ {
			step = fmt.Sprintf("%s (%d)", name, n)
		}
		s.order = append(s.order, step)
		s.text[step] = text
	}
	return s
}
