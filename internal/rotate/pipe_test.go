//go:build unix

package rotate

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What is no file keeps its name: /dev/null and a pipe have no size.
func TestAPipeIsNotRenamed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "etcd.log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	writeBeyondSize(t, path)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v: %v", entries, err)
	}
	got := make([]byte, 6)
	if n, err := reader.Read(got); err != nil || string(got[:n]) != "aabbcc" {
		t.Errorf("%q: %v", got[:n], err)
	}
}
