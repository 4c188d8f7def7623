package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// scratch is a folder for what all tests share.
var scratch string

// made is the folder of a release for Linux on this machine, which is made when the first test asks for it.
var made = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "release")
	return dir, release(context.Background(), linuxRelease(dir))
})

func linuxRelease(dir string) options {
	return options{root: "..", out: dir, platforms: []string{"linux/" + runtime.GOARCH}}
}

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "balsa-packaging"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return m.Run()
}

// dist returns the folder of the release.
func dist(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	dir, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// one returns the one file of the release that matches.
func one(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dist(t), pattern))
	if err != nil || len(names) != 1 {
		t.Fatalf("%s: %q, %v", pattern, names, err)
	}
	return names[0]
}

// run runs a command, which must succeed, and returns what it writes.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// needs skips a test where a command is missing.
func needs(t *testing.T, commands ...string) {
	t.Helper()
	for _, name := range commands {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
}

func TestTheSameSourcesGiveTheSameBytes(t *testing.T) {
	first, second := dist(t), t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("GOFLAGS", "-buildvcs=false -tags=other")
	t.Setenv("TZ", "Asia/Kathmandu")
	if err := release(t.Context(), linuxRelease(second)); err != nil {
		t.Fatal(err)
	}
	a, b := contents(t, first), contents(t, second)
	if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) || len(a) < 5 {
		t.Fatalf("%q\nand %q", slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s differs: %d and %d bytes", name, len(a[name]), len(b[name]))
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		all[strings.TrimPrefix(name, dir)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestChecksumsAreRight(t *testing.T) {
	needs(t, "sha256sum")
	cmd := exec.Command("sha256sum", "--check", "--strict", sums)
	cmd.Dir = dist(t)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), ": OK\n") < 4 {
		t.Errorf("%v: %s", err, out)
	}
}

// From the archive to the first key that is read back: a newcomer's first minute.
func TestAProgramFromTheArchiveServes(t *testing.T) {
	start := time.Now()
	dir := t.TempDir()
	balsa := unpack(t, one(t, "*.tar.gz"), dir)
	if out := run(t, balsa, "--version"); !strings.Contains(filepath.Base(filepath.Dir(balsa)), strings.Fields(out)[1]) {
		t.Errorf("%s says %s", balsa, out)
	}
	clients, peers := address(t), address(t)
	cmd := exec.Command(balsa, "serve", "--data-dir", filepath.Join(dir, "data"),
		"--listen-client-urls", "http://"+clients, "--listen-peer-urls", "http://"+peers)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(os.Interrupt)
	run(t, balsa, "put", "greeting", "hello", "--endpoints", clients, "--timeout", "30s")
	if out := run(t, balsa, "get", "greeting", "--endpoints", clients); out != "hello\n" {
		t.Errorf("get prints %q", out)
	}
	t.Logf("%.2f s from the archive to the first key read back", time.Since(start).Seconds())
}

// unpack unpacks an archive, and returns where its program is.
func unpack(t *testing.T, archive, dir string) (program string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewReader(zipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return program
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(header.Name))
		content, err := io.ReadAll(files)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, fs.FileMode(header.Mode))); err != nil {
			t.Fatal(err)
		}
		if filepath.Base(name) == "balsa" {
			program = name
		}
	}
}

// address returns a free one of loopback.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTheBillOfMaterialsNamesWhatIsLinked(t *testing.T) {
	f, err := os.Open(one(t, "*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(f, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	balsa := unpack(t, one(t, "*.tar.gz"), t.TempDir())
	var want []string
	for _, m := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(run(t, "go", "version", "-m", balsa), -1) {
		want = append(want, "pkg:golang/"+m[1]+"@"+strings.ReplaceAll(m[2], "+", "%2B"))
	}
	want = append(want, "pkg:golang/std@"+strings.TrimPrefix(runtime.Version(), "go"))
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.PackageURL)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(got) < 10 {
		t.Errorf("it names %q\nwant %q", got, want)
	}
	number := regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if main := bom.Metadata.Component; main.Name != "balsa.example" || !number.MatchString(bom.SerialNumber) {
		t.Errorf("it is about %s, with the number %s", main.Name, bom.SerialNumber)
	}
}

