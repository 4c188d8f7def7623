package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../../../.."

// TestMutantsCompile: a bug that does not compile finds nothing. To build each mutant would
// take minutes. To check the types in the packages that it changes takes milliseconds.
func TestMutantsCompile(t *testing.T) {
	c := newCompiler(t, mutants)
	for _, m := range mutants {
		if err := c.compile(&m); err != nil {
			t.Errorf("mutant %s: %v", m.name, err)
		}
	}
}

func TestAMutantThatDoesNotCompileIsFound(t *testing.T) {
	changed := func(text string) *mutant {
		return &mutant{edit: edit{file: "raft/limits.go", old: "package raft\n", new: "package raft\n\n" + text + "\n"}}
	}
	c := newCompiler(t, []mutant{*changed("")})
	for text, compiles := range map[string]bool{
		"func bug() { _ = max(1, 2) }":   true,
		"func bug() { unused := 1 }":     false,
		"func bug() { unknown() }":       false,
		"func bug() int { }":             false,
		"func bug() { log{}.unknown() }": false,
		"import \"os\"":                  false,
		"func bug() {":                   false,
	} {
		if err := c.compile(changed(text)); (err == nil) != compiles {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// compiler checks packages as a compiler does, and makes no code.
type compiler struct {
	fset     *token.FileSet
	packages map[string]goPackage // by the directory in the module
	imports  types.Importer
}

type goPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// newCompiler returns one for the packages that these mutants change.
func newCompiler(t *testing.T, mutants []mutant) *compiler {
	t.Helper()
	dirs := map[string]bool{}
	for _, m := range mutants {
		for _, e := range m.edits() {
			dirs["./"+path.Dir(e.file)] = true
		}
	}
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}, slices.Sorted(maps.Keys(dirs))...)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	c := &compiler{fset: token.NewFileSet(), packages: map[string]goPackage{}}
	exports := map[string]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read what go list says: %v", err)
		}
		exports[p.ImportPath] = p.Export
		if dir, err := filepath.Rel(top, p.Dir); err == nil {
			c.packages[filepath.ToSlash(dir)] = p
		}
	}
	c.imports = importer.ForCompiler(c.fset, "gc", func(name string) (io.ReadCloser, error) { return os.Open(exports[name]) })
	return c
}

// compile checks the packages that the mutant changes.
func (c *compiler) compile(m *mutant) error {
	texts, err := m.apply(root)
	if err != nil {
		return err
	}
	dirs := map[string]bool{}
	for file := range texts {
		dirs[path.Dir(file)] = true
	}
	for dir := range dirs {
		p := c.packages[dir]
		var files []*ast.File
		for _, name := range p.GoFiles {
			var source any // nil: what is on the disk
			if text, ok := texts[path.Join(dir, name)]; ok {
				source = text
			}
			f, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), source, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			files = append(files, f)
		}
		conf := types.Config{Importer: c.imports}
		if _, err := conf.Check(p.ImportPath, c.fset, files, nil); err != nil {
			return fmt.Errorf("compile: %w", err)
		}
	}
	return nil
}
