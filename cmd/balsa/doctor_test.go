package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/doctor"
	"balsa.example/internal/terminal"
	"balsa.example/vfs"
)

// examined runs doctor and returns its findings by check.
func examined(t *testing.T, args ...string) (code int, found map[string][]doctor.Finding) {
	t.Helper()
	code, out, errs := balsa(t, "", append([]string{"doctor", "-o", "json", "--sample", "0s"}, args...)...)
	var all struct{ Findings []doctor.Finding }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%v: code %d, %s, %s", args, code, out, errs)
	}
	found = map[string][]doctor.Finding{}
	for _, f := range all.Findings {
		found[f.Check] = append(found[f.Check], f)
	}
	return code, found
}

func TestDoctorOfAServerWithTLS(t *testing.T) {
	base := freePorts(t, 2)
	ca := certstest.NewCA(t, "ca")
	node := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n1", Hosts: []string{"127.0.0.1"}}), ca.PEM)
	dir := filepath.Join(t.TempDir(), "d")
	_, stop := background(t, "ready to serve", "serve", "--data-dir", dir,
		"--listen-client-urls", fmt.Sprintf("https://127.0.0.1:%d", base), "--listen-peer-urls", loopback(base+1),
		"--cert-file", node.Cert, "--key-file", node.Key)
	endpoint := fmt.Sprintf("--endpoints=https://127.0.0.1:%d", base)
	if code, _, errs := balsa(t, "", "put", "a", "1", endpoint, "--cacert", node.CA); code != exitOK { // it leads then
		t.Fatal(errs)
	}
	code, found := examined(t, endpoint, "--cacert", node.CA, "--data-dir", dir)
	if code != exitOK && !slices.ContainsFunc(found["file system"], func(f doctor.Finding) bool { return f.Level == doctor.Problem }) {
		t.Errorf("code %d: %+v", code, found)
	}
	for check, level := range map[string]doctor.Level{
		"answers": doctor.OK, "leader": doctor.OK, "voters": doctor.Warning, "versions": doctor.OK, "alarms": doctor.OK,
	} {
		if len(found[check]) == 0 || found[check][0].Level != level {
			t.Errorf("%s: %+v", check, found[check])
		}
	}
	for _, check := range []string{"certificates", "names"} {
		if len(found[check]) == 0 {
			t.Errorf("nothing about %s: %+v", check, found)
		}
	}
	if len(found["this disk's syncs"]) != 1 || !strings.Contains(found["this disk's syncs"][0].Seen, "syncs took up to") {
		t.Errorf("the disk: %+v", found["this disk's syncs"])
	}
	// By a name that its certificate does not have.
	code, found = examined(t, fmt.Sprintf("--endpoints=https://localhost:%d", base), "--cacert", node.CA, "--timeout", "5s")
	if code != exitProblem || len(found["names"]) != 1 || found["names"][0].Level != doctor.Problem {
		t.Errorf("another name: %d %+v", code, found)
	}
	stop()
	code, found = examined(t, endpoint, "--cacert", node.CA, "--timeout", "300ms")
	if code != exitProblem || found["answers"][0].Level != doctor.Problem || len(found["names"]) > 0 {
		t.Errorf("without servers: %d %+v", code, found)
	}
}

func TestDoctorOfAMachineAlone(t *testing.T) {
	dir := t.TempDir()
	_, found := examined(t, "--local", "--data-dir", filepath.Join(dir, "to-come"), "--backup-dir", dir)
	if len(found["this disk"]) != 1 || len(found["this machine"]) == 0 || len(found["backups"]) != 1 || found["backups"][0].Level != doctor.Problem || found["answers"] != nil {
		t.Errorf("%+v", found)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it has left %v, %v", left, err)
	}
	for _, args := range [][]string{{"--local"}, {"--sample", "-1s"}} {
		if code, _, _ := balsa(t, "", append([]string{"doctor"}, args...)...); code != exitUsage {
			t.Errorf("%v: %d", args, code)
		}
	}
}

func TestDoctorIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // Ctrl-C
	for _, args := range [][]string{{"--endpoints", "127.0.0.1:1", "--sample", "1h"}, {"--local", "--data-dir", t.TempDir()}} {
		var out, errs bytes.Buffer
		p := program{stdout: &out, stderr: &errs, env: noEnv}
		code := p.run(ctx, append([]string{"doctor"}, args...))
		if code != exitError || out.Len() > 0 || !strings.HasSuffix(errs.String(), "balsa: interrupted before its end\n") {
			t.Errorf("%q: code %d, out %q, err %q", args, code, &out, &errs)
		}
	}
}

func TestAProbeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	if took, err := probe(ctx, vfs.OS, dir); err != nil || len(took) == 0 || !slices.IsSorted(took) {
		t.Errorf("%v, %v", took, err)
	}
	cancel() // Ctrl-C
	if took, err := probe(ctx, vfs.OS, dir); err != nil || len(took) > 0 {
		t.Errorf("%v, %v", took, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it has left %v, %v", left, err)
	}
	if _, err := probe(t.Context(), vfs.OS, filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that does not exist was measured")
	}
}

func TestTextOfDoctor(t *testing.T) {
	e := &examination{dataDir: "/data"}
	findings := []doctor.Finding{
		{Level: doctor.Problem, Check: "leader", Seen: "none leads", Why: "nothing is written", Do: strings.Repeat("start it ", 12)},
		{Level: doctor.OK, Check: "answers", Of: "n1\x1b[2J", Seen: "yes"},
	}
	var out bytes.Buffer
	plain := e.text(findings, terminal.Of(&out, &out, noEnv))
	want := `problem  leader: none leads
         why  nothing is written
         do   start it start it start it start it start it start it start it start it start it start
              it start it start it
ok       answers, n1?[2J: yes

1 problem, 0 warnings, 0 notes; 1 as they should be
not looked at: backups (--backup-dir)
`
	if plain != want {
		t.Errorf("%s", plain)
	}
	painted := e.text(findings, terminal.Fake(&out, func() terminal.Size { return terminal.Size{Columns: 80, Rows: 24} }, true))
	if !strings.HasPrefix(painted, "\x1b[31mproblem\x1b[0m  leader: none leads\n") {
		t.Errorf("%q", painted)
	}
}
