package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/internal/sink"
)

// lastWords is how long a server that has stopped waits until its last lines are written.
const lastWords = time.Second

// server makes run a command that never waits for those who read what it prints, and
// does not notice if they end. Only the wait for its last lines is theirs: see lastWords.
func (p *program) server(run func(*cobra.Command) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		stderr := p.stderr
		if stderr == os.Stderr {
			stderr = detachStderr()
		}
		p.log = sink.New(stderr, plainNote)
		p.out = sink.New(p.stdout, plainNote)
		p.stderr, p.stdout = p.log, p.out
		return run(c)
	}
}

func plainNote(lines uint64) []byte {
	return fmt.Appendf(nil, "balsa: %d lines are missing here: they were not read fast enough\n", lines)
}

// finish prints what err says, and returns the exit code.
func (p *program) finish(err error) int {
	if p.log == nil {
		err = p.result.close(err)
	}
	if err != nil {
		fmt.Fprintln(p.stderr, "balsa:", oneLine(err))
	}
	if p.log != nil {
		deadline := time.Now().Add(lastWords)
		p.out.Close(time.Until(deadline))
		p.log.Close(time.Until(deadline))
	}
	return exitCode(err)
}
