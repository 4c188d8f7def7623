//go:build !unix

package main

import (
	"os"
	"os/exec"
)

// ownGroup does nothing: there are no process groups here.
func ownGroup(*exec.Cmd) {}

func endChild(cmd *exec.Cmd)  { killChild(cmd) }
func killChild(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

// endedBy is 0: no process ends by a signal here.
func endedBy(*os.ProcessState) int { return 0 }
