package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"balsa.example/bench/result"
)

// child is a contender's process, in its parent.
type child struct {
	contender
	process *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	log     string // file
}

// childEnd is how long a child may take to stop its cluster.
const childEnd = 30 * time.Second

// start runs a contender with its data in dir, and waits until it is up.
func start(ctx context.Context, c contender, program, dir string) (*child, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	k := &child{contender: c, log: filepath.Join(dir, "log")}
	log, err := os.Create(k.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	k.process = exec.Command(self, childCommand, c.comparison, c.name, program, dir)
	k.process.Stderr = log
	if k.in, err = k.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := k.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	k.out = json.NewDecoder(out)
	if err := k.process.Start(); err != nil {
		return nil, err
	}
	if _, err := k.answer(ctx); err != nil {
		return nil, errors.Join(err, k.stop())
	}
	return k, nil
}

// run orders a load and waits for its result.
func (k *child) run(ctx context.Context, o order) (result.Sample, error) {
	if err := json.NewEncoder(k.in).Encode(o); err != nil {
		return result.Sample{}, fmt.Errorf("%s %s: order: %w (see %s)", k.comparison, k.name, err, k.log)
	}
	return k.answer(ctx)
}

// answer reads the next answer. If ctx ends first, the child cannot be used any more.
func (k *child) answer(ctx context.Context) (result.Sample, error) {
	var a answer
	read := make(chan error, 1)
	go func() { read <- k.out.Decode(&a) }()
	select {
	case err := <-read:
		if err == nil && a.Error != "" {
			err = errors.New(a.Error)
		}
		if err != nil {
			return result.Sample{}, fmt.Errorf("%s %s: %w (see %s)", k.comparison, k.name, err, k.log)
		}
		return a.Sample, nil
	case <-ctx.Done():
		return result.Sample{}, ctx.Err()
	}
}

// stop ends the child and with it its cluster.
func (k *child) stop() error {
	k.in.Close()
	killer := time.AfterFunc(childEnd, func() { _ = k.process.Process.Kill() })
	defer killer.Stop()
	if err := k.process.Wait(); err != nil {
		return fmt.Errorf("%s %s: stop: %w (see %s)", k.comparison, k.name, err, k.log)
	}
	return nil
}
