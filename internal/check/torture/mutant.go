package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The log without most of its syncs: it syncs the first frame of a segment and the last,
// without which it would notice by itself what is missing, and no other. Acknowledged
// writes are in the memory of the kernel only.
const (
	syncFile = "wal/writer.go"
	withSync = `	if err := w.write(); err != nil {
		return err
	}
	w.mu.pos = pos
`
	withoutSync = `	if w.mu.segment.empty() {
		if err := w.write(); err != nil {
			return err
		}
	} else {
		w.mu.buf = w.mu.segment.stamp.finish(w.mu.buf, w.mu.seq+1)
		if _, err := w.mu.segment.file.WriteAt(w.mu.buf, w.mu.segment.used); err != nil {
			return err
		}
		w.mu.segment.used += int64(len(w.mu.buf))
		w.mu.segment.size = max(w.mu.segment.size, w.mu.segment.used)
		w.mu.seq++
	}
	w.mu.pos = pos
`
)

// build makes balsa in dir, as it is or with the bug that a power loss must show.
func build(dir string, noSync bool) (binary string, err error) {
	binary = filepath.Join(dir, "balsa")
	args := []string{"build", "-o", binary}
	if noSync {
		overlay, err := overlayWithoutSync(dir)
		if err != nil {
			return "", fmt.Errorf("take the syncs out of %s: %w", syncFile, err)
		}
		args = append(args, "-overlay", overlay)
	}
	args = append(args, "balsa.example/cmd/balsa")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build balsa: %w\n%s", err, out)
	}
	return binary, nil
}

// overlayWithoutSync writes a list for go build -overlay, so that no file of the
// checkout changes.
func overlayWithoutSync(dir string) (list string, err error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(out)), syncFile)
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if strings.Count(string(text), withSync) != 1 {
		return "", errors.New("it is not there once")
	}
	source := filepath.Join(dir, "save-without-sync.go")
	if err := os.WriteFile(source, []byte(strings.Replace(string(text), withSync, withoutSync, 1)), 0o600); err != nil {
		return "", err
	}
	data, err := json.Marshal(map[string]any{"Replace": map[string]string{original: source}})
	if err != nil {
		return "", err
	}
	list = filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, data, 0o600)
}
