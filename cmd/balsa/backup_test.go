//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackupsFromTheCommandLine makes two, lists and checks them, and finds damage.
func TestBackupsFromTheCommandLine(t *testing.T) {
	endpoints, dir := oneServer(t), filepath.Join(t.TempDir(), "backup")
	var points []pointJSON
	for i := range 2 {
		for j := range 20 {
			if code, _, errs := balsa(t, "", "put", fmt.Sprint("key ", j), fmt.Sprint(i), endpoints); code != exitOK {
				t.Fatal(errs)
			}
		}
		var p pointJSON
		code, out, errs := balsa(t, "", "backup", dir, "-o", "json", endpoints)
		if err := json.Unmarshal([]byte(out), &p); err != nil || code != exitOK || p.Revision != uint64(21+20*i) || p.Nothing {
			t.Fatalf("backup: %d %q %q", code, out, errs)
		}
		points = append(points, p)
	}
	code, out, errs := balsa(t, "", "backup", "list", dir, "-o", "json")
	var listed []pointJSON
	for line := range strings.Lines(out) {
		var p pointJSON
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		listed = append(listed, p)
	}
	if code != exitOK || fmt.Sprint(listed) != fmt.Sprint(points) {
		t.Errorf("list: %d %q\n%v\n%v", code, errs, listed, points)
	}
	if code, out, errs := balsa(t, "", "backup", "list", dir); code != exitOK || !strings.Contains(out, "1 to 41") {
		t.Errorf("list: %d %q %q", code, out, errs)
	}
	if code, out, errs := balsa(t, "", "backup", "verify", dir); code != exitOK || out != "2 points are in order: revisions 1 to 41\n" {
		t.Errorf("verify: %d %q %q", code, out, errs)
	}
	run := filepath.Join(dir, "run-1")
	b, err := os.ReadFile(run)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2]++
	if err := os.WriteFile(run, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := balsa(t, "", "backup", "verify", dir); code != exitDamaged || !strings.Contains(out, "run-1 is corrupt at offset") {
		t.Errorf("verify: %d %q %q", code, out, errs)
	}
	if code, _, errs := balsa(t, "", "backup", "list", t.TempDir()); code != exitUsage || !strings.Contains(errs, "no backup") {
		t.Errorf("list of an empty directory: %d %q", code, errs)
	}
	if code, _, errs := balsa(t, "", "backup", filepath.Dir(run)+"/..", endpoints); code != exitUsage || !strings.Contains(errs, "holds") {
		t.Errorf("backup to a directory with other things: %d %q", code, errs)
	}
}
