package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// diskSize is the size of a member's file system in bytes: enough for at most three segments of
// the log of 16 MiB, two spare ones, the history, and the 96 MiB that a server keeps for deletes.
const diskSize = 320 << 20

// errNoDisks says that this machine does not let the rig make file systems.
var errNoDisks = errors.New("no file systems of our own here (needs Linux, root, mkfs.ext4 and free loop devices)")

// disk is an ext4 file system in a file, mounted on a directory. Only what the rig has
// mounted itself is ever unmounted; its loop device goes with the mount.
type disk struct {
	image, mount string
	mounted      bool
	frozen       bool
	ballast      string // the file that fills it
}

// newDisk makes a file system in dir, and mounts it.
func newDisk(dir, name string) (*disk, error) {
	d := &disk{image: filepath.Join(dir, name+".img"), mount: filepath.Join(dir, name+".disk")}
	d.ballast = filepath.Join(d.mount, "ballast")
	if err := os.Mkdir(d.mount, 0o755); err != nil {
		return nil, err
	}
	if err := d.format(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoDisks, err)
	}
	if err := d.attach(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoDisks, err)
	}
	return d, nil
}

// remove unmounts the disk and deletes it.
func (d *disk) remove() error {
	if err := d.detach(); err != nil {
		return err
	}
	return errors.Join(os.Remove(d.mount), os.Remove(d.image))
}

// free frees the space of a disk that was filled.
func (d *disk) free() error { return os.Remove(d.ballast) }
