package rotate

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// open opens a log whose clock goes on by a minute with each look at it.
func open(t *testing.T, cfg Config) (f *File, dir string) {
	t.Helper()
	dir = t.TempDir()
	f, err := Open(filepath.Join(dir, "etcd.log"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	f.now = func() time.Time { now = now.Add(time.Minute); return now }
	return f, dir
}

func write(t *testing.T, f *File, line string) {
	t.Helper()
	if n, err := io.WriteString(f, line); err != nil || n != len(line) {
		t.Fatalf("wrote %d: %v", n, err)
	}
	f.tidy.Wait() // else it would skip files that come soon after another
}

// names are the files of a directory, and what is in them.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		file, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var r io.Reader = file
		if strings.HasSuffix(e.Name(), compressed) {
			if r, err = gzip.NewReader(file); err != nil {
				t.Fatal(err)
			}
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Name()+"="+string(data))
	}
	return strings.Join(all, " ")
}

func TestFilesEndAtTheirSize(t *testing.T) {
	f, dir := open(t, Config{MaxBytes: 4})
	for _, line := range []string{"aa", "bb", "cc", "longer than it may be", "d"} {
		write(t, f, line)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want := "etcd-2026-01-02T03-01-00.000.log=aabb etcd-2026-01-02T03-02-00.000.log=cc etcd-2026-01-02T03-03-00.000.log=longer than it may be etcd.log=d"
	if got := names(t, dir); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if g, err := Open(filepath.Join(dir, "etcd.log"), Config{MaxBytes: 4}); err != nil || g.size != 1 {
		t.Errorf("it goes on at %d: %v", g.size, err)
	}
}

func TestOldFilesAreRemovedAndCompressed(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{MaxBackups: 1}, "etcd-2026-01-02T03-03-00.000.log=cc etcd-none.log=x etcd.log=dd"},
		{Config{Compress: true, MaxBackups: 2}, "etcd-2026-01-02T03-02-00.000.log.gz=bb etcd-2026-01-02T03-03-00.000.log.gz=cc etcd-none.log=x etcd.log=dd"},
	} {
		test.cfg.MaxBytes = 2
		f, dir := open(t, test.cfg)
		if err := os.WriteFile(filepath.Join(dir, "etcd-none.log"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"aa", "bb", "cc", "dd"} {
			write(t, f, line)
		}
		if got := names(t, dir); got != test.want {
			t.Errorf("%+v: %s, want %s", test.cfg, got, test.want)
		}
	}
}

func TestOldFilesGoByTheirAge(t *testing.T) {
	f, dir := open(t, Config{MaxBytes: 2, MaxAge: 24 * time.Hour})
	begin := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for i, line := range []string{"aa", "bb", "cc", "dd"} {
		f.now = func() time.Time { return begin.Add(time.Duration(i) * 13 * time.Hour) }
		write(t, f, line)
	}
	if got, want := names(t, dir), "etcd-2026-01-03T05-00-00.000.log=bb etcd-2026-01-03T18-00-00.000.log=cc etcd.log=dd"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	f.now = func() time.Time { return begin.Add(60 * time.Hour) }
	if write(t, f, "ee"); strings.Contains(names(t, dir), "=bb") {
		t.Error(names(t, dir))
	}
}

// While a file cannot be opened nothing is lost but what was to be written, and it may be tried again.
func TestRotationIsTriedAgain(t *testing.T) {
	f, dir := open(t, Config{MaxBytes: 2})
	write(t, f, "aa")
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := io.WriteString(f, "bb"); n != 0 || err == nil {
			t.Errorf("wrote %d: %v", n, err)
		}
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	write(t, f, "bb")
	if got := names(t, dir); !strings.Contains(got, "etcd.log=") || !strings.Contains(got, "bb") || !strings.Contains(got, "aa") {
		t.Error(got)
	}
}

func TestNamesNeverMeet(t *testing.T) {
	f, dir := open(t, Config{MaxBytes: 1})
	f.now = func() time.Time { return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC) }
	for i := range 5 {
		write(t, f, fmt.Sprint(i))
	}
	if got := strings.Count(names(t, dir), "="); got != 5 {
		t.Errorf("%d files: %s", got, names(t, dir))
	}
}

// A file of a name that is there compressed would be compressed over that.
func TestNamesOfCompressedFilesNeverMeet(t *testing.T) {
	f, dir := open(t, Config{MaxBytes: 1, Compress: true})
	f.now = func() time.Time { return time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC) }
	for i := range 5 {
		write(t, f, fmt.Sprint(i))
	}
	if got := names(t, dir); strings.Count(got, "=") != 5 {
		t.Error(got)
	}
}

// The process may have been killed as it compressed a file: before the compressed one was whole, or before the other one was removed.
func TestAnEndWhileAFileIsCompressed(t *testing.T) {
	f, dir := open(t, Config{MaxBytes: 2, Compress: true, MaxBackups: 2})
	for _, line := range []string{"aa", "bb", "cc"} {
		write(t, f, line)
	}
	if err := os.Remove(filepath.Join(dir, "etcd-2026-01-02T03-01-00.000.log.gz")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"etcd-2026-01-02T03-01-00.000.log":        "aa",
		"etcd-2026-01-02T03-01-00.000.log.gz.tmp": "half",
		"etcd-2026-01-02T03-02-00.000.log":        "bb",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(t, f, "dd")
	if got, want := names(t, dir), "etcd-2026-01-02T03-02-00.000.log.gz=bb etcd-2026-01-02T03-03-00.000.log.gz=cc etcd.log=dd"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The name may be too long with a time in it, or the directory not to be written.
func TestALogThatCannotBeRenamedGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("a", 240)+".log")
	writeBeyondSize(t, path)
	if data, err := os.ReadFile(path); err != nil || string(data) != "aabbcc" {
		t.Errorf("%q: %v", data, err)
	}
}

// What keeps a file from being renamed mostly lasts, so each attempt waits until as much was written as a file may have. When
// it goes, so does the large file.
func TestARenameThatFailsIsNotTriedAtEachWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, strings.Repeat("a", 240)+".log")
	f, err := Open(path, Config{MaxBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	attempts, now := 0, time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	f.now = func() time.Time { attempts++; return now }
	for range 1000 {
		write(t, f, "line")
	}
	if attempts < 20 || attempts > 40 {
		t.Errorf("it was tried %d times while 4000 bytes were written to files of 100", attempts)
	}
	f.path = filepath.Join(dir, "b.log") // a name that leaves room for a time
	if err := os.Rename(path, f.path); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		write(t, f, "line")
	}
	if old, err := os.ReadFile(filepath.Join(dir, "b-2026-01-02T03-00-00.000.log")); err != nil || len(old) < 4000 || len(old) > 4100 {
		t.Errorf("the old file has %d bytes: %v", len(old), err)
	}
	if f.size > 100 {
		t.Errorf("the next one has %d", f.size)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// writeBeyondSize writes three lines to a log that has its full size after each.
func writeBeyondSize(t *testing.T, path string) {
	t.Helper()
	f, err := Open(path, Config{MaxBytes: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"aa", "bb", "cc"} {
		write(t, f, line)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
