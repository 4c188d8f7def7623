package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/internal/machine"
	"balsa.example/internal/sink"
)

// logDrainTimeout is how long a server that has stopped waits until its last lines are written.
const logDrainTimeout = time.Second

// server makes run a command that never waits for the readers of its output, and goes on if they
// end. It waits for them only at its end, for logDrainTimeout.
func (p *program) server(run func(*cobra.Command) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		p.collectSeldom()
		_, set := p.env("GOMEMLIMIT")
		machine.KeepBelowGroupLimit("/", set)
		stderr := uncleaned(p.stderr) // a log quotes control characters, and must not wait for a lock
		if stderr == os.Stderr {
			stderr = detachStderr()
		}
		p.log = sink.New(stderr, plainNote)
		p.out = sink.New(p.stdout, plainNote)
		p.stderr, p.stdout = p.log, p.out
		return run(c)
	}
}

// collectSeldom has this process, for whose memory balsa alone speaks, collect garbage more seldom, unless GOGC is set.
func (p *program) collectSeldom() {
	_, set := p.env("GOGC")
	machine.CollectSeldom("/", set)
}

func plainNote(lines uint64) []byte {
	return fmt.Appendf(nil, "balsa: %d lines are missing here: they were not read fast enough\n", lines)
}

// finish prints err, and returns the exit code.
func (p *program) finish(err error) int {
	if p.log == nil {
		err = p.result.close(err)
	}
	if silent := new(exitStatus); err != nil && !errors.As(err, silent) {
		p.note("balsa: %s", oneLine(err))
	}
	if p.log != nil {
		deadline := time.Now().Add(logDrainTimeout)
		p.out.Close(time.Until(deadline))
		p.log.Close(time.Until(deadline))
		for _, file := range p.logFiles {
			file.Close(time.Until(deadline))
		}
	}
	return exitCode(err)
}
