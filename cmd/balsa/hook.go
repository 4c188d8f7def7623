package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"balsa.example/clerk"
)

// maxVariable bounds what a value takes in the environment of a command. Linux refuses variables
// of 128 KiB.
const maxVariable = 64 << 10

// childVariables begin the variables with which commands that balsa runs are told of an event or a
// lock.
var childVariables = []string{"BALSA_EVENT_", "BALSA_LOCK_"}

// hook runs a command for each event of a revision.
func (p *program) hook(ctx context.Context, command string, c clerk.Changes) error {
	for _, e := range c.Events {
		var event bytes.Buffer
		if err := writeJSON(&event, eventOf(e)); err != nil {
			return err
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = &event, p.childOutput(), p.childErrors()
		cmd.Env = append(childEnvironment(p.environ), eventVariables(e, c.Revision)...)
		code, err := runChild(ctx, cmd, nil)
		switch {
		case ctx.Err() != nil:
			return nil // it was told to end
		case err != nil:
			return fmt.Errorf("watch: --exec: %w", err)
		case code != 0:
			return fmt.Errorf("watch: the command for key %q ended with %d; to go on there: --rev %d", short(e.Key), code, c.Revision)
		}
	}
	return nil
}

// childEnvironment is the environment of balsa without what is said to commands that it runs: what
// a command around it was told is not about this event or lock.
func childEnvironment(environ []string) (kept []string) {
	for _, entry := range environ {
		if !isChildVariable(entry) {
			kept = append(kept, entry)
		}
	}
	return kept
}

func isChildVariable(name string) bool {
	for _, begin := range childVariables {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

// eventVariables are the event for the environment, without what the environment cannot hold.
func eventVariables(e clerk.Event, revision uint64) (entries []string) {
	add := func(name, value string) {
		if len(value) <= maxVariable && !strings.Contains(value, "\x00") {
			entries = append(entries, "BALSA_EVENT_"+name+"="+value)
		}
	}
	add("KEY", e.Key)
	add("REVISION", strconv.FormatUint(revision, 10))
	if e.Deleted {
		add("TYPE", "delete")
	} else {
		add("TYPE", "put")
		add("VALUE", string(e.Value))
		add("VERSION", strconv.FormatUint(e.Version, 10))
	}
	if e.Prev != nil {
		add("PREV_VALUE", string(e.Prev.Value))
	}
	return entries
}
