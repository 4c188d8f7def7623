package balsa_test

import (
	"fmt"
	"slices"
	"strings"
)

// rules is a policy, understood.
type rules struct {
	may    map[string]map[string]bool // package -> what it may import, closed over itself
	never  [][2]string                // package, what it never gets to
	pure   map[string][]string        // package -> modules that it may import
	marked []string                   // packages with pure files
	allow  map[string][]string        // package -> impure imports it is allowed
	deny   map[string][]string        // package -> what it may not import, from wherever
	future []string
}

func parseRules(text string) (*rules, error) {
	r := &rules{may: map[string]map[string]bool{}, pure: map[string][]string{}, allow: map[string][]string{}, deny: map[string][]string{}}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := r.parseLine(line); err != nil {
			return nil, fmt.Errorf("policy line %q: %w", line, err)
		}
	}
	return r, r.close()
}

func (r *rules) parseLine(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	name, list, colon := strings.Cut(strings.TrimSpace(rest), ":")
	switch {
	case verb == "pure" && strings.HasSuffix(name, "/*") && !colon:
		r.marked = append(r.marked, strings.TrimSuffix(name, "/*"))
	case verb == "pure" && colon && !strings.HasSuffix(name, "/*"):
		r.pure[name] = strings.Fields(list)
	case verb == "allow" && colon:
		r.allow[name] = append(r.allow[name], strings.Fields(list)...)
	case verb == "deny" && colon:
		r.deny[name] = append(r.deny[name], strings.Fields(list)...)
	case verb == "future" && rest != "":
		r.future = append(r.future, name)
	case strings.Contains(line, "!<"):
		return r.parseNever(strings.Split(line, "!<"))
	default:
		return r.parseArrows(strings.Split(line, "<"))
	}
	return nil
}

func (r *rules) parseNever(sides []string) error {
	if len(sides) != 2 {
		return fmt.Errorf("want one !<")
	}
	below, err := names(sides[0])
	if err != nil {
		return err
	}
	above, err := names(sides[1])
	for _, a := range above {
		for _, b := range below {
			r.never = append(r.never, [2]string{a, b})
		}
	}
	return err
}

func (r *rules) parseArrows(sides []string) error {
	if len(sides) < 2 {
		return fmt.Errorf("want a <")
	}
	var below []string
	for i, side := range sides {
		above, err := names(side)
		if err != nil {
			return err
		}
		for _, a := range above {
			if a == "NONE" && i == 0 {
				continue
			}
			if r.may[a] == nil {
				r.may[a] = map[string]bool{}
			}
			for _, b := range below {
				if b != "NONE" {
					r.may[a][b] = true
				}
			}
		}
		below = above
	}
	return nil
}

// names splits a list with commas.
func names(list string) ([]string, error) {
	ns := strings.Split(list, ",")
	for i, n := range ns {
		ns[i] = strings.TrimSpace(n)
		if ns[i] == "" || strings.ContainsAny(ns[i], " \t") {
			return nil, fmt.Errorf("%q is not a name", ns[i])
		}
	}
	return ns, nil
}

// close adds what is allowed by way of others, and finds circles.
func (r *rules) close() error {
	for via := range r.may {
		for _, set := range r.may {
			if set[via] {
				for b := range r.may[via] {
					set[b] = true
				}
			}
		}
	}
	for a, set := range r.may {
		if set[a] {
			return fmt.Errorf("policy: %s stands above itself", a)
		}
	}
	return nil
}

// consistency reports rules that contradict each other or name what is not there.
func (r *rules) consistency(exists func(string) bool) (problems []string) {
	for _, n := range r.never {
		if r.may[n[0]][n[1]] {
			problems = append(problems, fmt.Sprintf("policy: %s may come to import %s, which a !< forbids", n[0], n[1]))
		}
	}
	for _, name := range r.all() {
		if !exists(name) && !slices.Contains(r.future, name) {
			problems = append(problems, fmt.Sprintf("policy: %s is named in the policy, but there is no such package", name))
		}
	}
	return problems
}

// all returns every name in the policy, sorted.
func (r *rules) all() []string {
	set := map[string]bool{}
	for a := range r.may {
		set[a] = true
	}
	for _, n := range r.never {
		set[n[0]], set[n[1]] = true, true
	}
	for a := range r.pure {
		set[a] = true
	}
	for a := range r.allow {
		set[a] = true
	}
	for a := range r.deny {
		set[a] = true
	}
	for _, a := range slices.Concat(r.marked, r.future) {
		set[a] = true
	}
	var all []string
	for a := range set {
		all = append(all, a)
	}
	slices.Sort(all)
	return all
}