func TestTheUnitIsSound(t *testing.T) {
	needs(t, "systemd-analyze")
	unit, err := os.ReadFile("linux/balsa.service")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	balsa := unpack(t, one(t, "*.tar.gz"), dir)
	name := filepath.Join(dir, "balsa.service")
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(unit), "/usr/bin/balsa", balsa)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", name); strings.Contains(out, "balsa.service") {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	// 1.5 of 10: the rest is that a server of a network has a network.
	run(t, "systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", name)
}

// What docs/install.md has systemd do with a disk for the data is sound, too, and systemd reads it.
func TestTheUnitTakesADiskForItsData(t *testing.T) {
	needs(t, "systemd-analyze")
	page, err := os.ReadFile("../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)(?:^    .*\n|^\n)*^    ReadWritePaths=.*\n`).FindString(string(page))
	block = strings.ReplaceAll(strings.TrimSpace(block), "\n    ", "\n") + "\n"
	unit, err := os.ReadFile("linux/balsa.service")
	if err != nil {
		t.Fatal(err)
	}
	for text, sound := range map[string]bool{block: true, block + "MemoryMax=4G\n": true, strings.ReplaceAll(block, "ReadWrite", "WriteRead"): false} {
		dir := t.TempDir()
		writeFiles(t, dir, map[string][]byte{"balsa.service": []byte(strings.ReplaceAll(string(unit), "/usr/bin/balsa", "/bin/true"))})
		writeFiles(t, filepath.Join(dir, "balsa.service.d"), map[string][]byte{"override.conf": []byte(text)})
		out, _ := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, "balsa.service")).CombinedOutput()
		if complains := strings.Contains(string(out), "balsa.service"); complains == sound {
			t.Errorf("%s\nsystemd-analyze verify: %s", text, out)
		}
	}
}

// isolated skips a test where no file system of its own can be laid over that of this machine.
func isolated(t *testing.T) {
	t.Helper()
	needs(t, "unshare")
	dist(t) // which all tests share, so it is not made in the folder of this one
	t.Setenv("TMPDIR", t.TempDir())
	if out, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
		"d=$(mktemp -d) && mount -t tmpfs tmpfs $d && mkdir $d/u $d/w $d/r && mount -t overlay overlay -o lowerdir=/,upperdir=$d/u,workdir=$d/w $d/r").CombinedOutput(); err != nil {
		t.Skipf("no overlay of this machine: %v: %s", err, out)
	}
}

