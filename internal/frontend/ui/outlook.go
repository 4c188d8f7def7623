package ui

import (
	"fmt"
	"strings"
)

// Change is a change of the members that somebody wishes for.
type Change struct {
	Do      string   `json:"do"`     // add, promote, remove or replace
	Member  string   `json:"member"` // its id; of all but add
	Name    string   `json:"name"`   // of a new member
	Peers   []string `json:"peers"`
	Learner bool     `json:"learner"`
}

// Outlook is what a change would do. Members are told by their names.
type Outlook struct {
	Member        string   // that is changed
	Before, After []string // who votes
	Silent        []string // of After, who does not answer
	LeaderLeaves  bool
}

// sentences say what a change will do.
func (c *Change) sentences(o *Outlook) []string {
	name := c.Name
	if c.Do != "add" {
		name = o.Member
	}
	if name == "" {
		name = "The new member"
	}
	var all []string
	switch c.Do {
	case "add":
		all = append(all, fmt.Sprintf("%s gets a place in the cluster. Nothing else happens until a server is started for it.", name))
		if c.Learner {
			all = append(all, "It gets all that is written, and does not vote until it is promoted.")
		} else {
			all = append(all, fmt.Sprintf("As soon as it is caught up it votes. Then %s", majority(len(o.After)+1)))
		}
		return append(all, silent(o.Silent)...)
	case "replace":
		all = append(all, fmt.Sprintf("A place is made for a server that takes over from %s. Nothing else happens until that server is started.", name),
			fmt.Sprintf("When it is caught up it votes, and %s is removed for good, in one step.", name))
		return append(all, silent(o.Silent)...)
	case "promote":
		all = append(all, fmt.Sprintf("%s votes from now on.", name))
	case "remove":
		all = append(all, fmt.Sprintf("%s is removed for good: its process ends, and its data directory is of no use any more.", name))
		if o.LeaderLeaves {
			all = append(all, fmt.Sprintf("%s leads. It hands over to another member first.", name))
		}
	}
	if len(o.Before) == len(o.After) {
		return append(all, "Who votes stays the same.")
	}
	all = append(all, fmt.Sprintf("Afterwards %s", majority(len(o.After))))
	return append(all, silent(o.Silent)...)
}

// majority says what n voters can do without.
func majority(n int) string {
	switch spare := (n - 1) / 2; {
	case n == 1:
		return "1 member votes, and the cluster stops whenever it does."
	case spare == 0:
		return fmt.Sprintf("%d members vote, and both must run: none may fail.", n)
	default:
		return fmt.Sprintf("%d members vote, and %d of them may fail.", n, spare)
	}
}

func silent(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	verb := "does"
	if len(names) > 1 {
		verb = "do"
	}
	return []string{fmt.Sprintf("Mind that %s %s not answer now.", strings.Join(names, " and "), verb)}
}
