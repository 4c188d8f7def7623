//go:build !linux

package main

import (
	"context"
	"syscall"
)

func insideNetns() bool                                { return false }
func newNamespace() *syscall.SysProcAttr               { return nil }
func enterNetns(context.Context, options) (int, error) { return 0, errNoNetns }
func settleNetns(string) error                         { return errNoNetns }
