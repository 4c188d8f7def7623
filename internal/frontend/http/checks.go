package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Checks are what the answers about health stand on. All are required, and are called from many
// goroutines.
type Checks struct {
	// Begun returns why the server takes no part in its cluster, or not any more; nil while it
	// does. The others are called only then.
	Begun func() error
	// Alarms returns the names of the alarms that are raised, as etcd has them: NOSPACE, CORRUPT, or the
	// number of another kind.
	Alarms func() []string
	// HasLeader tells whether the leader is known.
	HasLeader func() bool
	// IsLearner tells whether the server is a learner that is not about to vote.
	IsLearner func() bool
	// Read reads as clients do: what this server has if local, else what the cluster has.
	Read func(ctx context.Context, local bool) error
	// Told is told of each answer of /health; nil: nobody asks.
	Told func(healthy bool)
	// Checked is told of each result of what /livez and /readyz check; nil: nobody asks.
	Checked func(kind, name string, ok bool)
	// Timeout bounds a Read.
	Timeout time.Duration
}

// Names of alarms that etcd knows.
const (
	alarmNoSpace = "NOSPACE"
	alarmCorrupt = "CORRUPT"
)

// errNoLeader is etcd's text.
var errNoLeader = errors.New("RAFT NO LEADER")

// health answers as etcd does, so that probes made for it work. The reason is there even if it is
// empty, since etcd 3.5 it is.
func (c Checks) health(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Health string `json:"health"`
		Reason string `json:"reason"`
	}{Health: "true"}
	code := http.StatusOK
	if err := c.healthy(r.Context(), excluded(r), r.URL.Query().Get("serializable") == "true"); err != nil {
		answer.Health, answer.Reason, code = "false", err.Error(), http.StatusServiceUnavailable
	}
	if c.Told != nil {
		c.Told(code == http.StatusOK)
	}
	writeJSON(w, "text/plain; charset=utf-8", code, answer) // etcd says so
}

// healthy returns nil if requests of clients can be answered; if local is set, requests for what
// this server has.
func (c Checks) healthy(ctx context.Context, excludedAlarms []string, local bool) error {
	if err := c.Begun(); err != nil {
		return err
	}
	for _, name := range c.Alarms() {
		if !slices.Contains(excludedAlarms, name) {
			return errors.New("ALARM " + knownAlarm(name))
		}
	}
	if !local && !c.HasLeader() {
		return errNoLeader
	}
	if err := c.read(ctx, local); err != nil {
		return fmt.Errorf("RANGE ERROR:%w", err)
	}
	return nil
}

// knownAlarm is the name of an alarm if etcd has one for it.
func knownAlarm(name string) string {
	if name == alarmNoSpace || name == alarmCorrupt {
		return name
	}
	return "UNKNOWN"
}

func (c Checks) read(ctx context.Context, local bool) error {
	if err := c.Begun(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return c.Read(ctx, local)
}

// check is one of those that /livez and /readyz make.
type check struct {
	name string
	run  func(ctx context.Context) error
}

// told are checks that tell their results, as those of a kind.
func (c Checks) told(kind string, checks []check) []check {
	if c.Checked == nil {
		return checks
	}
	for i, of := range checks {
		checks[i].run = func(ctx context.Context) error {
			err := of.run(ctx)
			c.Checked(kind, of.name, err == nil)
			return err
		}
	}
	return checks
}

func (c Checks) live() []check {
	return []check{{"serializable_read", func(ctx context.Context) error { return c.read(ctx, true) }}}
}

func (c Checks) ready() []check {
	return append([]check{
		{"data_corruption", func(context.Context) error {
			if c.Begun() == nil && slices.Contains(c.Alarms(), alarmCorrupt) {
				return errors.New("alarm activated: CORRUPT")
			}
			return nil
		}},
		{"linearizable_read", func(ctx context.Context) error { return c.read(ctx, false) }},
		{"non_learner", func(context.Context) error {
			if c.Begun() == nil && c.IsLearner() {
				return errors.New("not supported for learner") // etcd's text
			}
			return nil
		}},
	}, c.live()...)
}

// excluded are the names that a request excludes.
func excluded(r *http.Request) []string { return r.URL.Query()["exclude"] }

// included are the checks that a request does not exclude. Names that are not known exclude
// nothing, so that probes made for another version work.
func included(checks []check, r *http.Request) []check {
	not := excluded(r)
	return slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return slices.Contains(not, c.name) })
}

// report makes the checks, and tells the results if one has failed or the request asks for them.
func report(w http.ResponseWriter, r *http.Request, checks []check) {
	var results strings.Builder
	failed := false
	for _, c := range checks {
		if err := c.run(r.Context()); err != nil {
			failed = true
			fmt.Fprintf(&results, "[-]%s failed: %v\n", c.name, err)
		} else {
			fmt.Fprintf(&results, "[+]%s ok\n", c.name)
		}
	}
	if failed {
		http.Error(w, results.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.URL.Query().Has("verbose") {
		fmt.Fprint(w, results.String())
	}
	fmt.Fprint(w, "ok\n")
}
