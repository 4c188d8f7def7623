package vfs_test

import (
	"fmt"
	"os"
	"path/filepath"

	"balsa.example/vfs"
)

// A small file that a crash leaves whole, the old one or the new.
func ExampleWriteFile() {
	dir, err := os.MkdirTemp("", "vfs")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	data := filepath.Join(dir, "data")
	if err := vfs.MakeDir(vfs.OS, data); err != nil {
		panic(err)
	}
	name := filepath.Join(data, "settings")
	for _, content := range []string{"first", "second"} {
		if err := vfs.WriteFile(vfs.OS, name, []byte(content)); err != nil {
			panic(err)
		}
	}
	b, err := vfs.ReadFile(vfs.OS, name)
	fmt.Println(string(b), err)
	// Output: second <nil>
}

// A directory that one process at a time may use.
func ExampleFS_lock() {
	dir, err := os.MkdirTemp("", "vfs")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	lock, err := vfs.OS.Lock(filepath.Join(dir, "LOCK"))
	if err != nil {
		panic(err)
	}
	defer lock.Close()
	_, err = vfs.OS.Lock(filepath.Join(dir, "LOCK"))
	fmt.Println("again:", err != nil)
	// Output: again: true
}
