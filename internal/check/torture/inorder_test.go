package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A rig that finds nothing has to be shown to look.
func TestADamagedDirectoryEndsTheRun(t *testing.T) {
	dir := t.TempDir()
	c := &cluster{binary: program(t, `case $2 in */bad) echo "at offset 7"; exit 17;; */fresh) echo "it holds nothing of a server"; exit 2;; esac`)}
	good, fresh, bad := &member{dir: filepath.Join(dir, "good")}, &member{dir: filepath.Join(dir, "fresh")}, &member{dir: filepath.Join(dir, "bad")}
	if err := c.inOrder(good, fresh); err != nil || c.checked != 2 {
		t.Errorf("%d checked: %v", c.checked, err)
	}
	if _, err := c.restart(good, bad); err == nil || !strings.Contains(err.Error(), "at offset 7") {
		t.Errorf("a server was started on a damaged directory: %v", err)
	}
}

// program makes an executable of a shell script.
func program(t *testing.T, script string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