func TestThePackageIsInstalledServesAndIsPurged(t *testing.T) {
	needs(t, "dpkg", "setpriv")
	isolated(t)
	_, client, _ := net.SplitHostPort(address(t))
	_, peer, _ := net.SplitHostPort(address(t))
	out := run(t, "unshare", "--mount", "--propagation", "private", "bash", "testdata/install.sh", one(t, "*.deb"), client, peer)
	for _, want := range []string{
		"\nhello\n", "root:root 755 /usr/bin/balsa", "root:root 644 /etc/balsa/balsa.yaml", "\n /etc/balsa/balsa.yaml ", "balsa /var/lib/balsa/default",
		"systemctl enable --now balsa", "restart one member", "the data stays", "installed, served and purged",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if _, err := os.Stat(configFile); err == nil {
		t.Logf("%s is on this machine, perhaps of another installation", configFile)
	}
}

func TestTheRPMHoldsWhatTheDebDoes(t *testing.T) {
	needs(t, "rpm", "dpkg-deb")
	name := one(t, "*.rpm")
	home := "--dbpath=" + t.TempDir()
	if out := run(t, "rpm", home, "-K", "--nosignature", name); !strings.Contains(out, "digests OK") {
		t.Error(out)
	}
	inRPM := strings.Fields(run(t, "rpm", home, "-qpl", name))
	var inDeb []string
	for line := range strings.Lines(run(t, "dpkg-deb", "-c", one(t, "*.deb"))) {
		if fields := strings.Fields(line); line[0] != 'd' {
			inDeb = append(inDeb, strings.TrimPrefix(fields[5], "."))
		}
	}
	slices.Sort(inDeb)
	slices.Sort(inRPM)
	if !slices.Equal(inRPM, inDeb) || len(inRPM) < 10 {
		t.Errorf("%q\nand %q", inRPM, inDeb)
	}
	if out := run(t, "rpm", home, "-qp", "--configfiles", name); out != configFile+"\n" {
		t.Errorf("configuration files: %s", out)
	}
}

// Each command has a page for man(1), which is found and can be read.
func TestEachCommandHasAManPage(t *testing.T) {
	needs(t, "dpkg-deb", "tar")
	dir := t.TempDir()
	run(t, "sh", "-c", `dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" ./usr/share/man`, one(t, "*.deb"), dir)
	index, err := os.ReadFile("../docs/reference/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"balsa", "balsa-serve", "balsa-etcd"}
	for _, m := range regexp.MustCompile(`(?m)^## (balsa .*)$`).FindAllStringSubmatch(string(index), -1) {
		names = append(names, strings.ReplaceAll(m[1], " ", "-"))
	}
	found, err := filepath.Glob(filepath.Join(dir, "usr/share/man/man1/*.1.gz"))
	if err != nil || len(found) != len(names) || len(names) < 50 {
		t.Errorf("%d pages of %d commands: %v", len(found), len(names), err)
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, "usr/share/man/man1", name+".1.gz")); err != nil {
			t.Error(err)
		}
	}
	needs(t, "man")
	for name, wants := range map[string][]string{
		"balsa":            {"balsa - a fault-tolerant", "balsa member add\n", "--endpoints strings", "balsa-serve(1)"},
		"balsa-serve":      {"balsa-serve - Run one server", "--join strings", "Default: 500."},
		"balsa-member-add": {"balsa member add", "which balsa(1) has", "SYNOPSIS"},
	} {
		cmd := exec.Command("man", "--warnings", "-l", filepath.Join(dir, "usr/share/man/man1", name+".1.gz"))
		cmd.Env = append(os.Environ(), "LC_ALL=C", "MANWIDTH=120", "MAN_KEEP_FORMATTING=")
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning") {
			t.Errorf("man %s: %v: %s", name, err, out)
		}
		for _, want := range wants {
			if !strings.Contains(string(out), want) {
				t.Errorf("man %s has no %q: %s", name, want, out)
			}
		}
	}
}

// balsaTakes has the real program read a command line, up to where it would begin to serve.
func balsaTakes(t *testing.T, balsa string, args ...string) {
	t.Helper()
	if out, err := exec.Command(balsa, append(args, "--help")...).CombinedOutput(); err != nil {
		t.Errorf("balsa %q: %v: %s", args, err, out)
	}
}

// balsaReads has the real program read a configuration file, up to the value of a flag that it refuses.
func balsaReads(t *testing.T, balsa, file string, env ...string) {
	t.Helper()
	cmd := exec.Command(balsa, "serve", "--name=", "--config-file="+file)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if want := "--name is empty"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("with %s it says %q, want %q alone", file, out, want)
	}
}

func TestTheConfigurationNamesFlagsThatExist(t *testing.T) {
	dir := t.TempDir()
	balsa := unpack(t, one(t, "*.tar.gz"), dir)
	unit, err := os.ReadFile("linux/balsa.service")
	if err != nil {
		t.Fatal(err)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/balsa (.*)$`).FindSubmatch(unit)
	balsaTakes(t, balsa, strings.Fields(string(start[1]))...)

	config, err := os.ReadFile("linux/balsa.yaml")
	if err != nil {
		t.Fatal(err)
	}
	balsaReads(t, balsa, "linux/balsa.yaml")
	example := filepath.Join(dir, "example.yaml") // the lines of its comment
	lines := regexp.MustCompile(`(?m)^#   (.*)$`).FindAllSubmatch(config, -1)
	if len(lines) < 5 {
		t.Fatalf("%d lines of an example", len(lines))
	}
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "%s\n", line[1])
	}
	if err := os.WriteFile(example, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	balsaReads(t, balsa, example)
}

func TestAFolderWithOtherFilesIsNotEmptied(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "thesis.pdf")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := emptied(dir); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}
