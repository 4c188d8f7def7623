package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is one file of an archive.
type entry struct {
	name    string // within the archive
	source  string // the file, or
	content []byte
	mode    int64
}

func (e entry) read() ([]byte, error) {
	if e.content != nil {
		return e.content, nil
	}
	return os.ReadFile(e.source)
}

// manualOf returns what a user reads: licence, changes and docs.
func manualOf(root string) (all []entry, err error) {
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		all = append(all, entry{name: name, source: filepath.Join(root, name), mode: 0o644})
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(source string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(root, source)
		all = append(all, entry{name: filepath.ToSlash(name), source: source, mode: 0o644})
		return err
	})
	return all, err
}

// archive writes the program and its manual into dir.
func (p *program) archive(dir string, manual []entry) error {
	entries := []entry{{name: p.executable(), source: p.path, mode: 0o755}}
	entries = append(entries, manual...)
	for i := range entries {
		entries[i].name = path.Join(p.file(), entries[i].name)
	}
	write, extension := writeTarGz, ".tar.gz"
	if p.os == "windows" {
		write, extension = writeZip, ".zip"
	}
	f, err := os.Create(filepath.Join(dir, p.file()+extension))
	if err != nil {
		return err
	}
	return errors.Join(write(f, entries, p.time), f.Close())
}

// sorted is what makes an archive of the same files the same.
func sorted(entries []entry) []entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b entry) int { return strings.Compare(a.name, b.name) })
}

func writeTarGz(w io.Writer, entries []entry, at time.Time) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	for _, e := range sorted(entries) {
		content, err := e.read()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(content)), ModTime: at, Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zipped.Close())
}

func writeZip(w io.Writer, entries []entry, at time.Time) error {
	archive := zip.NewWriter(w)
	for _, e := range sorted(entries) {
		content, err := e.read()
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at}
		header.SetMode(fs.FileMode(e.mode))
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(content); err != nil {
			return err
		}
	}
	return archive.Close()
}
