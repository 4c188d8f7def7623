//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/clerk"
	"balsa.example/internal/backup"
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
	empty := filepath.Join(t.TempDir(), "empty")
	for _, name := range []string{"BACKUP", "run-1"} { // as a first backup that broke off
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err = errors.Join(err, os.MkdirAll(empty, 0o700), os.WriteFile(filepath.Join(empty, name), b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, errs := balsa(t, "", "backup", "verify", empty); code != exitUsage || out != "" || !strings.Contains(errs, "it has no points") {
		t.Errorf("verify without a point: %d %q %q", code, out, errs)
	}
	if code, out, _ := balsa(t, "", "backup", "verify", empty, "-o", "json"); code != exitUsage || !strings.HasPrefix(out, `{"ok":false,"points":0,`) {
		t.Errorf("verify without a point: %d %q", code, out)
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

// What a backup holds, hashes of passwords among it, is for its owner alone, also in a directory that
// everybody may enter.
func TestABackupIsForItsOwnerAlone(t *testing.T) {
	endpoints, dir := oneServer(t), t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(t.TempDir(), "made", "by it")
	for _, to := range []string{dir, made} {
		if code, _, errs := balsa(t, "", "backup", to, endpoints); code != exitOK {
			t.Fatalf("backup: %d %q", code, errs)
		}
	}
	for _, top := range []string{dir, filepath.Dir(made)} {
		files := 0
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || path == dir {
				return err
			}
			info, err := entry.Info()
			want := fs.FileMode(0o600)
			if entry.IsDir() {
				want = 0o700
			} else {
				files++
			}
			if err == nil && info.Mode().Perm() != want {
				t.Errorf("%s is %v", path, info.Mode())
			}
			return err
		})
		if err != nil || files < 3 { // the head, a point, a run
			t.Errorf("%s has %d files, %v", top, files, err)
		}
	}
}

// newCluster starts servers on directories, as a new cluster, and returns the endpoints.
func newCluster(t *testing.T, dirs ...string) (endpoints string, stop func()) {
	t.Helper()
	base := freePorts(t, 2*len(dirs))
	var members, clients []string
	for i := range dirs {
		members = append(members, fmt.Sprintf("n%d=%s", i+1, loopback(base+2*i+1)))
		clients = append(clients, loopback(base+2*i))
	}
	var outputs []*lines
	var stops []func() int
	for i, dir := range dirs {
		output, stop := background(t, "", "serve", "--name", fmt.Sprint("n", i+1), "--data-dir", dir,
			"--listen-client-urls", clients[i], "--listen-peer-urls", loopback(base+2*i+1), "--initial-cluster", strings.Join(members, ","))
		outputs, stops = append(outputs, output), append(stops, stop)
	}
	for _, output := range outputs {
		output.await(t, "ready to serve client requests", nil)
	}
	return "--endpoints=" + strings.Join(clients, ","), func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// TestRestoreFromTheCommandLine makes a cluster of one, and of three, from a backup: at a revision, and at
// a time.
func TestRestoreFromTheCommandLine(t *testing.T) {
	endpoints, dir := oneServer(t), t.TempDir()
	saved := filepath.Join(dir, "backup")
	must := func(args ...string) string {
		t.Helper()
		code, out, errs := balsa(t, "", args...)
		if code != exitOK {
			t.Fatalf("%q: %d %s", args, code, errs)
		}
		return out
	}
	for i := range 30 {
		must("put", fmt.Sprint("key ", i%10), fmt.Sprint(i), endpoints)
	}
	before := must("export", endpoints, "--rev", "21")
	between := time.Now()
	must("put", "key 3", "last", endpoints)
	must("backup", saved, endpoints)

	one := filepath.Join(dir, "one")
	if out := must("restore", saved, "--data-dir", one, "--revision", "21"); !strings.Contains(out, "restored revision=21 reached=unknown new_revision=1000000032 ") {
		t.Error(out)
	}
	alone, stop := newCluster(t, one)
	if after := must("export", alone); after != before {
		t.Errorf("restored\n%s\nwant\n%s", after, before)
	}
	if out := must("put", "new", "1", alone); out != "version=1 revision=1000000033\n" {
		t.Error(out)
	}
	if code, _, errs := balsa(t, "", "watch", "--prefix", "", "--rev", "22", alone); code != exitCompacted {
		t.Errorf("a watch of the old cluster: %d %s", code, errs)
	}
	stop()
	alone, stop = newCluster(t, one) // goes on
	if out := must("get", "new", alone); out != "1\n" {
		t.Error(out)
	}
	stop()

	var three []string
	var at restoredJSON
	for i := range 3 {
		three = append(three, filepath.Join(dir, fmt.Sprint("n", i)))
		out := must("restore", saved, "--data-dir", three[i], "--time", between.Format(time.RFC3339Nano), "--keep-revisions", "-o", "json")
		if err := json.Unmarshal([]byte(out), &at); err != nil || at.Revision > 31 || at.NewRevision != at.Revision || at.Compacted != 1 {
			t.Errorf("%s: %v", out, err) // how much earlier is a matter of when the leader has stamped
		}
	}
	cluster, stop := newCluster(t, three...)
	defer stop()
	if before, after := must("export", endpoints, "--rev", fmt.Sprint(at.Revision)), must("export", cluster); after != before {
		t.Errorf("restored\n%s\nwant\n%s", after, before)
	}
	for args, want := range map[string]string{
		"--data-dir " + one:                                             "is not empty",
		"--data-dir " + dir + "/x --revision 99":                        "covers revisions 1 to 32",
		"--data-dir " + dir + "/x --time 2320-01-01T00:00:00Z":          "whose newest point is of",
		"--data-dir " + dir + "/x --time yesterday":                     "it must be such as",
		"--data-dir " + dir + "/x --time 2320-01-01T00:00 --revision 1": "not both",
		"--revision 1": "--data-dir is missing",
	} {
		if code, _, errs := balsa(t, "", append([]string{"restore", saved}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s", args, code, errs)
		}
	}
}

// TestServersThatWereRestoredUnlike refuse each other.
func TestServersThatWereRestoredUnlike(t *testing.T) {
	endpoints, dir := oneServer(t), t.TempDir()
	saved := filepath.Join(dir, "backup")
	for i := range 3 {
		if code, _, errs := balsa(t, "", "put", "key", fmt.Sprint(i), endpoints); code != exitOK {
			t.Fatal(errs)
		}
	}
	if code, _, errs := balsa(t, "", "backup", saved, endpoints); code != exitOK {
		t.Fatal(errs)
	}
	base := freePorts(t, 4)
	members := fmt.Sprintf("n1=%s,n2=%s", loopback(base+1), loopback(base+3))
	for i := range 2 {
		data := filepath.Join(dir, fmt.Sprint("n", i+1))
		if code, _, errs := balsa(t, "", "restore", saved, "--data-dir", data, "--revision", fmt.Sprint(3+i)); code != exitOK {
			t.Fatal(errs)
		}
		output, _ := background(t, "", "serve", "--name", fmt.Sprint("n", i+1), "--data-dir", data,
			"--listen-client-urls", loopback(base+2*i), "--listen-peer-urls", loopback(base+2*i+1), "--initial-cluster", members)
		if i == 1 {
			output.await(t, "would begin the cluster with different data", nil)
		}
	}
}

// A directory that is not a server's is told as such.
func TestRecoverFromWhatIsNoServers(t *testing.T) {
	dir, endpoints := t.TempDir(), oneServer(t)
	empty, kept, half := filepath.Join(dir, "empty"), filepath.Join(dir, "backup"), filepath.Join(dir, "half")
	if err := errors.Join(os.Mkdir(empty, 0o700), os.MkdirAll(filepath.Join(half, "state"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := balsa(t, "", "backup", kept, endpoints); code != exitOK {
		t.Fatal(errs)
	}
	for old, says := range map[string]string{
		filepath.Join(dir, "none"): "none: there is no such directory\n",
		empty:                      "empty: it holds nothing of a server\n",
		kept:                       "backup: it holds nothing of a server\n",
		half:                       "no log in this directory",
	} {
		code, out, errs := balsa(t, "", "recover", old, "--data-dir", filepath.Join(dir, "new"))
		if code != exitUsage || out != "" || !strings.Contains(errs, says) {
			t.Errorf("%s: code %d, out %q, err %q", old, code, out, errs)
		}
	}
}

// TestRecoverFromTheCommandLine: a server is checked, and its directory becomes a cluster of its own.
func TestRecoverFromTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	cluster, stop := newCluster(t, old)
	for i := range 20 {
		if code, _, errs := balsa(t, "", "put", fmt.Sprint("key ", i), fmt.Sprint(i), cluster); code != exitOK {
			t.Fatal(errs)
		}
	}
	_, before, _ := balsa(t, "", "export", cluster)
	if code, _, errs := balsa(t, "", "check", old); code != exitUsage || !strings.Contains(errs, "stop it first") {
		t.Errorf("check of a directory in use: %d %s", code, errs)
	}
	if code, _, errs := balsa(t, "", "recover", old, "--data-dir", fresh); code != exitUsage || !strings.Contains(errs, "stop it first") {
		t.Errorf("recover from a directory in use: %d %s", code, errs)
	}
	stop()
	if code, out, errs := balsa(t, "", "check", old); code != exitOK || !strings.Contains(out, `is in order: name="n1"`) {
		t.Errorf("check: %d %s %s", code, out, errs)
	}
	if code, out, errs := balsa(t, "", "recover", old, "--data-dir", fresh); code != exitOK || !strings.Contains(out, "revision=21\n") || !strings.Contains(out, "--yes") {
		t.Errorf("recover: %d %s %s", code, out, errs)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("recover has made a directory without --yes")
	}
	withoutLock(t, old, fresh)
	interruptedRecover(t, old, fresh)
	if code, out, errs := balsa(t, "", "recover", old, "--data-dir", fresh, "--yes"); code != exitOK || !strings.Contains(out, "recovered new_revision=1000000021 ") {
		t.Fatalf("recover: %d %s %s", code, out, errs)
	}
	if code, out, errs := balsa(t, "", "check", fresh); code != exitOK || !strings.Contains(out, `name="" cluster=none`) {
		t.Errorf("what was recovered belongs to somebody: %d %s %s", code, out, errs)
	}
	cluster, stop = newCluster(t, fresh)
	defer stop()
	if _, after, _ := balsa(t, "", "export", cluster); after != before {
		t.Errorf("recovered\n%s\nwant\n%s", after, before)
	}
	doubtfulRecover(t, old, fresh+"1")
	names, err := filepath.Glob(filepath.Join(old, "wal", "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	b[70]++
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := balsa(t, "", "recover", old, "--data-dir", fresh+"2"); code != exitDamaged || !strings.Contains(errs, "is corrupt at offset") {
		t.Errorf("recover from damage: %d %s", code, errs)
	}
	var report reportJSON
	code, out, _ := balsa(t, "", "check", old, "-o", "json")
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitDamaged || len(report.Problems) == 0 || report.Problems[0].File != names[0] {
		t.Errorf("check of damage: %d %s", code, out)
	}
}

// withoutLock fails the test unless a directory is read whose lock cannot be held, with a warning.
func withoutLock(t *testing.T, old, fresh string) {
	t.Helper()
	lock := filepath.Join(old, "LOCK")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", old}, {"recover", old, "--data-dir", fresh}} {
		if code, out, errs := balsa(t, "", args...); code != exitOK || !strings.Contains(errs, "is read without its lock") {
			t.Errorf("%s: %d %s %s", args[0], code, out, errs)
		}
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
}

// doubtfulRecover fails the test unless recover says what speaks against a directory, and goes on with it all the same.
func doubtfulRecover(t *testing.T, old, fresh string) {
	t.Helper()
	members := filepath.Join(old, "MEMBERS")
	good, err := os.ReadFile(members)
	if err != nil {
		t.Fatal(err)
	}
	diverged := filepath.Join(old, "DIVERGED")
	if err := errors.Join(os.WriteFile(diverged, []byte("hash 3, want 4\n"), 0o600), os.Remove(members)); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := balsa(t, "", "recover", old, "--data-dir", fresh); code != exitOK || !strings.Contains(errs, "hash 3") || !strings.Contains(errs, "no file MEMBERS") {
		t.Errorf("DIVERGED without MEMBERS: %d %s", code, errs)
	}
	if err := errors.Join(os.WriteFile(members, good, 0o600), os.Remove(diverged)); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"DIVERGED": "hash 1, want 2\n", "MEMBERS": string(good[:len(good)-1])} {
		if err := os.WriteFile(filepath.Join(old, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := balsa(t, "", "recover", old, "--data-dir", fresh)
		if want := map[string]string{"DIVERGED": "its state differed from that of a majority: hash 1", "MEMBERS": members}[name]; code != exitOK ||
			!strings.Contains(out, "revision=21\n") || !strings.Contains(errs, want) || !strings.Contains(errs, "warning") {
			t.Errorf("%s: %d %s %s", name, code, out, errs)
		}
		if err := os.Remove(filepath.Join(old, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(members, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// interruptedRecover fails the test if anything is left of a recover that is interrupted, wherever that is.
func interruptedRecover(t *testing.T, old, fresh string) {
	p := program{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, env: noEnv}
	for looks := range 1000 {
		ctx := &endingContext{Context: t.Context(), after: looks}
		if _, err := p.recoverFrom(ctx, old, fresh, true, false); err == nil {
			if err := os.RemoveAll(fresh); err != nil || looks < 3 {
				t.Errorf("after %d looks: %v", looks, err)
			}
			return
		}
		if _, err := os.Stat(fresh); err == nil {
			t.Fatalf("recover was interrupted at its look %d, and has left a directory", looks)
		}
	}
}

// endingContext is a context that ends after so many looks at it.
type endingContext struct {
	context.Context
	after int
}

func (c *endingContext) Err() error {
	if c.after--; c.after < 0 {
		return context.Canceled
	}
	return nil
}

// TestWhatIsLeftOfARestore: a restore that fails leaves nothing, one that was killed is told, and a backup
// that lacks a file is not added to.
func TestWhatIsLeftOfARestore(t *testing.T) {
	endpoints, dir := oneServer(t), t.TempDir()
	saved, data := filepath.Join(dir, "backup"), filepath.Join(dir, "data")
	for i := range 20 {
		if code, _, errs := balsa(t, "", "put", fmt.Sprint("key ", i), fmt.Sprint(i), endpoints); code != exitOK {
			t.Fatal(errs)
		}
	}
	if code, _, errs := balsa(t, "", "backup", saved, endpoints); code != exitOK {
		t.Fatal(errs)
	}
	file := filepath.Join(saved, "run-1")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, b []byte) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var bad []byte
	for _, at := range []int{0, 40, len(good) - 1, len(good) / 2} {
		bad = bytes.Clone(good)
		bad[at]++
		write(file, bad)
		code, _, errs := balsa(t, "", "restore", saved, "--data-dir", data)
		if code != exitDamaged || !strings.Contains(errs, "the backup is damaged") || !strings.Contains(errs, file+" is corrupt at offset") || strings.Contains(errs, data) {
			t.Errorf("restore from a backup that is damaged at %d: %d %s", at, code, errs)
		}
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("a restore that failed has left a directory")
	}
	write(file, good[:len(good)-1])
	if code, _, errs := balsa(t, "", "backup", saved, endpoints); code != exitDamaged || !strings.Contains(errs, "run-1 has") {
		t.Errorf("backup to a directory with a short file: %d %s", code, errs)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := balsa(t, "", "backup", saved, endpoints); code != exitDamaged || !strings.Contains(errs, "run-1 is missing") {
		t.Errorf("backup to a directory without a file: %d %s", code, errs)
	}
	write(file, good)
	write(filepath.Join(data, "state", "run-1"), good[:100])
	if code, _, errs := balsa(t, "", "restore", saved, "--data-dir", data); code != exitUsage || !strings.Contains(errs, "that was killed") {
		t.Errorf("restore to what was left: %d %s", code, errs)
	}
	if code, _, errs := balsa(t, "", "restore", saved, "--data-dir", filepath.Join(dir, "zero"), "--revision", "0"); code != exitUsage {
		t.Errorf("restore of revision 0: %d %s", code, errs)
	}
	code, out, errs := balsa(t, "", "restore", saved, "--data-dir", filepath.Join(dir, "before"), "--time", "2000-01-01 00:00")
	if code != exitOK || !strings.Contains(out, "restored revision=1 ") || !strings.Contains(errs, "there are no keys") {
		t.Errorf("restore of a time before all: %d %s %s", code, out, errs)
	}
}

// A point whose file is damaged is named, and the others stay of use.
func TestADamagedPointOfABackupAmongOthers(t *testing.T) {
	endpoints, dir := oneServer(t), t.TempDir()
	saved := filepath.Join(dir, "backup")
	for i := range 2 {
		for _, args := range [][]string{{"put", fmt.Sprint("key", i), fmt.Sprint(i)}, {"backup", saved}} {
			if code, _, errs := balsa(t, "", append(args, endpoints)...); code != exitOK {
				t.Fatal(errs)
			}
		}
	}
	points, err := filepath.Glob(filepath.Join(saved, "point-2-*"))
	if err != nil || len(points) != 1 {
		t.Fatal(points, err)
	}
	var verified verifyJSON
	if code, out, errs := balsa(t, "", "backup", "verify", saved, "-o", "json"); code != exitOK || json.Unmarshal([]byte(out), &verified) != nil || !verified.OK || verified.Points != 2 {
		t.Fatal(code, out, errs)
	}
	b, err := os.ReadFile(points[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2]++
	if err := os.WriteFile(points[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := balsa(t, "", "backup", "list", saved); code != exitDamaged || strings.Count(out, "\n") != 2 || !strings.Contains(out, "to 3") || !strings.Contains(errs, points[0]) {
		t.Errorf("list: %d %s %s", code, out, errs)
	}
	if code, out, errs := balsa(t, "", "backup", "list", saved, "-o", "json"); code != exitDamaged || !strings.HasPrefix(out, `{"revision":3,`) || strings.Count(out, "\n") != 1 || !strings.Contains(errs, points[0]) {
		t.Errorf("list: %d %s %s", code, out, errs)
	}
	if code, out, errs := balsa(t, "", "backup", "verify", saved); code != exitDamaged || !strings.Contains(out, points[0]) || !strings.Contains(errs, "other points are in order: revisions 1 to 3") {
		t.Errorf("verify: %d %s %s", code, out, errs)
	}
	code, out, errs := balsa(t, "", "backup", "verify", saved, "-o", "json")
	if err := json.Unmarshal([]byte(out), &verified); err != nil || code != exitDamaged || verified.OK || verified.Points != 1 || len(verified.Damage) != 1 || !strings.Contains(verified.Damage[0], points[0]) {
		t.Errorf("verify: %d %s %s", code, out, errs)
	}
	code, out, _ = balsa(t, "", "doctor", "--local", "--backup-dir", saved)
	if code != exitProblem || !strings.Contains(out, "not all of it") {
		t.Errorf("doctor: %d %s", code, out)
	}
	for i, args := range [][]string{
		{"backup", saved, endpoints}, // nothing is new
		{"put", "key2", "2", endpoints},
		{"backup", saved, endpoints},
		{"restore", saved, "--data-dir", filepath.Join(dir, "data")},
	} {
		if code, out, errs := balsa(t, "", args...); code != exitOK {
			t.Errorf("command %d: %d %s %s", i, code, out, errs)
		}
	}
	b[len(b)/2]-- // a newer program has written it, and it is in order
	b[8]++
	binary.LittleEndian.PutUint64(b[len(b)-8:], xxhash.Sum64(b[:len(b)-8]))
	if err := os.WriteFile(points[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := balsa(t, "", "backup", "list", saved); code != exitError || strings.Count(out, "\n") != 3 || !strings.Contains(errs, points[0]) {
		t.Errorf("list: %d %s %s", code, out, errs)
	}
	if code, out, errs := balsa(t, "", "backup", "verify", saved); code != exitError || !strings.Contains(out, points[0]) || !strings.Contains(errs, "newer program reads; its others are in order: revisions 1 to 4") {
		t.Errorf("verify: %d %s %s", code, out, errs)
	}
}

func TestABackupOfOlderServersSaysWhatToDo(t *testing.T) {
	unknown := status.Error(codes.Unimplemented, "unknown method Backup")
	for _, err := range []error{
		fmt.Errorf("open: %w", unknown),
		fmt.Errorf("backup: %w: %w", clerk.ErrUnavailable, errors.Join(fmt.Errorf("h1:1: %w", unknown), fmt.Errorf("h2:1: %w", unknown))),
	} {
		if err := explainBackup(nil, err); !strings.Contains(err.Error(), "older version") || strings.Contains(err.Error(), "Backup") {
			t.Error(err)
		}
	}
}

// TestABackupGoesOnInPeace: a server that breaks off each stream is asked for no more than one a second.
func TestABackupGoesOnInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		p := program{stderr: io.Discard}
		saved, streams := new(transfer), 0
		_, _, err := p.inStreams(ctx, saved, func() (*backup.Point, bool, error) {
			if streams++; streams > 1000 {
				return nil, false, errors.New("too many streams")
			}
			saved.tell(int64(streams), 1<<20)
			return nil, false, errStream
		})
		if !errors.Is(err, errStream) || streams > 61 {
			t.Errorf("%d streams in a minute, then %v", streams, err)
		}
	})
}

// A directory that a command writes to, or a server runs on, is nobody else's.
func TestOneRestoreAtATime(t *testing.T) {
	endpoints, dir := oneServer(t), t.TempDir()
	saved, data := filepath.Join(dir, "backup"), filepath.Join(dir, "data")
	if code, _, errs := balsa(t, "", "backup", saved, endpoints); code != exitOK {
		t.Fatal(errs)
	}
	for round := range 2 {
		release, err := reserve(data)
		if err != nil {
			t.Fatal(err)
		}
		if code, _, errs := balsa(t, "", "restore", saved, "--data-dir", data); code != exitUsage || !strings.Contains(errs, "is in use") {
			t.Errorf("a second one: %d %s", code, errs)
		}
		if code, _, errs := balsa(t, "", "recover", dir, "--data-dir", data); code != exitUsage || !strings.Contains(errs, "is in use") {
			t.Errorf("a recovery: %d %s", code, errs)
		}
		if code, _, errs := balsa(t, "", "check", data); code != exitUsage || !strings.Contains(errs, "stop it first") {
			t.Errorf("a check: %d %s", code, errs)
		}
		if release(); round == 0 {
			if _, err := os.Stat(data); err == nil {
				t.Error("a directory is left, and nothing was written")
			}
		}
	}
	if code, _, errs := balsa(t, "", "restore", saved, "--data-dir", data); code != exitOK {
		t.Fatal(errs)
	}
	if entries, err := os.ReadDir(data); err != nil || len(entries) != 1 {
		t.Errorf("%v: %v", entries, err)
	}
}
