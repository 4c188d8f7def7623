package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func testDisk(t *testing.T) *disk {
	t.Helper()
	d, err := newDisk(t.TempDir(), "d")
	if errors.Is(err, errNoDisks) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// A power loss that loses nothing would prove nothing: what was not synced is gone,
// be it a new file or new content of one that is, and what was synced is there.
func TestPowerLossTakesWhatWasNotSynced(t *testing.T) {
	d := testDisk(t)
	path := func(name string) string { return filepath.Join(d.mount, name) }
	old, fresh := bytes.Repeat([]byte("old "), 1<<12), bytes.Repeat([]byte("new "), 1<<12)
	write := func(name string, content []byte, sync bool) {
		t.Helper()
		f, err := os.OpenFile(path(name), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(content)
		if sync {
			err = errors.Join(err, f.Sync())
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write("synced", old, true)
	write("overwritten", old, true)
	write("overwritten and synced", old, true)
	write("overwritten and synced", fresh, true)
	root, err := os.Open(d.mount)
	if err := errors.Join(err, root.Sync(), root.Close()); err != nil {
		t.Fatal(err)
	}
	write("overwritten", fresh, false)
	write("not synced", fresh, false)
	if err := d.cutPower(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("after"), fresh, 0o600); err == nil {
		t.Error("the file system takes files after the power loss")
	}
	if err := errors.Join(d.detach(), d.attach()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"synced": old, "overwritten": old, "overwritten and synced": fresh} {
		if got, err := os.ReadFile(path(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %.8q..., %v; want %.8q...", name, len(got), got, err, want)
		}
	}
	if got, err := os.ReadFile(path("not synced")); err == nil && len(got) > 0 {
		t.Errorf("what was not synced has %d bytes", len(got))
	}
}

func TestFillLeavesNoRoomAndFreeGivesItBack(t *testing.T) {
	d := testDisk(t)
	if err := d.fill(); err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 64<<10)
	if err := os.WriteFile(filepath.Join(d.mount, "more"), piece, 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk says %v", err)
	}
	if err := d.free(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.mount, "more"), piece, 0o600); err != nil {
		t.Error(err)
	}
}
