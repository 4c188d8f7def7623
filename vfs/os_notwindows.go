//go:build !windows

package vfs

import "os"

func open(name string, flag int) (*os.File, error) { return os.OpenFile(name, flag, filePerm) }

func rename(oldName, newName string) error { return os.Rename(oldName, newName) }

func remove(name string) error { return os.Remove(name) }

func openDir(name string) (*os.File, error) { return os.Open(name) }
