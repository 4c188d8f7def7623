//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup lets a command have a process group of its own, so that all that it starts can be ended
// with it. Not where the standard input is a terminal: only one group may read from that.
func ownGroup(cmd *exec.Cmd) {
	if f, ok := cmd.Stdin.(*os.File); ok {
		if _, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP); err == nil {
			return
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func endChild(cmd *exec.Cmd)  { signalChild(cmd, syscall.SIGTERM) }
func killChild(cmd *exec.Cmd) { signalChild(cmd, syscall.SIGKILL) }

// signalChild sends a signal to a command, and to its group if it has one. Errors mean that it has
// ended.
func signalChild(cmd *exec.Cmd, signal syscall.Signal) {
	if cmd.SysProcAttr != nil {
		_ = syscall.Kill(-cmd.Process.Pid, signal)
		return
	}
	_ = cmd.Process.Signal(signal)
}

// endedBy is the signal that ended a process; 0: none did.
func endedBy(s *os.ProcessState) int {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int(status.Signal())
	}
	return 0
}
