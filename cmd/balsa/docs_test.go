package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDocumentsTellNoLies finds what a change of the code has left behind in the
// documents: flags that do not exist. What links lead to is checked in the root.
func TestDocumentsTellNoLies(t *testing.T) {
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	reference, _ := filepath.Glob(filepath.Join(root, "docs", "reference", "*.md"))
	if err != nil || len(pages) < 4 || len(reference) < 3 {
		t.Fatal(pages, reference, err)
	}
	pages = append(pages, reference...)
	flags := allFlags((&program{}).root())
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, m := range regexp.MustCompile("balsa[^\n|]* --[a-z0-9-]+|`--[a-z0-9-]+").FindAllString(text, -1) {
			for _, flag := range regexp.MustCompile("--([a-z0-9-]+)").FindAllStringSubmatch(m, -1) {
				if !slices.Contains(flags, flag[1]) {
					t.Errorf("%s: there is no flag --%s", page, flag[1])
				}
			}
		}
	}
}

// TestDocumentsNameFlagsOfTheirCommand: a flag that another command has is of no use in an example.
func TestDocumentsNameFlagsOfTheirCommand(t *testing.T) {
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 4 {
		t.Fatal(pages, err)
	}
	commands, balsa := 0, (&program{}).root()
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "\\\n", " ")
		for _, m := range regexp.MustCompile(`(?m)(?:^ {4,}|&& |; |\$\(|`+"`"+`)(?:\./)?balsa ([^\n#;|&`+"`"+`)]*)`).FindAllStringSubmatch(text, -1) {
			commands++
			for _, wrong := range strangeFlags(balsa, strings.Fields(m[1])) {
				t.Errorf("%s: balsa %s: %s", page, m[1], wrong)
			}
		}
	}
	if commands < 200 {
		t.Errorf("%d commands", commands)
	}
}

// TestDocumentsOfExitCodesAreThoseOfTheHelp: the table has each code at each command whose help has it, and at no other. A name stands
// for the commands below it, too: for some of them at least.
func TestDocumentsOfExitCodesAreThoseOfTheHelp(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	byHelp, commands := map[string][]string{}, []string{} // by code; all that tell of codes
	for _, c := range allCommands((&program{}).root()) {
		_, text, ok := strings.Cut(c.Long, "Exit codes:\n")
		if !ok {
			continue
		}
		name := strings.TrimPrefix(c.CommandPath(), "balsa ")
		commands = append(commands, name)
		for _, m := range regexp.MustCompile(`(?m)^  (\d+) `).FindAllStringSubmatch(text, -1) {
			byHelp[m[1]] = append(byHelp[m[1]], name)
		}
	}
	byTable := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]+) \|`).FindAllStringSubmatch(string(page), -1) {
		byTable[m[1]] += m[2]
	}
	if len(byHelp) < 20 || len(byTable) != len(byHelp) {
		t.Errorf("%d codes in the table, %d in the help", len(byTable), len(byHelp))
	}
	for code, those := range byHelp {
		cell := byTable[code]
		if strings.HasPrefix(cell, "all") { // those whose help has not got it are the exceptions
			those = slices.DeleteFunc(slices.Clone(commands), func(name string) bool { return slices.Contains(those, name) })
		}
		for _, wrong := range unlike(cell, those) {
			t.Errorf("docs/commands.md: exit code %s, %s: %s", code, cell, wrong)
		}
	}
}

// unlike lists where the names of a cell and the names of commands are not the same.
func unlike(cell string, commands []string) (wrong []string) {
	named := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1)
	isOf := func(command, name string) bool { return command == name || strings.HasPrefix(command, name+" ") }
	for _, command := range commands {
		if !slices.ContainsFunc(named, func(m []string) bool { return isOf(command, m[1]) }) {
			wrong = append(wrong, command+" is missing, by its help")
		}
	}
	for _, m := range named {
		if !slices.ContainsFunc(commands, func(command string) bool { return isOf(command, m[1]) }) {
			wrong = append(wrong, "the help of "+m[1]+" says otherwise")
		}
	}
	return wrong
}

// strangeFlags lists what a command line has that its command does not know.
func strangeFlags(root *cobra.Command, args []string) (wrong []string) {
	c, rest, err := root.Find(args)
	if len(args) == 0 || strings.ToUpper(args[0]) == args[0] {
		return nil // balsa COMMAND
	}
	if err != nil || c.Parent() == nil && args[0][0] != '-' {
		return []string{"there is no such command"}
	}
	for _, arg := range rest {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if c.Name() == "lock" && arg[0] != '-' {
			break // what follows is another program's
		}
		if strings.HasPrefix(arg, "--") && name != "" && name != "help" && name != "version" && c.Flags().Lookup(name) == nil {
			wrong = append(wrong, arg)
		}
	}
	return wrong
}

// Examples name balsa's ports: those of etcd lead to etcd.
func TestExamplesNameOurPorts(t *testing.T) {
	etcds := regexp.MustCompile(`:23(79|80)([^0-9$]|$)`)
	files := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		isExample := strings.HasSuffix(name, ".md") || strings.HasSuffix(name, ".proto") ||
			strings.HasSuffix(name, ".go") && (!strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "example"))
		if err != nil || d.IsDir() || !isExample {
			return err
		}
		files++
		if slices.Contains([]string{"etcd.md", "kubernetes.md", "patroni.md", "etcd.go"}, name) || strings.Contains(path, "etcdconfig") || strings.Contains(path, "compat") {
			return nil // about etcd's own
		}
		data, err := os.ReadFile(path)
		if found := etcds.Find(data); found != nil {
			t.Errorf("%s: %s is a port of etcd", path, found)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}

// allFlags lists the flags of a command and of all below it.
func allFlags(c *cobra.Command) []string {
	names := []string{"help", "some-flag"} // the latter stands for any
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	for _, sub := range c.Commands() {
		names = append(names, allFlags(sub)...)
	}
	return names
}
