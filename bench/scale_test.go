package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"balsa.example/bench/scale"
)

func TestParseScale(t *testing.T) {
	o, err := parse([]string{"-scale", "-quick", "-only", "keys|nodes"}, io.Discard)
	if err != nil || !o.scale || !o.quick || len(scale.Names(o.only)) != 2 {
		t.Errorf("%+v, %v", o, err)
	}
	for args, says := range map[string]string{
		"-scale -only (":        "-only",
		"-scale -only nonsense": "callers, sizes, reads",
		"-scale -rounds 3":      "-rounds has no meaning",
		"-scale -systems etcd":  "-systems has no meaning",
		"-only keys":            "without -scale",
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestScaleIsDrawnAgain makes tables and charts of a stored report.
func TestScaleIsDrawnAgain(t *testing.T) {
	s := &scale.Series{Name: "nodes", Title: "puts against servers", Axis: "servers",
		Columns: []scale.Column{{Name: "puts/s", Unit: scale.PerSecond, Panel: "rate", Line: "puts"}}}
	s.Row("3", 3).Add("puts/s", 1234)
	dir := t.TempDir()
	stored, out := filepath.Join(dir, "scale.json"), filepath.Join(dir, "out")
	if err := write(stored, (&scale.Report{Series: []*scale.Series{s}}).Write); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"-scale", "-draw", stored, "-out", out}, &stdout, io.Discard); err != nil || !strings.Contains(stdout.String(), "1,234") {
		t.Errorf("%v\n%s", err, &stdout)
	}
	for _, name := range []string{"scale.json", "scale.md", "scale-nodes.svg"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if err := run(t.Context(), []string{"-scale", "-draw", filepath.Join(dir, "none")}, io.Discard, io.Discard); err == nil {
		t.Error("what is not there is drawn")
	}
}
