package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// insideVariable tells a rig that it runs in namespaces of its own.
const insideVariable = "BALSA_TORTURE_INSIDE"

// insideNetns tells whether enterNetns has started this process.
func insideNetns() bool { return os.Getenv(insideVariable) != "" }

// newNamespace makes a command run in a network namespace of its own.
func newNamespace() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setpgid: true}
}

// enterNetns runs this program again, with the same arguments, in namespaces of its own:
// nothing outside is touched, and whatever it starts ends with it. It returns the exit code.
func enterNetns(ctx context.Context, o options) (int, error) {
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return 0, fmt.Errorf("%w: %w", errNoNetns, err)
		}
	}
	if os.Geteuid() != 0 {
		return 0, fmt.Errorf("%w: this is not root", errNoNetns)
	}
	args := os.Args[1:]
	if o.binary == "" { // inside, go build could not fetch modules
		dir, err := os.MkdirTemp("", "balsa-torture-build-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		if o.binary, err = build(dir, o.withoutSync); err != nil {
			return 0, err
		}
		args = append([]string{"--binary", o.binary}, args...)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Setpgid: true,
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%w: %w", errNoNetns, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// settleNetns gives the process that enterNetns has started its own view of processes and
// names.
func settleNetns(dir string) error {
	conf := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+resolverAddress+"\noptions timeout:1 attempts:2\n"), 0o644); err != nil {
		return err
	}
	return errors.Join(
		syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("proc", "/proc", "proc", 0, ""),
		syscall.Mount(conf, "/etc/resolv.conf", "", syscall.MS_BIND, ""))
}
