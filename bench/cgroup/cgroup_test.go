package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// files makes a tree of files as the kernel would have them.
func files(t *testing.T, all map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, content := range all {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTheVersionIsThatWhichHasMemory(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // the group's directory; empty: an error
		limit string
	}{
		{"version 1", map[string]string{"memory/cgroup.procs": ""}, "memory/x", "memory.limit_in_bytes"},
		{"both, memory in version 1", map[string]string{"memory/cgroup.procs": "", "unified/cgroup.controllers": ""}, "memory/x", "memory.limit_in_bytes"},
		{"version 2", map[string]string{"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": ""}, "x", "memory.max"},
		{"version 2 without memory", map[string]string{"cgroup.controllers": "cpu pids\n", "cgroup.subtree_control": ""}, "", ""},
		{"version 2 that may not be changed", map[string]string{"cgroup.controllers": "memory\n"}, "", ""},
		{"none", nil, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := files(t, tt.files)
			g, err := find(root, "x")
			if (err == nil) != (tt.want != "") {
				t.Fatal(err)
			}
			if err == nil && (g.dir != filepath.Join(root, tt.want) || g.limit != tt.limit) {
				t.Errorf("it is %s with %s", g.dir, g.limit)
			}
		})
	}
}

func TestUsageIsReadFromBothVersions(t *testing.T) {
	want := Usage{Now: 70, Most: 90, Anonymous: 30, File: 40, Killed: 1}
	for name, g := range map[string]Group{
		"version 1": {files(t, map[string]string{
			"memory.usage_in_bytes": "70\n", "memory.max_usage_in_bytes": "90\n", "memory.stat": "cache 1\nrss 2\ntotal_cache 40\ntotal_rss 30\n",
			"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
		}), v1},
		"version 2": {files(t, map[string]string{
			"memory.current": "70\n", "memory.peak": "90\n", "memory.stat": "anon 30\nfile 40\nfile_mapped 3\n", "memory.events": "oom 2\noom_kill 1\n",
		}), v2},
	} {
		if got, err := g.Usage(); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestAProcessEntersAGroupOfThisMachine(t *testing.T) {
	g, err := New("balsa-bench-test", 64<<20)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}()
	if out, err := exec.Command("/bin/sh", "-c", `echo $$ >"$0" && dd if=/dev/zero of=/dev/null bs=8M count=1`, g.Procs()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if u, err := g.Usage(); err != nil || u.Most != 0 && u.Most < 8<<20 {
		t.Errorf("%+v, %v; want at least 8 MiB at the most", u, err)
	}
}
