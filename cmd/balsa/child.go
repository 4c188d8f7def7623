package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

// killAfter is how long a command that balsa runs may take to end after it was told to.
const killAfter = time.Second

// The exit codes of a command that could not be run, as shells have them.
const (
	exitNotExecutable = 126
	exitNoCommand     = 127
)

// childOutput is the standard output for a command that balsa runs: the file itself, if it is one,
// so that a terminal stays a terminal.
func (p *program) childOutput() io.Writer {
	if f, ok := p.result.to.(*os.File); ok {
		return f
	}
	return p.stdout
}

// childErrors is the standard error for a command that balsa runs, as childOutput is its output.
func (p *program) childErrors() io.Writer { return uncleaned(p.stderr) }

// runChild runs a command to its end, and returns its exit code. When ctx ends the command is told
// to end, and may take its time. When lost is closed it is told so as well, and killed after
// killAfter. An error means that it was not run.
func runChild(ctx context.Context, cmd *exec.Cmd, lost <-chan struct{}) (code int, err error) {
	cmd.WaitDelay = killAfter // for what it has left behind, with its outputs open
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	interrupt := ctx.Done()
	var kill <-chan time.Time
	for {
		select {
		case err := <-ended:
			if kill != nil {
				killChild(cmd) // what it has started may go on
			}
			return childCode(cmd, err)
		case <-interrupt:
			interrupt = nil
			endChild(cmd)
		case <-lost:
			lost = nil
			endChild(cmd)
			timer := time.NewTimer(killAfter)
			defer timer.Stop()
			kill = timer.C
		case <-kill:
			killChild(cmd)
		}
	}
}

// childCode is the exit code of a command that has ended: 128 and the signal, if one ended it.
func childCode(cmd *exec.Cmd, err error) (int, error) {
	var failed *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return 0, nil
	case !errors.As(err, &failed):
		return 0, err // of copying its outputs
	}
	if signal := endedBy(cmd.ProcessState); signal != 0 {
		return 128 + signal, nil
	}
	return failed.ExitCode(), nil
}

// startCode is the exit code for an error of runChild.
func startCode(err error) int {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return exitNoCommand
	case errors.Is(err, fs.ErrPermission):
		return exitNotExecutable
	}
	return exitError
}
