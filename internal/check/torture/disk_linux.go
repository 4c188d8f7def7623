package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// From linux/fs.h and fs/ext4/ext4.h.
const (
	fsIocShutdown    = 0x8004587d // _IOR('X', 125, __u32)
	fiFreeze         = 0xc0045877 // _IOWR('X', 119, int)
	fiThaw           = 0xc0045878 // _IOWR('X', 120, int)
	goingNoLogFlush  = 2          // drop the journal that was not written yet, too
	detachAttempts   = 100
	detachRetryAfter = 50 * time.Millisecond
)

// format makes the file system. No block is reserved for root, which this runs as.
func (d *disk) format() error {
	f, err := os.OpenFile(d.image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		return err
	}
	return command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image)
}

// attach mounts the disk, and so replays its journal.
func (d *disk) attach() error {
	if err := command("mount", "-t", "ext4", "-o", "loop", d.image, d.mount); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

// detach unmounts the disk, if it is mounted. The kernel may need a moment to close the files of a
// killed process.
func (d *disk) detach() (err error) {
	if !d.mounted {
		return nil
	}
	if err := d.thaw(); err != nil { // or the unmount waits for ever
		return err
	}
	for range detachAttempts {
		if err = syscall.Unmount(d.mount, 0); err == nil {
			d.mounted = false
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			break
		}
		time.Sleep(detachRetryAfter)
	}
	return fmt.Errorf("unmount %s: %w", d.mount, err)
}

// cutPower makes the file system lose all that was written and not synced. From now on its
// operations fail; detach and attach turn the power on again.
func (d *disk) cutPower() error {
	return d.ioctl("shut down", fsIocShutdown, goingNoLogFlush)
}

// freeze lets no write and no sync end before thaw.
func (d *disk) freeze() error {
	d.frozen = true
	return d.ioctl("freeze", fiFreeze, 0)
}

func (d *disk) thaw() error {
	if !d.frozen {
		return nil
	}
	d.frozen = false
	return d.ioctl("thaw", fiThaw, 0)
}

// ioctl calls ioctl on the file system.
func (d *disk) ioctl(what string, request uintptr, arg uint32) error {
	root, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, root.Fd(), request, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return fmt.Errorf("%s the file system at %s: %w", what, d.mount, errno)
	}
	return nil
}

// fill uses up all free space.
func (d *disk) fill() error {
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var size int64
	for step := int64(8 << 20); step >= 4<<10; {
		switch err := syscall.Fallocate(int(f.Fd()), 0, size, step); {
		case err == nil:
			size += step
		case errors.Is(err, syscall.ENOSPC):
			step /= 2
		case !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("fill %s: %w", d.mount, err)
		}
	}
	return nil
}

// command runs a program to its end, whatever signals the rig gets meanwhile.
func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}
