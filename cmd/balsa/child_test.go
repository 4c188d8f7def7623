package main

import (
	"os"
	"path/filepath"
	"testing"

	"balsa.example/internal/terminal"
)

// A command that balsa runs on a terminal gets the terminal itself: it may be an editor or a shell, which write
// commands for the terminal, and look whether it is one.
func TestACommandGetsTheTerminalItself(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "terminal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &program{env: noEnv, result: &result{to: f}, screen: func() terminal.Size { return terminal.Size{Columns: 80, Rows: 24} }}
	p.stdout, p.stderr = p.cleaned(p.result), p.cleaned(f)
	if p.childOutput() != f || p.childErrors() != f {
		t.Errorf("the outputs are %T and %T", p.childOutput(), p.childErrors())
	}
	if err := p.runHeld(t.Context(), []string{"sh", "-c", `printf '\033[1m'; printf '\033[2m' >&2`}, "lock", nil, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "\x1b[1m\x1b[2m" {
		t.Errorf("%q, %v", got, err)
	}
}
