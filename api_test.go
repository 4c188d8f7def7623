package balsa_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// TestPublicPackagesShowNoInternalTypes: a user could not name them.
func TestPublicPackagesShowNoInternalTypes(t *testing.T) {
	problems, err := shownInternals(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

func TestShownInternalTypesAreFound(t *testing.T) {
	const imports = "package a\n\nimport \"example.com/m/internal/x\"\n\n"
	for text, want := range map[string]bool{
		"func F() x.T { return x.T{} }":                     true,
		"func F(f func(*x.T)) {}":                           true,
		"func f() x.T { return x.T{} }":                     false,
		"func F() { var t x.T; _ = t }":                     false,
		"type T struct{ F []x.T }":                          true,
		"type T struct{ x.T }":                              true,
		"type T struct{ f x.T }":                            false,
		"type T = x.T":                                      true,
		"type T interface{ M(x.T) }":                        true,
		"type T int\nfunc (T) M() map[int]x.T { panic(0) }": true,
		"type t int\nfunc (t) M() x.T { panic(0) }":         false,
		"var V x.T":           true,
		"var V error = x.Err": false,
	} {
		problems, err := shownInternals(fstest.MapFS{"a/a.go": {Data: []byte(imports + text)}})
		if err != nil {
			t.Fatal(err)
		}
		if (len(problems) > 0) != want {
			t.Errorf("%s: %q", text, problems)
		}
	}
}

// shownInternals returns the exported declarations of public packages that show a type of an
// internal package.
func shownInternals(root fs.FS) (problems []string, err error) {
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := path.Base(name)
			if slices.Contains([]string{"internal", "testdata", "cmd", "bench", "tools"}, base) || len(base) > 1 && base[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found := internalsOf(f)
		for _, decl := range slices.Sorted(maps.Keys(found)) {
			problems = append(problems, name+": "+decl+" shows "+found[decl])
		}
		return nil
	})
	return problems, err
}

// internalsOf maps the exported declarations of a file to the internal type that they show.
func internalsOf(f *ast.File) map[string]string {
	internal := map[string]bool{}
	for _, i := range f.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		internal[name] = internal[name] || strings.Contains("/"+p+"/", "/internal/")
	}
	found := map[string]string{}
	var look func(decl string, n ast.Node)
	look = func(decl string, n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.StructType:
				for _, field := range n.Fields.List {
					if len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
						look(decl, field.Type)
					}
				}
				return false
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && internal[pkg.Name] {
					found[decl] = pkg.Name + "." + n.Sel.Name
				}
			}
			return true
		})
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && receiverIsExported(d) {
				look(d.Name.Name, d.Type)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() {
						look(spec.Name.Name, spec.Type)
					}
				case *ast.ValueSpec:
					if spec.Type != nil && spec.Names[0].IsExported() {
						look(spec.Names[0].Name, spec.Type)
					}
				}
			}
		}
	}
	return found
}

func receiverIsExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if i, ok := n.(*ast.Ident); ok && !exported {
			exported = i.IsExported()
			return false
		}
		return true
	})
	return exported
}
