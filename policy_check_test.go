package balsa_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// source is one parsed file.
type source struct {
	name    string // path in the tree
	pkg     string // path below the module's; "." is the root
	test    bool
	pure    bool // has a //balsa:pure line
	imports []string
	ast     *ast.File
	fset    *token.FileSet
}

// checkPolicy reads all Go files of the module in tree, whatever their build tags, and
// returns how they break the policy.
func checkPolicy(tree fs.FS, policy string) (problems []string, err error) {
	r, err := parseRules(policy)
	if err != nil {
		return nil, err
	}
	module, files, err := readModule(tree)
	if err != nil {
		return nil, err
	}
	packages := map[string]bool{}
	for _, f := range files {
		packages[f.pkg] = packages[f.pkg] || !f.test
	}
	problems = r.consistency(func(name string) bool { return packages[name] })
	for pkg, code := range packages {
		if code && r.may[pkg] == nil {
			problems = append(problems, fmt.Sprintf("%s is in no rule of the policy: say what it stands above", pkg))
		}
	}
	used := map[string]bool{} // "package import", of the exceptions
	for _, f := range files {
		if !f.test {
			problems = append(problems, r.layers(f, module)...)
		}
		problems = append(problems, r.purity(f, module, used)...)
	}
	for pkg := range r.pure {
		for _, x := range slices.Concat(r.pure[pkg], r.allow[pkg]) {
			if !used[pkg+" "+x] {
				problems = append(problems, fmt.Sprintf("policy: %s may import %s, and does not", pkg, x))
			}
		}
	}
	for _, pkg := range r.marked {
		if !slices.ContainsFunc(files, func(f source) bool { return f.pkg == pkg && f.pure }) {
			problems = append(problems, fmt.Sprintf("%s has no file with a //balsa:pure line", pkg))
		}
	}
	slices.Sort(problems)
	return problems, nil
}

// layers reports imports of f, within the module, that no rule allows.
func (r *rules) layers(f source, module string) (problems []string) {
	for _, path := range f.imports {
		below, ours := strings.CutPrefix(path, module+"/")
		if ours && r.may[f.pkg] != nil && !r.may[f.pkg][below] {
			problems = append(problems, fmt.Sprintf("%s: %s imports %s, which the policy does not allow", f.name, f.pkg, below))
		}
	}
	return append(problems, banned(f, f.pkg, r.deny[f.pkg], nil)...)
}

// purity reports what f does that its package or its own word forbids, and notes in
// used which exceptions it needed.
func (r *rules) purity(f source, module string, used map[string]bool) (problems []string) {
	modules, purePackage := r.pure[f.pkg]
	switch {
	case f.test && purePackage:
		problems = banned(f, "a pure package's test", unrepeatable, nil)
		problems = append(problems, clocked(f, "a pure package's test")...)
		return append(problems, unseeded(f, "a pure package's test")...)
	case f.test || !purePackage && !f.pure:
		return nil
	}
	const who = "pure code"
	problems = banned(f, who, impure, func(path string) bool {
		used[f.pkg+" "+path] = true
		return slices.Contains(r.allow[f.pkg], path)
	})
	for _, path := range f.imports {
		below, ours := strings.CutPrefix(path, module+"/")
		domain, _, _ := strings.Cut(path, "/")
		switch {
		case !purePackage: // files stand among others and share their imports
		case ours && slices.Contains(r.allow[f.pkg], below):
			used[f.pkg+" "+below] = true
		case ours && r.pure[below] == nil:
			problems = append(problems, fmt.Sprintf("%s: %s imports %s, which is not pure", f.name, who, below))
		case !ours && strings.Contains(domain, "."):
			i := slices.IndexFunc(modules, func(m string) bool { return within(path, m) })
			if i < 0 {
				problems = append(problems, fmt.Sprintf("%s: %s imports %s, which the policy does not list", f.name, who, path))
				continue
			}
			used[f.pkg+" "+modules[i]] = true
		}
	}
	problems = append(problems, unseeded(f, who)...)
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			problems = append(problems, fmt.Sprintf("%s:%d: %s starts a goroutine", f.name, f.fset.Position(g.Pos()).Line, who))
		}
		return true
	})
	return problems
}

// banned reports imports of f that are in list and not excused.
func banned(f source, who string, list []string, excused func(string) bool) (problems []string) {
	for _, path := range f.imports {
		bad := slices.ContainsFunc(list, func(b string) bool { return within(path, b) })
		if bad && (excused == nil || !excused(path)) {
			problems = append(problems, fmt.Sprintf("%s: %s imports %s", f.name, who, path))
		}
	}
	return problems
}

// within tells whether path is root or below it.
func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// clocked reports uses of the clock.
func clocked(f source, who string) (problems []string) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(clock, sel.Sel.Name) {
			problems = append(problems, fmt.Sprintf("%s:%d: %s uses time.%s", f.name, f.fset.Position(sel.Pos()).Line, who, sel.Sel.Name))
		}
		return true
	})
	return problems
}

// seeded is what math/rand and math/rand/v2 have that takes its chance from a source.
var seeded = []string{"ChaCha8", "New", "NewChaCha8", "NewPCG", "NewSource", "NewZipf", "PCG", "Rand", "Source", "Source64", "Zipf"}

// unseeded reports uses of the top-level functions of math/rand.
func unseeded(f source, who string) (problems []string) {
	aliases := map[string]bool{}
	for _, spec := range f.ast.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		switch {
		case !within(path, "math/rand"):
		case spec.Name == nil:
			aliases["rand"] = true
		case spec.Name.Name == ".":
			problems = append(problems, fmt.Sprintf("%s: %s imports %s without a name", f.name, who, path))
		default:
			aliases[spec.Name.Name] = true
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// A variable that shadows the package is taken for it: it should have its own name.
		if x, ok := sel.X.(*ast.Ident); ok && aliases[x.Name] && !slices.Contains(seeded, sel.Sel.Name) {
			problems = append(problems, fmt.Sprintf("%s:%d: %s calls rand.%s, which has no seed of ours",
				f.name, f.fset.Position(sel.Pos()).Line, who, sel.Sel.Name))
		}
		return true
	})
	return problems
}

// readModule parses the Go files of tree, without nested modules, testdata, and what
// begins with a dot.
func readModule(tree fs.FS) (module string, files []source, err error) {
	mod, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return "", nil, err
	}
	line, _, _ := strings.Cut(string(mod), "\n")
	module = strings.TrimSpace(strings.TrimPrefix(line, "module"))

	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := fs.Stat(tree, path.Join(name, "go.mod"))
			if name != "." && (nested == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		f, err := readSource(tree, name)
		files = append(files, f)
		return err
	})
	return module, files, err
}

func readSource(tree fs.FS, name string) (source, error) {
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		return source{}, err
	}
	f := source{name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet()}
	const mode = parser.ParseComments | parser.SkipObjectResolution
	if f.ast, err = parser.ParseFile(f.fset, name, data, mode); err != nil {
		return source{}, err
	}
	for _, spec := range f.ast.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, err
		}
		f.imports = append(f.imports, path)
	}
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			f.pure = f.pure || c.Text == "//balsa:pure"
		}
	}
	return f, nil
}
